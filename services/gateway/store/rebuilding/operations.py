"""How holds, adjustments and what goes between two wallets stand, written again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from services.gateway.naming import ADJUSTMENT, EXCHANGE, HOLD, MERGE, TRANSFER, UNMERGE
from services.gateway.store.rebuilding.standing import Restored, Row, Stands, Written, at_of, columns, differs
from services.gateway.store.recording import SET_OPERATIONS

if TYPE_CHECKING:
    from laurel.io.database import Connection
    from services.gateway.told.telling import OperationSeen

KINDS: Final = (ADJUSTMENT, EXCHANGE, HOLD, MERGE, TRANSFER, UNMERGE)
"""Which requests made operations."""
_AT_ONCE: Final = 2_000

# What only the gateway knows of an operation its request knows as well, but for the note.
_ASKED: Final = """
    with asked as (
        select program, kind, partner, id, member, subject, created_at from requests
        where program = $1 and kind = $2 and (partner, id) > ($3, $4)
        order by partner, id limit $5
    ), added as (
        insert into operations (program, kind, id, partner, member, request, state, created_at)
        select program, kind, subject, partner, member, id, 'pending', created_at from asked
        where subject is not null and member is not null
        on conflict (program, kind, id) do nothing
        returning id
    )
    select partner, id, (select count(*) from added) as added from asked order by partner desc, id desc limit 1
"""
_LOCK: Final = """
    select o.program, o.kind, o.id, o.epoch, o.sequence, o.state, o.body
    from unnest($1::text[], $2::text[], $3::text[]) as k(program, kind, id)
    cross join lateral (
        select program, kind, id, epoch, sequence, state, body from operations q
        where q.program = k.program and q.kind = k.kind and q.id = k.id offset 0 for update
    ) o
"""


async def restore(connection: Connection, program: str, kind: str, after: tuple[str, str]) -> Restored | None:
    """Make some operations that were asked for and are lost, behind a request; None at the end."""
    row = await connection.fetchrow(_ASKED, program, kind, *after, _AT_ONCE)
    return None if row is None else Restored((row[0], row[1]), row[2])


async def write(connection: Connection, told: Sequence[OperationSeen], known: Mapping[Row, Stands]) -> Written:
    """Write how operations stand, of those that somebody asked for here."""
    saying = {(each.program, each.kind, each.id): each for each in told}
    written = Written()
    mend = []
    if not saying:
        return written
    for row in await connection.fetch(_LOCK, *columns(sorted(saying))):
        key, stands = tuple(row)[:3], tuple(row)[3:5]
        each, name = saying[key], ("operations", *key)
        is_ahead = stands > at_of(each.place)
        if is_ahead and known.get(name) != stands:
            written.ahead[name] = stands
        elif is_ahead or row["state"] != each.state or differs(row["body"], each.body):
            mend.append((*key, each.state, each.body, *at_of(each.place)))
    if mend:
        await connection.execute(SET_OPERATIONS, *columns(mend))
    written.mended = len(mend)
    return written
