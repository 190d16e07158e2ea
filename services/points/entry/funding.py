"""Blocks are topped up: what waits for one is posted in its order, in steps that can stop and go on anywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from laurel.io.database import Connection
from laurel.io.health import Health
from laurel.io.stepping import Stepper
from laurel.io.unit import UnitOfWork
from services.points.entry.consumers import sayings_of
from services.points.ports import OpenPayment, Store, Waiting
from services.points.road import Road
from services.points.topping_up import topped_up

PART = "filler"


class FundingStore(Store, Protocol):
    """A store that also knows whose queue is to be gone through."""

    async def has_payments(self) -> bool:
        """Say whether the queue of any payment was not gone through."""

    async def open_payment(self) -> OpenPayment | None:
        """Take hold of a payment that nobody else has hold of."""

    async def queue_page(self, payment: OpenPayment, limit: int) -> list[Waiting]:
        """Return who is next in the queue."""

    async def advance_payment(self, payment: OpenPayment, after: int, *, done: bool) -> None:
        """Keep how far the queue was gone through."""


class BlockFiller(Stepper):
    """Posts what waited for a block; the last step says that the block is topped up."""

    def __init__(
        self,
        unit: UnitOfWork,
        road: Road,
        ledger: Callable[[Connection], FundingStore],
        health: Health,
        *,
        interval_seconds: float,
        batch_max: int,
    ) -> None:
        super().__init__(health, PART, interval_seconds)
        self._unit = unit
        self._road = road
        self._ledger = ledger
        self._batch_max = batch_max

    async def step(self) -> bool:
        async with self._unit.database.connection() as connection:
            if not await self._ledger(connection).has_payments():
                return False
        async with self._unit.begin() as work:
            ledger = self._ledger(work.connection)
            open_ = await ledger.open_payment()
            if open_ is None:
                return False
            waiting = await ledger.queue_page(open_, self._batch_max)
            announcements, block = await self._road.run_funding(ledger, open_.payment, waiting)
            is_last = len(waiting) < self._batch_max
            if is_last:
                announcements = [*announcements, topped_up(open_.payment, block)]
            work.say_all(sayings_of(announcements))
            await ledger.advance_payment(open_, waiting[-1].number if waiting else open_.after, done=is_last)
        return True
