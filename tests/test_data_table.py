"""Table II of what is configured: counts by file, dropped names, floors, and a dry run that names missing data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.forked import Forkery

from harness.app.commands.data_table import table_of
from harness.app.settings.config import Config
from harness.app.settings.configfile import config_from_tree
from harness.app.setup.sources import Readings, read_graph
from harness.core.errors import ConfigError

ROOT = Path(__file__).parents[1]
TINY = ROOT / "fixtures" / "tiny"
HEADER = "dialog_id\tutt_id\tspeaker\ttext\tmovies\tmovie_dict\texpert_label"


def corpus(folder: Path, name: str) -> str:
    """Four dialogues of three utterances; each says Heat and a film that no graph has."""
    rows = [HEADER]
    for at in range(4):
        films = "{'Heat (1995)': 0, 'Nowhere (2050)': 1}"
        said = (
            ("SEEKER", "Hi, I like Heat.", "Heat (1995)", ""),
            ("RECOMMENDER", "Take Heat (1995) again.", "Heat (1995)", "credibility"),
            ("SEEKER", "Fine.", "", ""),
        )
        for number, (speaker, text, movies, label) in enumerate(said, start=1):
            rows.append(f"{name}-{at}\t{number}\t{speaker}\t{text}\t{movies}\t{films}\t{label}")
    path = folder / f"{name}.tsv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return str(path)


def config(folder: Path, **data: str) -> Config:
    films = folder / "films.json"
    films.write_text(json.dumps({"items": [{"id": "1", "title": "Heat", "year": 1995, "plot": "Hot."}]}))
    return config_from_tree({"data": {"knowledge_graph": str(films)} | data})


def test_counts_of_each_file_and_of_all_together(tmp_path: Path) -> None:
    train, test = corpus(tmp_path, "train"), corpus(tmp_path, "test")
    found = config(tmp_path, inspired=train, held_out_goals_file=test)
    table = table_of(found, Readings(found), read_graph(found))
    assert [(row.file, row.uses) for row in table.rows] == [
        ("train.tsv", ("label_file", "training_goals_file")),
        ("test.tsv", ("held_out_goals_file",)),
        ("together", ()),
    ]
    first, _, together = table.rows
    assert (first.dialogues, first.utterances, first.labelled_turns, first.recommendations) == (4, 12, 4, 4)
    assert (first.mentions, first.items, first.matched, first.dropped) == (8, 2, 1, (("Nowhere (2050)", 4),))
    assert (together.dialogues, together.utterances, together.mentions, together.items) == (8, 24, 16, 2)
    assert (table.films, table.with_plot, table.with_writers) == (1, 1, 0)
    assert table.split == "fitted to train.tsv, measured on test.tsv; 4 turns, 4 targets"
    assert table.floors["popularity"].all["recall_1"].mean == 1.0


def test_where_there_is_nothing_to_fit_floors_to_the_counts_stand_alone(tmp_path: Path) -> None:
    found = config(tmp_path, label_file=corpus(tmp_path, "train"))
    table = table_of(found, Readings(found), read_graph(found))
    assert (table.floors, table.split) == ({}, "none, as no file of goals is named")
    with pytest.raises(ConfigError, match="no file of dialogues is named"):
        table_of(Config(), Readings(Config()), read_graph(found))


def test_the_command_prints_the_papers_figures_beside(forkery: Forkery) -> None:
    shown = forkery.run("data", "table", ROOT / "experiments" / "tiny.toml")
    assert shown.poll() == 0, shown.errors()
    assert "35,811" in shown.output()
    assert "182,150" not in shown.output()
    told = json.loads(forkery.run("data", "table", ROOT / "experiments" / "tiny.toml", "--json").output())
    assert told["rows"][0]["dialogues"] == 16


@pytest.mark.parametrize("name", ["inspired", "redial"])
def test_the_papers_files_say_what_to_supply_where_the_data_are_not(
    forkery: Forkery, tmp_path: Path, name: str
) -> None:
    file = ROOT / "experiments" / "paper" / f"{name}.toml"
    labels = tmp_path / "gone" / "train.tsv"
    shown = forkery.run("run", file, "--dry-run", "--set", f"data.label_file={labels}")
    assert shown.poll() == 0, shown.errors()
    assert f"  data.label_file: {labels}" in shown.output()
    assert "train 1000" in shown.output()
    refused = forkery.run("run", file, "--set", f"data.label_file={labels}")
    assert (refused.poll(), refused.errors().count("\n")) == (2, 1)
