"""Files of activities yield to callers: while somebody waits at a till, batches get a smaller share of the road.

Points takes what lies before it together, so a caller waits behind the lines that are with points at that moment.
Instances that answer callers say now and then that callers are there; whoever moves lines looks.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from laurel.io.telemetry import logger
from services.gateway.store import callers

if TYPE_CHECKING:
    from laurel.io.database import Database

log = logger(__name__)

SAY_SECONDS: Final = 0.5
"""How often an instance says that callers wait. Well below the time for which files go on yielding."""


class Presence:
    """Whether callers came to this instance who wait for an outcome."""

    def __init__(self, database: Database, *, say_seconds: float = SAY_SECONDS) -> None:
        self._database = database
        self._say_seconds = say_seconds
        self._came = asyncio.Event()

    def note(self) -> None:
        """A caller came; never waits, never fails."""
        self._came.set()

    async def run(self) -> None:
        """Say so, at most every `say_seconds`, until cancelled. It is a hint: where it cannot be said, files go on."""
        while True:
            await self._came.wait()
            self._came.clear()
            try:
                async with self._database.connection() as connection:
                    await callers.seen(connection)
            except Exception as error:  # noqa: BLE001 - whoever has work to do with the database tells of its trouble
                log.info("cannot say that callers wait", error=repr(error))
            await asyncio.sleep(self._say_seconds)
