"""Files of activities yield to callers: while somebody waits at a till, batches get a smaller share of the road.

Points takes what lies before it together, so a caller waits behind the lines that are with points at that moment.
Instances that answer callers say now and then that callers are there; whoever moves lines looks. And an instance that
reads a file while it has callers leaves them every other moment.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Final

from laurel.io.telemetry import logger
from services.gateway.store import callers

if TYPE_CHECKING:
    from laurel.io.database import Database

log = logger(__name__)

NEAR_SECONDS: Final = 3.0
"""How long after a caller came the reading of files goes on leaving pauses."""
SAY_SECONDS: Final = 0.5
"""How often an instance says that callers wait. Well below the time for which files go on yielding."""


class Presence:
    """Whether callers came to this instance who wait for an outcome."""

    def __init__(self, database: Database, *, say_seconds: float = SAY_SECONDS) -> None:
        self._database = database
        self._say_seconds = say_seconds
        self._came = asyncio.Event()
        self._came_at = -math.inf

    def note(self) -> None:
        """A caller came; never waits, never fails."""
        self._came.set()
        self._came_at = time.monotonic()

    @property
    def is_near(self) -> bool:
        """Whether a caller came to this very instance a moment ago."""
        return time.monotonic() - self._came_at < NEAR_SECONDS

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
