"""What became of each event that a webhook was to be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from laurel.io.database import Connection

WAITING = "waiting"
DELIVERED = "delivered"
FAILED = "failed"


class Attempted(NamedTuple):
    """How a delivery stands. Waiting ones are tried (again) at next_at, unless one of their member waits before."""

    position: int
    program: str
    member: str
    type: str
    state: str
    attempts: int
    next_at: datetime | None
    status: int | None
    error: str | None
    first_at: datetime | None
    tried_at: datetime | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A delivery that waits, with its event."""

    position: int
    program: str
    member: str
    type: str
    attempts: int
    next_at: datetime | None
    first_at: datetime | None
    partner: str | None
    event: bytes


_COLUMNS = "position, program, member, type, state, attempts, next_at, status, error, first_at, tried_at"
# What is to be sent again waits as if it had never been tried, and says when it was.
_PUT = f"""
    insert into deliveries (webhook, {_COLUMNS})
    select $1, {_COLUMNS} from unnest($2::int8[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int4[],
        $8::timestamptz[], $9::int4[], $10::text[], $11::timestamptz[], $12::timestamptz[]) as a({_COLUMNS})
    on conflict (webhook, position) do update set state = excluded.state, attempts = excluded.attempts,
        next_at = excluded.next_at, status = excluded.status, error = excluded.error, first_at = excluded.first_at,
        tried_at = excluded.tried_at
    where not ($13 and deliveries.state = 'waiting' and deliveries.attempts = 0 and deliveries.tried_at is not null)
"""
# Those whose events are no longer kept can never be sent; they end by themselves when their rows are dropped.
_WAITING = """
    select d.position, d.program, d.member, d.type, d.attempts, d.next_at, d.first_at,
        e.partner, e.event
    from (select * from deliveries where webhook = $1 and state = 'waiting' order by position limit $2) d
    cross join lateral (select partner, event from events e where e.position = d.position offset 0) e
    order by d.position
"""
_AHEAD = "select position from deliveries where webhook = $1 and position > $2"
_FIND = f"select {_COLUMNS} from deliveries where webhook = $1 and position = $2"
_LIST = f"""
    select {_COLUMNS} from deliveries where webhook = $1 and position < $2 and ($3::text is null or state = $3)
    order by position desc limit $4
"""
_AGAIN = """
    update deliveries d set state = 'waiting', attempts = 0, next_at = $3, first_at = null
    where webhook = $1 and position = $2 and exists (select from events e where e.position = d.position)
    returning true
"""
_ALL_AGAIN = (
    "update deliveries set attempts = 0, next_at = $2, first_at = null where webhook = $1 and state = 'waiting'"
)
_FORGET = "delete from deliveries where webhook = $1"
_DROP = """
    delete from deliveries d using (
        select o.webhook, o.position from webhooks w
        cross join lateral (
            select webhook, position from deliveries x where x.webhook = w.webhook and x.position < $1
            order by position limit $2
        ) o
        limit $2) old
    where d.webhook = old.webhook and d.position = old.position
"""


async def put(connection: Connection, webhook: str, attempted: Sequence[Attempted], *, heeding_wishes: bool) -> None:
    """Keep how deliveries stand now; `heeding_wishes`: but not of those that somebody wants to be sent again."""
    if attempted:
        columns = (list(column) for column in zip(*attempted, strict=True))
        await connection.execute(_PUT, webhook, *columns, heeding_wishes)


async def waiting(connection: Connection, webhook: str, most: int) -> list[Waiting]:
    """Return the first that wait."""
    return [Waiting(*row) for row in await connection.fetch(_WAITING, webhook, most)]


async def ahead(connection: Connection, webhook: str, position: int) -> set[int]:
    """Return what is known of events behind a position: what was told before an earlier one was."""
    return {row[0] for row in await connection.fetch(_AHEAD, webhook, position)}


async def find(connection: Connection, webhook: str, position: int) -> Attempted | None:
    row = await connection.fetchrow(_FIND, webhook, position)
    return None if row is None else Attempted(*row)


async def listed(connection: Connection, webhook: str, before: int, state: str | None, most: int) -> list[Attempted]:
    """Return deliveries, the newest first."""
    return [Attempted(*row) for row in await connection.fetch(_LIST, webhook, before, state, most)]


async def send_again(connection: Connection, webhook: str, position: int, at: datetime) -> bool:
    """Have a delivery sent again; False where its event is no longer kept."""
    return bool(await connection.fetchval(_AGAIN, webhook, position, at))


async def send_all_again(connection: Connection, webhook: str, at: datetime) -> None:
    """Have everything that waits tried at once, as for the first time."""
    await connection.execute(_ALL_AGAIN, webhook, at)


async def forget(connection: Connection, webhook: str) -> None:
    await connection.execute(_FORGET, webhook)


async def drop(connection: Connection, before: int, most: int) -> int:
    """Drop what became of events before a position; at most so many rows."""
    return int((await connection.execute(_DROP, before, most)).rpartition(" ")[2])
