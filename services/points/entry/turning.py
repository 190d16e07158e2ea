"""Manual clocks are turned: what is due is done in steps, each a transaction, that can stop and go on anywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from laurel.io.database import Connection
from laurel.io.unit import UnitOfWork
from services.points.announcing import announce_turn
from services.points.domain.turning import Counts, count
from services.points.entry.consumers import sayings_of
from services.points.entry.stepping import Stepper
from services.points.ports import OpenTurn, Page, Store
from services.points.road import Road


class TurningStore(Store, Protocol):
    """A store that also knows which clocks are being turned."""

    async def has_turns(self) -> bool:
        """Say whether any turn is not done."""

    async def open_turn(self) -> OpenTurn | None:
        """Take hold of a turn that is not done, and that nobody else has hold of."""

    async def due_page(self, turn: OpenTurn, limit: int) -> Page:
        """Return the next members."""

    async def advance(self, turn: OpenTurn, after: str, counts: Counts, *, done: bool) -> Counts:
        """Keep how far the turn has come; return what it has brought about."""


class ClockTurner(Stepper):
    """Does what turns of clocks ask for."""

    def __init__(
        self,
        unit: UnitOfWork,
        road: Road,
        ledger: Callable[[Connection], TurningStore],
        *,
        interval_seconds: float,
        batch_max: int,
    ) -> None:
        super().__init__(interval_seconds)
        self._unit = unit
        self._road = road
        self._ledger = ledger
        self._batch_max = batch_max

    async def step(self) -> bool:
        """Do the next step of an open turn; say whether there was one. The last step says that the turn is done."""
        async with self._unit.database.connection() as connection:
            if not await self._ledger(connection).has_turns():
                return False
        async with self._unit.begin() as work:
            ledger = self._ledger(work.connection)
            turn = await ledger.open_turn()
            if turn is None:
                return False
            page = await ledger.due_page(turn, self._batch_max)
            counts = Counts()
            if page.due:
                as_of = turn.turn.as_of
                facts, announcements = await self._road.run_turn(ledger, page.due, as_of, turned_to=as_of)
                counts = count(facts)
                work.say_all(sayings_of(announcements))
            total = await ledger.advance(turn, page.last, counts, done=page.is_last)
            if page.is_last:
                work.say_all(sayings_of([announce_turn(turn.turn, total)]))
        return True
