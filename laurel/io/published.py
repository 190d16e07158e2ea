"""A compacted topic, read whole by every process and followed: the versions of programs and partners."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

from laurel.io.following import Follower
from laurel.io.message import Message, decode
from laurel.io.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from laurel.io.health import Health
    from laurel.io.settings import KafkaSettings

log = logger(__name__)


class PublishedTopic:
    """Hands every record of `topic` to `on_record`, from the first one, and then as they come.

    `on_record` may be called again with what it knows already: after a loss of the broker all is read again.
    """

    def __init__(
        self,
        topic: str,
        kafka: KafkaSettings,
        on_record: Callable[[Message], Awaitable[None] | None],
        *,
        health: Health | None = None,
    ) -> None:
        self.topic = topic
        self._on_record = on_record
        self._changed = asyncio.Condition()
        self._follower = Follower(f"topic:{topic}", [topic], kafka, self._take, from_beginning=True, health=health)

    @property
    def caught_up(self) -> asyncio.Event:
        """Set once everything is read that the topic held at the start."""
        return self._follower.caught_up

    async def run(self) -> None:
        """Follow the topic until cancelled."""
        await self._follower.run()

    async def until(self, predicate: Callable[[], bool], deadline_seconds: float) -> None:
        """Wait until `predicate` holds, looking again after every record; `TimeoutError` after the deadline."""
        async with asyncio.timeout(deadline_seconds), self._changed:
            await self._changed.wait_for(predicate)

    async def _take(self, records: Sequence[Any]) -> None:
        for record in records:
            message = decode(record)
            if not isinstance(message, Message):
                log.error("record skipped", topic=self.topic, offset=record.offset, detail=message.detail)
                continue
            taken = self._on_record(message)
            if inspect.isawaitable(taken):
                await taken
        async with self._changed:
            self._changed.notify_all()
