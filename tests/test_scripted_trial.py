"""The world as a whole is worth learning: orderings that must stay true (docs/world.md)."""

from pathlib import Path

import pytest

from harness.domain.knowledge_graph import KnowledgeGraph
from simulator.goals import draw_goals
from simulator.scripted import rules
from simulator.scripted.hearing import Ear
from simulator.scripted.trial import Trial, summary

FIXTURE = Path(__file__).parent.parent / "fixtures" / "films.json"
EAR = Ear(KnowledgeGraph.load(FIXTURE))
GOALS = draw_goals(EAR.graph, (), count=120, seed=5, beyond=True).goals
COUNT = 100


def row(policy, **ablation):
    return summary(Trial(EAR, GOALS, **ablation).many(policy, COUNT))


@pytest.fixture(scope="module")
def reads():
    return row(rules.reading_rule)


def test_chance_seldom_succeeds_and_no_strategy_alone_does():
    assert row(rules.uniform_choice).conv_sr < 0.2
    for strategy in ("credibility", "encouragement", "rephrase_preference"):
        assert row(rules.open_loop([strategy])).conv_sr < 0.1


def test_human_frequencies_leave_room_to_learn():
    human = row(rules.human_choice)
    assert 0.03 < human.conv_sr < 0.3
    assert 7.5 < human.turns < 9.8


def test_reading_beats_a_schedule_and_knowing_is_no_worse(reads):
    schedule = row(rules.open_loop(rules.SCHEDULE))
    knows = row(rules.knowing_rule)
    assert reads.conv_sr > schedule.conv_sr + 0.15
    assert reads.first_return > schedule.first_return + 0.5
    assert knows.first_return > reads.first_return
    assert knows.conv_sr > 0.75


def test_facts_carry_truthfulness_and_the_reasoner_carries_recall(reads):
    assert reads.truthful == 1.0
    no_facts = row(rules.reading_rule, facts=False)
    assert no_facts.truthful < 0.7
    assert no_facts.conv_sr < reads.conv_sr - 0.3
    no_reasoner = row(rules.reading_rule, reasoning=False)
    assert no_reasoner.recall_5 < reads.recall_5 - 0.3


def test_the_same_seed_plays_the_same_conversations():
    trial = Trial(EAR, GOALS)
    assert trial.many(rules.uniform_choice, 5, seed=3) == trial.many(rules.uniform_choice, 5, seed=3)
    assert trial.many(rules.uniform_choice, 5, seed=3) != trial.many(rules.uniform_choice, 5, seed=4)
