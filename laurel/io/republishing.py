"""Somebody wants all that a service's outbox retains to be published again: a reader lacks an event for good."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from laurel.io.database import Connection

ASKED: Final = "again"
"""What stands in `broker_state` in place of a broker's id until a relay has done it."""

_ASK = "update broker_state set cluster_id = $1 where cluster_id <> '' returning true"
_IS_ASKED = "select cluster_id = $1 from broker_state"


async def ask(connection: Connection) -> bool:
    """Ask for it; False if the service has never met a broker, so that nothing was published yet."""
    return bool(await connection.fetchval(_ASK, ASKED))


async def is_asked(connection: Connection) -> bool:
    """Say whether it is asked for, and not done."""
    return bool(await connection.fetchval(_IS_ASKED, ASKED))
