"""What a run would ask of its models, before any call: episodes, calls and tokens.

An estimate, not a promise: it renders the real prompts for a dialogue of typical messages and assumes that every
conversation lasts all its turns, so calls are bounded but for repairs, and tokens (4 characters each) may be a quarter
more where people and models write long messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.table import Table

from experts.prompts import actor_messages, judge_messages, planner_messages, reasoner_messages, render_candidates
from harness.app.evaluation.examiner import CREDIBILITY, INTENTION, credibility_prompt, intention_prompt
from harness.app.settings.config import Config
from harness.app.setup.inputs import Inputs
from harness.core.messages import TRAIN, Attribute, Goal, Item, Message, Scenario, State, Struct, Turn, Usage
from harness.core.sections import render_dialogue
from harness.domain.strategies import strategy_set
from simulator.personas import PERSONAS
from simulator.seeker import build_prompt

_CHARACTERS_PER_TOKEN = 4
_MESSAGE = "I think a film like this could be right for you, and I can tell you more about it. What do you say?"
_PREFERENCES = "Wants: thriller; crime; Al Pacino; 1990s"
_FILM = Item(
    id="",
    title="A Film of Usual Length",
    year=1999,
    genres=("crime", "drama", "thriller"),
    directors=("First Director",),
    writers=("First Writer", "Second Writer"),
    stars=("First Star", "Second Star", "Third Star"),
    plot="Two people who hardly know each other must find out together what happened in one night, before others do.",
)
_SCENARIO = Scenario(
    id="",
    persona=PERSONAS[0],
    goal=Goal(
        id="",
        attributes=(
            Attribute(kind="genre", value="crime"),
            Attribute(kind="genre", value="drama"),
            Attribute(kind="person", value="First Director"),
        ),
        target="",
        matches=(),
    ),
)
_REPLY_TOKENS = {"planner": 1, "preference_reasoner": 30, "actor": 60, "seeker": 50, "reward": 1, "evaluator": 1}


class Workload(Struct, frozen=True, kw_only=True):
    """What one run asks for at full length."""

    phases: dict[str, int]
    """Phase -> episodes."""
    usage: dict[str, Usage]
    """Role -> calls and tokens."""


def workload_of(config: Config, inputs: Inputs) -> Workload:
    """From the config; the prompts are those that the run would send."""
    return _workload(config, inputs.held_out[0], inputs.graph.items)


def workload_without_data(config: Config) -> Workload:
    """From the config and made-up films and goal of usual length; for a machine that lacks the data."""
    return _workload(config, _SCENARIO, (_FILM,) * config.network.candidates)


def usage_of(
    config: Config, inputs: Inputs | None, *, held_out: int, training: int, calls_a_turn: int | None = None
) -> dict[str, Usage]:
    """Role -> calls and tokens of a part of a run: so many dialogues that are evaluated, and that train.

    Args:
        config: of the part; what it measures is asked about every evaluated dialogue.
        inputs: its data; None where they are not here.
        held_out: evaluated dialogues.
        training: dialogues of RL.
        calls_a_turn: of a system that stands in the network's place, each about as long as the actor's; None: RSO.
    """
    scenario, films = _SCENARIO, (_FILM,) * config.network.candidates
    if inputs is not None:
        scenario, films = inputs.held_out[0], inputs.graph.items
    return _usage(config, scenario, films, held_out, training, calls_a_turn)


def _workload(config: Config, scenario: Scenario, films: Sequence[Item]) -> Workload:
    stages = {"before": config.evaluation.dialogues}
    if config.learns:
        stages["warmup"] = config.evaluation.dialogues
    if config.learns and config.training_episodes:
        stages |= {TRAIN: config.training_episodes, "rl": config.evaluation.dialogues}
    phases = {name: count for name, count in stages.items() if name in (TRAIN, *config.evaluation.phases)}
    episodes = sum(phases.values())
    training = phases.get(TRAIN, 0)
    return Workload(phases=phases, usage=_usage(config, scenario, films, episodes - training, training, None))


def _usage(
    config: Config,
    scenario: Scenario,
    films: Sequence[Item],
    evaluations: int,
    training: int,
    calls_a_turn: int | None,
) -> dict[str, Usage]:
    strategies, episodes, network = strategy_set(config.data.labels), evaluations + training, calls_a_turn is None
    usage: dict[str, Usage] = {}
    state = State(episode="", seed=0, max_turns=config.conversation.max_turns, opening=_MESSAGE)
    turn = Turn(strategy="credibility", preferences=_PREFERENCES, response=_MESSAGE)
    _add(usage, "seeker", episodes, build_prompt(scenario, State(episode="", seed=0, max_turns=1)))
    candidates = films[: config.network.candidates]
    for _ in range(config.conversation.max_turns):
        if network and "planner" in config.roles_in_use:
            _add(usage, "planner", episodes, planner_messages(state, strategies))
        if network and "preference_reasoner" not in config.network.without:
            _add(usage, "preference_reasoner", episodes, reasoner_messages(state))
        spoken = actor_messages(state, strategy=strategies[0], preferences=_PREFERENCES, candidates=candidates)
        _add(usage, "actor", episodes * (1 if calls_a_turn is None else calls_a_turn), spoken)
        _add(usage, "seeker", episodes, build_prompt(scenario, state.after(turn)))
        state = state.after(turn).answered(_MESSAGE)
        if "reward" in config.roles_in_use:
            _add(usage, "reward", episodes, judge_messages("reward", state), _judge_tokens(config))
    _add(usage, "evaluator", evaluations, judge_messages("evaluator", state), _judge_tokens(config))
    _add_examiner(usage, config, scenario, films, evaluations, state)
    return usage


def _add_examiner(
    usage: dict[str, Usage],
    config: Config,
    scenario: Scenario,
    films: Sequence[Item],
    dialogues: int,
    state: State,
) -> None:
    """Of a film in every dialogue, and in every message: the most that can be asked."""
    wanted, facts = config.evaluation.measures, render_candidates(films[:1])
    if "wi" in wanted or "prs" in wanted:
        said = intention_prompt(scenario, _MESSAGE, dialogue=render_dialogue(state.history))
        _add(usage, INTENTION, dialogues, said, _judge_tokens(config))
    if "prs" in wanted:
        _add(usage, INTENTION, 2 * dialogues, intention_prompt(scenario, _MESSAGE, facts=facts), _judge_tokens(config))
    if "cred" in wanted:
        calls = dialogues * config.conversation.max_turns
        _add(usage, CREDIBILITY, calls, credibility_prompt(_MESSAGE, facts), _judge_tokens(config))


def _judge_tokens(config: Config) -> int:
    return config.reward.samples if config.reward.mode == "samples" else 1


def _add(usage: dict[str, Usage], role: str, calls: int, prompt: Iterable[Message], replies: int | None = None) -> None:
    tokens = sum(len(message.content) for message in prompt) // _CHARACTERS_PER_TOKEN
    usage[role] = usage.get(role, Usage()) + Usage(
        calls=calls,
        prompt_tokens=calls * tokens,
        completion_tokens=calls * (replies if replies is not None else _REPLY_TOKENS[role]),
    )


def workload_table(workload: Workload) -> Table:
    """The estimate for reading."""
    shown = Table(
        title="Every conversation at full length; calls without repairs, tokens within about a quarter",
        title_justify="left",
    )
    for heading in ("role", "calls", "prompt tokens", "reply tokens"):
        shown.add_column(heading, justify="left" if heading == "role" else "right")
    for role, usage in workload.usage.items():
        shown.add_row(role, *(f"{n:,}" for n in (usage.calls, usage.prompt_tokens, usage.completion_tokens)))
    total = sum(workload.usage.values(), Usage())
    shown.add_section()
    shown.add_row("all", *(f"{n:,}" for n in (total.calls, total.prompt_tokens, total.completion_tokens)))
    return shown
