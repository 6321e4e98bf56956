"""Which role answers a prompt: from chat messages to replies. No HTTP, no clock; `trial` and `server` both use it."""

from __future__ import annotations

from collections.abc import Sequence

from harness.core.messages import Message, Struct
from harness.core.sections import parse
from harness.domain.knowledge_graph import KnowledgeGraph
from simulator.scripted import actor, baseline_roles, examiner, judge, planner, reasoner, user
from simulator.scripted.dice import Dice
from simulator.scripted.hearing import Ear
from simulator.scripted.traits import shows_a_trait

_WRITERS = {
    "preference_reasoner": reasoner.answer,
    "actor": actor.answer,
    "seeker": user.answer,
    planner.ROLE: planner.answer,
    **baseline_roles.WRITERS,
}
_JUDGES = {
    **dict.fromkeys(("evaluator", "reward"), judge.distribution),
    **dict.fromkeys(examiner.ROLES, examiner.distribution),
}
ROLES = (*_WRITERS, *_JUDGES)


class NotOfThisWorld(ValueError):
    """A prompt names a role, a strategy or a persona that this world has no rule for.

    To treat such a name as the nearest known one would silently give the same numbers for every setting.
    """


class Prompt(Struct, frozen=True, kw_only=True):
    """A prompt taken apart: the role's key and the user message's sections."""

    role: str
    sections: dict[str, str]
    text: str
    """All of it; the seed of luck where the request brings none."""


def read(messages: Sequence[Message]) -> Prompt:
    """Find the role and the sections; `NotOfThisWorld` where the world has no rule for what they name."""
    sections: dict[str, str] = {}
    for message in messages:
        for name, body in parse(message.content).items():
            sections.setdefault(name, body)
    role = sections.get("ROLE", "").partition("\n")[0].strip()
    if role not in ROLES:
        raise NotOfThisWorld(f"the prompt's ROLE section names {role!r}, not one of {', '.join(ROLES)}")
    named = actor.strategy_named(sections.get("STRATEGY", ""))
    if role == "actor" and named and named not in actor.STRATEGIES_PLAYED:
        raise NotOfThisWorld(f"the scripted world does not know the strategy {named!r}: it plays those of Table I only")
    if (person := sections.get("PERSONA", "")) and not shows_a_trait(person):
        raise NotOfThisWorld(
            f"the scripted world reads no trait (taste, articulacy, trust, patience) in the persona {person[:60]!r}: "
            "docs/world.md says which words it reads"
        )
    return Prompt(role=role, sections=sections, text="\n".join(message.content for message in messages))


class World:
    """All roles over one knowledge graph. Holds caches of pure functions, no conversation."""

    def __init__(self, graph: KnowledgeGraph) -> None:
        self.ear = Ear(graph)

    def replies(self, prompt: Prompt, *, n: int, seed: int | None, temperature: float) -> list[str]:
        """n texts; sample i uses seed + i, as vLLM does."""
        throws = self._dice(prompt, n, seed, temperature)
        if chosen := self.label_probabilities(prompt):
            return [judge.sample(tuple(chosen.values()), temperature, dice, tuple(chosen)) for dice in throws]
        writer = _WRITERS[prompt.role]
        return [writer(prompt.sections, dice, self.ear) for dice in throws]

    def label_probabilities(self, prompt: Prompt) -> dict[str, float]:
        """Label -> probability for the first token of a reply that is a choice; empty for the roles that write."""
        if prompt.role == planner.ROLE:
            return planner.distribution(prompt.sections, self.ear)
        if prompt.role not in _JUDGES:
            return {}
        return dict(zip(judge.LABELS, _JUDGES[prompt.role](prompt.role, prompt.sections, self.ear), strict=True))

    @staticmethod
    def _dice(prompt: Prompt, n: int, seed: int | None, temperature: float) -> list[Dice]:
        if temperature <= 0.0:
            return [Dice(prompt.text)] * n
        if seed is None:
            return [Dice(f"{index}{prompt.text}") for index in range(n)]
        return [Dice(seed + index) for index in range(n)]
