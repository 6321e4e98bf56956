"""A server process for tests of `harness.core.model.server`: answers /health and /v1 with 200; misbehaves on request.

Options: ``--port N``, ``--parent-fd N``, ``--announce`` (print the ready line), ``--child`` (start a grandchild and
print its pid), ``--stubborn`` (ignore SIGTERM, also in the grandchild), ``--never`` (never listen), ``--say TEXT``,
``--exit N``.
"""

from __future__ import annotations

import argparse
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        pass


def _end_with_parent(fd: int) -> None:
    while os.read(fd, 1):
        pass
    os.killpg(0, signal.SIGKILL)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--parent-fd", type=int)
    parser.add_argument("--say", default="")
    parser.add_argument("--exit", type=int)
    for flag in ("announce", "child", "stubborn", "never"):
        parser.add_argument(f"--{flag}", action="store_true")
    options = parser.parse_args()
    if options.stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if options.parent_fd is not None:
        threading.Thread(target=_end_with_parent, args=(options.parent_fd,), daemon=True).start()
    if options.child:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print(f"child {child.pid}", flush=True)
    if options.say:
        print(options.say, flush=True)
    if options.exit is not None:
        return int(options.exit)
    if options.never:
        time.sleep(600)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", options.port), _Handler)
    if options.announce:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        print(json.dumps({"event": "listening", "url": url, "pid": os.getpid()}), flush=True)
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
