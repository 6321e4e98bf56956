"""The documentation: every command in it works, in order; what is made from the code is what the code says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from harness.app.cli import app
from harness.app.commands.faults import BROWSER_ROW, ROWS
from harness.app.settings.config import Config as Experiment
from harness.app.settings.config import DecodingByRole, settings

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
RUN_IN_ORDER = ("tutorial.md", "export.md", "gym.md", "study.md")
BY_CI = {"vllm.md": "`.ci/run` installs and tests it"}
LIMIT_S = 600
PRODUCT = ("harness", "experts", "simulator", "learner", "benchmarks")


def commands(page: Path) -> list[str]:
    """Lines of the page's shell blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def test_every_page_with_commands_is_run_somewhere() -> None:
    with_commands = {page.name for page in DOCS.glob("*.md") if commands(page)}
    assert with_commands <= {*RUN_IN_ORDER, *BY_CI}


def test_no_command_line_names_what_is_not_there() -> None:
    known = get_command(app).commands  # type: ignore[attr-defined]
    for page in DOCS.glob("*.md"):
        for verb in re.findall(r"python -m harness ([a-z-]+)", page.read_text(encoding="utf-8")):
            assert verb in known, f"{page.name}: {verb}"


def test_what_the_code_refers_to_stands_in_the_repository() -> None:
    numbered = set(re.findall(r"^\| (\d+) \|", (DOCS / "decisions.md").read_text(encoding="utf-8"), re.MULTILINE))
    for source in sorted(path for room in PRODUCT for path in (ROOT / room).rglob("*.py")):
        text = source.read_text(encoding="utf-8")
        for page in re.findall(r"docs/[\w.-]+\.md", text):
            assert (ROOT / page).is_file(), f"{source}: {page}"
        for numbers in re.findall(r"\bdecisions? (\d+(?:(?:, | and )\d+)*)", text):
            assert set(re.findall(r"\d+", numbers)) <= numbered, f"{source}: decision {numbers}"
        assert not re.search(
            r"\b(DESIGN|RELIABILITY|PERFORMANCE|LEARNING|WORLD|HOUSE|PAPER)\b(\.md|,? (section|row|lever))", text
        ), source


def test_each_row_of_the_faults_page_is_a_row_of_the_command() -> None:
    rows = re.findall(
        r"^\| (\d+) \|.*\| ([^|]*) \|$", (DOCS / "reliability.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    told = {int(number): set(re.findall(r"`(test_\w+\.py)`", tests)) for number, tests in rows}
    assert len(rows) == len(told)
    known = {row.number: row for row in ROWS}
    for number, files in told.items():
        tests = BROWSER_ROW.tests if number == BROWSER_ROW.number else known[number].tests
        assert files, number
        assert files <= {test.split("::")[0] for test in tests}, number


def test_generated_pages_are_what_the_code_says() -> None:
    done = subprocess.run([sys.executable, DOCS / "make_reference.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_reference_names_every_key() -> None:
    text = (DOCS / "config.md").read_text(encoding="utf-8")
    for key in settings(Experiment()):
        table, _, leaf = key.rpartition(".")
        if table.startswith("models."):
            table = "models.NAME"
        if not table or (
            table.split(".")[0] == "decoding" and table.split(".")[1] not in DecodingByRole.__struct_fields__
        ):
            continue
        section = text.split(f"## `[{table}]`")[1].split("\n## ")[0]
        assert f"| `{leaf}` |" in section, key


def test_pages_link_to_what_is_there() -> None:
    for page in DOCS.glob("*.md"):
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if not link.startswith("http"):
                assert (page.parent / link).exists(), f"{page.name}: {link}"
    for picture in (DOCS / "images").iterdir():
        assert picture.stat().st_size < 300_000


@pytest.mark.docs
def test_every_command_works(tmp_path: Path) -> None:
    for name in ("experiments", "fixtures", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    for page in RUN_IN_ORDER:
        for command in commands(DOCS / page):
            words = shlex.split(command)
            assert words[0] == "python"
            done = subprocess.run(
                [sys.executable, *words[1:]],
                cwd=tmp_path,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=LIMIT_S,
            )
            assert done.returncode == 0, f"{page}: {command}\n{done.stdout.decode()}\n{done.stderr.decode()}"
    assert (tmp_path / "runs/tiny/report.html").exists()
    assert (tmp_path / "runs/tiny/export/turns.parquet").exists()
    assert (tmp_path / "exported/planner/README.md").exists()


@pytest.mark.docs
def test_the_site_builds(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path / "site"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "tutorial" / "index.html").exists()
