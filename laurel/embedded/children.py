"""Child processes that never outlive their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

LAUNCHER = Path(__file__).with_name("launcher.py")


class Child:
    """One process of ours: its name for people, its log, and how it is told to stop.

    Start children from the main thread: on Linux a child is told to stop when the *thread* that started it ends, which
    is how it also goes when the parent is killed without a chance to clean up.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        user: tuple[int, int] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self.stop_signal = stop_signal
        uid, gid = user or (-1, -1)
        with self._sink() as sink:
            self._process = subprocess.Popen(
                [
                    sys.executable, "-I", "-S", str(LAUNCHER),
                    str(os.getpid()), str(int(stop_signal)), str(uid), str(gid), *command,
                ],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env=None if environment is None else dict(environment),
                cwd=cwd,
                # Ctrl-C in the terminal goes to the whole foreground group; only the parent shall hear it.
                start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    @property
    def running(self) -> bool:
        return self.exit_code is None

    def ask_to_stop(self) -> None:
        if self.running:
            os.kill(self.pid, self.stop_signal)

    def kill(self) -> None:
        """End it at once, if it has not ended yet."""
        while self.running:
            os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.002)

    def stop(self, grace_seconds: float = 10.0) -> None:
        """Ask, wait, and insist."""
        stop_all([self], grace_seconds)

    def _sink(self) -> IO[bytes]:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        sink = self.log.open("ab")
        # What earlier runs said stays in the file, and is not about this one.
        self._log_began = sink.tell()
        return sink

    def last_words(self, lines: int = 15) -> str:
        """The end of what this run wrote into its log, for a message about why it died."""
        try:
            with self.log.open("rb") as source:
                source.seek(self._log_began)
                text = source.read().decode("utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])


def stop_all(children: Iterable[Child], grace_seconds: float = 10.0) -> None:
    """Ask all at once, wait for all, kill those that have not gone when the time is over."""
    remaining = list(children)
    for child in remaining:
        child.ask_to_stop()
    deadline = time.monotonic() + grace_seconds
    while any(child.running for child in remaining) and time.monotonic() < deadline:
        time.sleep(0.01)
    for child in remaining:
        child.kill()
