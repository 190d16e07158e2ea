"""Marking what is published: a work of which every event is published is closed. One that stays open is told again.

Not each event is marked but each work, a few bytes for up to hundreds of them: to mark an event means to write it a
second time, with its index entries, which was a quarter of what the database did for a message.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from laurel.io import failpoints
from laurel.io.kafka import Backoff
from laurel.io.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from laurel.io.database import Connection, Database
    from laurel.io.outbox import OutboxRow

log = logger(__name__)

_WORKS_MAX = 2000
# So many are closed at once, however lately.
_WORKS_MANY = 200
_OTHERS_SEEN_SECONDS = 60.0
_GATHER_SECONDS_SEEN = 0.025
# One work at a time, sent together, so that no plan can come to compare works with each other.
CLOSE = "delete from outbox_open where work = $1"


async def close_works(connection: Connection, works: Iterable[UUID]) -> None:
    """Note that all events of these works are published.

    In one order everywhere, so that two relays that close the same works do not wait for each other in a circle.
    """
    await connection.executemany(CLOSE, [(work,) for work in sorted(works)])


class Marker:
    """Knows what is to be published of each work in hand; gathers those that are done, and closes them together.

    A statement of its own for each work would be a round trip for every message where few come at a time. What is not
    closed yet is told again after a crash, no more; only a relay of another process may wait for it, to go on with the
    same key. Where such are seen works are closed sooner.
    """

    def __init__(self, database: Database, *, gather_seconds: float) -> None:
        self._database = database
        self._gather_seconds = gather_seconds
        self._left: dict[UUID, int] = {}
        self._done: list[UUID] = []
        self._wake = asyncio.Event()
        self._at_once = asyncio.Event()
        self._others_seen_at = -_OTHERS_SEEN_SECONDS
        self.events = 0
        """How many events of works in hand are not yet known to be published."""

    def take(self, work: UUID, events: int) -> None:
        """Take a work in hand, with so many events to publish."""
        self._left[work] = events
        self.events += events

    def has(self, work: UUID | None) -> bool:
        """Say whether a work is in hand, if only to be closed."""
        return work in self._left

    def published(self, rows: Sequence[OutboxRow]) -> None:
        """Note these; a work is closed soon after its last event."""
        left = self._left
        for row in rows:
            work = row.work
            count = left.get(work) if work is not None else None
            # Of a work that was left to the sweep nothing is counted any more.
            if not count:
                continue
            assert work is not None
            left[work] = count - 1
            self.events -= 1
            if count == 1:
                self._done.append(work)
                self._wake.set()
                if len(self._done) >= _WORKS_MANY:
                    self._at_once.set()

    def others_seen(self) -> None:
        """Another process says what comes before ours, so it may wait for what we have published, too."""
        self._others_seen_at = time.monotonic()
        self._at_once.set()

    def hurry(self) -> None:
        """Close what is done at once: others go on with it."""
        self._at_once.set()

    def leave(self, rows: Iterable[OutboxRow]) -> None:
        """Let go of the works of these rows: the sweep sees to all of their events."""
        for row in rows:
            if row.work is not None:
                self.events -= self._left.pop(row.work, 0)

    async def run(self) -> None:
        """Close works until cancelled."""
        backoff = Backoff()
        while True:
            await self._wake.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._seconds()):
                    await self._at_once.wait()
            self._wake.clear()
            self._at_once.clear()
            try:
                await self.finish()
            except Exception as error:  # noqa: BLE001 - the database is away; the works stay noted here
                log.warning("marking failed", error=repr(error))
                await backoff.pause()
                self._wake.set()
            else:
                backoff.reset()

    def _seconds(self) -> float:
        if time.monotonic() - self._others_seen_at < _OTHERS_SEEN_SECONDS:
            return min(self._gather_seconds, _GATHER_SECONDS_SEEN)
        return self._gather_seconds

    async def finish(self) -> None:
        """Close all that are done."""
        while self._done:
            works = self._done[:_WORKS_MAX]
            async with self._database.connection() as connection:
                await close_works(connection, works)
            del self._done[: len(works)]
            for work in works:
                self._left.pop(work, None)
            await failpoints.reach(failpoints.AFTER_MARK)
