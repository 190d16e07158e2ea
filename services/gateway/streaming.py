"""The stream of events as a listener gets it: server-sent events, each with its position."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.responses import Response

from laurel.io.telemetry import logger
from services.gateway.store.events import EventsGoneError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import Receive, Scope, Send

    from services.gateway.feeding import Feed
    from services.gateway.hearing import Event, Wish
    from services.gateway.settings import GatewaySettings

log = logger(__name__)

MEDIA_TYPE = "text/event-stream"
_RETRY = b"retry: 2000\n\n"


class _TooSlowError(Exception):
    """A listener does not take what it is sent."""


class EventStream(Response):
    """Tells what comes after a position, until the listener leaves, is too slow or may listen no more.

    A heartbeat is an `id:` without data: it moves the listener's `Last-Event-ID` past what it does not want to hear.
    """

    media_type = MEDIA_TYPE

    def __init__(
        self,
        feed: Feed,
        wish: Wish,
        position: int,
        may_listen: Callable[[], Awaitable[bool]],
        settings: GatewaySettings,
    ) -> None:
        """`may_listen` is asked before anything is told and at every heartbeat, so that a revoked key hears no more."""
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        # How long it will be is not known.
        del self.headers["content-length"]
        self._feed = feed
        self._wish = wish
        self._position = position
        self._may_listen = may_listen
        self._heartbeat_seconds = settings.stream_heartbeat_seconds
        self._send_seconds = settings.stream_send_seconds
        self._ends_at = time.monotonic() + settings.stream_seconds_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        left = asyncio.create_task(_leaves(receive))
        try:
            await self._tell(send, left)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except _TooSlowError:
            # Left without an end, so the server closes the connection.
            log.warning("a listener was too slow and is cut off", position=self._position)
        finally:
            left.cancel()
            with suppress(asyncio.CancelledError):
                await left

    async def _tell(self, send: Send, left: asyncio.Task[None]) -> None:
        feed, position = self._feed, self._position
        told = -1
        await self._send(send, _RETRY)
        beat_at = time.monotonic()
        async with feed.listening():
            while not feed.closed and not left.done():
                try:
                    found = await feed.after(position)
                except EventsGoneError:
                    # It lags behind what is kept; when it asks again it is told so.
                    return
                frames = [self._frame(each) for each in found if self._wish.hears(each)]
                if found:
                    position = found[-1].position
                now = time.monotonic()
                if frames:
                    if not await self._may_listen():
                        return
                    await self._send(send, b"".join(frames))
                    told = position
                if now - beat_at >= self._heartbeat_seconds or now >= self._ends_at:
                    # Told in any case, so that whoever is gone without a word is noticed.
                    await self._send(send, b"id: %d\n\n" % position if position != told else b":\n\n")
                    told, beat_at = position, now
                    if now >= self._ends_at or not await self._may_listen():
                        return
                if not found:
                    rest = min(beat_at + self._heartbeat_seconds, self._ends_at) - now
                    await feed.moved(position, max(rest, 0.001), left)

    def _frame(self, event: Event) -> bytes:
        told = self._wish.told(event.event, event.partner)
        return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.position, event.type.encode(), told)

    async def _send(self, send: Send, body: bytes) -> None:
        try:
            async with asyncio.timeout(self._send_seconds):
                await send({"type": "http.response.body", "body": body, "more_body": True})
        except TimeoutError:
            raise _TooSlowError from None


async def _leaves(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
