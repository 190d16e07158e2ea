"""Lines of files whose returns gave something back are done when reads show it, as a single return is answered then."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from laurel.io.keeping import keep_doing, woken_or_over
from services.gateway.store import batches

if TYPE_CHECKING:
    from collections.abc import Callable

    from laurel.io.database import Database
    from laurel.io.health import Health
    from services.gateway.catching_up import CatchingUp
    from services.gateway.store.batches import GivingBackRow

PART: Final = "giving back"
_PAGE_MAX: Final = 200
_AT_ONCE: Final = 8
_FIRST_LOOK_SECONDS: Final = 0.1
_LOOK_SECONDS_MAX: Final = 5.0
"""Redemption may be away for long, and each question that finds it away is told in the log."""


class GivingBack:
    """Looks whether what lines gave back is shown by now. Several may look: what one finds shown, others do not."""

    def __init__(
        self, database: Database, catching_up: CatchingUp, health: Health, tell: Callable[[], None], *, seconds: float
    ) -> None:
        """`tell` is called when lines are shown, so that their file may be done; `seconds` between idle looks."""
        self._database = database
        self._catching_up = catching_up
        self._health = health
        self._tell = tell
        self._seconds = seconds
        self._woken = asyncio.Event()
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._after: tuple[str, str, int] | None = None
        self._in_vain = 0
        self._waits = False

    def wake(self) -> None:
        """Outcomes of lines have come in."""
        self._woken.set()

    async def run(self) -> None:
        """Look until cancelled. Trouble with the database is waited out; redemption may be away for long."""
        await keep_doing(self._look, self._rest, self._health, PART)

    async def _look(self) -> bool:
        self._woken.clear()
        async with self._database.connection() as connection:
            rows = await batches.giving_back(connection, self._after, _PAGE_MAX)
        # One that waits for redemption's mending holds up nobody behind it: the next look goes on after this page.
        self._after = rows[-1].place if len(rows) == _PAGE_MAX else None
        shown = await asyncio.gather(*(self._is_shown(row) for row in rows))
        given = [row.place for row, is_shown in zip(rows, shown, strict=True) if is_shown]
        if given:
            async with self._database.connection() as connection:
                await batches.given_back(connection, given)
            self._tell()
        self._waits = bool(rows)
        self._in_vain = self._in_vain + 1 if rows and not given else 0
        return self._after is not None

    async def _rest(self) -> None:
        pause = min(_FIRST_LOOK_SECONDS * 2 ** min(self._in_vain, 10), _LOOK_SECONDS_MAX)
        await woken_or_over(self._woken, pause if self._waits else self._seconds)

    async def _is_shown(self, row: GivingBackRow) -> bool:
        async with self._at_once:
            return await self._catching_up.is_shown(row.program, row.told)
