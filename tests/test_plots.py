"""Plots for papers: written for what there is, the same bytes for the same numbers, the world named."""

from pathlib import Path

import pytest
from rich.console import Console
from support.rundirs import WORLD, write_run
from test_report import write_comparison

from harness.app.commands.plot import plot
from harness.app.drawing.palette import series_colour, series_dash
from harness.app.grid.comparison.figures import size_of
from harness.core.errors import InputError


def test_no_two_of_many_series_look_the_same() -> None:
    assert len({(series_colour(place), series_dash(place)) for place in range(36)}) == 36


def test_a_run_gives_a_learning_curve_and_its_strategies(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    written = plot(folder, None, Console(quiet=True))
    assert {path.relative_to(folder / "plots").name for path in written} == {
        "learning_curve.svg",
        "learning_curve.png",
        "strategies.svg",
        "strategies.png",
    }
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written if path.suffix == ".png")
    drawing = (folder / "plots" / "strategies.svg").read_text(encoding="utf-8")
    assert WORLD[:40] in drawing
    assert "opinion inquiry" in drawing
    again = plot(folder, tmp_path / "again", Console(quiet=True))
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in written]


def test_a_comparison_gives_bars_and_no_scale_of_one_model(tmp_path: Path) -> None:
    written = plot(write_comparison(tmp_path / "cmp"), None, Console(quiet=True))
    assert {path.stem for path in written} == {"ablations_synthetic", "systems_synthetic"}


def test_nothing_to_plot_is_said(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", dialogues=0, summary=False)
    with pytest.raises(InputError, match="nothing to plot yet"):
        plot(folder, None, Console(quiet=True))


@pytest.mark.parametrize(
    ("model", "size"),
    [("SmolLM2-135M", 1.35e8), ("Qwen2.5-7B-Instruct", 7e9), ("llama-0.5b", 5e8), ("scripted-world", None)],
)
def test_sizes_are_read_from_names(model: str, size: float | None) -> None:
    assert size_of(model) == size
