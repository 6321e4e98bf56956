"""``python guard.py --parent-fd N -- COMMAND...``: runs a command that must not outlive the harness.

The harness holds the other end of the pipe ``N``. When the harness is gone (after kill -9 too), the pipe is at its end,
and the guard ends its whole process group: SIGTERM, ten seconds, SIGKILL. It serves servers that cannot watch a pipe
themselves, such as vLLM, whose workers would stay behind. (PR_SET_PDEATHSIG reaches direct children only.)

Guard and command share one group, so a signal to the group reaches both. The guard waits for the command and exits with
the same code. It imports the standard library only, since it stays in memory beside the server.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time

_GRACE_S = 10.0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m harness.core.model.guard", description="End a command with its parent."
    )
    parser.add_argument("--parent-fd", type=int, required=True, help="inherited descriptor whose end means: stop")
    parser.add_argument("command", nargs="+", help="after --: the command and its arguments")
    options = parser.parse_args(arguments)
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)  # a group of its own, so that ending the group ends no other process
    # Python functions, not SIG_IGN: the command must start with the default actions.
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGINT, lambda *_: None)
    try:
        command = subprocess.Popen(options.command, stdin=subprocess.DEVNULL)
    except OSError as error:
        print(f"cannot start {options.command[0]}: {error.strerror}", file=sys.stderr, flush=True)
        return 127
    threading.Thread(target=_end_with_parent, args=(options.parent_fd, command), daemon=True).start()
    code = command.wait()
    return code if code >= 0 else 128 - code


def _end_with_parent(fd: int, command: subprocess.Popen[bytes]) -> None:
    while True:
        try:
            if not os.read(fd, 4096):
                break
        except OSError:
            break
    os.killpg(0, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE_S
    while command.returncode is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
