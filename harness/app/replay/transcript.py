"""`replay --transcript EPISODE`: one episode to read, turn by turn.

Every text is shown as it is, never as markup, on one line, without control characters: an escape sequence in a model's
words cannot move the reader's terminal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console
from rich.text import Text

from harness.app.replay.recorded_run import RecordedRun
from harness.core.log.episode import Episode
from harness.core.messages import Decision, Fact, Persuasion, Score, Transition
from harness.core.sections import one_line

SHOWN_STRATEGIES = 4
"""Strategies listed with their probabilities: the chosen one and the likeliest."""


def transcript(run: RecordedRun, name: str, console: Console) -> None:
    """Print one episode."""
    titles = {item_id: item.name for item_id, item in run.inputs.graph.by_id.items()}
    strategies = tuple(strategy.key for strategy in run.inputs.strategies)
    for line in lines(run.episode(name), titles, strategies):
        console.print(line, soft_wrap=True)


def lines(episode: Episode, titles: Mapping[str, str], strategies: tuple[str, ...]) -> Iterator[Text]:
    """The episode as lines; ``titles`` by item id, ``strategies`` in the order of the probabilities."""
    started = episode.started
    goal = started.scenario.goal
    wishes = ", ".join(f"{attribute.kind}: {attribute.value}" for attribute in goal.attributes)
    target = titles.get(goal.target, goal.target)
    yield Text(f"{clean(episode.id)}, policy version {started.policy_version}", style="bold")
    yield _field("persona", f"{started.scenario.persona.name} ({_pairs(started.scenario.persona.traits)})")
    yield _field("goal", f"{wishes}; hidden target: {target}; {len(goal.matches)} films fit")
    if episode.opening is not None:
        if episode.opening.feelings:
            yield _field("feelings", episode.opening.feelings)
        yield _field("seeker", episode.opening.text, style="green")
    for transition in episode.transitions:
        yield Text("")
        yield from _turn(transition, started.max_turns, titles, strategies)
    ended = episode.ended
    if ended is not None:
        yield Text("")
        yield Text(clean(f"ended after {ended.turns} turns: {ended.stop}"), style="bold")
        if ended.failure is not None:
            yield _field("failure", f"turn {ended.failure.turn}, {ended.failure.kind}: {ended.failure.message}")
        if ended.evaluation is not None:
            yield _field("evaluator", _score(ended.evaluation))


def _turn(
    transition: Transition, max_turns: int, titles: Mapping[str, str], strategies: tuple[str, ...]
) -> Iterator[Text]:
    yield Text(f"turn {transition.turn} of {max_turns}", style="bold")
    if transition.decision is not None:
        yield _field("strategy", _decision(transition.decision, strategies))
    if transition.persuasion is not None:
        yield _field("persuasion", _persuasion(transition.persuasion))
    if transition.preferences:
        yield _field("preferences", " | ".join(transition.preferences.split("\n")))
    for number, line in enumerate(_facts(transition.facts, titles)):
        yield _field("" if number else "facts", line)
    yield _field("recommender", transition.response, style="cyan")
    if transition.recommended:
        yield _field("recommends", ", ".join(titles.get(item, item) for item in transition.recommended))
    if transition.reply.feelings:
        yield _field("feelings", transition.reply.feelings)
    left = " [accepts]" if transition.reply.accepted else " [leaves]" if transition.reply.quit else ""
    yield _field("seeker", transition.reply.text + left, style="green")
    yield _field("reward", _score(transition.score) + (f"; stops: {transition.stop}" if transition.stop else ""))
    spent = [
        f"{role} {transition.timing.get(role, 0.0):.2f} s, {usage.prompt_tokens}+{usage.completion_tokens} tokens"
        for role, usage in sorted(transition.usage.items())
    ]
    if spent:
        yield _field("timing", "; ".join(spent))


def _decision(decision: Decision, strategies: tuple[str, ...]) -> str:
    by_chance = sorted(range(len(decision.probabilities)), key=lambda index: -decision.probabilities[index])
    listed = [decision.index, *(index for index in by_chance if index != decision.index)][:SHOWN_STRATEGIES]
    names = strategies if len(strategies) == len(decision.probabilities) else ()
    shown = ", ".join(f"{names[index] if names else index} {decision.probabilities[index]:.2f}" for index in listed[1:])
    chance = decision.probabilities[decision.index]
    return f"{decision.strategy} (p {chance:.2f}; then {shown}; version {decision.policy_version})"


def _persuasion(own: Persuasion) -> str:
    if own.move != "explain":
        return own.move
    named = f" of {', '.join(own.named)}" if own.named != own.used else ""
    opened = ", ".join(own.opened) or "nothing"
    return f"explain by {' and '.join(own.used)}{named}; opened: {opened}; rewritten {own.rewrites} times"


def _facts(facts: Sequence[Fact], titles: Mapping[str, str]) -> list[str]:
    """One line an item."""
    by_item: dict[str, dict[str, list[str]]] = {}
    for fact in facts:
        by_item.setdefault(fact.item, {}).setdefault(fact.relation, []).append(fact.value)
    return [
        f"{titles.get(item, item)}: "
        + "; ".join(f"{relation} {', '.join(values)}" for relation, values in relations.items())
        for item, relations in by_item.items()
    ]


def _score(score: Score) -> str:
    reward = "missing" if score.reward is None else f"{score.reward:.3f}"
    parts = [reward]
    if score.raw:
        parts.append("scores " + " ".join(str(value) for value in score.raw))
    if score.invalid:
        parts.append(f"{score.invalid} unreadable")
    if score.distribution:
        parts.append("p(1..5) " + " ".join(f"{p:.2f}" for p in score.distribution))
    if score.label_mass is not None:
        parts.append(f"label mass {score.label_mass:.2f}")
    return "; ".join(parts)


def _field(name: str, text: str, style: str = "") -> Text:
    return Text.assemble((f"{name:>12}  ", "dim"), (clean(text), style))


def _pairs(values: Mapping[str, str]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in values.items())


_BIDI = dict.fromkeys(map(ord, "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"))


def clean(text: str) -> str:
    """One line without control characters and without those that turn the direction of what follows."""
    return one_line(text.translate(_BIDI))
