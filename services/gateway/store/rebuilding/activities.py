"""What became of activities, written again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from services.gateway.store.rebuilding.standing import Written, columns, unlike

if TYPE_CHECKING:
    from datetime import datetime

    from laurel.io.database import Connection
    from services.gateway.recalling import ActivityTold

_HEARD: Final = """
    select k.member, i.number from unnest($1::text[], $2::text[], $3::text[]) as k(program, member, source)
    cross join lateral (
        select number from inbox q where q.program = k.program and q.member = k.member and q.source = k.source offset 0
    ) i
"""
# What is pending is answered, and counted, by the event that is on its way; only where that was heard before, somebody
# has lost it. A purchase without a member is not refused by whom it does not belong to.
_ACTIVITIES: Final = f"""
    update requests r set state = s.state, code = s.code, outcome = s.outcome, member = coalesce(r.member, s.member),
        answered_at = case when s.state = 'pending' then r.answered_at
            else coalesce(r.answered_at, $11::timestamptz) end
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bytea[],
        $9::text[], $10::bool[]) as s(program, kind, partner, id, member, state, code, outcome, hash, is_heard)
    where r.program = s.program and r.kind = s.kind and r.partner = s.partner and r.id = s.id
        and case when s.state = 'pending' then r.state = 'pending'
            else (r.state <> 'pending' or s.is_heard) and (r.member is not null or s.state = 'posted') end
        and (r.state <> s.state or r.member is null or {unlike("r.outcome", "s.outcome")})
    returning r.id
"""
_ACTIVITIES_LOST: Final = """
    insert into requests (program, kind, partner, id, attempt, hash, state, member, code, outcome, delayed, created_at,
        answered_at)
    select program, kind, partner, id, 1, hash, state, member, code, outcome, state = 'pending', $11::timestamptz,
        case when state <> 'pending' then $11::timestamptz end
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bytea[],
        $9::text[], $10::bool[]) as s(program, kind, partner, id, member, state, code, outcome, hash, is_heard)
    on conflict (program, kind, partner, id) do nothing
    returning id
"""


async def heard(connection: Connection, program: str, source: str, members: Sequence[str]) -> dict[str, int]:
    """Return up to which event of each member the projector has heard a source."""
    count = len(members)
    rows = await connection.fetch(_HEARD, [program] * count, list(members), [source] * count)
    return {row[0]: row[1] for row in rows}


async def write(
    connection: Connection, told: Sequence[ActivityTold], heard_of: Mapping[str, bool], at: datetime
) -> Written:
    """Write what became of activities. `heard_of`: of whom the projector has heard all that is told."""
    rows = sorted(
        (*each.outcome.correlation.key, each.member, each.outcome.state, each.outcome.code, each.outcome.body,
         each.hash, heard_of.get(each.member, False))
        for each in told
    )  # fmt: skip
    if not rows:
        return Written()
    mended = len(await connection.fetch(_ACTIVITIES, *columns(rows), at))
    return Written(mended + len(await connection.fetch(_ACTIVITIES_LOST, *columns(rows), at)))
