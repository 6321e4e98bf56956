"""A run's headline measures on hand-made episodes, and their estimates."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.episodes import UNIFORM, events_of

from harness.app.evaluation import metrics
from harness.app.evaluation.scales import LIKERT, RATE
from harness.app.evaluation.statistics import estimate, paired_difference
from harness.app.evaluation.summary import differences, summarize_phase, tokens_by_role
from harness.core.log.episode import Episode, build
from harness.core.messages import EpisodeEnded, Item, Score, SeekerReply, Transition, Usage
from harness.domain.knowledge_graph import KnowledgeGraph

GRAPH = KnowledgeGraph.from_items(
    [Item(id="1", title="Heat", year=1995), Item(id="2", title="Ronin", year=1998), Item(id="3", title="Up", year=2009)]
)


def episode(*rewards: float | None, **more: object) -> Episode:
    """The goal's matches are items 1 (the target) and 2; every turn ranks 2, 3, 1."""
    return build(events_of("e", 0, rewards=rewards, **more))  # type: ignore[arg-type]


def edited(which: Episode, turn: int, **fields: object) -> Episode:
    transitions = list(which.transitions)
    transitions[turn] = msgspec.structs.replace(transitions[turn], **fields)
    return msgspec.structs.replace(which, transitions=tuple(transitions))


def evaluated(which: Episode, reward: float | None) -> Episode:
    assert which.ended is not None
    ended = msgspec.structs.replace(which.ended, evaluation=Score(reward=reward))
    return msgspec.structs.replace(which, ended=ended)


def test_conversation_success_is_the_evaluators_word_and_strictly_above_tau() -> None:
    lost = episode(0.9, stop="judge")
    assert metrics.conversation_success(lost, 0.75) is None
    assert metrics.conversation_success(evaluated(lost, None), 0.75) is None
    assert metrics.conversation_success(evaluated(lost, 0.75), 0.75) == 0.0
    assert metrics.conversation_success(evaluated(lost, 0.751), 0.75) == 1.0
    assert metrics.judge_success(lost) == 1.0
    assert metrics.judge_success(episode(0.9, stop="user")) == 0.0
    assert metrics.judge_success(episode(None, 0.9, stop="judge")) == 1.0
    assert metrics.judge_success(episode(None, None, stop="judge")) is None


def test_acceptance_in_any_turn() -> None:
    assert metrics.acceptance(episode(0.1, 0.1)) == 0.0
    assert metrics.acceptance(edited(episode(0.1, 0.1), 0, reply=SeekerReply(text="yes", accepted=True))) == 1.0


def test_recommendation_success_is_an_item_named_in_the_text() -> None:
    assert metrics.recommendation_success(episode(0.1), GRAPH) == 0.0  # recommended by id, never named
    assert metrics.recommendation_success(edited(episode(0.1), 0, response="Try Ronin (1998)."), GRAPH) == 1.0
    assert metrics.recommendation_success(edited(episode(0.1), 0, response="Try Up (2009)."), GRAPH) == 0.0


def test_the_last_message_counts_and_any_message_and_the_strict_target_stand_beside() -> None:
    early = edited(episode(0.1, 0.1), 0, response="Try Ronin (1998).")
    late = edited(episode(0.1, 0.1), 1, response="Try Heat (1995).")
    measures = (metrics.recommendation_success, metrics.recommendation_success_any, metrics.target_success)
    assert [measure(early, GRAPH) for measure in measures] == [0.0, 1.0, 0.0]
    assert [measure(late, GRAPH) for measure in measures] == [1.0, 1.0, 1.0]
    silent = msgspec.structs.replace(episode(0.1), transitions=())
    assert [measure(silent, GRAPH) for measure in measures] == [None, None, None]
    late = edited(late, 1, response="Not Up (2009), but Heat (1995).")
    assert (metrics.named_recall(late, GRAPH, 1), metrics.named_recall(late, GRAPH, 5)) == (0.0, 1.0)
    assert (metrics.named_recall(early, GRAPH, 5), metrics.named_recall(silent, GRAPH, 5)) == (0.0, None)
    gone = edited(edited(episode(0.1, 0.1), 0, ranking=("2",)), 1, ranking=("3",))
    assert (metrics.recall(gone, 1), metrics.recall_any(gone, 1), metrics.recall_any(gone, 5)) == (0.0, 1.0, 1.0)


def test_recall_reads_the_last_turn() -> None:
    one = episode(0.1, 0.1)
    assert (metrics.recall(one, 1), metrics.target_recall(one, 1), metrics.target_recall(one, 5)) == (1.0, 0.0, 1.0)
    assert metrics.recall(edited(one, 1, ranking=("3",)), 5) == 0.0
    assert metrics.recall(edited(one, 1, ranking=()), 5) == 0.0  # a system that ranks, but found nothing at the end
    assert metrics.recall(edited(edited(one, 0, ranking=()), 1, ranking=()), 5) is None  # one that never ranks


def test_return_exists_only_where_every_reward_does() -> None:
    assert metrics.first_return(episode(0.5, 0.4), 0.5, "literal") == pytest.approx(0.7)
    assert metrics.first_return(episode(None, 0.4), 0.5, "literal") is None
    assert metrics.first_return(episode(0.5, None), 0.5, "literal") is None
    assert metrics.first_return(episode(0.5, stop="judge"), 1.0, "absorbing") == pytest.approx(0.5 * 10)


def test_entropy_of_the_uniform_planner() -> None:
    assert metrics.strategy_entropy(episode(0.1, 0.2)) == pytest.approx(2.5649, abs=1e-4)
    assert metrics.strategy_entropy(edited(episode(0.1), 0, decision=None)) is None
    assert len(UNIFORM) == 13


def test_failed_episodes_are_counted_and_measured_nowhere() -> None:
    good, bad = episode(0.5), episode(0.5, stop="error")
    phase = summarize_phase(
        "rl", 3, [good, bad], metrics.headline(graph=GRAPH, threshold=0.75, gamma=0.99, horizon="absorbing")
    )
    assert (phase.episodes, phase.errors) == (2, 1)
    assert phase.metrics["turns"].n == 1
    assert phase.metrics["conv_sr"] == estimate([None], RATE)


def test_tokens_are_summed_over_all_events() -> None:
    one = episode(0.1, 0.2)
    assert isinstance(one.transitions[0], Transition)
    assert tokens_by_role([one, one])["actor"] == Usage(
        calls=4, prompt_tokens=40, completion_tokens=20, cached_tokens=6
    )
    assert one.ended is not None
    ended: EpisodeEnded = msgspec.structs.replace(one.ended, usage={"evaluator": Usage(calls=1)})
    assert tokens_by_role([msgspec.structs.replace(one, ended=ended)])["evaluator"].calls == 1


def test_rates_get_wilsons_interval() -> None:
    found = estimate([1.0] * 5 + [0.0] * 5, RATE)
    assert (found.mean, found.n) == (0.5, 10)
    assert (found.low, found.high) == (pytest.approx(0.2366, abs=1e-4), pytest.approx(0.7634, abs=1e-4))
    none_of_ten = estimate([0.0] * 10, RATE)
    assert none_of_ten.low == pytest.approx(0.0, abs=1e-9)
    assert none_of_ten.high == pytest.approx(0.2775, abs=1e-4)


def test_means_get_students_interval() -> None:
    found = estimate([1.0, 2.0, 3.0])
    assert (found.low, found.high) == (pytest.approx(2 - 2.4841, abs=1e-3), pytest.approx(2 + 2.4841, abs=1e-3))
    assert (estimate([1.0] * 9).low, estimate([1.0] * 9).why) == (None, "all alike")  # a mean of ones is no rate
    assert estimate([4.5, 5.0, 5.0], LIKERT).why == "too few"  # 5.55 would leave the scale of 1 to 5
    assert estimate([4.5, 5.0, 5.0]).why == ""
    assert (estimate([2.0]).mean, estimate([2.0]).low) == (2.0, None)


@given(st.lists(st.none() | st.floats(-1e3, 1e3), max_size=20))
def test_missing_values_change_nothing(values: list[float | None]) -> None:
    known = [value for value in values if value is not None]
    assert estimate(values) == estimate(known)
    assert estimate(values).n == len(known)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=20), st.floats(-5, 5))
def test_a_paired_difference_is_that_of_the_pairs(values: list[float], shift: float) -> None:
    before = {str(n): value for n, value in enumerate(values)}
    after = {key: value + shift for key, value in before.items()}
    found = paired_difference(after | {"unpaired": 7.0}, before | {"other": None})
    assert found.n == len(values)
    assert found.mean == pytest.approx(shift, abs=1e-9)
    assert found.why == "all alike" or found.low == pytest.approx(shift, abs=1e-6)


def test_a_paired_difference_of_rates_is_newcombes() -> None:
    """36 pairs with both, 12 with the first alone, 2 with the second alone: method 10 of Newcombe (1998)."""
    pairs = [(1, 1)] * 36 + [(1, 0)] * 12 + [(0, 1)] * 2 + [(0, 0)] * 0
    after = {str(n): float(one) for n, (one, _) in enumerate(pairs)}
    before = {str(n): float(other) for n, (_, other) in enumerate(pairs)}
    found = paired_difference(after, before, RATE)
    assert found.mean == pytest.approx(0.2)
    assert (found.low, found.high) == (pytest.approx(0.0569, abs=1e-4), pytest.approx(0.3404, abs=1e-4))


@pytest.mark.parametrize("agree", [0.0, 0.6])
def test_a_paired_difference_of_rates_covers_and_stays_on_its_scale(agree: float) -> None:
    random = np.random.default_rng(3)
    covered = 0
    for _ in range(400):
        ours = random.random(30) < 0.2
        same = random.random(30) < agree
        theirs = np.where(same, ours, random.random(30) < 0.2)
        names = [str(n) for n in range(30)]
        found = paired_difference(
            dict(zip(names, ours.astype(float), strict=True)), dict(zip(names, theirs.astype(float), strict=True)), RATE
        )
        assert found.low is not None
        assert found.high is not None
        assert -1.0 <= found.low <= found.high <= 1.0
        covered += found.low <= 0.0 <= found.high
    assert covered / 400 > 0.93


def test_differences_pair_by_scenario() -> None:
    measures = {"turns": metrics.turns}
    a, b = build(events_of("a", 0, turns=5)), build(events_of("b", 1, turns=2))
    assert differences([b, a], [a, b], measures)["turns"].mean == 0.0


def judged(which: Episode, turn: int, **fields: object) -> Episode:
    score = which.transitions[turn].score
    return edited(which, turn, score=msgspec.structs.replace(score, **fields))


def test_the_headline_of_one_episode_by_hand() -> None:
    one = evaluated(episode(0.25, 0.5, stop="user"), 0.8)
    one = judged(judged(one, 0, label_mass=0.9), 1, label_mass=0.4)
    for turn, mass in enumerate((0.7, 0.2)):
        decision = one.transitions[turn].decision
        assert decision is not None
        one = edited(one, turn, decision=msgspec.structs.replace(decision, label_mass=mass))
    one = edited(one, 0, reply=SeekerReply(text="yes", accepted=True), response="Try Ronin (1998).")
    one = edited(one, 0, ranking=("1", "2"))
    one = edited(one, 1, ranking=("3", "x", "2", "y", "1", "z"))
    measures = metrics.headline(graph=GRAPH, threshold=0.75, gamma=0.5, horizon="terminal")
    assert {name: measure(one) for name, measure in measures.items()} == {
        "mean_return": pytest.approx(0.5),
        "mean_objective": pytest.approx(0.25),
        "conv_sr": 1.0,
        "judge_sr": 0.0,
        "acceptance": 1.0,
        "turns": 2.0,
        "rec_sr_last": 0.0,
        "rec_sr": 1.0,
        "target_rec_sr": 0.0,
        "recall_1": 0.0,
        "recall_5": 1.0,
        "named_recall_1": 0.0,
        "named_recall_5": 0.0,
        "recall_any_1": 1.0,
        "recall_any_5": 1.0,
        "target_recall_1": 0.0,
        "target_recall_5": 1.0,
        "strategy_entropy": pytest.approx(2.5649, abs=1e-4),
        "judge_final": 0.5,
        "evaluator_final": 0.8,
        "judge_gap": pytest.approx(-0.3),
        "label_mass": pytest.approx(0.65),
        "planner_label_mass": pytest.approx(0.45),
    }


@pytest.mark.parametrize(
    ("ranking", "expected"),
    [
        (("1", "x", "x", "x", "x", "x"), (1.0, 1.0, 1.0, 1.0)),
        (("x", "1", "x", "x", "x", "x"), (0.0, 1.0, 0.0, 1.0)),
        (("x", "x", "x", "x", "1", "x"), (0.0, 1.0, 0.0, 1.0)),
        (("x", "x", "x", "x", "x", "1"), (0.0, 0.0, 0.0, 0.0)),
        (("2", "x", "x", "x", "x", "1"), (1.0, 1.0, 0.0, 0.0)),
    ],
)
def test_the_first_and_the_first_five_count(ranking: tuple[str, ...], expected: tuple[float, ...]) -> None:
    measures = metrics.headline(graph=GRAPH, threshold=0.75, gamma=0.99, horizon="absorbing")
    one = edited(episode(0.1), 0, ranking=ranking)
    names = ("recall_1", "recall_5", "target_recall_1", "target_recall_5")
    assert tuple(measures[name](one) for name in names) == expected


def test_what_is_not_there_is_missing() -> None:
    silent = msgspec.structs.replace(episode(0.1), transitions=())
    for measure in (
        lambda e: metrics.first_return(e, 0.9, "literal"),
        lambda e: metrics.target_recall(e, 1),
        lambda e: metrics.recall(e, 1),
        metrics.label_mass,
        metrics.planner_label_mass,
        metrics.judge_final,
        metrics.judge_gap,
        metrics.evaluator_final,
        metrics.strategy_entropy,
    ):
        assert measure(silent) is None
    open_end = msgspec.structs.replace(episode(0.1), ended=None)
    assert metrics.first_return(open_end, 0.9, "literal") is None
    assert metrics.evaluator_final(open_end) is None
    assert metrics.target_recall(edited(edited(episode(0.1, 0.1), 0, ranking=()), 1, ranking=()), 5) is None
    assert metrics.target_recall(edited(episode(0.1, 0.1), 0, ranking=()), 5) == 1.0
    assert metrics.judge_gap(evaluated(episode(None), 0.5)) is None
    assert metrics.judge_gap(evaluated(episode(0.5), None)) is None
    assert metrics.label_mass(episode(0.1, 0.2)) is None


def test_only_episodes_that_ended_without_failure_are_measured() -> None:
    good, bad = build(events_of("a", 0, turns=1)), build(events_of("b", 1, turns=1, stop="error"))
    cut = msgspec.structs.replace(build(events_of("c", 2, turns=1)), ended=None)
    assert metrics.by_scenario([good, bad, cut], metrics.turns) == {"a": 1.0}
