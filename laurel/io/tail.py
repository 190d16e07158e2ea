"""The tail of topics, for what waits for an outcome: every instance sees every event, and decodes few."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from laurel.io.following import Follower
from laurel.io.message import Message, decode
from laurel.io.telemetry import logger

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from laurel.io.health import Health
    from laurel.io.settings import KafkaSettings


log = logger(__name__)


class Tail:
    """Hands to `on_message` what is published from now on, if `wanted` says so by its headers.

    The same event may come again; a loss of the broker brings all of them again.
    """

    def __init__(
        self,
        topics: Sequence[str],
        wanted: Callable[[Mapping[str, bytes]], bool],
        on_message: Callable[[Message], Awaitable[None] | None],
        kafka: KafkaSettings,
        *,
        health: Health | None = None,
    ) -> None:
        self._wanted = wanted
        self._on_message = on_message
        self._follower = Follower("tail", topics, kafka, self._take, from_beginning=False, health=health)

    @property
    def started(self) -> asyncio.Event:
        """Set once nothing that is published is missed any more."""
        return self._follower.started

    async def run(self) -> None:
        """Follow until cancelled."""
        await self._follower.run()

    async def _take(self, records: Sequence[Any]) -> None:
        wanted = self._wanted
        for record in records:
            if not wanted(dict(record.headers)):
                continue
            message = decode(record)
            if not isinstance(message, Message):
                continue
            try:
                taken = self._on_message(message)
                if inspect.isawaitable(taken):
                    await taken
            except Exception:  # whoever waits for it asks again; those behind it should not wait as well
                log.exception("message not heard", source=message.source, sequence=message.sequence)
