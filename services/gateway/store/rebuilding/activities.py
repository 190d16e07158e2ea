"""What became of activities, written again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from services.gateway.store.rebuilding.standing import Written, columns, differs
from services.gateway.told.telling import PENDING, POSTED

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
_LOCK: Final = """
    select r.program, r.kind, r.partner, r.id, r.state, r.member, r.outcome
    from unnest($1::text[], $2::text[], $3::text[], $4::text[]) as k(program, kind, partner, id)
    cross join lateral (
        select program, kind, partner, id, state, member, outcome from requests q
        where q.program = k.program and q.kind = k.kind and q.partner = k.partner and q.id = k.id offset 0 for update
    ) r
"""
_MEND: Final = """
    insert into requests as r (program, kind, partner, id, attempt, hash, state, member, code, outcome, created_at,
        answered_at)
    select s.program, s.kind, s.partner, s.id, q.attempt, q.hash, s.state, s.member, s.code, s.outcome, q.created_at,
        case when s.state <> 'pending' then $10::timestamptz end
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bytea[],
        $9::text[]) as s(program, kind, partner, id, member, state, code, outcome, hash)
    cross join lateral (
        select attempt, hash, created_at from requests p
        where p.program = s.program and p.kind = s.kind and p.partner = s.partner and p.id = s.id offset 0
    ) q
    on conflict (program, kind, partner, id) do update
    set state = excluded.state, code = excluded.code, outcome = excluded.outcome,
        member = coalesce(r.member, excluded.member), answered_at = coalesce(r.answered_at, excluded.answered_at)
"""
_ADD: Final = """
    insert into requests (program, kind, partner, id, attempt, hash, state, member, code, outcome, delayed, created_at,
        answered_at)
    select program, kind, partner, id, 1, hash, state, member, code, outcome, state = 'pending', $10::timestamptz,
        case when state <> 'pending' then $10::timestamptz end
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bytea[],
        $9::text[]) as s(program, kind, partner, id, member, state, code, outcome, hash)
    on conflict (program, kind, partner, id) do nothing
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
    ordered = sorted(told, key=lambda each: each.outcome.correlation.key)
    if not ordered:
        return Written()
    keys = columns([each.outcome.correlation.key for each in ordered])
    there = {tuple(row)[:4]: tuple(row)[4:] for row in await connection.fetch(_LOCK, *keys)}
    mend, add = [], []
    for each in ordered:
        outcome = each.outcome
        key = tuple(outcome.correlation.key)
        row = (*key, each.member, outcome.state, outcome.code, outcome.body, each.hash)
        if key not in there:
            add.append(row)
        elif _is_to_be_mended(there[key], each, is_heard=heard_of.get(each.member, False)):
            mend.append(row)
    if mend:
        await connection.execute(_MEND, *columns(mend), at)
    if add:
        await connection.execute(_ADD, *columns(add), at)
    return Written(len(mend) + len(add))


def _is_to_be_mended(there: tuple[Any, ...], told: ActivityTold, *, is_heard: bool) -> bool:
    """Say whether a row does not show what is told, though it should."""
    state, member, outcome = there
    if told.outcome.state == PENDING:
        return state == PENDING and differs(outcome, told.outcome.body)
    if state == PENDING and not is_heard:
        # It is answered, and counted to its file, by the event that is on its way.
        return False
    if member is None:
        # What was reported without a member is not refused by a claim that was, and is whose it was claimed for.
        return told.outcome.state == POSTED
    return bool(state != told.outcome.state) or differs(outcome, told.outcome.body)
