"""Memory and processor time of named processes, read from /proc while they work."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Watched:
    """One process: its memory over time and the processor time it used while watched."""

    name: str
    pid: int
    family: bool = False
    """Whether its children count too, as with Postgres."""
    memory_mb: list[float] = field(default_factory=list)
    peak_mb: float = 0.0
    cpu_at: list[tuple[float, float]] = field(default_factory=list)
    """Processor time used so far, by the seconds since the start."""
    cpu_before: float = 0.0
    cpu_after: float = 0.0

    @property
    def cpu_seconds(self) -> float:
        return self.cpu_after - self.cpu_before

    def used(self, begin: float, end: float) -> float:
        """Return the processor time used between two moments, from the samples nearest before them."""
        used = [max((cpu for at, cpu in self.cpu_at if at <= moment), default=0.0) for moment in (begin, end)]
        return used[1] - used[0]

    def document(self) -> dict[str, Any]:
        """Say it as plain values; memory as its peak, and as means of the second and the last quarter."""
        quarter = max(1, len(self.memory_mb) // 4)
        early = self.memory_mb[quarter : 2 * quarter] or self.memory_mb
        late = self.memory_mb[-quarter:]
        return {
            "process": self.name,
            "cpu_seconds": round(self.cpu_seconds, 2),
            "peak_mb": round(self.peak_mb, 1),
            "early_mb": round(_mean(early), 1),
            "late_mb": round(_mean(late), 1),
        }


class Watch:
    """Samples processes until it is stopped; one that ends keeps what was seen of it."""

    def __init__(
        self, processes: Mapping[str, int], *, families: Iterable[str] = (), every_seconds: float = 0.5
    ) -> None:
        families = set(families)
        self.watched = [Watched(name, pid, name in families) for name, pid in processes.items()]
        self._every_seconds = every_seconds
        self._task: asyncio.Task[None] | None = None
        self._started = 0.0
        self.seconds = 0.0

    async def __aenter__(self) -> Self:
        self._started = time.monotonic()
        for process in self.watched:
            process.cpu_before = process.cpu_after = cpu_seconds(process.pid, family=process.family)
        self._sample()
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._sample()
        self.seconds = time.monotonic() - self._started

    def document(self) -> list[dict[str, Any]]:
        return [process.document() for process in self.watched]

    def timeline(self, seconds: float) -> list[dict[str, float]]:
        """Say how many processors each used, in stretches of so many seconds."""
        ends = [seconds * (number + 1) for number in range(int(self.seconds // seconds))]
        return [
            {process.name: round(process.used(end - seconds, end) / seconds, 2) for process in self.watched}
            for end in ends
        ]

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every_seconds)
            self._sample()

    def _sample(self) -> None:
        for process in self.watched:
            used = cpu_seconds(process.pid, family=process.family)
            process.cpu_after = max(process.cpu_after, used)
            process.cpu_at.append((time.monotonic() - self._started, process.cpu_seconds))
            now, peak = memory_mb(process.pid)
            if now:
                process.memory_mb.append(now)
                process.peak_mb = max(process.peak_mb, peak)


def cpu_seconds(pid: int, *, family: bool = False) -> float:
    """Return the processor time a process used, with that of its living and dead children if asked; 0 if it is gone."""
    own = _stat(pid)
    if own is None:
        return 0.0
    user, system, dead_user, dead_system = own
    total = user + system
    if family:
        total += dead_user + dead_system
        for child in children(pid):
            used = _stat(child)
            if used is not None:
                total += used[0] + used[1]
    return total / _TICKS


def memory_mb(pid: int) -> tuple[float, float]:
    """Return resident memory now and at its highest; zeros if the process is gone."""
    try:
        lines = (PROC / str(pid) / "status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0, 0.0
    values = dict(line.partition(":")[::2] for line in lines)
    return _kb(values.get("VmRSS", "0 kB")) / 1024, _kb(values.get("VmHWM", "0 kB")) / 1024


def children(pid: int) -> list[int]:
    """Return the direct children of a process."""
    found: list[int] = []
    for task in (PROC / str(pid) / "task").glob("*/children"):
        with suppress(OSError):
            found += [int(child) for child in task.read_text(encoding="utf-8").split()]
    return found


def _stat(pid: int) -> tuple[int, int, int, int] | None:
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8")
    except OSError:
        return None
    # The name of a program stands in brackets and may hold anything, so fields are counted from its end.
    fields = text.rpartition(")")[2].split()
    user, system, dead_user, dead_system = (int(value) for value in fields[11:15])
    return user, system, dead_user, dead_system


def _kb(value: str) -> float:
    return float(value.split(maxsplit=1)[0])


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0
