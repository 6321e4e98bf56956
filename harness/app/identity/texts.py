"""Every text that a model reads or that decides what is said, by name: prompts, personas, strategies; and the world.

Prompts are covered twice, so that no sentence changes unnoticed. Each role's prompt is rendered for one made-up state,
which also covers how dialogues, films and sections are written. And all strings are taken of each definition in every
file that makes a prompt or is a baseline. Such files are found by their calls of ``prompt``, so a new file is included.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import msgspec

from experts.prompts import actor_messages, judge_messages, planner_messages, reasoner_messages
from harness.app.evaluation.examiner import credibility_prompt, intention_prompt
from harness.app.identity.code import ROOT
from harness.app.identity.trees import calls, digest, literals, tree_digest
from harness.app.settings.config import Config
from harness.core.messages import Attribute, Goal, Item, Message, Persona, Scenario, State, Turn
from harness.domain.strategies import LabelSet, Strategy, strategy_set
from learner.state_text import state_text
from simulator.personas import PERSONAS
from simulator.seeker import build_prompt

WORLD = "simulator/scripted"
_BASELINES = "experts/baselines"
_EXAMINER = "harness/app/evaluation"
_EVERY_RUN = ("experts", "simulator", "learner", "harness/domain")
"""Where prompts of every run are made; the world, the data's readers, the baselines and the trained systems (whose
`prompt` is a prefix of vectors) are left out."""
_LEFT_OUT = (WORLD, "simulator/datasets", _BASELINES, "learner/crs")


def texts_of(labels: LabelSet, *, compared: bool = False, baseline: bool = False) -> dict[str, str]:
    """Name -> SHA-256 of every text of a run.

    ``compared``: with those of the examiner, which reads the dialogues of a comparison's cells. ``baseline``: with
    those of the systems that RSO is compared with.
    """
    return {
        **_prompts(compared),
        **{f"persona {one.id}": digest((one.name, one.text, tuple(one.traits.items()))) for one in PERSONAS},
        **{
            f"strategy {one.key}": digest((one.name, one.group, one.description, one.aliases))
            for one in strategy_set(labels)
        },
        **{
            f"{name} in {path.relative_to(ROOT).as_posix()}": found
            for path in prompt_files(ROOT, compared=compared, baseline=baseline)
            for name, found in _literals(path).items()
        },
    }


def world_of(config: Config) -> dict[str, str]:
    """Name -> SHA-256 of the syntax tree of each file of the scripted world; nothing where no model in use is it."""
    if all(config.models[name].backend != "scripted" for name in config.models_in_use):
        return {}
    return dict(_world())


def prompt_files(root: Path, *, compared: bool, baseline: bool) -> list[Path]:
    """Files that make prompts, found by what they call."""
    places = [*_EVERY_RUN, *([_EXAMINER] if compared else ())]
    left_out = [root / place for place in _LEFT_OUT]
    found = [
        path
        for place in places
        for path in sorted((root / place).rglob("*.py"))
        if not any(path.is_relative_to(place) for place in left_out) and _makes_prompts(path)
    ]
    return [*found, *(sorted((root / _BASELINES).glob("*.py")) if baseline else ())]


@lru_cache(maxsize=1)
def _world() -> tuple[tuple[str, str], ...]:
    files = sorted((ROOT / WORLD).glob("*.py"))
    return tuple((f"world {path.name}", tree_digest(path)) for path in files)


@lru_cache(maxsize=256)
def _makes_prompts(path: Path) -> bool:
    return calls(path, "prompt")


@lru_cache(maxsize=64)
def _literals(path: Path) -> dict[str, str]:
    return literals(path)


@lru_cache(maxsize=2)
def _prompts(compared: bool) -> dict[str, str]:
    return {
        f"prompt {role}": digest(tuple((message.role, message.content) for message in messages))
        for role, messages in (*_of_every_run(), *(_of_the_examiner() if compared else ()))
    }


def _of_every_run() -> Iterator[tuple[str, Sequence[Message]]]:
    yield "planner state", [Message(role="user", content=state_text(_BEFORE).text)]
    yield "planner", planner_messages(_BEFORE, (_STRATEGY, _OTHER))
    yield "preference_reasoner", reasoner_messages(_BEFORE)
    yield "actor", actor_messages(_BEFORE, strategy=_STRATEGY, preferences="Wants: a wish", candidates=_FILMS)
    unanswered = _AFTER.answered("")
    yield "seeker", (*build_prompt(_SCENARIO, _UNOPENED), *build_prompt(_SCENARIO, unanswered))
    yield "reward", judge_messages("reward", _AFTER)
    yield "evaluator", judge_messages("evaluator", _AFTER)


def _of_the_examiner() -> Iterator[tuple[str, Sequence[Message]]]:
    yield "intention", intention_prompt(_SCENARIO, "A Title (2001)", dialogue="Seeker: Words", facts="[1] A Title")
    yield "credibility", credibility_prompt("A message.", "[1] A Title")


# Made up, so that a change of a real persona, strategy or film is named as that and not as a change of prompts.
_STRATEGY = Strategy(key="first", name="FIRST", group="none", description="Do this.")
_OTHER = Strategy(key="second", name="SECOND", group="none", description="Do that.")
_FILMS = (
    Item(
        id="1",
        title="A Title",
        year=2001,
        genres=("genre", "other"),
        directors=("A Person",),
        stars=("B", "C"),
        writers=("D",),
        plot="Much happens.",
    ),
    Item(id="2", title="Another"),
)
_SCENARIO = Scenario(
    id="eval-000000",
    persona=Persona(id="p", name="P", text="You are P.", traits={}),
    goal=Goal(
        id="goal",
        attributes=(Attribute(kind="genre", value="genre"), Attribute(kind="decade", value="2000s")),
        target="1",
        matches=("1",),
    ),
)
_UNOPENED = State(episode="e", seed=0, max_turns=5)
_FIRST = Turn(strategy="first", preferences="Wants: a wish", response="An answer.", recommended=("1",), reply="Words.")
_BEFORE = msgspec.structs.replace(_UNOPENED, opening="Hello.\n### HELLO", turns=(_FIRST,))
_AFTER = _BEFORE.after(msgspec.structs.replace(_FIRST, strategy="second", response="More.", reply="Thanks."))
