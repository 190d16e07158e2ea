"""A process that has loaded everything and forks services, so that a test may start dozens of them.

`laurel up` starts its services in the same way. Run by `python -m tests.flow.nursery`, it reads requests from standard
input and answers each on standard output, one line of JSON either way.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from laurel.embedded.children import Child
from laurel.embedded.forking import Forked, preload
from laurel.io import failpoints

ROOT = Path(__file__).parents[2]


class Nursling(Child):
    """A service that a nursery forked."""

    def __init__(self, nursery: Nursery, name: str, pid: int, log: Path) -> None:
        self.name = name
        self.log = log
        self.stop_signal = signal.SIGTERM
        self._nursery = nursery
        self._pid = pid
        self._exit_code: int | None = None
        self._log_began = log.stat().st_size if log.exists() else 0

    @property
    def pid(self) -> int:
        return self._pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        if self._exit_code is None:
            self._exit_code = self._nursery.ask(poll=self._pid)
        return self._exit_code


class Nursery:
    """The other end of the line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(self, name: str, service: str, mode: str, log: Path, told: Mapping[str, str]) -> Nursling:
        log.parent.mkdir(parents=True, exist_ok=True)
        pid = self.ask(start=name, arguments=[service, mode], log=str(log), environment=dict(told))
        return Nursling(self, name, pid, log)

    def ask(self, **request: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"the nursery ended with {self._process.poll()}"
        return json.loads(answer)


@contextmanager
def nursery() -> Iterator[Nursery]:
    """Run a nursery for the block; its children end with it."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.flow.nursery"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        yield Nursery(process)
        # At the end of its input it goes.
        assert process.stdin is not None
        process.stdin.close()


def serve() -> None:
    """Answer requests until there are no more."""
    preload()
    children: dict[int, Forked] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        if "start" in asked:
            child = Forked(
                asked["start"],
                "tests.flow.nursery",
                asked["arguments"],
                log=Path(asked["log"]),
                environment=asked["environment"],
            )
            children[child.pid] = child
            answer: int | None = child.pid
        else:
            answer = children[asked["poll"]].exit_code
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def be(service: str, mode: str) -> None:
    """Become a service. Its failpoint was not there yet when the module that reads it was loaded."""
    if armed := os.environ.get("LAUREL_FAILPOINT"):
        failpoints.arm_from_environment(armed)
    sys.argv = [f"services.{service}", mode]
    runpy.run_module(f"services.{service}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        serve()
    else:
        be(*sys.argv[1:])
