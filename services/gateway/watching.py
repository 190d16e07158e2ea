"""Whoever watches files is told how far they are: one look a second for all that are watched here."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from laurel.io.telemetry import logger
from services.gateway.store import batches

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from laurel.io.database import Database
    from services.gateway.store.batches import BatchRow

    Watcher = asyncio.Queue[dict[str, Any] | None]
    """None comes when nothing more will."""

log = logger(__name__)

LOOK_SECONDS: Final = 1.0
ENDED: Final = frozenset({batches.DONE, batches.CUT_OFF})


class Watching:
    """Tells watchers of a batch how it stands, whenever that changed."""

    def __init__(self, database: Database, *, look_seconds: float = LOOK_SECONDS) -> None:
        self._database = database
        self._look_seconds = look_seconds
        self._watched: dict[tuple[str, str], set[Watcher]] = defaultdict(set)
        self._came = asyncio.Event()

    async def follow(self, program: str, batch: str) -> AsyncIterator[dict[str, Any]]:
        """Yield how the batch stands, now and after each change, until it has ended or this instance stops."""
        key = (program, batch)
        watcher: Watcher = asyncio.Queue(maxsize=1)
        self._watched[key].add(watcher)
        self._came.set()
        last = None
        try:
            while (shown := await watcher.get()) is not None:
                if shown != last:
                    yield shown
                    last = shown
                if shown["state"] in ENDED:
                    return
        finally:
            self._watched[key].discard(watcher)
            if not self._watched[key]:
                del self._watched[key]

    async def run(self) -> None:
        """Look for all who watch, until cancelled; then they all have seen the end."""
        try:
            while True:
                await self._came.wait()
                self._came.clear()
                while self._watched:
                    await self._look()
                    await asyncio.sleep(self._look_seconds)
        finally:
            for watchers in list(self._watched.values()):
                for watcher in watchers:
                    _tell(watcher, None)

    async def _look(self) -> None:
        try:
            async with self._database.connection() as connection:
                rows = await batches.find_all(connection, list(self._watched))
        except Exception as error:  # noqa: BLE001 - watchers wait until the database is there again
            log.info("cannot look at batches", error=repr(error))
            return
        for row, awarded in rows:
            shown = shown_as(row, awarded)
            for watcher in self._watched.get((row.program, row.batch), ()):
                _tell(watcher, shown)


def _tell(watcher: Watcher, shown: dict[str, Any] | None) -> None:
    """Only the newest counts: whoever reads slowly skips what was in between."""
    if watcher.full():
        watcher.get_nowait()
    watcher.put_nowait(shown)


def shown_as(row: BatchRow, awarded: list[tuple[str, int]]) -> dict[str, Any]:
    """Return a batch as callers see it."""
    return {
        "batch": row.batch,
        "created_at": row.created_at,
        "state": row.state,
        "received": row.received,
        "posted": row.posted,
        "refused": row.refused,
        "pending": row.pending,
        "delayed": row.delayed,
        "rejected": row.rejected,
        "duplicate": row.duplicate,
        "awarded": [{"unit": unit, "amount": amount} for unit, amount in awarded],
    }
