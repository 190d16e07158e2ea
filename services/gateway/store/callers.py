"""When a caller who waits for an outcome was last seen, on any instance. Told by the database's clock alone."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from laurel.io.database import Connection

_SEEN = "update callers set seen_at = clock_timestamp() where seen_at < clock_timestamp()"
_PRESENT = "select seen_at > clock_timestamp() - $1::interval from callers"


async def seen(connection: Connection) -> None:
    """Take note that a caller is there now."""
    await connection.execute(_SEEN)


async def present(connection: Connection, seconds: float) -> bool:
    """Tell whether one was there within so many seconds."""
    return bool(await connection.fetchval(_PRESENT, timedelta(seconds=seconds)))
