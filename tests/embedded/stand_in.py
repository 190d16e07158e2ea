"""Stands in for a service in tests of the supervisor: is ready at once, and does what the test asks.

`stand_in.py up DATA_DIR PORT` supervises stand-ins; `stand_in.py serve SERVICE` is one.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SEEN = "stand_in.json"
STARTED = "stand_in.pid"


class Handler(BaseHTTPRequestHandler):
    """Health, and the routes that the supervisor uses."""

    def do_GET(self) -> None:
        reason = os.environ.get("STAND_IN_NOT_READY", "")
        self._answer(503 if reason else 200, reason or "ready")

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with Path(os.environ["LAUREL_GATEWAY_ADMIN_KEY_FILE"]).with_name(SEEN).open("a", encoding="utf-8") as seen:
            entry = {"path": self.path, "key": self.headers["Authorization"], "clock": body.get("clock")}
            seen.write(json.dumps(entry) + "\n")
        self._answer(201, "{}")

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def serve(service: str) -> None:
    if os.environ.get("STAND_IN_BROKEN"):
        sys.exit("broken on purpose")
    prefix = f"LAUREL_{service.upper()}_"
    key_file = os.environ.get(f"{prefix}ADMIN_KEY_FILE")
    if key_file is not None:
        Path(key_file).write_text("lk_test\n", encoding="utf-8")
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ[f"{prefix}HTTP_PORT"])), Handler)
    signal.signal(signal.SIGTERM, lambda *_: leave())
    server.serve_forever()


def leave() -> None:
    time.sleep(float(os.environ.get("STAND_IN_LEAVES_AFTER", "0")))
    os._exit(0)


def up(data_dir: str, port: str) -> int:
    from laurel.cli.up import run
    from laurel.embedded.children import Child
    from laurel.embedded.services import Role
    from laurel.embedded.supervisor import Options

    def start(role: Role, log: Path, told: Mapping[str, str]) -> Child:
        child = Child(role.name, [sys.executable, __file__, "serve", role.service], log=log, environment=told)
        if os.environ.get("STAND_IN_STOPPED_AT") == role.name:
            Path(data_dir, STARTED).write_text(str(child.pid), encoding="utf-8")
            os.kill(os.getpid(), signal.SIGTERM)
        return child

    return run(Options(data_dir=Path(data_dir), port=int(port), start=start, load=lambda: None))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        sys.exit(up(sys.argv[2], sys.argv[3]))
