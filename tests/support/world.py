"""A scripted server with faults on request, for tests that run the harness against it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
GRAPH = ROOT / "fixtures" / "tiny" / "films.json"


class World:
    """The server as a process; ``die`` and ``rise`` keep its port."""

    def __init__(self) -> None:
        self.port = 0
        self.rise()

    def rise(self) -> None:
        command = [sys.executable, "-m", "simulator.scripted", "--graph", str(GRAPH), "--faults"]
        watched, self._held = os.pipe()
        self._process = subprocess.Popen(
            [*command, "--port", str(self.port), "--parent-fd", str(watched)],
            stdout=subprocess.PIPE,
            pass_fds=(watched,),
            cwd=ROOT,
        )
        os.close(watched)
        assert self._process.stdout is not None
        said = json.loads(self._process.stdout.readline())
        self.port = int(said["url"].rpartition(":")[2])

    def die(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        os.close(self._held)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def faults(self, *rules: dict[str, Any]) -> None:
        """Replace all rules."""
        body = json.dumps(list(rules)).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/faults", data=body, method="POST")
        with urllib.request.urlopen(request, timeout=10):
            pass

    def requests(self) -> int:
        """Chat requests answered since it rose."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            text: str = answer.read().decode()
        return int(float(text.split("vllm:request_success_total{")[1].split("} ")[1].split("\n")[0]))

    def left(self) -> list[dict[str, Any]]:
        """The rules with the uses they have left."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/faults", timeout=10) as answer:
            rules: list[dict[str, Any]] = json.loads(answer.read())
        return rules
