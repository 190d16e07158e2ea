"""Judgements of all members of a program: measured page by page, ranked in one go, judged page by page.

A page and how far the judgement has come commit together, so it can stop anywhere and goes on where it was: nobody is
judged twice, nobody is missed. What is measured stands in a table, never in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import Any, Final

import asyncpg
import msgspec

from laurel.program.segments import CompiledRank, CompiledSegment, Cut, Days
from services.points.ports import OpenJudgement, WalletKey

MEASURING: Final = "measuring"
JUDGING: Final = "judging"
DONE: Final = "done"

# Whoever holds the row goes on with the judgement; others look for another one, or come back later.
_OPEN = """
    select program, at, state, after, cuts from judgements
    where program = any($1::text[]) and state <> 'done' order by program, at limit 1 for update skip locked"""
_LAST = "select max(at) from judgements where program = $1"
_FIRST_DAY = "select min(day) from tier_counts where program = $1 and grain = 'day' and unit = any($2::text[])"
_BEGIN = "insert into judgements (program, at, state) values ($1, $2, $3) on conflict do nothing"
_ADVANCE = "update judgements set state = $3, after = $4, cuts = coalesce($5, cuts) where program = $1 and at = $2"

_MEMBERS = """
    select member, status from wallets where program = $1 and member > $2 order by program, member limit $3"""

# Each member is reached by its key, whatever the planner believes of the table.
_MEASURE = """
    insert into measured (program, member, segment, measure)
    select $1, k.member, $3, s.measure
    from unnest($2::text[]) as k (member)
    cross join lateral (
        select coalesce(sum(amount), 0)::bigint as measure from tier_counts
        where program = $1 and member = k.member and grain = 'day' and unit = $4 and day >= $5 and day < $6 offset 0) s
    where s.measure >= $7 and (
        select coalesce(bool_and((
            select coalesce(sum(amount), 0) from tier_counts
            where program = $1 and member = k.member and grain = 'day' and unit = $4 and day >= q.first
              and day < q.until) > 0), true)
        from unnest($8::date[], $9::date[]) as q (first, until))"""

_SIZE = "select count(*) from measured where program = $1 and segment = $2"
_PLACE = """
    select measure from measured where program = $1 and segment = $2
    order by program, segment, measure desc offset $3 limit 1"""

# Members are walked in the order of their key here too, and looked up by it: a page of what is measured would be sorted
# anew each time wherever the planner takes the table, which was filled a moment ago, for a small one.
_TAKE = """
    delete from measured where program = $1 and member > $2 and member <= $3 returning member, segment, measure"""
_BELONGING = """
    select k.member
    from unnest($2::text[]) as k (member)
    cross join lateral (
        select names from segments where program = $1 and member = k.member offset 0) s
    where s.names && $3::text[] or not s.names <@ $4::text[]"""

_cuts = msgspec.json.Decoder(dict[str, Cut])


async def find_open(connection: asyncpg.Connection[Any], programs: Sequence[str]) -> OpenJudgement | None:
    """Take hold of a judgement that nobody else has hold of."""
    row = await connection.fetchrow(_OPEN, list(programs))
    if row is None:
        return None
    program, at, state, after, cuts = row
    return OpenJudgement(program, at, state, after, _cuts.decode(cuts) if cuts else {})


async def judged_until(connection: asyncpg.Connection[Any], program: str, units: Sequence[str]) -> datetime | None:
    """Return the instant of the last judgement, or the day of the first thing that was counted, if there was any."""
    last: datetime | None = await connection.fetchval(_LAST, program)
    if last is not None:
        return last
    first: date | None = await connection.fetchval(_FIRST_DAY, program, list(units))
    return None if first is None else datetime.combine(first, time.min, UTC)


async def begin(connection: asyncpg.Connection[Any], program: str, at: datetime, state: str) -> None:
    """Note that members are to be judged; noted before, it stays as it is."""
    await connection.execute(_BEGIN, program, at, state)


async def measure_page(
    connection: asyncpg.Connection[Any],
    judgement: OpenJudgement,
    segments: Sequence[CompiledSegment],
    day: date,
    limit: int,
) -> tuple[str, bool]:
    """Measure the next members, those who are active; return the last one, and whether it is the end."""
    rows = await connection.fetch(_MEMBERS, judgement.program, judgement.after, limit)
    members = [member for member, status in rows if status == "active"]
    for segment in segments if members else ():
        quarters: Sequence[Days] = ()
        if segment.sum is not None:
            unit, window, least = segment.sum.unit, segment.sum.window(day), segment.sum.least
        elif segment.rank is not None:
            unit, window, least = segment.rank.unit, segment.rank.window(day), 1
            quarters = segment.rank.quarters(day)
        else:
            continue
        await connection.execute(
            _MEASURE,
            judgement.program,
            members,
            segment.name,
            unit,
            window.first,
            window.end,
            least,
            [quarter.first for quarter in quarters],
            [quarter.end for quarter in quarters],
        )
    return (rows[-1]["member"] if rows else judgement.after), len(rows) < limit


async def cuts_of(
    connection: asyncpg.Connection[Any], program: str, segments: Sequence[CompiledSegment]
) -> dict[str, Cut]:
    """Return what each ranking came to, once all members are measured."""
    found = {}
    for segment in segments:
        if segment.rank is not None:
            found[segment.name] = await _cut(connection, program, segment.name, segment.rank)
    return found


async def _cut(connection: asyncpg.Connection[Any], program: str, segment: str, rank: CompiledRank) -> Cut:
    size = await connection.fetchval(_SIZE, program, segment)
    if not size:
        return Cut()
    bounds = [
        None
        if share is None
        else await connection.fetchval(_PLACE, program, segment, CompiledRank.place(share, size) - 1)
        for share in (rank.top, rank.keeps)
    ]
    return Cut(size, *bounds)


async def advance(
    connection: asyncpg.Connection[Any],
    judgement: OpenJudgement,
    state: str,
    after: str,
    cuts: dict[str, Cut] | None = None,
) -> None:
    """Keep how far the judgement has come."""
    told = None if cuts is None else msgspec.json.encode(cuts)
    await connection.execute(_ADVANCE, judgement.program, judgement.at, state, after, told)


async def take_page(
    connection: asyncpg.Connection[Any],
    judgement: OpenJudgement,
    names: Sequence[str],
    known: Sequence[str],
    limit: int,
) -> tuple[dict[WalletKey, dict[str, int]], str, bool]:
    """Return the next members with what was measured of them, the last one, and whether it is the end.

    `names` are the segments that are judged, `known` all that the version has.
    Of those who belong nowhere only such are returned as a ranking may take in.
    """
    program = judgement.program
    rows = await connection.fetch(_MEMBERS, program, judgement.after, limit)
    members = [row["member"] for row in rows]
    if not members:
        return {}, judgement.after, True
    found: dict[WalletKey, dict[str, int]] = {}
    for (member,) in await connection.fetch(_BELONGING, program, members, list(names), list(known)):
        found[WalletKey(program, member)] = {}
    taken = await connection.fetch(_TAKE, program, judgement.after, members[-1])
    for member, segment, measure in taken:
        top = judgement.cuts[segment].top if segment in judgement.cuts else 0
        if top is not None and measure >= top:
            found.setdefault(WalletKey(program, member), {})
    for member, segment, measure in taken:
        key = WalletKey(program, member)
        if key in found:
            found[key][segment] = measure
    return found, members[-1], len(members) < limit
