"""`show-prompts`: what every role reads in one state, of a played episode or of an experiment's own data.

The prompts are made by the functions that a run uses. For a run directory the state, preferences and candidates are the
logged ones; for an experiment file the state is a human dialogue's, the candidates are the graph's first films.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from experts.prompts import actor_messages, judge_messages, planner_messages, reasoner_messages
from experts.wishes import QueryRule, RetrieverQuery, WishReader
from harness.app.report.record import read_record, visible
from harness.app.settings.configfile import load_config
from harness.app.setup.inputs import read_inputs
from harness.core.errors import InputError
from harness.core.messages import TRAIN, Item, Message, Scenario, State, Struct
from harness.domain.knowledge_graph import KnowledgeGraph
from harness.domain.strategies import Strategy
from learner.state_text import state_text
from simulator.seeker import build_prompt


class Moment(Struct, frozen=True, kw_only=True):
    """One turn, before the recommender answers, and what came of it."""

    where: str
    scenario: Scenario
    before: State
    after: State
    """With this turn played and answered."""
    strategy: Strategy | None
    preferences: str
    candidates: tuple[Item, ...]
    asked: tuple[Strategy, ...] | None
    """What a prompted planner chooses from; None for one that is no language model."""
    rewarded: bool
    """Whether a language model gives the rewards."""
    graph: KnowledgeGraph
    query: QueryRule


def show_prompts(target: Path, overrides: list[str], episode: str, turn: int, console: Console) -> None:
    """Print the prompts; `InputError` where there is no such episode or turn."""
    if target.is_dir():
        if overrides:
            raise InputError("--set changes an experiment file; the prompts of a run are those that it sent")
        moment = _played(target, episode, turn)
    else:
        if episode:
            raise InputError("--episode needs a run directory")
        moment = _from_data(target, overrides, turn)
    console.print(Text(visible(moment.where), style="bold"), soft_wrap=True)
    if moment.asked is None:
        _say(console, "planner reads", [Message(role="user", content=state_text(moment.before).text)])
    else:
        _say(console, "planner", planner_messages(moment.before, moment.asked))
    _say(console, "preference_reasoner", reasoner_messages(moment.before))
    _say(console, "retriever searches", [Message(role="user", content=_searched(moment))])
    spoken = actor_messages(
        moment.before, strategy=moment.strategy, preferences=moment.preferences, candidates=moment.candidates
    )
    _say(console, "actor", spoken)
    _say(console, "seeker", build_prompt(moment.scenario, _unanswered(moment.after)))
    if moment.rewarded:
        _say(console, "reward", judge_messages("reward", moment.after))
    else:
        console.print(Text("\n== reward: a distilled judge, which reads the seeker's last words", style="bold"))
    _say(console, "evaluator", judge_messages("evaluator", moment.after))


def _played(folder: Path, name: str, turn: int) -> Moment:
    record = read_record(folder)
    evaluated = [e for e in record.episodes if e.started.phase != TRAIN and len(e.transitions) >= turn]
    found = next((e for e in record.episodes if e.id == name), None) if name else next(iter(evaluated), None)
    if found is None:
        raise InputError(f"{folder} has no finished episode {name or f'with a turn {turn}'}")
    if len(found.transitions) < turn:
        raise InputError(f"episode {found.id} has {len(found.transitions)} turns, not {turn}")
    states, transition = found.states(), found.transitions[turn - 1]
    chosen = transition.decision.strategy if transition.decision is not None else None
    ranked = transition.ranking[: record.config.network.candidates]
    return Moment(
        where=f"episode {found.id}, turn {turn} of {folder}",
        scenario=found.started.scenario,
        before=states[turn - 1],
        after=states[turn],
        strategy=next((s for s in record.strategies if s.key == chosen), None),
        preferences=transition.preferences,
        candidates=tuple(record.items[item] for item in ranked if item in record.items),
        asked=record.strategies if "planner" in record.config.roles_in_use else None,
        rewarded="reward" in record.config.roles_in_use,
        # Ids of merged records lead to the same item.
        graph=KnowledgeGraph.from_items({item.id: item for item in record.items.values()}.values()),
        query=record.config.network.query,
    )


def _from_data(file: Path, overrides: list[str], turn: int) -> Moment:
    config = load_config(file, overrides)
    inputs = read_inputs(config)
    found = (
        (name, labelled.state)
        for name, labelled in inputs.labelled_turns
        if len(labelled.state.turns) >= turn and labelled.state.turns[turn - 1].reply
    )
    dialogue, state = next(found, (None, None))
    if state is None:
        raise InputError(f"no human dialogue of {file} has a turn {turn}")
    before = State(
        episode=state.episode,
        seed=state.seed,
        max_turns=state.max_turns,
        opening=state.opening,
        turns=state.turns[: turn - 1],
    )
    after = before.after(state.turns[turn - 1])
    played = after.turns[-1]
    return Moment(
        where=f"human dialogue {dialogue}, turn {turn}; persona and goal of {inputs.held_out[0].id}",
        scenario=inputs.held_out[0],
        before=before,
        after=after,
        strategy=next((s for s in inputs.strategies if s.key == played.strategy), inputs.strategies[0]),
        preferences=played.preferences or "Wants: nothing known yet",
        candidates=inputs.graph.items[: config.network.candidates],
        asked=inputs.strategies if "planner" in config.roles_in_use else None,
        rewarded="reward" in config.roles_in_use,
        graph=inputs.graph,
        query=config.network.query,
    )


def _searched(moment: Moment) -> str:
    """The query in words, and what moves films down."""
    query = RetrieverQuery(state=moment.before, preferences=moment.preferences)
    wishes = WishReader(moment.graph, moment.query).read(query)
    lines = [wishes.text]
    if wishes.avoided:
        lines.append(f"Turned away: {wishes.avoided}")
    if wishes.out:
        lines.append(f"Refused or seen: {'; '.join(sorted(moment.graph.item(i).name for i in wishes.out))}")
    return "\n".join(lines)


def _unanswered(state: State) -> State:
    return state.answered("")


def _say(console: Console, role: str, messages: Sequence[Message]) -> None:
    console.print(Text(f"\n== {role}", style="bold"))
    for message in messages:
        console.print(Text(f"-- {message.role}", style="dim"))
        console.print(Text(visible(message.content)), soft_wrap=True)
