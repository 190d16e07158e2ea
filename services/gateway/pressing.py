"""Back-pressure: while what was accepted cannot be told to the topics, more is not accepted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from laurel.io.telemetry import logger

if TYPE_CHECKING:
    from laurel.io.database import Database

log = logger(__name__)

LOOK_SECONDS: Final = 1.0
_OPEN: Final = "select count(*) from (select 1 from outbox_open limit $1) o"


class Pressure:
    """Whether the outbox is too far behind; looked at once a second, so a moment's writes more may be let in."""

    def __init__(self, database: Database, behind_max: int, *, look_seconds: float = LOOK_SECONDS) -> None:
        self._database = database
        self._behind_max = behind_max
        self._look_seconds = look_seconds
        self.is_too_high = False

    async def run(self) -> None:
        """Look until cancelled. Without the database nothing is accepted anyway."""
        while True:
            try:
                async with self._database.connection() as connection:
                    count = await connection.fetchval(_OPEN, self._behind_max)
            except Exception as error:  # noqa: BLE001 - whoever has work to do with the database tells of its trouble
                log.info("cannot look at the outbox", error=repr(error))
            else:
                is_too_high = count >= self._behind_max
                if is_too_high != self.is_too_high:
                    log.warning("the outbox is behind" if is_too_high else "the outbox has caught up", waiting=count)
                self.is_too_high = is_too_high
            await asyncio.sleep(self._look_seconds)
