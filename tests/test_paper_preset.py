"""The paper's own planner and update: RoBERTa's head, Eq. 7's averages, linear decay; a warm-up that learned little."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import torch
from support.encoders import write_tiny_encoder
from support.experts import an_encoder_policy, learning
from support.logged import MAX_TURNS, episodes, play
from test_policy import KEYS, STATES

from harness.app.evaluation.cautions import cautions_of
from harness.app.evaluation.decisions import decisions_of
from harness.app.evaluation.summary import LabelNll
from harness.app.settings.config import Config
from harness.app.settings.configfile import config_from_tree, load_config
from harness.app.setup.wiring import planner_of
from harness.core.errors import ConfigError, InputError
from harness.core.log.episode import Episode, build
from harness.core.messages import Fact, State, Turn
from harness.domain.strategies import STRATEGIES
from harness.domain.text_encoder import TextEncoder, load_encoder
from learner.checkpoint import load_checkpoint, save_checkpoint, weights_hash
from learner.classification_head import ClassificationHead
from learner.encoder_policy import EncoderPolicy
from learner.objective import entropy
from learner.policy import TrainablePolicy
from learner.returns import discounted
from learner.state_text import state_text
from learner.tabular import TabularPolicy
from learner.updates import Learner

EXPERIMENTS = Path(__file__).parent.parent / "experiments"
THREE = KEYS[:3]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    return load_encoder(write_tiny_encoder(tmp_path_factory.mktemp("encoder") / "tiny", kind="roberta"))


def classifier(encoder: TextEncoder, seed: int = 3, **wishes: object) -> EncoderPolicy:
    return an_encoder_policy(encoder, KEYS, **({"trainable_layers": 2, "classifier_seed": seed} | wishes))


def test_the_preset_is_what_the_paper_states() -> None:
    config = config_from_tree({"preset": "paper"})
    rl, planner, warmup = config.rl, config.planner, config.warmup
    assert (planner.encoder, planner.trainable_layers, planner.head) == ("roberta-base", 12, "classification")
    assert (planner.preferences, planner.facts) == (True, True)
    assert (warmup.epochs, warmup.learning_rate, warmup.encoder_learning_rate) == (10, 6e-6, 6e-6)
    assert (rl.epochs, rl.dialogues_per_epoch, rl.batch_episodes, rl.policy_lag, rl.passes) == (10, 100, 16, 0, 1)
    assert (rl.learning_rate, rl.encoder_learning_rate, rl.decay, rl.gamma) == (1e-4, 1e-4, "linear", 0.99)
    assert (rl.horizon, rl.advantage, rl.averaged) == ("literal", "none", "dialogues")
    said = decisions_of(config)
    assert "roberta-base with 12 trained layers and a classification head, which reads C1, C2" in said
    assert "averaged over dialogues, linear decay" in said
    for file in ("inspired", "redial"):
        assert load_config(EXPERIMENTS / "paper" / f"{file}.toml").rl == rl


def test_the_head_is_robertas() -> None:
    head = ClassificationHead(4, 9, width=8, seed=5)
    tensors = head.tensors()
    text = torch.randn(6, 8)
    hidden = torch.tanh(text @ tensors["head.dense"].T + tensors["head.dense_bias"])
    expected = hidden @ tensors["head.out"].T + tensors["head.out_bias"]
    torch.testing.assert_close(head.logits(text, torch.zeros(6, 9)), expected)
    torch.testing.assert_close(head.logits(text[2], torch.ones(9)), expected[2])
    assert not tensors["head.dense_bias"].any()
    wide = ClassificationHead(13, 39, width=400, seed=5).tensors()["head.dense"]
    assert float(wide.std()) == pytest.approx(0.02, rel=0.02)


def test_first_weights_are_drawn_by_seed(tiny: TextEncoder) -> None:
    assert weights_hash(classifier(tiny)) == weights_hash(classifier(tiny))
    assert weights_hash(classifier(tiny)) != weights_hash(classifier(tiny, seed=4))
    wishes = {"encoder": tiny.name, "trainable_layers": 1, "head": "classification", "device": "cpu"}

    def drawn(seed: int) -> str:
        planner = planner_of(config_from_tree({"planner": wishes, "run": {"seed": seed}}), STRATEGIES)
        assert planner is not None
        return weights_hash(planner)

    assert drawn(1) == drawn(1) != drawn(2)


def test_it_reads_the_first_tokens_state_in_every_path(tiny: TextEncoder) -> None:
    policy, fixed = classifier(tiny), classifier(tiny, fixed=True)
    prepared = [policy.prepare(each) for each in STATES]
    alone = policy.log_probabilities(prepared)
    assert [tuple(row) for row in alone.exp().tolist()] == [policy.distribution(each) for each in STATES]
    torch.testing.assert_close(policy.log_probabilities(prepared, batched=True), alone, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(fixed.log_probabilities(prepared), alone, rtol=1e-5, atol=1e-6)
    assert fixed.distributions(STATES) == [fixed.distribution(each) for each in STATES]
    tokens, _ = prepared[1]
    with torch.no_grad():
        first = policy.model(input_ids=tokens.ids[None]).last_hidden_state[0, 0]  # type: ignore[union-attr]
        logits = policy._heads[0].logits(first, torch.zeros(39))
    torch.testing.assert_close(torch.log_softmax(logits.double(), -1), alone[1].detach())


def test_the_layers_below_learn_from_the_first_step_on(tiny: TextEncoder) -> None:
    def gradients(policy: EncoderPolicy) -> float:
        rows = policy.log_probabilities([policy.prepare(each) for each in STATES])
        found = torch.autograd.grad(rows[:, 0].sum(), policy.parameter_groups()["encoder"], allow_unused=True)
        return sum(float(one.abs().sum()) for one in found if one is not None)

    assert gradients(classifier(tiny)) > 0.0
    assert gradients(an_encoder_policy(tiny, KEYS, trainable_layers=2)) == 0.0


def test_a_checkpoint_knows_its_head(tiny: TextEncoder, tmp_path: Path) -> None:
    policy = classifier(tiny, facts=True, preferences=True)
    saved = load_checkpoint(save_checkpoint(tmp_path, policy, version=0))
    built = saved.policy()
    assert weights_hash(built) == weights_hash(policy)
    assert built.distribution(STATES[3]) == policy.distribution(STATES[3])
    with pytest.raises(InputError, match="encoder facts = True, here it is False"):
        saved.restore(classifier(tiny, preferences=True))
    with pytest.raises(InputError, match="encoder head = classification, here it is linear"):
        saved.restore(an_encoder_policy(tiny, KEYS, trainable_layers=2, facts=True, preferences=True))


def test_a_frozen_encoder_has_no_such_head() -> None:
    with pytest.raises(ConfigError, match=r"planner\.head: a classification head goes with layers that learn"):
        config_from_tree({"planner": {"head": "classification"}})


def test_what_was_read_and_inferred_in_the_turn_before_is_in_the_text() -> None:
    facts = tuple(
        Fact(item="1", relation=relation, value=value)
        for relation, value in (("genre", "crime"), ("plot", "A thief."), ("star", "Al Pacino"), ("genre", "crime"))
    )
    turn = Turn(strategy=None, preferences="Wants: crime", response="Heat?", reply="Yes.", facts=facts)
    before = msgspec.structs.replace(turn, facts=(Fact(item="2", relation="genre", value="western"),))
    state = State(episode="e", seed=1, max_turns=10, opening="Hi", turns=(before, turn))
    assert state_text(state, preferences=True, facts=True).text == (
        "turn 3 of 10 | seeker: Yes. | wishes: Wants: crime | recommender: Heat? | seeker: Yes. | recommender: Heat? | "
        "seeker: Hi | facts: crime, Al Pacino"
    )
    assert "facts" not in state_text(state, preferences=True).text
    assert "facts" not in state_text(msgspec.structs.replace(state, turns=()), facts=True).text


def learner_of(policy: TrainablePolicy, batch: int = 4, **settings: object) -> Learner:
    wishes = {"averaged": "dialogues", "advantage": "none", "horizon": "literal", "passes": 1, "beta": 0.5}
    return Learner(
        policy,
        reference=policy.snapshot(),
        batch_episodes=batch,
        total_episodes=5 * batch,
        max_turns=MAX_TURNS,
        learning_rate=0.05,
        **learning(**(wishes | settings)),
    )


def test_eq_7_sums_the_turns_of_a_dialogue_and_averages_its_entropy_and_both_over_dialogues() -> None:
    """The gradient of the update is that of the formula, written down here once more."""
    policy = TabularPolicy(THREE, max_turns=MAX_TURNS)
    with torch.no_grad():
        policy.table.add_(torch.randn(policy.table.shape, generator=torch.Generator().manual_seed(2)).double())
    acting = policy.snapshot()
    # Different lengths, a failed one, and one whose reward is missing at the first turn.
    made = [
        play(acting, THREE, 0),
        play(acting, THREE, 1),
        play(acting, THREE, 2, error=True),
        play(acting, THREE, 3, missing=[1]),
    ]
    batch: list[Episode] = [build(events) for events in made]
    assert [len(episode.transitions) for episode in batch] == [4, 3, 2, 3]
    table = policy.table.detach().clone().requires_grad_()
    gain = torch.zeros((), dtype=torch.float64)
    for episode in batch:
        if episode.failed:
            continue
        paid = discounted(episode.rewards, 0.99)
        states = episode.states()
        rows = [
            (turn, torch.log_softmax(table[policy.prepare(states[turn])], 0))
            for turn, value in enumerate(paid)
            if value is not None
        ]
        for turn, row in rows:
            decision = episode.transitions[turn].decision
            assert decision is not None
            gain = gain + float(paid[turn] or 0.0) * row[decision.index] / len(batch)
            gain = gain + 0.5 * entropy(row[None])[0] / len(rows) / len(batch)
    (expected,) = torch.autograd.grad(-gain, table)
    found: list[torch.Tensor] = []
    learner = learner_of(policy)
    step = learner.optimizer.step

    def watched(loss: torch.Tensor, *, rate: float = 1.0) -> float | None:
        found.append(torch.autograd.grad(loss, policy.table, retain_graph=True)[0])
        return step(loss, rate=rate)

    learner.optimizer.step = watched  # type: ignore[method-assign]
    learner.update(batch)
    torch.testing.assert_close(found[0], expected)


def test_the_rate_falls_in_a_line_to_the_last_update() -> None:
    learner = learner_of(TabularPolicy(THREE, max_turns=MAX_TURNS), decay="linear")
    rates: list[float] = []
    step = learner.optimizer.step

    def watched(loss: torch.Tensor, *, rate: float = 1.0) -> float | None:
        rates.append(rate)
        return step(loss, rate=rate)

    learner.optimizer.step = watched  # type: ignore[method-assign]
    for update in range(5):
        acting = learner.policy.snapshot()
        learner.update(episodes(acting, THREE, range(4 * update, 4 * update + 4), version=update))
    assert rates == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])


def test_a_warm_up_below_the_majority_is_a_caution() -> None:
    def said(planner: float) -> str:
        return " ".join(cautions_of({}, Config(), labels=LabelNll(planner=planner, majority=2.392, turns=120)))

    assert "did not beat the majority class: label NLL 2.561 against 2.392 on 120 held-out turns" in said(2.561)
    assert "did not beat" in said(2.392)
    assert said(2.39) == ""
