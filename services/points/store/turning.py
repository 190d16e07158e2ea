"""Turns of manual clocks: noted when they are asked for, then done page by page through a program's members.

Pages are handed out, so that every worker can be at one turn with a page of its own. The members of a page are done in
parts beside each other. A part and what it counts commit together, and a member that is done is due no more. At the end
of a walk over the members every page must have come back; where one has not, since its worker died, all members are
walked over once more. So a turn can stop anywhere and goes on: nobody is met twice, nobody is missed.

A turn goes in parts where waits of redemptions end on its way: a walk does what is due before the next of them ends,
then the turn rests until redemption has ended it, and the next walk goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg

from services.points.domain.turning import Counts
from services.points.ports import OpenTurn, Page, Turn, Waits, WaitsOver, WalletKey

_BEGIN = """
    insert into turns (program, as_of, message, correlation, traceparent)
    values ($1, $2, $3, $4, $5) on conflict do nothing"""

# Whoever holds the row looks for what comes next, which is short; others wait for it.
_OPEN = """
    select program, as_of, message, correlation, traceparent, after, walk, in_hand, part_to from turns
    where not done and waits_to is null order by program, as_of limit 1 for update"""

# One question where nothing waits. What is not over although its end was come to is being captured, or fulfilled.
_BEGIN_PART = """
    update turns t set part_to = coalesce((
        select min(h.waits_until) - interval '1 microsecond' from holds h
        where h.program = t.program and h.state = 'held' and h.waits_until <= t.as_of
          and h.waits_until > coalesce(t.waited_to, '-infinity')), t.as_of)
    where t.program = $1 and t.as_of = $2 returning t.part_to"""

_WAITS = """
    select min(waits_until), min(waits_until) filter (where place = 2)
    from (
        select h.waits_until, dense_rank() over (partition by h.member order by h.waits_until) as place
        from turns t
        join holds h on h.program = t.program and h.state = 'held' and h.waits_until <= t.as_of
          and h.waits_until > coalesce(t.waited_to, '-infinity')
        where t.program = $1 and t.as_of = $2) w"""

_NEXT_DUE = "select min(next_due_at) from wallets where program = $1 and next_due_at <= $2"
_REST = "update turns set waits_to = $3 where program = $1 and as_of = $2"
_NEXT_PART = """
    update turns set after = '', walk = walk + 1, in_hand = 0, part_to = null where program = $1 and as_of = $2"""
_GO_ON = """
    update turns set after = '', walk = walk + 1, in_hand = 0, part_to = null, waits_to = null, waited_to = waits_to
    where program = $1 and as_of = $2 and waits_to = $3 and not done"""

# Members are walked in the order of their key and looked at here: a condition on what is due would invite a plan by
# the index of due dates, which reads all that is due again for every page.
_PAGE = """
    select member, next_due_at from wallets
    where program = $1 and member > $2 order by program, member limit $3"""

_COUNT = """
    update turns set released = released + $3, holds_timed_out = holds_timed_out + $4,
        lots_expired = lots_expired + $5, tiers_changed = tiers_changed + $6, converted = converted + $7
    where program = $1 and as_of = $2"""

_HAND_OUT = "update turns set after = $3, in_hand = in_hand + $4 where program = $1 and as_of = $2"
_TAKE_BACK = "update turns set in_hand = in_hand - 1 where program = $1 and as_of = $2 and walk = $3"
_WALK_AGAIN = "update turns set after = '', walk = walk + 1, in_hand = 0 where program = $1 and as_of = $2"
_END = """
    update turns set done = true where program = $1 and as_of = $2
    returning released, holds_timed_out, lots_expired, tiers_changed, converted"""

_MOVED = """
    select member, version, turned_to from wallets
    where program = $1 and member > $2 order by program, member limit $3"""


async def begin(connection: asyncpg.Connection[Any], turns: Sequence[Turn]) -> None:
    """Note turns, in the transaction of the messages that ask for them."""
    await connection.executemany(_BEGIN, sorted(turns))


async def any_open(connection: asyncpg.Connection[Any]) -> bool:
    """Say whether any turn can go on."""
    return bool(await connection.fetchval("select exists (select from turns where not done and waits_to is null)"))


async def find_open(connection: asyncpg.Connection[Any]) -> OpenTurn | None:
    """Take hold of the first turn that can go on, until the transaction ends."""
    row = await connection.fetchrow(_OPEN)
    return None if row is None else OpenTurn(Turn(*tuple(row)[:5]), *tuple(row)[5:])


async def begin_part(connection: asyncpg.Connection[Any], turn: OpenTurn) -> OpenTurn:
    """See how far the next walk goes: up to the next wait on the way, or to the turn's end."""
    return turn._replace(part_to=await connection.fetchval(_BEGIN_PART, turn.turn.program, turn.turn.as_of))


async def waits(connection: asyncpg.Connection[Any], turn: OpenTurn) -> Waits | None:
    """Return which waits end on the rest of a turn's way; None where there is none."""
    first, second = await connection.fetchrow(_WAITS, turn.turn.program, turn.turn.as_of) or (None, None)
    return None if first is None else Waits(first, second)


async def next_due(connection: asyncpg.Connection[Any], turn: OpenTurn) -> datetime | None:
    """Return when something is due next for any member, on the rest of a turn's way."""
    found: datetime | None = await connection.fetchval(_NEXT_DUE, turn.turn.program, turn.turn.as_of)
    return found


async def rest(connection: asyncpg.Connection[Any], turn: OpenTurn, until: datetime) -> None:
    """Let a turn rest while redemption ends the waits up to an instant."""
    await connection.execute(_REST, turn.turn.program, turn.turn.as_of, until)


async def next_part(connection: asyncpg.Connection[Any], turn: OpenTurn) -> None:
    """Begin with the next part; there was nothing to rest for."""
    await connection.execute(_NEXT_PART, turn.turn.program, turn.turn.as_of)


async def go_on(connection: asyncpg.Connection[Any], over: Sequence[WaitsOver]) -> None:
    """Let turns go on that rest until just these waits are over."""
    await connection.executemany(_GO_ON, sorted(over))


async def page(connection: asyncpg.Connection[Any], turn: OpenTurn, limit: int) -> Page:
    """Return the next members of the turn's program, of whom only those with something due are to be moved."""
    program, until = turn.turn.program, turn.until
    rows = await connection.fetch(_PAGE, program, turn.after, limit)
    due = [WalletKey(program, member) for member, next_due_at in rows if next_due_at and next_due_at <= until]
    return Page(due, rows[-1]["member"] if rows else turn.after, len(rows) < limit)


async def count(connection: asyncpg.Connection[Any], turn: OpenTurn, counts: Counts) -> None:
    """Add what some members' due work has brought about, in its transaction. The row is held until that commits."""
    await connection.execute(
        _COUNT,
        turn.turn.program,
        turn.turn.as_of,
        counts.released,
        counts.holds_timed_out,
        counts.lots_expired,
        counts.tiers_changed,
        counts.converted,
    )


async def hand_out(connection: asyncpg.Connection[Any], turn: OpenTurn, page: Page) -> None:
    """Go past a page; one on which something is due is in the caller's hand until it is taken back."""
    await connection.execute(_HAND_OUT, turn.turn.program, turn.turn.as_of, page.last, int(bool(page.due)))


async def take_back(connection: asyncpg.Connection[Any], turn: OpenTurn) -> None:
    """Note that a page of this walk is done."""
    await connection.execute(_TAKE_BACK, turn.turn.program, turn.turn.as_of, turn.walk)


async def walk_again(connection: asyncpg.Connection[Any], turn: OpenTurn) -> None:
    """Begin once more at the first member; pages that are still in hand count no more."""
    await connection.execute(_WALK_AGAIN, turn.turn.program, turn.turn.as_of)


async def end(connection: asyncpg.Connection[Any], turn: OpenTurn) -> Counts:
    """Note that the turn is done; return all that it has brought about."""
    row = await connection.fetchrow(_END, turn.turn.program, turn.turn.as_of)
    assert row is not None  # turns are never taken back
    return Counts(*row)


async def moved(
    connection: asyncpg.Connection[Any], program: str, as_of: datetime, after: str, limit: int
) -> tuple[list[tuple[str, int]], str | None]:
    """Return a page of the members that a turn moved, with how far each wallet is, and where the next page begins."""
    rows = await connection.fetch(_MOVED, program, after, limit)
    found = [(member, version) for member, version, turned_to in rows if turned_to == as_of]
    return found, rows[-1]["member"] if len(rows) == limit else None
