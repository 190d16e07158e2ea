"""Time comes in: sagas that have waited long enough for points, and vouchers that have ended, in batches that can stop
and go on anywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial

from laurel.io.database import Connection
from laurel.io.health import Health
from laurel.io.keeping import keep_doing
from laurel.io.unit import UnitOfWork
from services.redemption.domain.heard import TimeIsUp, VoucherEnds
from services.redemption.entry.consumers import StoreOf, count, sayings_of
from services.redemption.road import Road

PART = "timer"

Overdue = Callable[[Connection, datetime, int], Awaitable[Sequence[TimeIsUp | VoucherEnds]]]
"""Finds so many sagas whose wait was over by then, or vouchers."""


def _now() -> datetime:
    return datetime.now(UTC)


class WaitTimer:
    """Ends sagas whose wait is over, or vouchers. Programs on a manual clock have none: nothing of theirs is found.

    It rests while `hearing` says that no messages are read, after a start or without a broker: the answer of points
    may have come in time and lie unread, and nobody could be told of an end anyway.
    """

    def __init__(
        self,
        unit: UnitOfWork,
        road: Road,
        store_of: StoreOf,
        overdue: Overdue,
        health: Health,
        *,
        hearing: Callable[[], bool],
        interval_seconds: float,
        batch_max: int,
        part: str = PART,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._part = part
        self._unit = unit
        self._road = road
        self._store_of = store_of
        self._overdue = overdue
        self._health = health
        self._hearing = hearing
        self._interval_seconds = interval_seconds
        self._batch_max = batch_max
        self._now = now

    async def run(self) -> None:
        """Do what is due, again and again, until cancelled; trouble is told and waited out."""
        await keep_doing(self._look, partial(asyncio.sleep, self._interval_seconds), self._health, self._part)

    async def _look(self) -> None:
        if self._hearing():
            await self.run_once()

    async def run_once(self) -> int:
        """Do all that is due now; return how many sagas were looked at."""
        done, until = 0, self._now()
        while True:
            found = await self._batch(until)
            done += found
            if found < self._batch_max:
                return done

    async def _batch(self, until: datetime) -> int:
        """Decide for one batch. Another worker's timer may be at the same sagas: whoever locks first decides."""
        async with self._unit.begin() as work:
            due = await self._overdue(work.connection, until, self._batch_max)
            if due:
                said = await self._road.run_due(self._store_of(work.connection), due)
                work.say_all(sayings_of(said))
                work.after_commit(lambda: count(said))
        return len(due)
