"""A sandbox's clock was turned: vouchers and waits end by it, in steps that can stop and go on anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from laurel.io.unit import Work
from services.redemption.domain.heard import TimeIsUp, VoucherEnds
from services.redemption.entry.stepping import ProgramStepper
from services.redemption.ports import OpenTurn, Store


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

    async def overdue_in(self, program: str, until: datetime, limit: int, *, turned_to: datetime) -> list[TimeIsUp]:
        """Return sagas that have waited long enough by the program's own clock."""

    async def advance(self, turn: OpenTurn, expired: int, timed_out: int, *, done: bool) -> None:
        """Keep how far a turn has come."""


class VoucherTurner(ProgramStepper[TurningStore]):
    """Ends what is over in programs whose clock points have turned, once all vouchers of the turn are issued.

    Most waits ended on the way (`entry/waits.py`); what points did not know of, or not in time, ends here.
    """

    part = "turning"

    async def _is_any(self, store: TurningStore) -> bool:
        return await store.has_turns()

    async def _take(self, work: Work, store: TurningStore, passed_over: int) -> bool | None:
        turn = await store.open_turn(passed_over)
        if turn is None:
            return None
        if not await store.is_complete(turn):
            return False
        waits = await store.overdue_in(turn.program, turn.as_of, self._batch_max, turned_to=turn.as_of)
        due = await store.ended([turn.program], turn.as_of, self._batch_max)
        self._say(work, await self._road.run_due(store, [*waits, *due]))
        done = max(len(waits), len(due)) < self._batch_max
        await store.advance(turn, len(due), len(waits), done=done)
        return True
