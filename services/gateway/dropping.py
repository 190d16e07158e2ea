"""Events that need no longer be kept for others are dropped, the oldest first, and with them what became of them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from laurel.io.keeping import keep_doing
from services.gateway.store import deliveries, events

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from laurel.io.database import Database
    from laurel.io.health import Health
    from services.gateway.settings import GatewaySettings

_ROWS_MAX: Final = 1_000


async def keep_dropping(
    database: Database, clock: Callable[[], datetime], settings: GatewaySettings, health: Health
) -> None:
    """Drop what is older than the settings say, again and again until cancelled."""
    retention = timedelta(hours=settings.events_retention_hours)

    async def drop() -> bool:
        dropped = await events.drop(database, clock() - retention, _ROWS_MAX)
        async with database.transaction() as connection:
            forgotten = await deliveries.drop(connection, await events.first(connection), _ROWS_MAX)
        return _ROWS_MAX in {dropped, forgotten}

    await keep_doing(drop, partial(asyncio.sleep, settings.events_prune_seconds), health, "events-kept")
