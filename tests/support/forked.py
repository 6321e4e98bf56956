"""``python -m harness ...`` in child processes that start in a blink: forked from one process that has imported it all.

A child is a process of its own in its own session, with the real command line, real signals and real files; only the
seconds of importing torch are shared. ``Forkery`` is the test's side; this module, run, is the warm process.
A child may be sabotaged: ``sabotage="name"`` calls that function of `support.sabotage` in the child before it starts.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent


class Child:
    """A running or ended child."""

    def __init__(self, forkery: Forkery, pid: int, folder: Path) -> None:
        self.pid = pid
        self._forkery = forkery
        self._folder = folder
        self._code: int | None = None

    def poll(self) -> int | None:
        """Exit code (negative: the signal that ended it), None while it lives."""
        if self._code is None:
            self._code = self._forkery.ask({"poll": self.pid})
        return self._code

    def wait(self, timeout_s: float = 120.0) -> int:
        """The exit code; a child that takes longer is killed and fails the test."""
        ends_at = time.monotonic() + timeout_s
        while (code := self.poll()) is None:
            if time.monotonic() > ends_at:
                self.signal(signal.SIGKILL)
                raise AssertionError(f"the child did not end within {timeout_s:g} s; it said: {self.said()[-2000:]}")
            time.sleep(0.01)
        return code

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def said(self) -> str:
        """Standard output and error so far."""
        return self.output() + self.errors()

    def output(self) -> str:
        return (self._folder / "out").read_text(errors="replace")

    def errors(self) -> str:
        return (self._folder / "err").read_text(errors="replace")


class Forkery:
    """Starts children; a context manager that ends them all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT / 'tests'}{os.pathsep}{ROOT}"}
        self._warm = subprocess.Popen(
            [sys.executable, "-m", "support.forked"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._receive() == "ready"

    def __enter__(self) -> Forkery:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._warm.stdin is not None
        assert self._warm.stdout is not None
        self._warm.stdin.close()
        self._warm.wait(30)  # it ends its children first
        self._warm.stdout.close()

    def start(
        self,
        *arguments: str | Path,
        sabotage: str = "",
        env: Mapping[str, str] | None = None,
        file_bytes: int | None = None,
    ) -> Child:
        """A child with these arguments; ``file_bytes``: no file may grow beyond this (a full disk, to the child)."""
        self._count += 1
        folder = self._folder / f"child-{self._count}"
        folder.mkdir()
        asked = {
            "arguments": [str(argument) for argument in arguments],
            "folder": str(folder),
            "sabotage": sabotage,
            "env": dict(env or {}),
            "file_bytes": file_bytes,
        }
        return Child(self, self.ask(asked), folder)

    def run(self, *arguments: str | Path, **how: Any) -> Child:
        """A child that has ended."""
        child = self.start(*arguments, **how)
        child.wait()
        return child

    def ask(self, question: dict[str, Any]) -> Any:
        assert self._warm.stdin is not None
        self._warm.stdin.write(json.dumps(question).encode() + b"\n")
        self._warm.stdin.flush()
        return self._receive()

    def _receive(self) -> Any:
        assert self._warm.stdout is not None
        line = self._warm.stdout.readline()
        if not line:
            raise AssertionError("the warm process ended")
        return json.loads(line)


def _be_warm() -> None:
    from harness.app.commands import compare, label_eval, study
    from harness.app.setup.wiring import retriever_encoder

    retriever_encoder().embed("warm")
    assert compare
    assert label_eval
    assert study
    _say("ready")
    living: set[int] = set()
    for line in sys.stdin:
        question = json.loads(line)
        if "poll" in question:
            pid, status = os.waitpid(question["poll"], os.WNOHANG)
            living.discard(pid)
            _say(os.waitstatus_to_exitcode(status) if pid else None)
        else:
            pid = os.fork()
            if pid == 0:
                _be_child(question)
            living.add(pid)
            _say(pid)
    for pid in living:
        os.kill(pid, signal.SIGKILL)
    # Without the seconds in which torch is taken down.
    os._exit(0)


def _say(answer: object) -> None:
    print(json.dumps(answer), flush=True)


def _be_child(asked: dict[str, Any]) -> None:
    code = 1
    try:
        os.setsid()
        for name, descriptor in (("/dev/null", 0), (f"{asked['folder']}/out", 1), (f"{asked['folder']}/err", 2)):
            opened = os.open(name, os.O_RDWR | os.O_CREAT, 0o644)
            os.dup2(opened, descriptor)
            os.close(opened)
        os.environ.update(asked["env"])
        if asked["file_bytes"] is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (asked["file_bytes"], asked["file_bytes"]))
        if asked["sabotage"]:
            from support import sabotage

            getattr(sabotage, asked["sabotage"])()
        sys.argv = ["harness", *asked["arguments"]]
        from harness.app.cli import main

        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _be_warm()
