"""Marking what is published, some rows at a time: an unmarked row is published again, which is harmless."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from laurel.io import failpoints
from laurel.io.kafka import Backoff
from laurel.io.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from laurel.io.database import Connection, Database
    from laurel.io.outbox import OutboxRow

log = logger(__name__)

_ROWS_MAX = 2000
# One row at a time, sent together: a join with the keys is planned by what is known of the table, and while that is
# young and nobody has counted it, the plan compares every key with every unpublished row. Without
# `published_at is null` the partial index would be of no use.
MARK = """
update outbox set published_at = now()
where program = $1 and member = $2 and stream = $3 and number = $4 and published_at is null
"""


async def mark(connection: Connection, rows: Sequence[OutboxRow]) -> None:
    """Mark rows as published.

    In one order everywhere, so that two relays that mark the same rows do not wait for each other in a circle.
    """
    places = sorted((*row.key, row.number) for row in rows)
    for start in range(0, len(places), _ROWS_MAX):
        await connection.executemany(MARK, places[start : start + _ROWS_MAX])


class Marker:
    """Gathers published rows for a moment, then marks them together."""

    def __init__(
        self,
        database: Database,
        *,
        gather_seconds: float,
        marked: Callable[[Sequence[OutboxRow]], None],
    ) -> None:
        self._database = database
        self._gather_seconds = gather_seconds
        self._marked = marked
        self._rows: list[OutboxRow] = []
        self._wake = asyncio.Event()

    def add(self, rows: Sequence[OutboxRow]) -> None:
        """Have these marked soon."""
        self._rows.extend(rows)
        self._wake.set()

    async def run(self) -> None:
        """Mark until cancelled."""
        backoff = Backoff()
        while True:
            await self._wake.wait()
            await asyncio.sleep(self._gather_seconds)
            self._wake.clear()
            try:
                await self.finish()
            except Exception as error:  # noqa: BLE001 - the database is away; the rows stay noted here
                log.warning("marking failed", error=repr(error))
                await backoff.pause()
                self._wake.set()
            else:
                backoff.reset()

    async def finish(self) -> None:
        """Mark all that there is."""
        while self._rows:
            rows = self._rows[:_ROWS_MAX]
            async with self._database.connection() as connection:
                await mark(connection, rows)
            del self._rows[: len(rows)]
            self._marked(rows)
            await failpoints.reach(failpoints.AFTER_MARK)
