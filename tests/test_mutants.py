"""Mutation testing of what every number rests on: each small change of these modules is noticed by their tests.

A mutant that no test notices fails here by name. Either a test is missing, or the change is none: then it stands in
``tests/data/equivalent_mutants.toml`` with the reason. An entry that is no mutant any more, or that a test does notice,
fails as well, so the list says what is so.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest
from support.mutants import mutants_of

ROOT = Path(__file__).parent.parent
EVALUATION = "harness.app.evaluation"
TARGETS: dict[str, tuple[str, ...]] = {
    "learner.returns": ("test_returns.py",),
    "learner.gae": ("test_gae.py",),
    "learner.critic": ("test_critic.py",),
    "learner.objective": ("test_objective.py",),
    "learner.offpolicy": ("test_offpolicy.py", "test_offpolicy_formulas.py"),
    "experts.reward": ("test_reward.py",),
    f"{EVALUATION}.metrics": ("test_metrics.py",),
    f"{EVALUATION}.persuasion": ("test_dialogue_measures.py",),
    f"{EVALUATION}.credibility": ("test_dialogue_measures.py",),
    f"{EVALUATION}.scales": ("test_statistics.py",),
    f"{EVALUATION}.statistics": ("test_statistics.py",),
    f"{EVALUATION}.two_way": ("test_two_way.py", "test_two_way_formulas.py"),
}
"""Module -> the tests that guard it."""
LONG = ("the_target_is_found", "intervals_hold", "intervals_cover")
"""Tests that play thousands of conversations: no mutant needs them."""
LEAST = 1_000
"""Mutants in all, so that a tool that finds none does not pass."""


class Equivalent(msgspec.Struct, forbid_unknown_fields=True):
    """A change that changes nothing."""

    module: str
    mutants: list[str]
    reason: str


def known(module: str) -> dict[str, str]:
    """Mutant -> why no test can notice it."""
    tree = tomllib.loads((ROOT / "tests" / "data" / "equivalent_mutants.toml").read_text(encoding="utf-8"))
    found = msgspec.convert(tree["equivalent"], list[Equivalent])
    assert {one.module for one in found} <= TARGETS.keys()
    return {mutant: one.reason for one in found if one.module == module for mutant in one.mutants}


@pytest.mark.slow  # a fork for each of 1,700 mutants: three to ten minutes
@pytest.mark.parametrize("module", TARGETS)
def test_every_mutant_is_noticed(module: str) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'tests'}{os.pathsep}{ROOT}",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    files = [f"tests/{file}" for file in TARGETS[module]]
    without = " and ".join(f"not {name}" for name in LONG)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "support.mutation",
            module,
            "-k",
            without,
            *files,
        ],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = msgspec.json.decode(done.stdout, type=dict[str, list[str]])
    tried, survived = set(found["mutants"]), set(found["survivors"])
    print(f"{module}: {len(tried) - len(survived)} of {len(tried)} mutants killed, {len(survived)} equivalent")
    equivalent = known(module).keys()
    assert not survived - equivalent, "no test notices:\n" + "\n".join(sorted(survived - equivalent))
    assert not equivalent - tried, "no mutants any more:\n" + "\n".join(sorted(equivalent - tried))
    assert not equivalent - survived, "a test does notice:\n" + "\n".join(sorted(equivalent - survived))


@pytest.mark.slow  # as the mutants themselves: to find them all takes 20 s
def test_there_are_many_mutants_of_every_module() -> None:
    counts = {module: len(mutants_of((ROOT / f"{module.replace('.', '/')}.py").read_text())) for module in TARGETS}
    assert sum(counts.values()) >= LEAST
    assert min(counts.values()) >= 15


SOURCE = '''
LIMIT = 3


def f(a, *, strict=True):
    """Says 1."""
    if not a or len(a) > LIMIT:
        raise ValueError("more than 3")
    b = sorted(a, key=lambda v: (abs(v), v))[1:]
    return sum(b) / 2 if strict else None
'''
FOUND = """
module: LIMIT = 3  ->  LIMIT = 4
module: LIMIT = 3  ->  LIMIT = 2
f: if not a or len(a) > LIMIT:  ->  if False:
f: if not a or len(a) > LIMIT:  ->  if True:
f: if not a or len(a) > LIMIT:  ->  if not a and len(a) > LIMIT:
f: if not a or len(a) > LIMIT:  ->  if a or len(a) > LIMIT:
f: if not a or len(a) > LIMIT:  ->  if not a or len(a) >= LIMIT:
f: if not a or len(a) > LIMIT:  ->  if not a or len(a) <= LIMIT:
f: b = sorted(a, key=lambda v: (abs(v), v))[1:]  ->  b = sorted(a, key=lambda v: (abs(v),))[1:]
f: b = sorted(a, key=lambda v: (abs(v), v))[1:]  ->  b = sorted(a, key=lambda v: (abs(v), -v))[1:]
f: b = sorted(a, key=lambda v: (abs(v), v))[1:]  ->  b = sorted(a, key=lambda v: (v, v))[1:]
f: b = sorted(a, key=lambda v: (abs(v), v))[1:]  ->  b = sorted(a, key=lambda v: (abs(v), v))[1 + 1:]
f: b = sorted(a, key=lambda v: (abs(v), v))[1:]  ->  b = sorted(a, key=lambda v: (abs(v), v))[2:]
f: b = sorted(a, key=lambda v: (abs(v), v))[1:]  ->  b = sorted(a, key=lambda v: (abs(v), v))[0:]
f: return sum(b) / 2 if strict else None  ->  return None
f: return sum(b) / 2 if strict else None  ->  return None if strict else sum(b) / 2
f: return sum(b) / 2 if strict else None  ->  return sum(b) * 2 if strict else None
f: return sum(b) / 2 if strict else None  ->  return 2 / sum(b) if strict else None
f: return sum(b) / 2 if strict else None  ->  return sum(b) / 3 if strict else None
f: return sum(b) / 2 if strict else None  ->  return sum(b) / 1 if strict else None
"""


def test_the_mutants_of_a_function() -> None:
    assert [mutant.name for mutant in mutants_of(SOURCE)] == FOUND.strip().split("\n")


def test_two_equal_changes_of_one_function_have_two_names() -> None:
    names = [mutant.name for mutant in mutants_of("def f(a):\n    a += 1\n    a += 1\n")]
    assert len(names) == len(set(names)) == 8
    assert sum(name.endswith("  #2") for name in names) == 4
