"""Judgements of all members of a program: measured page by page, ranked in one go, judged page by page.

A page and how far the judgement has come commit together, so it can stop anywhere and goes on where it was: nobody is
judged twice, nobody is missed. What is measured stands in a table, never in memory.

A ranking over another program measures the members there, without a lock, after the members here: of each human, known
by its person or else by the member's id, what its best account has. It stands under the names of both programs until
the members here have been judged by it.
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
RANKING: Final = "ranking"
JUDGING: Final = "judging"
CLEARING: Final = "clearing"
DONE: Final = "done"

# Whoever holds the row goes on with the judgement; others look for another one, or come back later.
_OPEN = """
    select program, at, state, after, cuts from judgements
    where program = any($1::text[]) and state <> 'done' order by program, at limit 1 for update skip locked"""
_LAST = "select max(at) from judgements where program = $1"
_FIRST_DAYS = """
    select k.program, (
        select min(day) from tier_counts where program = k.program and grain = 'day' and unit = k.unit) as day
    from unnest($1::text[], $2::text[]) as k (program, unit)"""
_UNJUDGED = """
    select min(k.at) from unnest($2::timestamptz[]) as k (at)
    where not exists (select from judgements where program = $1 and at = k.at)"""
_FIRST_MEMBER = "select min(enrolled_at) from wallets where program = $1"
_BEGIN = "insert into judgements (program, at, state) values ($1, $2, $3) on conflict do nothing"
_ADVANCE = "update judgements set state = $3, after = $4, cuts = coalesce($5, cuts) where program = $1 and at = $2"

_MEMBERS = """
    select member, status, person, enrolled_at from wallets
    where program = $1 and member > $2 order by program, member limit $3"""

# Each member is reached by its key, whatever the planner believes of the table.
_MEASURE = """
    insert into measured (program, member, segment, measure)
    select $10, k.name, $3, max(s.measure)
    from unnest($2::text[], $11::text[]) as k (member, name)
    cross join lateral (
        select coalesce(sum(amount), 0)::bigint as measure from tier_counts
        where program = $1 and member = k.member and grain = 'day' and unit = $4 and day >= $5 and day < $6 offset 0) s
    where s.measure >= $7 and (
        select coalesce(bool_and((
            select coalesce(sum(amount), 0) from tier_counts
            where program = $1 and member = k.member and grain = 'day' and unit = $4 and day >= q.first
              and day < q.until) > 0), true)
        from unnest($8::date[], $9::date[]) as q (first, until))
    group by k.name
    on conflict (program, member, segment) do update set measure = greatest(measured.measure, excluded.measure)"""

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

_STANDING = """
    select k.member
    from unnest($2::text[]) as k (member)
    cross join lateral (
        select tier from tiers where program = $1 and member = k.member offset 0) t
    where t.tier is not null"""

# By its person, said here or there, and by the same id where no person is said there. No row of another human has
# such a name, because an account with a person is measured under that alone.
_FROM_OTHER = """
    select k.member, s.segment, max(s.measure) as measure
    from unnest($2::text[], $3::text[]) as k (member, person)
    left join lateral (
        select person from wallets where program = $4 and member = k.member offset 0) o on true
    cross join lateral (
        values ('person ' || coalesce(k.person, o.person)), ('member ' || k.member)) as n (name)
    cross join lateral (
        select segment, measure from measured
        where program = $1 and member = n.name offset 0) s
    group by k.member, s.segment"""
# In no order, so that nothing is sorted, and by key alone: the other index would read a whole ranking for each.
_LEFT_OVER = "select program, member from measured where program > $1 and program < $2 limit $3"
_CLEAR = "delete from measured where program = $1 and member = any($2::text[])"

_cuts = msgspec.json.Decoder(dict[str, Cut])


async def find_open(connection: asyncpg.Connection[Any], programs: Sequence[str]) -> OpenJudgement | None:
    """Take hold of a judgement that nobody else has hold of."""
    row = await connection.fetchrow(_OPEN, list(programs))
    if row is None:
        return None
    program, at, state, after, cuts = row
    return OpenJudgement(program, at, state, after, _cuts.decode(cuts) if cuts else {})


async def judged_until(
    connection: asyncpg.Connection[Any], program: str, units: Sequence[tuple[str, str]]
) -> datetime | None:
    """Return the instant of the last judgement, or the day of the first thing that was counted, if there was any.

    What another program counts is of no matter before there is a member here.
    """
    last: datetime | None = await connection.fetchval(_LAST, program)
    if last is not None:
        return last
    if not units:
        return None
    found = await connection.fetch(_FIRST_DAYS, [each for each, _ in units], [unit for _, unit in units])
    days = [(each, datetime.combine(day, time.min, UTC)) for each, day in found if day is not None]
    starts = [day for each, day in days if each == program]
    others = [day for each, day in days if each != program]
    since: datetime | None = await connection.fetchval(_FIRST_MEMBER, program) if others else None
    if since is not None:
        starts.append(max(since, min(others)))
    return min(starts, default=None)


async def first_unjudged(
    connection: asyncpg.Connection[Any], program: str, instants: Sequence[datetime]
) -> datetime | None:
    """Return the first of some instants that no judgement was noted for."""
    found: datetime | None = await connection.fetchval(_UNJUDGED, program, list(instants))
    return found


async def begin(connection: asyncpg.Connection[Any], program: str, at: datetime, state: str) -> None:
    """Note that members are to be judged; noted before, it stays as it is."""
    await connection.execute(_BEGIN, program, at, state)


async def measure_page(
    connection: asyncpg.Connection[Any],
    judgement: OpenJudgement,
    segments: Sequence[CompiledSegment],
    day: date,
    limit: int,
) -> tuple[str, str]:
    """Measure the next members, those who are active; return in which state the judgement is then, and how far.

    The members here come first, then those of each other program over which something is ranked.
    """
    overs = sorted({segment.over for segment in segments if segment.over})
    if judgement.state == MEASURING:
        own = [segment for segment in segments if segment.over is None]
        last = await _measure_members(
            connection, judgement.program, judgement.program, judgement.after, own, day, limit
        )
        if last is not None:
            return MEASURING, last
    else:
        at, _, after = judgement.after.partition(" ")
        overs = [over for over in overs if over >= at]
        if overs:
            over, *overs = overs
            theirs = [segment for segment in segments if segment.over == over]
            start, into = after if over == at else "", _into(judgement.program, over)
            last = await _measure_members(connection, over, into, start, theirs, day, limit)
            if last is not None:
                return RANKING, f"{over} {last}"
    return (RANKING, f"{overs[0]} ") if overs else (JUDGING, "")


def _into(program: str, over: str) -> str:
    """Return under what name the measures of another program stand; names of programs have no spaces."""
    return f"{program} {over}"


async def _measure_members(
    connection: asyncpg.Connection[Any],
    program: str,
    into: str,
    after: str,
    segments: Sequence[CompiledSegment],
    day: date,
    limit: int,
) -> str | None:
    """Measure the next members of a program; return the last one, or None at the end."""
    rows = await connection.fetch(_MEMBERS, program, after, limit)
    active = [row for row in rows if row["status"] == "active"]
    members = [row["member"] for row in active]
    names = members
    if into != program:
        names = [f"person {row['person']}" if row["person"] else f"member {row['member']}" for row in active]
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
            program,
            members,
            segment.name,
            unit,
            window.first,
            window.end,
            least,
            [quarter.first for quarter in quarters],
            [quarter.end for quarter in quarters],
            into,
            names,
        )
    return rows[-1]["member"] if len(rows) == limit else None


async def cuts_of(
    connection: asyncpg.Connection[Any], program: str, segments: Sequence[CompiledSegment]
) -> dict[str, Cut]:
    """Return what each ranking came to, once all members are measured."""
    found = {}
    for segment in segments:
        if segment.rank is not None:
            into = program if segment.over is None else _into(program, segment.over)
            found[segment.name] = await _cut(connection, into, segment.name, segment.rank)
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
    due: Sequence[CompiledSegment],
    known: Sequence[str],
    limit: int,
    *,
    tiers: bool = False,
) -> tuple[dict[WalletKey, dict[str, int]], str, bool]:
    """Return the next members with what was measured of them, the last one, and whether it is the end.

    `due` are the segments that are judged, `known` the names of all that the version has.
    Of those who belong nowhere only such are returned as a ranking may take in; with `tiers` all who have risen are.
    """
    names = [segment.name for segment in due]
    program = judgement.program
    rows = await connection.fetch(_MEMBERS, program, judgement.after, limit)
    members = [row["member"] for row in rows]
    if not members:
        return {}, judgement.after, True
    found: dict[WalletKey, dict[str, int]] = {}
    for (member,) in await connection.fetch(_BELONGING, program, members, names, list(known)):
        found[WalletKey(program, member)] = {}
    for (member,) in await connection.fetch(_STANDING, program, members) if tiers else ():
        found[WalletKey(program, member)] = {}
    taken = await connection.fetch(_TAKE, program, judgement.after, members[-1])
    # Another program's past may reach back behind the day on which a member came here.
    there = [row for row in rows if row["enrolled_at"] is None or row["enrolled_at"] <= judgement.at]
    for over in sorted({segment.over for segment in due if segment.over}):
        people = [row["member"] for row in there], [row["person"] for row in there]
        taken += await connection.fetch(_FROM_OTHER, _into(program, over), *people, over)
    for member, segment, measure in taken:
        top = judgement.cuts[segment].top if segment in judgement.cuts else 0
        if top is not None and measure >= top:
            found.setdefault(WalletKey(program, member), {})
    for member, segment, measure in taken:
        key = WalletKey(program, member)
        if key in found:
            found[key][segment] = measure
    return found, members[-1], len(members) < limit


async def clear_page(connection: asyncpg.Connection[Any], program: str, limit: int) -> bool:
    """Forget the next of what was measured in other programs; say whether there was any."""
    rows = await connection.fetch(_LEFT_OVER, f"{program} ", f"{program}!", limit)
    for into in {row["program"] for row in rows}:
        await connection.execute(_CLEAR, into, [row["member"] for row in rows if row["program"] == into])
    return bool(rows)
