"""Manual clocks are turned: what is due is done in steps, each a transaction, that can stop and go on anywhere.

Where a redemption's wait ends on the way, redemption has to end it before what is due then, or later, is done: a turn
goes in parts, and rests between them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Protocol

from laurel.io.database import Connection, is_conflict
from laurel.io.health import Health
from laurel.io.stepping import Stepper
from laurel.io.unit import UnitOfWork, Work
from services.points.announcing import announce_turn, announce_waits
from services.points.domain.asked import TICK
from services.points.domain.turning import Counts, count
from services.points.entry.consumers import sayings_of
from services.points.entry.judging import Judge, JudgingStore
from services.points.entry.parts import in_parts
from services.points.ports import OpenTurn, Page, Waits, WalletKey
from services.points.road import Road

PART = "turner"


class TurningStore(JudgingStore, Protocol):
    """A store that also knows which clocks are being turned."""

    async def has_turns(self) -> bool:
        """Say whether any turn can go on."""

    async def open_turn(self) -> OpenTurn | None:
        """Take hold of a turn that can go on, until the transaction ends."""

    async def begin_part(self, turn: OpenTurn) -> OpenTurn:
        """See how far the next walk goes: up to the next wait on the way, or to the turn's end."""

    async def waits(self, turn: OpenTurn) -> Waits | None:
        """Return which waits end on the rest of the way; None where there is none."""

    async def next_due(self, turn: OpenTurn) -> datetime | None:
        """Return when something is due next for any member, on the rest of the way."""

    async def rest(self, turn: OpenTurn, until: datetime) -> None:
        """Rest while redemption ends the waits up to an instant."""

    async def next_part(self, turn: OpenTurn) -> None:
        """Begin with the next part; there was nothing to rest for."""

    async def due_page(self, turn: OpenTurn, limit: int) -> Page:
        """Return the next members."""

    async def hand_out(self, turn: OpenTurn, page: Page) -> None:
        """Go past a page, which is in our hand if something is due on it."""

    async def take_back(self, turn: OpenTurn) -> None:
        """Note that a page is done."""

    async def walk_again(self, turn: OpenTurn) -> None:
        """Begin at the first member once more."""

    async def count_turn(self, turn: OpenTurn, counts: Counts) -> None:
        """Add what a part of the turn has brought about."""

    async def end_turn(self, turn: OpenTurn) -> Counts:
        """Note that the turn is done; return what it has brought about."""


class ClockTurner(Stepper):
    """Does what turns of clocks ask for."""

    def __init__(
        self,
        unit: UnitOfWork,
        road: Road,
        judge: Judge,
        ledger: Callable[[Connection], TurningStore],
        health: Health,
        *,
        interval_seconds: float,
        batch_max: int,
        at_once: int = 1,
    ) -> None:
        super().__init__(health, PART, interval_seconds)
        self._unit = unit
        self._road = road
        self._judge = judge
        self._ledger = ledger
        self._batch_max = batch_max
        self._at_once = at_once
        self._waited_for: OpenTurn | None = None

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
            if turn.part_to is None:
                turn = await ledger.begin_part(turn)
            if await self._judge_first(work, ledger, turn):
                return True
            page = await ledger.due_page(turn, self._batch_max * self._at_once)
            if not page.due and page.is_last:
                return await self._end(work, ledger, turn)
            await ledger.hand_out(turn, page)
        if page.due:
            await self._do(turn, page)
        return True

    async def _end(self, work: Work, ledger: TurningStore, turn: OpenTurn) -> bool:
        """End the walk, if every page has come back; say whether there was anything to do but to wait."""
        if not turn.in_hand and not turn.is_last_part:
            await self._end_part(work, ledger, turn)
        elif not turn.in_hand:
            work.say_all(sayings_of([announce_turn(turn.turn, await ledger.end_turn(turn))]))
        elif turn == self._waited_for:
            # Nothing came back meanwhile: whoever has it died, or is slow. What it has done is due no more.
            await ledger.walk_again(turn)
        else:
            self._waited_for = turn
            return False
        return True

    async def _end_part(self, work: Work, ledger: TurningStore, turn: OpenTurn) -> None:
        """Have redemption end the waits to which the turn has come, and rest until it has; points end none of them."""
        waits = await ledger.waits(turn)
        if waits is None or waits.first > turn.until + TICK:
            # What ended next when the walk began has ended otherwise: its points were spent, or are back.
            await ledger.next_part(turn)
            return
        until = await self._together(ledger, turn, waits)
        await ledger.rest(turn, until)
        work.say_all(sayings_of([announce_waits(turn.turn, until)]))

    async def _together(self, ledger: TurningStore, turn: OpenTurn, waits: Waits) -> datetime:
        """Return up to when waits may end at once: nothing else is due between them, nor becomes so by one of them.

        At one instant they come first. What the end of a wait brings about concerns its member alone, so a member's
        second wait is left for the next part.
        """
        as_of = turn.turn.as_of
        due = await ledger.next_due(turn)
        judged = await self._judge.next_at(ledger, turn.turn.program, as_of)
        alone = waits.alone_before - TICK if waits.alone_before is not None else None
        return max(waits.first, min(each for each in (as_of, due, judged, alone) if each is not None))

    async def _do(self, turn: OpenTurn, page: Page) -> None:
        """Do what is due on a page. Where others are at its members, too, it is tried until all is done."""
        while True:
            try:
                await in_parts(page.due, self._batch_max, partial(self._take, turn))
            except Exception as error:
                if not is_conflict(error):
                    raise
            else:
                break
        async with self._unit.begin() as work:
            await self._ledger(work.connection).take_back(turn)

    async def _take(self, turn: OpenTurn, wallets: Sequence[WalletKey]) -> None:
        """Do what is due for some members; what another worker has done meanwhile is due no more."""
        async with self._unit.begin() as work:
            ledger = self._ledger(work.connection)
            facts, announcements = await self._road.run_turn(ledger, wallets, turn.until, turned_to=turn.turn.as_of)
            work.say_all(sayings_of(announcements))
            if facts:
                # Counted last: the row is locked until the commit, and others count too.
                work.before_commit(partial(ledger.count_turn, turn, count(facts)))

    async def _judge_first(self, work: Work, ledger: TurningStore, turn: OpenTurn) -> bool:
        """Take the next step of a judgement that lies before the walk's end, so that they are done in their order."""
        found = await self._judge.find(ledger, turn.turn.program, turn.until)
        if found is None:
            return False
        facts, announcements = await self._judge.step(ledger, found, turned_to=turn.turn.as_of)
        work.say_all(sayings_of(announcements))
        await ledger.count_turn(turn, count(facts))
        return True
