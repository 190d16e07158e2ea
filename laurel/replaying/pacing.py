"""How fast a replay goes: as fast as it is taken, or so many times faster than it happened."""

from __future__ import annotations

from collections.abc import Callable


class Pace:
    """Says how long to wait for a moment of the data; the first one asked about starts the clock."""

    def __init__(self, times_faster: float | None, clock: Callable[[], float]) -> None:
        if times_faster is not None and times_faster <= 0:
            raise ValueError("a replay goes forward: its speed is above zero")
        self._times_faster = times_faster
        self._clock = clock
        self._first: tuple[float, float] | None = None

    def wait_seconds(self, moment_seconds: float) -> float:
        """Return the seconds until the moment is due; 0 where it is, or where nothing is paced."""
        if self._times_faster is None:
            return 0.0
        if self._first is None:
            self._first = (moment_seconds, self._clock())
        started_moment, started_clock = self._first
        due = started_clock + (moment_seconds - started_moment) / self._times_faster
        return max(0.0, due - self._clock())
