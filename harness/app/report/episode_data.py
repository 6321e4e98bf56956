"""Finished episodes -> what the page's episode reader works on: one small index, and dialogues in compressed chunks.

The index (a row an episode, enough to list, sort and filter) and the shared tables (strategies, personas, items, facts)
are read at once; a chunk of dialogues is inflated by the browser when one of them is opened or searched. All of it is
JSON, gzip, base64, so nothing in it can be read as markup. The keys are explained where `report.js` reads them.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from harness.app.drawing.palette import strategy_colours
from harness.app.evaluation.metrics import first_return
from harness.app.report.health import flaws
from harness.app.report.record import RunRecord, by_phase, title_of, visible
from harness.app.settings.config import Config
from harness.core.log.episode import Episode
from harness.core.messages import Item, Score, Struct, Transition, Usage
from harness.domain.strategies import Strategy

CHUNK = 24
"""Episodes a chunk: about 40 kB compressed, some milliseconds to open."""
RANKED = 5
"""Items of a turn's ranking that the page shows."""


class EpisodeData(Struct, frozen=True, kw_only=True):
    """Base64 texts for the page."""

    head: str
    """Index and tables."""
    chunks: tuple[str, ...]


class _Table:
    """Values in order of their first use; a value is referred to by its place."""

    def __init__(self) -> None:
        self._places: dict[Any, int] = {}

    def place(self, value: Any) -> int:
        return self._places.setdefault(value, len(self._places))

    def __iter__(self) -> Iterator[Any]:
        return iter(self._places)


class EpisodeGroup(Struct, frozen=True, kw_only=True):
    """Episodes that are listed under one name: a phase of a run, or a cell of a comparison."""

    key: str
    title: str
    episodes: Sequence[Episode]
    config: Config
    strategies: tuple[Strategy, ...]
    items: dict[str, Item]
    prefix: str = ""
    """Put before the ids of the episodes, where several groups use the same ones."""
    world: str = ""
    """Scenarios are the same only where this is the same too (dataset and seed)."""


def groups_of(record: RunRecord) -> list[EpisodeGroup]:
    """The phases of a run."""
    return [
        EpisodeGroup(
            key=phase,
            title=title,
            episodes=found,
            config=record.config,
            strategies=record.strategies,
            items=record.items,
        )
        for phase, title, found in by_phase(record)
    ]


def episode_data(groups: Sequence[EpisodeGroup]) -> EpisodeData:
    """All episodes of the groups for the page; strategies, colours and tau are those of the first group."""
    facts, items, personas = _Table(), _Table(), {}
    titles: dict[str, str] = {}
    index: list[list[Any]] = []
    chunks: list[str] = []
    for group in groups:
        for start in range(0, len(group.episodes), CHUNK):
            part = list(group.episodes[start : start + CHUNK])
            for place, episode in enumerate(part):
                persona = episode.started.scenario.persona
                personas[persona.id] = {"name": persona.name, "text": persona.text, "traits": persona.traits}
                index.append([*_row(group, episode), len(chunks), place])
            chunks.append(_packed([_dialogue(episode, facts, items) for episode in part]))
        titles |= {item: title_of(item, group.items) for item in group.items}
    strategies = groups[0].strategies if groups else ()
    colours = strategy_colours(strategies)
    fact_rows = [[items.place(fact.item), fact.relation, fact.value] for fact in facts]
    head = {
        "index": index,
        "phases": [[group.key, group.title] for group in groups],
        "strategies": [[s.key, s.name, s.group, s.description, colours[s.key]] for s in strategies],
        "personas": personas,
        "facts": fact_rows,
        "items": [titles.get(item, item) for item in items],
    }
    return EpisodeData(head=_packed(head), chunks=tuple(chunks))


def _row(group: EpisodeGroup, episode: Episode) -> list[Any]:
    """The first twelve of a row's columns, as `report.js` names them."""
    started, ended = episode.started, episode.ended
    keys = [strategy.key for strategy in group.strategies]
    used = {t.decision.strategy for t in episode.transitions if t.decision is not None}
    evaluation = ended.evaluation if ended is not None else None
    return [
        group.prefix + episode.id,
        group.key,
        group.world + started.scenario.id,
        started.scenario.persona.id,
        ended.stop if ended is not None else "error",
        len(episode.transitions),
        None if episode.failed else _rounded(first_return(episode, group.config.rl.gamma, "literal")),
        _rounded(episode.rewards[-1]) if episode.rewards else None,
        _rounded(evaluation.reward) if evaluation is not None else None,
        [keys.index(key) for key in sorted(used & set(keys), key=keys.index)],
        started.policy_version,
        flaws(episode, group.items),
    ]


def _dialogue(episode: Episode, facts: _Table, items: _Table) -> dict[str, Any]:
    goal, ended, opening = episode.started.scenario.goal, episode.ended, episode.opening
    return {
        "max": episode.started.max_turns,
        "goal": [[a.kind, a.value] for a in goal.attributes],
        "target": items.place(goal.target),
        "matches": len(goal.matches),
        "fits": [items.place(item) for item in goal.matches[:60]],
        "opening": opening.text if opening is not None else "",
        "feelings": opening.feelings if opening is not None else "",
        "turns": [_turn(transition, facts, items) for transition in episode.transitions],
        "stop": ended.stop if ended is not None else "error",
        "evaluation": _score(ended.evaluation) if ended is not None and ended.evaluation is not None else None,
        "failure": [ended.failure.kind, ended.failure.message, ended.failure.turn]
        if ended is not None and ended.failure is not None
        else None,
    }


def _turn(transition: Transition, facts: _Table, items: _Table) -> dict[str, Any]:
    decision, reply = transition.decision, transition.reply
    return {
        "n": transition.turn,
        "h": decision.strategy if decision is not None else None,
        "p": [round(p, 4) for p in decision.probabilities] if decision is not None else [],
        "c": transition.preferences,
        "f": [facts.place(fact) for fact in transition.facts],
        "k": [items.place(item) for item in transition.ranking[:RANKED]],
        "a": transition.response,
        "i": [items.place(item) for item in transition.recommended],
        "u": reply.text,
        "e": reply.feelings,
        "x": "accepts" if reply.accepted else "leaves" if reply.quit else "",
        "r": _score(transition.score),
        "s": transition.stop,
        "t": {role: _rounded(seconds) for role, seconds in transition.timing.items()},
        "w": {role: _usage(usage) for role, usage in transition.usage.items()},
    }


def _score(score: Score) -> dict[str, Any]:
    return {
        "raw": list(score.raw),
        "bad": score.invalid,
        "reward": _rounded(score.reward),
        "mass": _rounded(score.label_mass),
        "dist": [_rounded(p) for p in score.distribution],
    }


def _usage(usage: Usage) -> list[int]:
    return [usage.calls, usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _packed(tree: object) -> str:
    # No file name and no date in the gzip header: the same run gives the same page.
    content = msgspec.json.encode(_shown(tree))
    return base64.b64encode(gzip.compress(content, compresslevel=6, mtime=0)).decode("ascii")


def _shown(value: object) -> object:
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {visible(str(key)): _shown(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_shown(entry) for entry in value]
    return value
