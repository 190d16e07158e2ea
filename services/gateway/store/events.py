"""Events that others may hear, in the order in which they were committed here, without a gap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from laurel.io.together import Statement, With
from services.gateway.hearing import Event, NewEvent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from laurel.io.database import Connection, Database

# The head is locked by the last statement of a projection and let go by its commit. So positions are given in the order
# of the commits, and whoever has read one has read all before it. A sequence of the database would promise neither.
_APPEND = With(
    (("head", "update event_head set position = position + $8 returning position"),),
    """
    insert into events (position, program, member, type, partner, source, sequence, event, created_at)
    select head.position - $8 + e.place, e.program, e.member, e.type, e.partner, e.source, e.sequence, e.event, $9
    from head cross join unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int8[], $7::bytea[])
        with ordinality as e(program, member, type, partner, source, sequence, event, place)
    """,
)
_HEAD = "select position from event_head"
# One statement and so one moment: an event that comes between two looks would be neither found nor still to come.
_FIRST = "select coalesce((select min(position) from events), (select position + 1 from event_head))"
_PAGE = """
    select position, program, member, type, partner, event from events
    where position > $1 order by position limit $2
"""
_DROP = """
    delete from events where position in (select position from events order by position limit $2) and created_at < $1
"""


class EventsGoneError(Exception):
    """What comes after a position is no longer kept; `first` is the first that still is."""

    def __init__(self, first: int) -> None:
        super().__init__(first)
        self.first = first


def appending(events: Sequence[NewEvent], at: datetime) -> list[Statement]:
    """Return what gives events the next positions. Execute it last in a transaction: others wait for its commit."""
    if not events:
        return []
    columns = [list(column) for column in zip(*events, strict=True)]
    return [Statement(_APPEND, (*columns, len(events), at))]


async def head(connection: Connection) -> int:
    """Return the position of the newest event."""
    position: int = await connection.fetchval(_HEAD)
    return position


async def first(connection: Connection) -> int:
    """Return the first position that is kept; where none is, the one that comes next."""
    position: int = await connection.fetchval(_FIRST)
    return position


async def page(connection: Connection, after: int, most: int) -> list[Event]:
    """Return the events after a position. `EventsGoneError` where some of those are no longer kept."""
    found = [Event(*row) for row in await connection.fetch(_PAGE, after, most)]
    if found and found[0].position != after + 1:
        raise EventsGoneError(found[0].position)
    return found


async def drop(database: Database, before: datetime, most: int) -> int:
    """Drop the oldest events that came before then, at most so many; how many they were."""
    async with database.transaction() as connection:
        return int((await connection.execute(_DROP, before, most)).rpartition(" ")[2])
