"""A sandbox's clock has come to where waits end, and points rest there: waits are ended, and points told to go on.

They are told when each release is done that was asked for, so what is due next sees what the waits gave back. Whether
a wait has ended is decided here alone: what was confirmed before is captured, whatever points have waited for.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from laurel.io.unit import Work
from services.redemption.announcing import announce_go_on
from services.redemption.domain.heard import TimeIsUp
from services.redemption.entry.stepping import ProgramStepper
from services.redemption.ports import Store, TurnWaits


class WaitingStore(Store, Protocol):
    """A store that also knows where clocks have come to."""

    async def has_waits(self) -> bool:
        """Say whether points rest for any waits."""

    async def open_waits(self, passed_over: int) -> TurnWaits | None:
        """Take hold of waits for whose end points rest, passing over so many."""

    async def overdue_in(self, program: str, until: datetime, limit: int, *, turned_to: datetime) -> list[TimeIsUp]:
        """Return sagas that have waited long enough by the program's own clock."""

    async def is_releasing(self, program: str) -> bool:
        """Say whether points are still to release anything of a program."""

    async def note_ended(self, waits: TurnWaits, ended: int, *, done: bool) -> None:
        """Keep how many waits have ended; `done`: and that points are told."""


class WaitEnder(ProgramStepper[WaitingStore]):
    """Ends waits in the middle of turns."""

    part = "ending_waits"

    async def _is_any(self, store: WaitingStore) -> bool:
        return await store.has_waits()

    async def _take(self, work: Work, store: WaitingStore, passed_over: int) -> bool | None:
        waits = await store.open_waits(passed_over)
        if waits is None:
            return None
        due = await store.overdue_in(waits.program, waits.until, self._batch_max, turned_to=waits.as_of)
        if due:
            self._say(work, await self._road.run_due(store, due))
            await store.note_ended(waits, len(due), done=False)
        elif await store.is_releasing(waits.program):
            return False
        else:
            self._say(work, [announce_go_on(waits)])
            await store.note_ended(waits, 0, done=True)
        return True
