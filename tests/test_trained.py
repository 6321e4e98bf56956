"""Trained recommenders at the table: what they see, how their sentences are filled, who is asked, and the commands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
import trio
from support.forked import Forkery

from experts.baselines.trained import NOTHING, Answer, Text, TrainedCRS, answer, filled
from harness.app.grid.comparison.plan import read_plan
from harness.app.settings.config import Config, Model
from harness.app.setup.trained import corpus_of, folder_of, settings_of, title_of, with_roles
from harness.core.messages import Item, RecommenderTurn, State, Turn
from harness.domain.entities import Entities
from harness.domain.knowledge_graph import KnowledgeGraph
from harness.domain.ranking import Query, Scores
from learner.crs.settings import SLOT

GRAPH = KnowledgeGraph(Item(id=str(n), title=f"Film {'abcd'[n]}", year=1990 + n, genres=("crime",)) for n in range(4))
STATE = State(episode="e", seed=0, max_turns=4, opening="Film b (1991) was good crime")
QUICK = [f"crs.{stage}_epochs=1" for stage in ("language", "align", "talk", "recommend")]


class Backwards:
    """Ranks the last film first, and keeps what it was asked."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.asked: list[Query] = []

    def rank(self, queries: Sequence[Query]) -> Scores:
        self.asked += queries
        return np.tile(np.arange(4.0), (len(queries), 1))

    def write(self, query: Query) -> str:
        return self.text


def respond(state: State, system: Backwards, text: Text = "template") -> RecommenderTurn:
    async def ask(query: Query) -> Answer:
        return answer(system, query, writes=text == "template")

    made = TrainedCRS(ask, GRAPH, Entities(GRAPH), slot=SLOT, ranked=3, candidates=2, text=text)
    return trio.run(made.respond, state)


def test_it_sees_the_dialogue_and_the_nodes_that_its_texts_name_and_no_goal() -> None:
    system = Backwards(f"Try {SLOT}!")
    move = respond(STATE, system)
    assert (move.response, move.recommended, move.ranking) == ("Try Film d (1993)!", ("3",), ("3", "2", "1"))
    entities = Entities(GRAPH)
    assert system.asked == [Query(STATE, (1, entities.node("crime") or -1))]
    # What it is asked with is a state: nothing in it holds a goal, a persona or a scenario.
    assert {"goal", "persona", "scenario"}.isdisjoint(State.__struct_fields__)


def test_a_recommended_film_is_not_recommended_again_and_stays_in_the_ranking() -> None:
    state = STATE.after(Turn(strategy=None, preferences="", response="Film d (1993)?", recommended=("3",), reply="No"))
    assert respond(state, Backwards(SLOT)).recommended == ("2",)
    assert respond(state, Backwards(SLOT)).ranking[0] == "3"
    every = STATE.after(
        Turn(strategy=None, preferences="", response="All.", recommended=("0", "1", "2", "3"), reply="No")
    )
    assert respond(every, Backwards(SLOT)).response == NOTHING


def test_a_sentence_without_a_slot_recommends_nothing_and_an_empty_one_is_replaced() -> None:
    assert respond(STATE, Backwards("What do you like?")).recommended == ()
    assert respond(STATE, Backwards(" !")).response == "I recommend Film d (1993)."
    assert respond(STATE, Backwards("unused"), "said").response == "I recommend Film d (1993)."


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"{SLOT}, or{SLOT}.", "Film a (1990), or Film b (1991)."),
        (f"See {SLOT}  now", "See Film a (1990) now"),
        (SLOT * 5, ""),
        ("", ""),
    ],
)
def test_slots_are_filled_in_order(text: str, found: str) -> None:
    assert filled(text, SLOT, GRAPH.items)[0] == found


def test_no_server_is_started_for_a_role_that_a_trained_system_does_not_ask() -> None:
    config = Config(models={name: Model() for name in ("default", "actor")})
    config = msgspec.structs.replace(
        config, roles=msgspec.structs.replace(config.roles, actor="actor", preference_reasoner="actor")
    )
    assert config.models_in_use == ("actor", "default")
    assert with_roles(config, "unicrs").models_in_use == ("default",)
    assert with_roles(config, "pccrs") == config
    spoken = msgspec.structs.replace(config, crs=msgspec.structs.replace(config.crs, text="actor"))
    assert with_roles(spoken, "barcor").models_in_use == ("actor", "default")


def test_only_the_papers_models_carry_the_papers_names() -> None:
    crs = Config().crs
    paper = msgspec.structs.replace(
        crs, reader="FacebookAI/roberta-base", speaker="./weights/DialoGPT-small", bart="facebook/bart-base"
    )
    for settings, names in ((crs, ("unicrs-lite", "barcor-lite+copy")), (paper, ("unicrs", "barcor+copy"))):
        config = Config(crs=settings)
        assert (title_of(config, "unicrs"), title_of(config, "barcor+copy")) == names


def test_a_comparison_trains_each_system_once_a_seed_and_says_lite_whatever_the_title(tmp_path: Path) -> None:
    tiny = Path("experiments/tiny.toml").resolve()
    (tmp_path / "c.toml").write_text(
        f"""
[comparison]
reference = "a"
seeds = [0, 1]
scenarios = 2
[datasets.tiny]
experiment = "{tiny}"
[systems.a]
title = "UniCRS"
kind = "unicrs"
[systems.b]
kind = "unicrs+copy"
set = ['crs.text="said"']
[systems.c]
title = "BARCOR (lite)"
kind = "barcor"
"""
    )
    plan = read_plan(tmp_path / "c.toml")
    assert sorted((training.crs, training.seed) for training in plan.trainings) == [
        ("barcor", 0), ("barcor", 1), ("unicrs", 0), ("unicrs", 1),
    ]  # fmt: skip
    assert [plan.title(name) for name in "abc"] == ["unicrs-lite", "unicrs-lite+copy", "BARCOR (lite)"]
    assert {cell.planner for cell in plan.cells} == {training.name for training in plan.trainings}


def test_train_crs_trains_measures_and_finds_what_is_trained(forkery: Forkery, tmp_path: Path) -> None:
    options = [word for value in [f"run.directory={tmp_path}", *QUICK] for word in ("--set", value)]
    command: list[str | Path] = ["train-crs", Path("experiments/tiny.toml"), "--system", "barcor", *options]
    first = forkery.run(*command)
    assert first.poll() == 0, first.errors()
    assert "barcor-lite+copy" in first.output()
    again = forkery.run(*command)
    assert "is trained already" in again.output()
    assert first.output().splitlines()[-1] == again.output().splitlines()[-1]
    (folder,) = (tmp_path / "crs").iterdir()
    assert folder.name.startswith("barcor-lite.s0.")
    strange = forkery.run("train-crs", Path("experiments/tiny.toml"), "--system", "kbrd")
    assert strange.poll() == 2
    assert "kbrd" in strange.errors()


def test_chat_with_an_untrained_system_says_how_to_train_it(forkery: Forkery, tmp_path: Path) -> None:
    talk = forkery.run("chat", "experiments/tiny.toml", "--system", "unicrs", "--set", f"run.directory={tmp_path}")
    assert talk.poll() == 2
    assert "train-crs" in talk.errors()


def test_the_folder_is_named_by_what_a_training_depends_on() -> None:
    from harness.app.settings.configfile import load_config
    from harness.app.setup.sources import read_graph

    tiny = Path("experiments/tiny.toml")
    names = set()
    for overrides in ([], ["crs.tokens=32"], ["run.seed=1"], ["crs.text=said"]):
        config = load_config(tiny, overrides)
        names.add(folder_of(config, "barcor", corpus_of(config, read_graph(config))).name)
    assert len(names) == 3
    assert settings_of(load_config(tiny), "barcor+copy") == settings_of(load_config(tiny), "barcor")
