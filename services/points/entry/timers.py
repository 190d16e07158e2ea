"""Time comes in: what is due for members whom nobody touches, in batches that can stop and go on anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

from laurel.io.database import Connection
from laurel.io.unit import UnitOfWork
from services.points.entry.consumers import sayings_of
from services.points.ports import Announcement, Store, WalletKey
from services.points.road import Road


class Clocked(Protocol):
    """Knows which programs live by the wall clock."""

    def on_wall_clocks(self) -> list[str]: ...


class DueStore(Store, Protocol):
    """A store that also finds who has something due."""

    async def due(self, programs: Sequence[str], until: datetime, limit: int) -> list[WalletKey]:
        """Return up to `limit` wallets of these programs with something due by `until`."""


def _now() -> datetime:
    return datetime.now(UTC)


class ExpiryTimer:
    """Looks for wallets with something due, and applies it as a message would have done first."""

    def __init__(
        self,
        unit: UnitOfWork,
        road: Road,
        programs: Clocked,
        ledger: Callable[[Connection], DueStore],
        *,
        interval_seconds: float,
        batch_max: int,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._unit = unit
        self._road = road
        self._programs = programs
        self._ledger = ledger
        self._interval_seconds = interval_seconds
        self._batch_max = batch_max
        self._now = now

    async def run(self) -> None:
        """Do what is due, again and again, until cancelled."""
        while True:
            await self.run_once()
            await asyncio.sleep(self._interval_seconds)

    async def run_once(self) -> int:
        """Do all that is due now; return how many wallets were looked at."""
        done = 0
        while True:
            count, moved = await self._batch(self._now())
            done += count
            if count < self._batch_max or not moved:
                return done

    async def _batch(self, until: datetime) -> tuple[int, bool]:
        announcements: list[Announcement] = []
        async with self._unit.begin() as work:
            ledger = self._ledger(work.connection)
            wallets = await ledger.due(self._programs.on_wall_clocks(), until, self._batch_max)
            if wallets:
                announcements = await self._road.run_due(ledger, wallets, until)
                work.say_all(sayings_of(announcements))
        return len(wallets), bool(announcements)
