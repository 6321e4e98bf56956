"""What a run was made by: every text has a name and a digest, and no sentence, persona or rule changes unseen."""

from __future__ import annotations

import ast
import shutil
import subprocess
from io import StringIO
from pathlib import Path

import msgspec
import pytest
from rich.console import Console
from support.rundirs import write_run

from experts import prompts
from harness.app.commands.diff import diff
from harness.app.identity import code, sittings, texts
from harness.app.identity.code import CLEAN, DIRTY, PACKAGES, UNKNOWN, code_of
from harness.app.identity.manifest import read_manifest
from harness.app.identity.sittings import Identity, identity_of, read_sittings, sit_down
from harness.app.identity.texts import prompt_files, texts_of, world_of
from harness.app.identity.trees import literals, tree_digest
from harness.app.settings.config import Config, Model
from harness.core.errors import DataError, InputError

ROOT = Path(__file__).parent.parent


def changed(before: dict[str, str], now: dict[str, str]) -> list[str]:
    return [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Texts are looked at anew before and after."""
    for remembered in (texts._prompts, texts._literals):
        remembered.cache_clear()
        monkeypatch.setattr(texts, remembered.__name__, remembered.__wrapped__)
    return monkeypatch


@pytest.mark.parametrize(
    ("name", "constant"),
    [
        ("actor", "ACTOR_INSTRUCTIONS"),
        ("preference_reasoner", "REASONER_INSTRUCTIONS"),
        ("planner", "PLANNER_INSTRUCTIONS"),
        ("actor", "_ACTOR_TASK"),
    ],
)
def test_a_word_of_a_prompt_names_the_prompt(fresh, name, constant):
    before = texts_of("rso13")
    fresh.setattr(prompts, constant, getattr(prompts, constant) + " Please.")
    assert changed(before, texts_of("rso13")) == [f"prompt {name}"]


def test_how_a_film_is_written_is_part_of_the_prompts_that_show_films(fresh):
    before = texts_of("rso13", compared=True)
    fresh.setattr(prompts, "render_candidates", lambda films: "\n".join(film.name for film in films))
    assert changed(before, texts_of("rso13", compared=True)) == ["prompt actor"]


def test_a_persona_and_a_strategy_are_named(fresh):
    before = texts_of("rso13")
    first, *others = vars(texts)["PERSONAS"]
    other = msgspec.structs.replace(first, text=first.text.replace("facts", "numbers"))
    fresh.setattr(texts, "PERSONAS", (other, *others))
    assert changed(before, texts_of("rso13")) == [f"persona {first.id}"]
    assert set(changed(before, texts_of("inspired14"))) == {
        f"persona {first.id}",
        "strategy transparency",
        "strategy preference_confirmation",
    }


def copied(folder: Path) -> Path:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_every_file_that_makes_a_prompt_is_looked_at():
    """Found by reading all of the product anew: whoever calls ``prompt`` or builds a `Message` is covered or is known
    to be no text of an experiment."""
    makers = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            found = {called(node) for node in ast.walk(ast.parse(path.read_text()))}
            if found & {"prompt", "Message"}:
                makers.add(path)
    covered = set(prompt_files(ROOT, compared=True, baseline=True))
    assert {path.relative_to(ROOT).as_posix() for path in makers - covered} == {
        "harness/app/commands/show_prompts.py",  # shows
        "harness/app/identity/texts.py",  # is this
        "harness/app/setup/server_check.py",  # probes of a server
        "harness/core/model/llm.py",
        "harness/core/sections.py",  # `prompt` itself: in every rendered prompt
        "harness/core/model/wire.py",  # messages as they go out
        "simulator/scripted/protocol.py",  # the world, which has its trees
    }
    assert ROOT / "experts" / "baselines" / "intercrs.py" in covered


def called(node: ast.AST) -> str:
    """The name that is called here, empty where none is."""
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""


def test_a_new_prompt_is_found_without_being_listed(tmp_path):
    copied(tmp_path)
    words = "WORDS = 'Be kind.'"
    (tmp_path / "experts" / "newcomer.py").write_text(f'{words}\ndef made():\n    return prompt("x", WORDS, {{}})\n')
    assert tmp_path / "experts" / "newcomer.py" in prompt_files(tmp_path, compared=False, baseline=False)


def test_a_baseline_is_of_no_concern_to_a_run_of_rso():
    assert not any("baselines" in name for name in texts_of("rso13", compared=True))
    assert "INSTRUCTIONS in experts/baselines/intercrs.py" in texts_of("rso13", compared=True, baseline=True)
    assert "prompt credibility" not in texts_of("rso13")


STRINGS = '''
"""Doc."""
A = "one"
B: str = f"two {A} three"
C, D = "x", "y"

def f():
    """Doc."""
    raise ValueError("no")
'''


def test_strings_by_definition_without_docstrings_and_errors(tmp_path):
    path = tmp_path / "one.py"
    path.write_text(STRINGS)
    before = literals(path)
    assert list(before) == ["A", "B", "C, D"]
    edit(path, "three", "four")
    edit(path, '"no"', '"not so"')
    edit(path, '    """Doc."""', '    """Another."""')
    assert changed(before, literals(path)) == ["B"]


TREE = '''
"""Doc."""
class A:
    n: int = 3
    """Of it."""

    def f(self):
        """Doc."""
        return self.n * .5
'''
SAME_TREE = """
# said
class A:

    n: int = 3  # three
    def f(self):
        return (self.n
                * 0.5)
"""


def test_a_tree_does_not_change_with_comments_layout_and_docstrings(tmp_path):
    path = tmp_path / "rules.py"
    path.write_text(TREE)
    before = tree_digest(path)
    path.write_text(SAME_TREE)
    assert tree_digest(path) == before
    edit(path, "0.5", "0.6")
    assert tree_digest(path) != before


def test_the_world_counts_only_where_a_model_is_it():
    assert "world rules.py" in world_of(Config())
    real = Config(models={"default": Model(backend="vllm", model="m")})
    assert world_of(real) == {}


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=n", "-c", "user.email=e@e", *arguments], cwd=folder, check=True, capture_output=True
    )


def test_commit_and_dirt_of_a_checkout(tmp_path, monkeypatch):
    for package in PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    monkeypatch.setattr(code, "_version", lambda: "1")
    look = code_of.__wrapped__
    outside = look(tmp_path)
    assert (outside.commit, outside.dirt) == (UNKNOWN, UNKNOWN)
    git(tmp_path, "init", "-q")
    assert look(tmp_path).commit == UNKNOWN  # a checkout of something else, in which these files merely lie
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "m")
    clean = look(tmp_path)
    assert (len(clean.commit), clean.dirt, clean.source) == (40, CLEAN, outside.source)
    (tmp_path / "README").write_text("no code")
    assert look(tmp_path) == clean
    (tmp_path / "harness" / "new.py").write_text("x = 1\n")
    dirty = look(tmp_path)
    assert (dirty.commit, dirty.dirt) == (clean.commit, DIRTY)
    assert dirty.source != clean.source
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))  # as in a hook
    assert look(tmp_path) == dirty
    monkeypatch.setenv("PATH", "")
    assert look(tmp_path) == msgspec.structs.replace(dirty, commit=UNKNOWN, dirt=UNKNOWN)


def test_a_checkout_that_git_refuses_is_unknown(tmp_path, monkeypatch):
    """Of another owner (``safe.directory``): git ends with an error."""
    (tmp_path / "git").write_text("#!/bin/sh\necho 'fatal: detected dubious ownership' >&2\nexit 128\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = code_of.__wrapped__()
    assert (found.commit, found.dirt) == (UNKNOWN, UNKNOWN)


NOW = identity_of(Config())
OTHER_CODE = msgspec.structs.replace(NOW, code=msgspec.structs.replace(NOW.code, commit="f" * 40))
OTHER_TEXT = msgspec.structs.replace(NOW, texts=NOW.texts | {"prompt actor": "0" * 64})


def test_another_text_is_refused_and_named_and_nothing_is_written(tmp_path):
    with pytest.raises(InputError, match="prompt actor; .*--accept-changes"):
        sit_down(tmp_path, NOW, OTHER_TEXT, accept_changes=False)
    gone = msgspec.structs.replace(NOW, world={name: d for name, d in NOW.world.items() if name != "world rules.py"})
    with pytest.raises(InputError, match="world rules.py"):
        sit_down(tmp_path, NOW, gone, accept_changes=False)
    assert not list(tmp_path.iterdir())


def test_another_text_is_accepted_once_and_recorded_where_it_begins(tmp_path):
    folder = write_run(tmp_path / "run")
    before = read_manifest(folder).identity
    finished = sum(b"episode_ended" in line[:60] for line in (folder / "episodes.jsonl").read_bytes().split(b"\n"))
    assert before is not None
    other = msgspec.structs.replace(before, texts=before.texts | {"prompt actor": "0" * 64})
    said = sit_down(folder, before, other, accept_changes=True)
    assert said == [f"from episode {finished + 1} on: other texts or another world, accepted: prompt actor"]
    assert sit_down(folder, before, other, accept_changes=False) == []
    assert [(one.episodes, one.accepted) for one in read_sittings(folder)] == [(finished, ("prompt actor",))]
    with pytest.raises(InputError, match="prompt actor"):  # back again is a change, too
        sit_down(folder, before, before, accept_changes=False)
    assert "accepted: prompt actor (episode 17)" in sittings.cautions_of_sittings(folder)[0]
    out = StringIO()
    diff(folder, write_run(tmp_path / "other"), Console(file=out, width=200))
    assert "texts and scripted world: the same" in out.getvalue()
    assert f"A from episode {finished + 1} on: other texts or another world, accepted: prompt actor" in out.getvalue()


def test_another_commit_goes_on_and_is_said(tmp_path):
    said = sit_down(tmp_path, NOW, OTHER_CODE, accept_changes=False)
    assert len(said) == 1
    assert "from episode 1 on: other code" in said[0]
    assert "commit ffffffffffff" in said[0]
    assert sit_down(tmp_path, NOW, OTHER_CODE, accept_changes=False) == []
    assert sittings.cautions_of_sittings(tmp_path) == []


def served_at(url: str) -> Identity:
    return identity_of(Config(models={"default": Model(backend="openai", model="m", base_url=url)}))


def test_a_server_that_moved_is_recorded_and_said_for_nobody_knows_its_model(tmp_path):
    here, there = served_at("http://127.0.0.1:8000/v1/"), served_at("http://127.0.0.1:8001/v1")
    assert here.servers == {"default": "http://127.0.0.1:8000/v1"}
    said = sit_down(tmp_path, here, there, accept_changes=False)
    assert said == [
        "from episode 1 on: the model default is reached at http://127.0.0.1:8001/v1, before at "
        "http://127.0.0.1:8000/v1"
    ]
    assert sit_down(tmp_path, here, there, accept_changes=False) == []
    assert sittings.cautions_of_sittings(tmp_path) == [
        "a server moved on the way, and nothing tells whether it is the same model: default (episode 1)"
    ]
    unknown = msgspec.structs.replace(here, servers=None)  # begun by an older version
    assert sit_down(tmp_path / "old", unknown, unknown, accept_changes=False) == []
    assert sittings.differences(unknown, there) == []


def test_a_sitting_that_was_cut_short_is_written_anew(tmp_path):
    sit_down(tmp_path, NOW, OTHER_CODE, accept_changes=False)
    path = tmp_path / sittings.SITTINGS
    path.write_bytes(path.read_bytes()[:-20])
    assert read_sittings(tmp_path) == []
    assert sit_down(tmp_path, NOW, OTHER_CODE, accept_changes=False)
    assert len(read_sittings(tmp_path)) == 1
    path.write_bytes(b"{}\n")
    with pytest.raises(DataError, match=r"sittings\.jsonl:1: not a sitting"):
        read_sittings(tmp_path)


def test_a_run_of_before_goes_on_and_is_recorded_from_here_on(tmp_path):
    said = sit_down(tmp_path, None, NOW, accept_changes=False)
    assert said == [
        "from episode 1 on: code, prompts, personas, strategies and world are recorded; before that they were not"
    ]
    with pytest.raises(InputError, match="prompt actor"):
        sit_down(tmp_path, None, OTHER_TEXT, accept_changes=False)


def manifest_with(folder: Path, identity: Identity | None) -> None:
    manifest = msgspec.structs.replace(read_manifest(folder), identity=identity)
    (folder / "config.json").write_bytes(msgspec.json.encode(manifest))


def test_diff_names_texts_world_and_code(tmp_path):
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b")
    other = msgspec.structs.replace(OTHER_TEXT, world=NOW.world | {"world rules.py": "1" * 64}, code=OTHER_CODE.code)
    manifest_with(b, other)
    out = StringIO()
    diff(a, b, Console(file=out, width=200))
    for wanted in ("texts and scripted world: 2 differ", "prompt actor", "world rules.py", "commit", "ffffffffffff"):
        assert wanted in out.getvalue()
    manifest_with(b, None)
    out = StringIO()
    diff(a, b, Console(file=out, width=200))
    assert out.getvalue().count("not recorded") == 6


def test_an_old_manifest_is_read(tmp_path):
    folder = write_run(tmp_path / "a")
    tree = msgspec.json.decode((folder / "config.json").read_bytes())
    del tree["identity"]
    (folder / "config.json").write_bytes(msgspec.json.encode(tree))
    assert read_manifest(folder).identity is None
