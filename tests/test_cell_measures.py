"""Values of one cell on dialogues counted by hand: costs, leaks, levels without a conversation, faults, groups."""

from __future__ import annotations

import msgspec
import pytest
from support.episodes import events_of
from support.fakes import FILMS

from harness.app.evaluation.answers import Reading
from harness.app.evaluation.measures import MEASURES
from harness.app.evaluation.persuasion import Intentions
from harness.app.evaluation.protocol import IEVALM_MEASURES
from harness.app.grid.comparison.measures import measure_cell
from harness.app.grid.comparison.plan import SystemCell
from harness.app.settings.config import Config
from harness.core.log.episode import build
from harness.core.messages import EpisodeStarted, Failure, Goal, Score, SeekerReply, Usage
from harness.domain.knowledge_graph import KnowledgeGraph

GRAPH = KnowledgeGraph.from_items(FILMS)
GOAL = Goal(id="g", attributes=(), target="heat", matches=("heat", "fargo"))
CELL = SystemCell(system="x", kind="rso", stage="rl", model="m", dataset="d", seed=0, config={}, planner="")


def episode(index, *, rewards=(0.5, 0.5), stop="turns", said="reply", failure=None, evaluation=0.8):
    events = events_of(f"e{index}", index, rewards=rewards, stop=stop, phase="eval")
    first = events[0]
    assert isinstance(first, EpisodeStarted)
    events[0] = msgspec.structs.replace(first, scenario=msgspec.structs.replace(first.scenario, goal=GOAL))
    events[2] = msgspec.structs.replace(events[2], reply=SeekerReply(text=said))
    score = None if evaluation is None else Score(reward=evaluation)
    events[-1] = msgspec.structs.replace(events[-1], failure=failure, evaluation=score)
    return build(events)


def reading(index, *, asked=4, unreadable=0, credibility=(4.0, None)):
    return Reading(
        episode=f"e{index}",
        intentions=Intentions(item="heat", pre=2.0, post=3.0, true=4.0),
        credibility=credibility,
        asked=asked,
        unreadable=unreadable,
        usage={"intention": Usage(calls=3, prompt_tokens=30)},
    )


def measured(*episodes, readings=(), popular=("alien", "heat", "fargo", "affair")):
    return measure_cell(CELL, Config(), GRAPH, popular, episodes, {one.episode: one for one in readings})


def only(found, name):
    (value,) = found.values[name].values()
    return value


def test_every_measure_has_its_place():
    found = measured(episode(0), readings=[reading(0)])
    assert found.values.keys() == MEASURES.keys() - {
        *("prs", "corpus_dist_2", "quit", "absorbing", "terminal"),
        *IEVALM_MEASURES,
    }
    assert only(found, "wi") == 3.0
    assert (only(found, "prs_gain"), only(found, "prs_room"), only(found, "prs_paper")) == (1.0, 2.0, 0.5)
    assert (only(found, "cred"), only(found, "cred_zero_filled"), only(found, "cred_coverage")) == (4.0, 2.0, 0.5)
    assert only(found, "conv_sr") == 1.0
    assert only(found, "dist_2") == 1.0


def test_tokens_are_the_dialogues_and_the_readings_are_in_the_cells_usage():
    found = measured(episode(0), readings=[reading(0)])
    assert (only(found, "tokens"), only(found, "recommender_tokens"), only(found, "calls")) == (30.0, 30.0, 2.0)
    assert found.usage["intention"].prompt_tokens == 30
    assert found.models == {"actor": "default", "intention": "default"}


def test_what_was_not_read_is_missing():
    found = measured(episode(0, evaluation=None))
    for name in ("wi", "prs_gain", "cred", "cred_zero_filled", "conv_sr"):
        assert only(found, name) is None
    assert found.faults.missing_evaluations == 1


def test_levels_need_no_conversation():
    found = measured(episode(0))
    assert only(found, "popular_recall_1") == 0.0
    assert only(found, "popular_recall_5") == 1.0
    assert only(found, "chance_recall_1") == pytest.approx(2 / 4)
    assert only(found, "chance_target_1") == pytest.approx(1 / 4)
    assert only(found, "popular_target_5") == 1.0


def test_a_failed_dialogue_is_counted_and_never_scored():
    broken = episode(1, stop="error", failure=Failure(kind="reply", message="no", turn=3))
    found = measured(episode(0), broken, readings=[reading(0), reading(1, unreadable=4)])
    assert len(found.scenarios) == 2
    assert all(len(values) == 1 for values in found.values.values())
    assert found.faults.failed == {"reply": 1}
    assert found.faults.unreadable == 0  # of dialogues that count
    assert found.persuasion.used == 1


def test_leaks_and_role_slips_are_shares_of_dialogues_and_messages():
    found = measured(episode(0, said="Is it Heat? I would recommend it."))
    assert only(found, "leaked") == 1.0
    assert only(found, "role_slips") == pytest.approx(1 / 3)  # opening and two replies


def test_missing_rewards_and_unreadable_answers_are_counted():
    found = measured(episode(0, rewards=(None, 0.5)), readings=[reading(0, asked=5, unreadable=2)])
    assert (found.faults.missing_rewards, found.faults.rewarded_turns) == (1, 2)
    assert (found.faults.unreadable, found.faults.asked) == (2, 5)
    assert only(found, "mean_return") is None


def test_groups_name_persona_traits_and_goal():
    found = measured(episode(0))
    assert found.groups["e0"] == {"persona": "p", "taste": "facts", "goal_attributes": "0", "goal_kind": "genre"}
