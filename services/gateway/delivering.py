"""Who tells which webhook: a worker takes what nobody tells, holds it while it lives, and lets it go.

A webhook is held until a moment of the database's clock, which its holder puts off again and again. A worker that dies
lets it go by that; one that was only slow finds out when it writes, since whoever writes must be the holder.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from laurel.io.keeping import keep_doing
from laurel.io.telemetry import logger
from services.gateway.attempting import Endpoint
from services.gateway.naming import new_id
from services.gateway.store import webhooks
from services.gateway.store.webhooks import ENABLED

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from laurel.io.database import Database
    from laurel.io.health import Health
    from laurel.io.reaching_out import Outside
    from services.gateway.feeding import Feed
    from services.gateway.settings import GatewaySettings
    from services.gateway.signing import Signing
    from services.gateway.store.webhooks import WebhookRow

log = logger(__name__)

PART: Final = "webhooks"
_CLAIMED_AT_ONCE: Final = 10
"""So that workers which start together have a share each."""
_STOP_SECONDS: Final = 7.0


class Deliverer:
    """Tells webhooks, beside any number of other workers."""

    def __init__(
        self,
        database: Database,
        feed: Feed,
        outside: Outside,
        signing: Signing,
        settings: GatewaySettings,
        health: Health,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._settings = settings
        self._health = health
        self._holder = new_id("worker")
        self._lease = timedelta(seconds=settings.webhook_lease_seconds)
        self._outside = outside
        self._clock = clock
        self._make = partial(
            Endpoint,
            holder=self._holder,
            database=database,
            feed=feed,
            outside=outside,
            signing=signing,
            settings=settings,
            clock=clock,
        )
        self._endpoints: dict[str, tuple[Endpoint, asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Tell until cancelled; then what is on its way is finished, and others may take over at once."""
        rest = partial(asyncio.sleep, min(1.0, self._settings.webhook_lease_seconds / 5))
        try:
            await keep_doing(self.look, rest, self._health, PART)
        finally:
            await self._stop_all()

    async def look(self) -> bool:
        """Hold on to what is held, let go of what is not to be told, take what nobody tells; True: there is more."""
        await self._bury()
        async with self._database.connection() as connection:
            await webhooks.end_with_keys(connection, self._clock())
            held = await webhooks.renew(connection, self._holder, self._lease, sorted(self._endpoints))
            taken = await webhooks.claim(connection, self._holder, self._lease, _CLAIMED_AT_ONCE)
            failed = await webhooks.failed(connection)
        self._hold({row.webhook: row for row in held})
        for row in taken:
            if row.webhook not in self._endpoints:
                endpoint = self._make(row)
                task = asyncio.create_task(endpoint.run(), name=f"webhook {row.webhook}")
                self._endpoints[row.webhook] = (endpoint, task)
        self._health.detail(PART, f"{failed} webhooks are disabled because of their receivers" if failed else "")
        return len(taken) == _CLAIMED_AT_ONCE

    def _hold(self, held: dict[str, WebhookRow]) -> None:
        for name, (endpoint, task) in self._endpoints.items():
            row = held.get(name)
            if row is None:
                task.cancel()
            elif row.state != ENABLED:
                endpoint.stop()
            else:
                endpoint.renew(row)

    async def _bury(self) -> None:
        """Let go of those that have ended."""
        for name, (_, task) in list(self._endpoints.items()):
            if not task.done():
                continue
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("telling a webhook failed and will be tried again", webhook=name, error=repr(error))
            async with self._database.connection() as connection:
                await webhooks.release(connection, self._holder, name)
            del self._endpoints[name]

    async def _stop_all(self) -> None:
        for endpoint, _ in self._endpoints.values():
            endpoint.stop()
        tasks = [task for _, task in self._endpoints.values()]
        if tasks:
            with suppress(asyncio.CancelledError):
                await asyncio.wait(tasks, timeout=_STOP_SECONDS)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1)
        with suppress(Exception):
            await self._bury()
        await self._outside.close()
