"""What callers do with a wallet itself, as this service shows it: holds, adjustments, transfers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from laurel.io.database import Connection


class NewOperation(NamedTuple):
    """An operation as it is asked for; `request` is the id of the request that asks. Its order is that of locks."""

    program: str
    kind: str
    id: str
    partner: str
    member: str
    request: str
    sealed_note: bytes | None = None


@dataclass(frozen=True, slots=True)
class OperationRow:
    """An operation as it stands; `body` is what a GET shows once an event has told of it."""

    program: str
    kind: str
    id: str
    partner: str
    member: str
    request: str
    note: str | None
    state: str
    body: bytes | None
    sealed_note: bytes | None = None
    key: bytes | None = None
    """The member's, where something is sealed under it."""


_FIND = """
    select o.program, o.kind, o.id, o.partner, o.member, o.request, o.note, o.state, o.body, o.sealed_note, case
        when o.sealed_note is not null then (
            select m.key from members m where m.program = o.program and m.member = o.member limit 1
        ) end
    from operations o where o.program = $1 and o.kind = $2 and o.id = $3
"""
_ADD = """
    insert into operations (program, kind, id, partner, member, request, sealed_note, state, created_at)
    select program, kind, id, partner, member, request, sealed_note, 'pending', $8
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[])
        as n(program, kind, id, partner, member, request, sealed_note)
    on conflict (program, kind, id) do nothing
"""


async def find(connection: Connection, program: str, kind: str, id_: str) -> OperationRow | None:
    row = await connection.fetchrow(_FIND, program, kind, id_)
    return None if row is None else OperationRow(*row)


async def add(connection: Connection, new: Sequence[NewOperation], at: datetime) -> None:
    """Record operations; their ids are made here, so they are new."""
    if new:
        columns = [list(column) for column in zip(*sorted(new, key=lambda each: each[:3]), strict=True)]
        await connection.execute(_ADD, *columns, at)
