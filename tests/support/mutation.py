"""A module's tests against its mutants: ``python -m support.mutation MODULE PYTEST_ARGUMENT...``, one JSON line out.

The tests are collected once. Each mutant is a forked child in which the functions of the module, already imported
everywhere, are given the mutant's code; it runs the tests, the quick ones first, until one fails. Hypothesis draws the
same examples every time and shrinks nothing. A mutant that takes too long is killed by the clock, which counts.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import resource
import signal
import sys
import time
import types
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol
from hypothesis import HealthCheck, Phase, settings

from support.mutants import Mutant, mutants_of

PROCESSES = 2
_KILLED, _SURVIVED, _BROKEN = 7, 8, 9
_SPARE_BYTES = 3 << 30


class Mutation:
    """A pytest plugin that runs the collected tests on mutants instead of on the code as it is."""

    def __init__(self, module: str) -> None:
        self.module = importlib.import_module(module)
        source = Path(str(self.module.__file__)).read_text(encoding="utf-8")
        self.mutants = mutants_of(source)
        self.survivors: list[str] = []

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        assert not session.testsfailed, "the tests cannot be collected"
        took: dict[str, float] = {}
        for item, following in _with_next(session.items):
            began = time.perf_counter()
            reports = runtestprotocol(item, nextitem=following, log=False)
            assert not any(report.failed for report in reports), f"{item.nodeid} fails without a mutant"
            took[item.nodeid] = time.perf_counter() - began
        order = sorted(session.items, key=lambda item: took[item.nodeid])
        limit_s = int(20 + 4 * sum(took.values()))
        living: dict[int, Mutant] = {}
        for mutant in self.mutants:
            while len(living) >= PROCESSES:
                self._ended(living)
            pid = os.fork()
            if pid == 0:
                _be(mutant, self.module, order, limit_s)
            living[pid] = mutant
        while living:
            self._ended(living)
        return True

    def _ended(self, living: dict[int, Mutant]) -> None:
        pid, status = os.wait()
        mutant = living.pop(pid)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == _SURVIVED:
            self.survivors.append(mutant.name)
        elif os.WIFEXITED(status) and os.WEXITSTATUS(status) != _KILLED:
            raise AssertionError(f"the mutant could not be tried: {mutant.name}")


def _be(mutant: Mutant, module: types.ModuleType, order: list[pytest.Item], limit_s: int) -> None:
    """The child: never returns."""
    code = _BROKEN
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(limit_s)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + _SPARE_BYTES, used + _SPARE_BYTES))
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        try:
            put_on(module, mutant.tree)
        except Exception:
            os._exit(_KILLED)  # the module cannot even be imported
        code = _SURVIVED
        for item, following in _with_next(order):
            if any(report.failed for report in runtestprotocol(item, nextitem=following, log=False)):
                code = _KILLED
                break
    finally:
        os._exit(code)


def put_on(module: types.ModuleType, tree: ast.Module) -> None:
    """Give a module's functions and constants those of another tree, wherever they were imported to."""
    other = types.ModuleType(module.__name__)
    other.__dict__.update(__file__=module.__file__, __package__=module.__package__)
    exec(compile(tree, str(module.__file__), "exec"), other.__dict__)
    for name, new in vars(other).items():
        old = vars(module).get(name)
        if isinstance(old, int | float) and not isinstance(old, bool) and old != new:
            for user in [m for m in sys.modules.values() if vars(m).get(name) is old]:
                setattr(user, name, new)
        else:
            _recode(old, new, module.__name__)


def _recode(old: object, new: object, module: str) -> None:
    if isinstance(old, type) and isinstance(new, type) and old.__module__ == module:
        for name, part in list(vars(new).items()):
            _recode(vars(old).get(name), part, module)
    elif isinstance(old, property) and isinstance(new, property):
        _recode(old.fget, new.fget, module)
    elif hasattr(old, "cache_clear") and hasattr(new, "__wrapped__"):
        old.cache_clear()
        _recode(old.__wrapped__, new.__wrapped__, module)  # type: ignore[attr-defined]
    elif isinstance(old, types.FunctionType) and isinstance(new, types.FunctionType) and old.__module__ == module:
        old.__code__, old.__defaults__, old.__kwdefaults__ = new.__code__, new.__defaults__, new.__kwdefaults__


def _with_next(items: list[pytest.Item]) -> list[tuple[pytest.Item, pytest.Item | None]]:
    return list(zip(items, [*items[1:], None], strict=True))


def main(module: str, *arguments: str) -> None:
    settings.register_profile(
        "mutation",
        derandomize=True,
        database=None,
        max_examples=30,
        deadline=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    settings.load_profile("mutation")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    plugin = Mutation(module)
    options = ["-q", "-p", "no:cacheprovider", "--capture=no", "--assert=plain"]
    code = pytest.main([*options, *arguments], plugins=[plugin])
    assert code in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED), code
    found = {"mutants": [mutant.name for mutant in plugin.mutants], "survivors": plugin.survivors}
    print(json.dumps(found), file=answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
