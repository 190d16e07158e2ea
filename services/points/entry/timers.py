"""Time comes in: what is due for members whom nobody touches, in batches that can stop and go on anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from laurel.io.database import Connection
from laurel.io.health import Health
from laurel.io.keeping import keep_doing
from laurel.io.unit import UnitOfWork
from services.points.entry.consumers import sayings_of
from services.points.entry.parts import in_parts
from services.points.ports import Store, WalletKey
from services.points.road import Road

PART = "timer"


class Clocked(Protocol):
    """Knows which programs live by the wall clock."""

    def on_wall_clocks(self) -> list[str]: ...


class DueStore(Store, Protocol):
    """A store that also finds who has something due."""

    async def due(self, programs: Sequence[str], until: datetime, limit: int) -> list[WalletKey]:
        """Return up to `limit` wallets of these programs with something due by `until`."""

    async def take_due(self, programs: Sequence[str], until: datetime, limit: int) -> list[WalletKey]:
        """Lock up to `limit` of them that nobody else is at; return which they are."""


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
        health: Health,
        *,
        interval_seconds: float,
        batch_max: int,
        at_once: int = 1,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._unit = unit
        self._road = road
        self._programs = programs
        self._ledger = ledger
        self._health = health
        self._interval_seconds = interval_seconds
        self._batch_max = batch_max
        self._at_once = at_once
        self._now = now

    async def run(self) -> None:
        """Do what is due, again and again, until cancelled; trouble is told and waited out."""
        await keep_doing(self.run_once, partial(asyncio.sleep, self._interval_seconds), self._health, PART)

    async def run_once(self) -> int:
        """Do all that is due now; return how many wallets were looked at."""
        done = 0
        before: list[WalletKey] = []
        while True:
            until = self._now()
            due = await self._due(until)
            taken: list[WalletKey] = []
            await in_parts(due, self._batch_max, partial(self._take, until, taken))
            done += len(taken)
            # Where a look leads to nothing the wallet is looked at later; one that does not move must not keep us.
            if len(due) < self._batch_max * self._at_once or sorted(taken) in ([], before):
                return done
            before = sorted(taken)

    async def _due(self, until: datetime) -> list[WalletKey]:
        """Look, without locks, whom something is due for: how many parts there are to be taken."""
        async with self._unit.database.reading() as connection:
            ledger = self._ledger(connection)
            return await ledger.due(self._programs.on_wall_clocks(), until, self._batch_max * self._at_once)

    async def _take(self, until: datetime, taken: list[WalletKey], part: Sequence[WalletKey]) -> None:
        """Do what is due for as many members as a part has: for those at whom nobody else is by now.

        So parts share no member, of whichever process they are, and none waits for another.
        """
        async with self._unit.begin() as work:
            ledger = self._ledger(work.connection)
            wallets = await ledger.take_due(self._programs.on_wall_clocks(), until, len(part))
            if wallets:
                work.say_all(sayings_of(await self._road.run_due(ledger, wallets, until)))
        taken += wallets
