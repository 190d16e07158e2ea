"""Details of members in their table: each as of the newest event that told of it, whoever heard that first."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from laurel.io.database import Connection
    from services.gateway.details import DetailSeen

_SET = """
    insert into member_details as d (program, member, detail, body, epoch, sequence)
    select * from unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::int4[], $6::int8[])
    on conflict (program, member, detail) do update
    set body = excluded.body, epoch = excluded.epoch, sequence = excluded.sequence
    where (d.epoch, d.sequence) < (excluded.epoch, excluded.sequence)
"""
_CLOSE = "update members set status = 'closed' where program = $1 and member = $2 and status <> 'closed'"


async def keep(connection: Connection, seen: Iterable[DetailSeen]) -> None:
    """Keep what was told, unless something newer was."""
    latest: dict[tuple[str, str, str], DetailSeen] = {}
    for each in seen:
        before = latest.get(each[:3])
        if before is None or (before.epoch, before.sequence) < (each.epoch, each.sequence):
            latest[each[:3]] = each
    if latest:
        rows = [latest[key] for key in sorted(latest)]
        await connection.execute(_SET, *(list(column) for column in zip(*rows, strict=True)))


async def close(connection: Connection, closed: Iterable[tuple[str, str]]) -> None:
    """Show members as closed; nobody opens them again, so it does not matter in which order this is heard."""
    for program, member in sorted(set(closed)):
        await connection.execute(_CLOSE, program, member)
