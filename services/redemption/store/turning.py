"""Turns of manual clocks as redemption knows them: what points did in each, and how far the vouchers are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from laurel.io.database import Connection
from services.redemption.domain.heard import ClockTurned
from services.redemption.ports import OpenTurn, TurnSeen
from services.redemption.store.columns import columns

_BEGIN: Final = """
    insert into turns (program, as_of, converted)
    select * from unnest($1::text[], $2::timestamptz[], $3::bigint[]) on conflict do nothing"""
_ANY: Final = "select exists (select from turns where not done)"
# The oldest first: a voucher that ends in one turn may not be met by the next.
_OPEN: Final = """
    select program, as_of, converted from turns t
    where not done and not exists (
        select from turns before where before.program = t.program and before.as_of < t.as_of and not before.done)
    order by program, as_of limit 1 offset $1 for update skip locked"""
_ISSUED: Final = "select count(*) from vouchers where program = $1 and turned_to = $2"
_ADVANCE: Final = """
    update turns set expired = expired + $3, timed_out = timed_out + $4, done = $5 where program = $1 and as_of = $2"""
# What points are still asked to release belongs to the turn that ended its wait.
_FIND: Final = """
    select converted, expired, timed_out + coalesce((
            select sum(ended) from turn_waits where program = $1 and as_of = $2), 0)::bigint,
        done and (timed_out = 0 or not exists (
            select from sagas where program = $1 and manual and hold = 'release_asked'))
    from turns where program = $1 and as_of = $2"""


async def begin(connection: Connection, turns: Sequence[ClockTurned]) -> None:
    """Note that clocks were turned; one that was noted before stays as it is."""
    await connection.execute(_BEGIN, *columns([(each.program, each.as_of, each.converted) for each in turns]))


async def any_open(connection: Connection) -> bool:
    """Say whether any turn is not done."""
    return bool(await connection.fetchval(_ANY))


async def find_open(connection: Connection, offset: int) -> OpenTurn | None:
    """Take hold of a turn that is not done; `offset` passes over those that cannot go on yet."""
    row = await connection.fetchrow(_OPEN, offset)
    return OpenTurn(*row) if row is not None else None


async def is_complete(connection: Connection, turn: OpenTurn) -> bool:
    """Say whether all vouchers are issued that points made in a turn: each is told on its member's key."""
    return bool(turn.converted == 0 or await connection.fetchval(_ISSUED, turn.program, turn.as_of) >= turn.converted)


async def advance(connection: Connection, turn: OpenTurn, expired: int, timed_out: int, *, done: bool) -> None:
    """Keep how far the turn has come."""
    await connection.execute(_ADVANCE, turn.program, turn.as_of, expired, timed_out, done)


async def find(connection: Connection, program: str, as_of: datetime) -> TurnSeen | None:
    """Return how far a turn is; None where points have not told of it yet."""
    row = await connection.fetchrow(_FIND, program, as_of)
    return TurnSeen(*row) if row is not None else None
