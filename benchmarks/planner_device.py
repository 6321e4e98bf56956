"""The planner of the paper on its device: RoBERTa's forward passes, the update of 160 states, and a whole tiny run.

Weights are random: they cost what trained ones cost. Where torch sees no GPU the rows are the CPU's alone, with few
states. No goal is set for seconds, which are the card's; an update has to fit 4 GiB.

Run: ``python -m benchmarks.planner_device``; with a small encoder instead, as a test of the code: ``... tiny``.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest.mock import patch

import msgspec
import torch
from rich.console import Console

from benchmarks.measure import Bench, Cell, Goal, Result, json_line, text_table
from benchmarks.random_roberta import write_random_roberta
from harness.app.job.main_job import begin_or_go_on
from harness.app.settings.configfile import load_config
from harness.app.setup import wiring
from harness.core import messages
from harness.core.log.episode import Episode
from harness.core.log.loggedepisodes import read_episodes
from harness.domain.device import CPU, CUDA, device_of, name_of
from harness.domain.strategies import STRATEGIES
from harness.domain.text_encoder import Dtype, load_encoder, use_one_thread
from learner.encoder_policy import EncoderPolicy
from learner.updates import Learner

GIB = 1024**3
KEYS = tuple(strategy.key for strategy in STRATEGIES)
TOKENS, EPISODES, TURNS = 256, 16, 10
LIMIT_GIB = 4.0
_FORWARD = 64
"""States of one batch of the model alone."""
_DTYPES: tuple[Dtype, ...] = ("float32", "bfloat16")
_TINY = Path(__file__).parents[1] / "experiments" / "tiny.toml"
_SAID = "well, I would like something with robots in it, and not too long; what do you think of that film? "


def long_episodes(policy: EncoderPolicy, count: int = EPISODES, turns: int = TURNS) -> list[Episode]:
    """Made-up training episodes that act with ``policy``; from the second turn on a state fills `TOKENS` tokens."""
    return [_episode(policy, index, turns) for index in range(count)]


def _episode(policy: EncoderPolicy, index: int, turns: int) -> Episode:
    name = f"train-{index}"
    persona = messages.Persona(id="p", name="Pat", text="Pat likes films.", traits={})
    goal = messages.Goal(id=name, attributes=(), target="1", matches=("1",))
    drawn = [(index + 3 * turn) % len(KEYS) for turn in range(turns)]
    transitions = tuple(
        messages.Transition(
            episode=name,
            turn=turn + 1,
            decision=messages.Decision(
                strategy=KEYS[drawn[turn]], index=drawn[turn], probabilities=(), policy_version=0
            ),
            preferences="",
            facts=(),
            ranking=(),
            response=f"number {index * turns + turn}: " + _SAID * 3,
            recommended=("1",) * (turn % 2),
            reply=messages.SeekerReply(text=f"answer {turn}: " + _SAID * 3),
            score=messages.Score(reward=(index + turn) % 5 / 4),
            stop="turns" if turn == turns - 1 else None,
        )
        for turn, chosen in enumerate(drawn)
    )
    episode = Episode(
        started=messages.EpisodeStarted(
            episode=name,
            phase="train",
            index=index,
            policy_version=0,
            scenario=messages.Scenario(id=name, persona=persona, goal=goal),
            seed=index,
            max_turns=turns,
        ),
        opening=messages.Opening(episode=name, text=f"hello {index}, " + _SAID),
        transitions=transitions,
        ended=messages.EpisodeEnded(episode=name, stop="turns", turns=turns),
    )
    replace = msgspec.structs.replace
    acted = policy.distributions(episode.states()[:turns])
    decided = [
        replace(one, decision=replace(one.decision, probabilities=row))
        for one, row in zip(transitions, acted, strict=True)
        if one.decision is not None
    ]
    return replace(episode, transitions=tuple(decided))


def planner_of(folder: Path, device: str, dtype: Dtype = "float32") -> EncoderPolicy:
    """All layers of the encoder in ``folder`` learn; batches have one shape on the CPU too."""
    encoder = load_encoder(folder)
    layers = int(encoder.model.config.num_hidden_layers)
    place = device_of(device)
    return EncoderPolicy(
        encoder, KEYS, trainable_layers=layers, max_tokens=TOKENS, dtype=dtype, device=place, fixed=True
    )


def learner_of(policy: EncoderPolicy, episodes: int) -> Learner:
    """With the paper's update: one pass, the paper's rate."""
    return Learner(
        policy,
        reference=policy.snapshot(),
        batch_episodes=episodes,
        total_episodes=episodes,
        max_turns=TURNS,
        learning_rate=1e-4,
        gamma=0.99,
        beta=0.03,
        horizon="literal",
        advantage="none",
        gae_lambda=1.0,
        passes=1,
        averaged="dialogues",
        decay="none",
    )


def update(learner: Learner, played: Sequence[Episode]) -> tuple[float, float | None]:
    """One update; its seconds, and the most GPU memory that was taken meanwhile in GiB (None on a CPU)."""
    on_gpu = isinstance(learner.policy, EncoderPolicy) and learner.policy.device.type == CUDA
    if on_gpu:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    report = learner.update(played)
    if report.refused:
        raise RuntimeError(f"the update was refused: {report.refused}")
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - began, torch.cuda.max_memory_allocated() / GIB if on_gpu else None


def play(folder: Path, device: str, *wishes: str) -> tuple[int, float, str]:
    """The tiny main job with this encoder as planner: its turns, seconds and digest. Searches with a small encoder."""
    with tempfile.TemporaryDirectory(prefix="rso-bench-") as name:
        small = write_random_roberta(Path(name) / "small", layers=2, width=32, heads=2, vocabulary=400)
        config = load_config(
            _TINY,
            [
                f"planner.encoder={folder}",
                f"planner.device={device}",
                "planner.max_tokens=128",
                "warmup.epochs=0",
                "rl.passes=1",
                *wishes,
            ],
        )
        began = time.perf_counter()
        with patch.object(wiring, "MINILM", str(small)), patch.dict(os.environ, XDG_CACHE_HOME=str(Path(name) / "c")):
            summary = begin_or_go_on(config, Path(name) / "run", Console(quiet=True), quiet=True)
        seconds = time.perf_counter() - began
        turns = sum(len(episode.transitions) for episode in read_episodes(Path(name) / "run" / "episodes.jsonl"))
    return turns, seconds, summary.digest


def run(bench: Bench) -> Result:
    """All figures, on the CPU and, where there is one, the first GPU."""
    began = time.perf_counter()
    use_one_thread()
    devices = [CPU, *([CUDA] if torch.cuda.is_available() else [])]
    with tempfile.TemporaryDirectory(prefix="rso-roberta-") as name:
        sizes = {"layers": 2, "width": 32, "heads": 2, "vocabulary": 400} if bench.tiny else {}
        folder = write_random_roberta(Path(name) / "roberta", **sizes)
        rows = [row for device in devices for row in _rows(folder, device, few=device == CPU)]
    peaks = [row[5] for row in rows if isinstance(row[5], float)]
    return Result(
        name="device",
        title=f"The planner's device: RoBERTa's sizes, {TOKENS} tokens a state",
        columns=("what", "device", "computes with", "states", "seconds", "GPU memory, GiB", "a second"),
        rows=tuple(rows),
        goals=tuple(
            Goal(what="GPU memory of an update", figure=peak, bound=LIMIT_GIB, kind="at most") for peak in peaks
        ),
        limit="random weights, one card, one torch thread on the CPU, where few states stand for many.",
        notes=tuple(f"{device}: {name_of(device)}" for device in devices),
        seconds=time.perf_counter() - began,
    )


def _rows(folder: Path, device: str, *, few: bool) -> Iterator[tuple[Cell, ...]]:
    for dtype in _DTYPES:
        policy = planner_of(folder, device, dtype)
        count = 4 if few else _FORWARD
        seconds = _forward(policy, count)
        yield "model alone, one batch", device, dtype, count, seconds, None, count / seconds
        played = long_episodes(policy, 1 if few else EPISODES, 2 if few else TURNS)
        states = [state for episode in played for state in episode.states()[: len(episode.transitions)]]
        clock = time.perf_counter()
        policy.distributions(states)
        seconds = time.perf_counter() - clock
        yield "planner, batches of one shape", device, dtype, len(states), seconds, None, len(states) / seconds
        seconds, peak = update(learner_of(policy, len(played)), played)
        yield "update", device, dtype, len(states), seconds, peak, len(states) / seconds
    layers = int(policy.encoder.model.config.num_hidden_layers)
    turns, seconds, _ = play(folder, device, f"planner.trainable_layers={layers}")
    yield f"tiny run, {layers} layers learn", device, "float32", turns, seconds, None, turns / seconds


def _forward(policy: EncoderPolicy, rows: int) -> float:
    """Seconds of the best of three passes of the model over one batch of full length."""
    ids = torch.randint(4, 400, (rows, TOKENS), device=policy.device)
    taken = []
    with torch.no_grad(), torch.autocast(policy.device.type, torch.bfloat16, enabled=policy.dtype == "bfloat16"):
        for _ in range(3):
            clock = time.perf_counter()
            float(policy.model(input_ids=ids).last_hidden_state[0, 0, 0])  # waits for a GPU
            taken.append(time.perf_counter() - clock)
    return min(taken)


if __name__ == "__main__":
    found = run(Bench(tiny="tiny" in sys.argv[1:]))
    print(json_line(found))
    print(text_table(found))
