"""The schedules that a study's straw men take: the best single strategy, and the best strategy of each turn.

Looked for in the scripted world's workbench (`simulator.scripted.trial`: the same roles, a stand-in for the retriever)
by the absorbed return, on the training goals, which no cell is measured on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from harness.app.setup.inputs import Inputs
from simulator.scripted import rules
from simulator.scripted.hearing import Ear
from simulator.scripted.trial import Trial, best_schedule, summary

STRATEGY_CONVERSATIONS = 150
SCHEDULE_CONVERSATIONS = 60
"""Per candidate; a schedule has 13 candidates a turn and two sweeps over the turns."""


def search(
    inputs: Inputs, wanted: Collection[str], max_turns: int, say: Callable[[str], None]
) -> dict[str, tuple[str, ...]]:
    """``strategy`` and ``schedule``, those that are wanted; blocks for up to some minutes."""
    if not wanted:
        return {}
    goals = list({scenario.goal.id: scenario.goal for scenario in inputs.training}.values())
    trial = Trial(Ear(inputs.graph), goals, max_turns=max_turns)
    found: dict[str, tuple[str, ...]] = {}
    if "strategy" in wanted:
        say("searching the best single strategy")

        def value(key: str) -> float:
            played = trial.many(rules.open_loop([key]), STRATEGY_CONVERSATIONS, seed=1)
            return summary(played, max_turns).first_return

        found["strategy"] = (max((strategy.key for strategy in inputs.strategies), key=value),)
    if "schedule" in wanted:
        say("searching the best open-loop schedule")
        found["schedule"] = best_schedule(trial, count=SCHEDULE_CONVERSATIONS, max_turns=max_turns)
    for name, schedule in found.items():
        say(f"best {name}: {', '.join(schedule)}")
    return found
