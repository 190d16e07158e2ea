"""One reader of the table of events for everybody in this process who listens: streams and webhooks.

It looks at the table while somebody listens, keeps what came last in memory, and wakes those who wait. Each listener
has a position of its own and asks for what comes after it; who is far behind is given pages of the table.
Nothing is kept for a listener, so one that is slow costs nothing and delays nobody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from itertools import islice
from typing import TYPE_CHECKING, Final

from laurel.io.kafka import Backoff
from laurel.io.telemetry import logger
from services.gateway.store import events

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from laurel.io.database import Database
    from laurel.io.health import Health
    from services.gateway.hearing import Event

log = logger(__name__)

PAGE_MAX: Final = 500
_RECENT_BYTES_MAX: Final = 8_000_000
_PAGES_AT_ONCE: Final = 3


class Feed:
    """The events of this process's listeners."""

    def __init__(self, database: Database, health: Health, *, poll_seconds: float) -> None:
        self._database = database
        self._health = health
        self._poll_seconds = poll_seconds
        self._recent: deque[Event] = deque()
        self._bytes = 0
        self._position = -1
        self._listeners = 0
        self._stale = False
        self._wanted = asyncio.Event()
        self._moved: asyncio.Future[None] | None = None
        self._pages = asyncio.Semaphore(_PAGES_AT_ONCE)
        self.closed = False
        """Set when the process stops: streams end then."""

    async def run(self) -> None:
        """Follow the table until cancelled; then everybody who waits is woken, and finds it closed."""
        backoff = Backoff()
        try:
            while True:
                await self._wanted.wait()
                try:
                    await self._follow()
                except Exception as error:
                    self._health.not_ready("events", f"{type(error).__name__}: {error}")
                    log.exception("the table of events could not be read")
                    await backoff.pause()
                else:
                    backoff.reset()
                    self._health.ready("events")
                    await asyncio.sleep(self._poll_seconds)
        finally:
            self.closed = True
            self._wake()

    def has_room(self, most: int) -> bool:
        """Say whether one more may listen."""
        return not self.closed and self._listeners < most

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Have the table followed for the block."""
        self._listeners += 1
        self._wanted.set()
        try:
            yield
        finally:
            self._listeners -= 1
            if not self._listeners:
                self._wanted.clear()
                self._stale = True

    async def after(self, position: int) -> Sequence[Event]:
        """Return what comes after a position, [] where nothing does yet. Raises `EventsGoneError`."""
        recent = self._recent
        if recent and recent[0].position <= position + 1:
            start = position + 1 - recent[0].position
            return list(islice(recent, start, start + PAGE_MAX))
        if position == self._position:
            return []
        async with self._pages, self._database.connection() as connection:
            return await events.page(connection, position, PAGE_MAX)

    async def moved(self, position: int, seconds: float, *others: asyncio.Future[None]) -> None:
        """Wait until there is something after a position, the time is over, the feed closes or one of `others` ends."""
        if self.closed or position < self._position:
            return
        if self._moved is None:
            self._moved = asyncio.get_running_loop().create_future()
        await asyncio.wait((self._moved, *others), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)

    async def _follow(self) -> None:
        """Take what has come since; where nobody listened for a while, begin at the end."""
        async with self._database.connection() as connection:
            if self._stale or self._position < 0:
                self._stale = False
                self._recent.clear()
                self._bytes = 0
                self._position = await events.head(connection)
                self._wake()
            while found := await events.page(connection, self._position, PAGE_MAX):
                self._take(found)

    def _take(self, found: Sequence[Event]) -> None:
        self._recent.extend(found)
        self._bytes += sum(len(each.event) for each in found)
        while self._bytes > _RECENT_BYTES_MAX:
            self._bytes -= len(self._recent.popleft().event)
        self._position = found[-1].position
        self._wake()

    def _wake(self) -> None:
        moved, self._moved = self._moved, None
        if moved is not None and not moved.done():
            moved.set_result(None)
