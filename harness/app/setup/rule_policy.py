"""Planners by hand (`simulator.scripted.rules`) behind the `Policy` seam: yardsticks for what a planner could learn.

``reads`` sees what a learned planner sees; ``knows_persona`` is told the seeker's hidden traits, so it is an upper
bound, not a planner to compare with. Both know the scripted world's phrases only.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.core import seeds
from harness.core.errors import ExpertError
from harness.core.messages import Persona, State
from harness.core.seams import Immediate
from learner.policy import certainly
from simulator.scripted import rules

RULES = {"reads": rules.reading_rule, "knows_persona": rules.knowing_rule}


class RulePolicy(Immediate):
    """A deterministic policy; a rule that needs chance uses the turn's own random number.

    ``personas``: by the episode's seed (`harness.app.setup.inputs.episode_seed`); read by ``knows_persona`` alone.
    """

    def __init__(self, strategies: tuple[str, ...], rule: str, personas: Mapping[int, Persona]) -> None:
        self.strategies = strategies
        self._rule = RULES[rule]
        self._personas = personas
        self._by_key = {key: certainly(strategies, key) for key in strategies}

    def distribution(self, state: State) -> tuple[float, ...]:
        persona = self._personas.get(state.seed)
        if persona is None and self._rule is rules.knowing_rule:
            raise ExpertError(f"the planner that knows the persona was not told that of episode {state.episode}")
        view = rules.View(
            turn=state.turn,
            history=state.history,
            strategies=tuple(turn.strategy or "" for turn in state.turns),
            luck=seeds.uniform(state.seed, state.turn, "planner"),
            traits=persona.traits if persona else {},
        )
        return self._by_key[self._rule(view)]
