"""A running Laurel for as long as something needs it: the one that runs already, or one of our own."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from laurel.embedded.children import Child
from laurel.embedded.status import DATA_DIR, Status, is_held, read_status
from laurel.embedded.supervisor import STOP_SECONDS_MAX
from laurel.errors import LaurelError

START_SECONDS_MAX = 180.0


class StartFailedError(LaurelError):
    """Laurel did not start; what it said was told already."""


@contextmanager
def start_if_needed(
    data_dir: Path = DATA_DIR, *arguments: str, tell: Callable[[str], None] = lambda _: None
) -> Iterator[Status]:
    """Use what runs on the data directory and leave it running; else start `laurel up` below us, and stop it then.

    `arguments` are further ones of `laurel up`, for when it has to be started; `tell` is given each line that it
    says. Call it from the main thread, as every start of a child.
    """
    if is_held(data_dir):
        yield _started(data_dir, None, tell)
        return
    log = data_dir / "logs" / "up.log"
    log.unlink(missing_ok=True)
    command = [sys.executable, "-m", "laurel.cli.app", "up", "--data-dir", str(data_dir), *arguments]
    supervisor = Child("laurel up", command, log=log)
    try:
        yield _started(data_dir, supervisor, tell)
    finally:
        supervisor.stop(grace_seconds=STOP_SECONDS_MAX + 35.0)


def _started(data_dir: Path, supervisor: Child | None, tell: Callable[[str], None]) -> Status:
    deadline = time.monotonic() + START_SECONDS_MAX
    lines = _Lines(supervisor, tell)
    while True:
        over = supervisor is not None and not supervisor.running
        status = read_status(data_dir)
        lines.pass_on()
        if status is not None:
            return status
        if over or time.monotonic() > deadline:
            raise StartFailedError("Laurel did not start.")
        time.sleep(0.05)


class _Lines:
    """The lines of a child's log, as they come."""

    def __init__(self, child: Child | None, tell: Callable[[str], None]) -> None:
        self._log = None if child is None else child.log
        self._tell = tell
        self._place = 0

    def pass_on(self) -> None:
        if self._log is None:
            return
        with self._log.open("r", encoding="utf-8", errors="replace") as source:
            source.seek(self._place)
            while (line := source.readline()).endswith("\n"):
                self._tell(line.rstrip("\n"))
                self._place = source.tell()
