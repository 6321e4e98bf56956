"""The learner's training step with batches of similar length, over the plain padded loop; goal <= 0.55 of its time.

Both steps are the warm-up's on 16 turns with the whole of MiniLM trained, at a cap of 512 tokens: forward, backward,
clipping, fused AdamW. The plain loop pads the turns, in the order drawn, to the longest of them; everything else is the
same code. The states are the labelled turns of the synthetic INSPIRED-format dialogues in `fixtures/`, read in full:
10 to 460 tokens, mean 160. Steps are timed in pairs on the same turns, in alternating order, and the gradients of both
paths are compared on the turns of the first. Limits: one CPU thread; a GPU gains in other proportions. A frozen
encoder (the default planner) trains no layer and needs neither path.

Guards `learner.segments`, `learner.encoder_policy` and `learner.warmup`. Run: ``python -m benchmarks.learner``.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from harness.domain.strategies import STRATEGIES
from harness.domain.text_encoder import load_encoder, use_one_thread
from learner.encoder_policy import EncoderPolicy, Prepared
from learner.labels import labelled_states
from learner.objective import soft_cross_entropy
from learner.optimizer import Optimizer
from learner.segments import SEGMENTS, Tokens
from learner.warmup import BATCH_TURNS
from simulator.datasets.inspired import InspiredDataset

GOAL = 0.55
CAP = 512
PAIRS = 11
COMPARED = 1
TOLERANCE = 1e-4
"""Largest difference of two gradients allowed, relative to the gradient's norm: fp32 sums in another order."""
_DIALOGUES = Path(__file__).parents[1] / "fixtures" / "inspired_synthetic.tsv"


def padded(model: Any, texts: Sequence[Tokens], dtype: str) -> Tensor:
    """What `learner.segments.pooled_batch` gives, from one batch in the order given."""
    assert dtype == "float32"
    longest = max(map(len, texts))
    ids = torch.stack([torch.nn.functional.pad(text.ids, (0, longest - len(text))) for text in texts])
    weights = torch.stack([torch.nn.functional.pad(text.weights, (0, longest - len(text))) for text in texts])
    mask = torch.stack([(torch.arange(longest) < len(text)).long() for text in texts])
    hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
    assert weights.shape == (len(texts), SEGMENTS, longest)
    return torch.nn.functional.normalize(weights @ hidden, dim=-1).flatten(1)


class Bench:
    """One policy with trained layers, its optimizer, and turns to train on."""

    def __init__(self) -> None:
        encoder = load_encoder()
        strategies = tuple(strategy.key for strategy in STRATEGIES)
        layers = int(encoder.model.config.num_hidden_layers)
        states = labelled_states(InspiredDataset(_DIALOGUES, strategies=STRATEGIES).dialogues(), strategies)
        self.policy = EncoderPolicy(encoder, strategies, trainable_layers=layers, max_tokens=CAP)
        self.inputs: list[Prepared] = [self.policy.prepare(state) for state in states.states]
        self.lengths = [len(text) for text, _ in self.inputs if isinstance(text, Tokens)]
        self.optimizer = Optimizer(self.policy, learning_rate=5e-3, encoder_learning_rate=1e-4)
        self._targets_NK = torch.from_numpy(states.targets_NK)

    def step_s(self, rows: Sequence[int], *, plain: bool) -> float:
        """Seconds of one training step on these turns."""
        began = time.perf_counter()
        self.optimizer.step(self._loss(rows, plain=plain))
        return time.perf_counter() - began

    def gradient(self, rows: Sequence[int], *, plain: bool) -> Tensor:
        """All gradients in one row, at the present weights; nothing is changed."""
        parameters = [one for group in self.policy.parameter_groups().values() for one in group]
        found = torch.autograd.grad(self._loss(rows, plain=plain), parameters, allow_unused=True)
        return torch.cat([one.flatten() for one in found if one is not None])

    def _loss(self, rows: Sequence[int], *, plain: bool) -> Tensor:
        inputs = [self.inputs[row] for row in rows]
        with patch("learner.encoder_policy.pooled_batch", padded) if plain else nullcontext():
            log_probs_NK = self.policy.log_probabilities(inputs, batched=True)
        return soft_cross_entropy(log_probs_NK, self._targets_NK[list(rows)])


def measure(pairs: int = PAIRS) -> dict[str, Any]:
    """Times, their ratio and the gradients' difference over ``pairs`` interleaved pairs of steps."""
    use_one_thread()
    bench = Bench()
    draws = [
        np.random.default_rng(pair).choice(len(bench.inputs), BATCH_TURNS, replace=False).tolist()
        for pair in range(pairs + 1)
    ]
    for plain in (False, True):  # memory is claimed, and the head leaves zero, where no gradient reaches the encoder
        bench.step_s(draws[pairs], plain=plain)
    seconds: dict[bool, list[float]] = {False: [], True: []}
    differences = []
    for pair, rows in enumerate(draws[:pairs]):
        if pair < COMPARED:
            ours, theirs = (bench.gradient(rows, plain=plain) for plain in (False, True))
            differences.append(float((ours - theirs).norm() / theirs.norm()))
        for plain in (False, True) if pair % 2 else (True, False):
            seconds[plain].append(bench.step_s(rows, plain=plain))
    ratios = [bucketed / plain for bucketed, plain in zip(seconds[False], seconds[True], strict=True)]
    lengths = sorted(bench.lengths[row] for rows in draws[:pairs] for row in rows)
    return {
        "benchmark": "learner",
        "ratio": statistics.median(ratios),
        "goal": GOAL,
        "met": statistics.median(ratios) <= GOAL,
        "ratios": ratios,
        "bucketed_s": statistics.median(seconds[False]),
        "padded_s": statistics.median(seconds[True]),
        "gradient_difference": max(differences),
        "gradients_equal": max(differences) <= TOLERANCE,
        "pairs": pairs,
        "turns_a_step": BATCH_TURNS,
        "cap_tokens": CAP,
        "tokens_mean": statistics.fmean(lengths),
        "tokens_max": lengths[-1],
        "tokens_padded_mean": statistics.fmean(max(bench.lengths[row] for row in rows) for rows in draws[:pairs]),
        "torch": torch.__version__,
    }


def main() -> int:
    """Print one JSON line and a line to read; 1 where the goal is missed or the gradients differ."""
    found = measure()
    print(json.dumps(found))
    print(
        f"learner step, batches of similar length / plain padded loop: {found['ratio']:.2f} (goal <= {GOAL}; "
        f"{min(found['ratios']):.2f} to {max(found['ratios']):.2f} in {found['pairs']} pairs); "
        f"{found['bucketed_s']:.2f} s against {found['padded_s']:.2f} s for {BATCH_TURNS} turns of "
        f"{found['tokens_mean']:.0f} tokens on average, padded to {found['tokens_padded_mean']:.0f}; gradients "
        f"{'equal' if found['gradients_equal'] else 'DIFFER'} (relative difference {found['gradient_difference']:.0e})"
    )
    return 0 if found["met"] and found["gradients_equal"] else 1


if __name__ == "__main__":
    sys.exit(main())
