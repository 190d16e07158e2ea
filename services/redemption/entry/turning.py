"""A sandbox's clock was turned: vouchers and waits end by it, in steps that can stop and go on anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Final, Protocol

from laurel.io.database import Connection
from laurel.io.health import Health
from laurel.io.keeping import keep_doing
from laurel.io.unit import UnitOfWork
from services.redemption.domain.heard import TimeIsUp, VoucherEnds
from services.redemption.entry.consumers import count, sayings_of
from services.redemption.ports import Announcement, OpenTurn, Store
from services.redemption.road import Road

PART = "turning"
_PAUSE_SECONDS_MAX: Final = 2.0


class TurningStore(Store, Protocol):
    """A store that also knows which clocks were turned."""

    async def has_turns(self) -> bool:
        """Say whether any turn is not done."""

    async def open_turn(self, passed_over: int) -> OpenTurn | None:
        """Take hold of a turn that is not done, passing over so many."""

    async def is_complete(self, turn: OpenTurn) -> bool:
        """Say whether all vouchers are issued that points made in a turn."""

    async def ended(self, programs: Sequence[str], until: datetime, limit: int) -> list[VoucherEnds]:
        """Return vouchers whose time is over by then."""

    async def overdue_in(self, program: str, until: datetime, limit: int) -> list[TimeIsUp]:
        """Return sagas that have waited long enough by the program's own clock."""

    async def advance(self, turn: OpenTurn, expired: int, timed_out: int, *, done: bool) -> None:
        """Keep how far a turn has come."""


class VoucherTurner:
    """Ends what is over in programs whose clock points have turned, once all vouchers of the turn are issued."""

    def __init__(
        self,
        unit: UnitOfWork,
        road: Road,
        store_of: Callable[[Connection], TurningStore],
        health: Health,
        *,
        interval_seconds: float,
        batch_max: int,
    ) -> None:
        self._unit = unit
        self._road = road
        self._store_of = store_of
        self._health = health
        self._interval_seconds = self._pause = interval_seconds
        self._batch_max = batch_max

    async def run(self) -> None:
        """Take turns to their end until cancelled; trouble is told and waited out."""
        await keep_doing(self._step, self._rest, self._health, PART)

    async def _step(self) -> bool:
        moved = await self.step()
        if moved:
            self._pause = self._interval_seconds
        return moved

    async def _rest(self) -> None:
        # Vouchers that are on their way are waited for ever less hurriedly.
        self._pause = min(self._pause * 1.3, _PAUSE_SECONDS_MAX)
        await asyncio.sleep(self._pause)

    async def step(self) -> bool:
        """Do the next step of a turn that can go on; say whether there was one."""
        async with self._unit.database.reading() as connection:
            if not await self._store_of(connection).has_turns():
                return False
        passed_over = 0
        while (found := await self._take(passed_over)) is False:
            passed_over += 1
        return found is True

    async def _take(self, passed_over: int) -> bool | None:
        """Take one step of a turn; False where it cannot go on yet, None where there is none."""
        async with self._unit.begin() as work:
            store = self._store_of(work.connection)
            turn = await store.open_turn(passed_over)
            if turn is None:
                return None
            if not await store.is_complete(turn):
                return False
            waits = await store.overdue_in(turn.program, turn.as_of, self._batch_max)
            due = await store.ended([turn.program], turn.as_of, self._batch_max)
            said: list[Announcement] = await self._road.run_due(store, [*waits, *due])
            work.say_all(sayings_of(said))
            work.after_commit(partial(count, said))
            done = max(len(waits), len(due)) < self._batch_max
            await store.advance(turn, len(due), len(waits), done=done)
        return True
