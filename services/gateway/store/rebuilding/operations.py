"""How holds, adjustments and what goes between two wallets stand, written again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from services.gateway.naming import ADJUSTMENT, EXCHANGE, HOLD, MERGE, TRANSFER, UNMERGE
from services.gateway.store.rebuilding.standing import (
    NOWHERE,
    Restored,
    Row,
    Stands,
    Written,
    at_of,
    columns,
    fits,
    unlike,
)

if TYPE_CHECKING:
    from laurel.io.database import Connection
    from services.gateway.told.telling import OperationSeen

KINDS: Final = (ADJUSTMENT, EXCHANGE, HOLD, MERGE, TRANSFER, UNMERGE)
"""Which requests made operations."""
_AT_ONCE: Final = 2_000

# What only the gateway knows of an operation or a redemption, its request knows as well, but for a note.
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


async def restore(connection: Connection, program: str, kind: str, after: tuple[str, str]) -> Restored | None:
    """Make some operations that were asked for and are lost, behind a request; None at the end."""
    row = await connection.fetchrow(_ASKED, program, kind, *after, _AT_ONCE)
    return None if row is None else Restored((row[0], row[1]), row[2])


_OPERATIONS_TOLD: Final = """
    unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::int4[], $7::int8[], $8::int8[], $9::int8[])
        as s(program, kind, id, state, body, epoch, sequence, k1, k2)"""
_OPERATIONS: Final = f"""
    update operations o set state = s.state, body = s.body, epoch = s.epoch, sequence = s.sequence
    from {_OPERATIONS_TOLD}
    where o.program = s.program and o.kind = s.kind and o.id = s.id and {fits("o")}
        and (o.state <> s.state or (o.epoch, o.sequence) > (s.epoch, s.sequence) or {unlike("o.body", "s.body")})
    returning o.id
"""
_OPERATIONS_AHEAD: Final = f"""
    select o.program, o.kind, o.id, o.epoch, o.sequence from {_OPERATIONS_TOLD}
    join operations o on o.program = s.program and o.kind = s.kind and o.id = s.id
    where not {fits("o")}
"""


async def write(connection: Connection, told: Sequence[OperationSeen], known: Mapping[Row, Stands]) -> Written:
    """Write how holds, adjustments and what goes between two wallets stand."""
    rows = sorted(
        (each.program, each.kind, each.id, each.state, each.body, *at_of(each.place),
         *known.get(("operations", each.program, each.kind, each.id), NOWHERE)[:2])
        for each in told
    )  # fmt: skip
    if not rows:
        return Written()
    written = Written(len(await connection.fetch(_OPERATIONS, *columns(rows))))
    for row in await connection.fetch(_OPERATIONS_AHEAD, *columns(rows)):
        written.ahead["operations", row[0], row[1], row[2]] = tuple(row)[3:]
    return written
