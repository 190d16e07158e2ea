"""Waits for whose end points rest in the middle of a turn of a manual clock: noted when points say so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from laurel.io.database import Connection
from services.redemption.ports import TurnWaits
from services.redemption.store.columns import columns

_BEGIN: Final = """
    insert into turn_waits (program, as_of, until, message, correlation, traceparent)
    select * from unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::text[], $5::text[], $6::text[])
    on conflict do nothing"""
_ANY: Final = "select exists (select from turn_waits where not done)"
_OPEN: Final = """
    select program, as_of, until, message, correlation, traceparent from turn_waits
    where not done order by program, as_of, until limit 1 offset $1 for update skip locked"""
_RELEASING: Final = "select exists (select from sagas where program = $1 and manual and hold = 'release_asked')"
_NOTE: Final = """
    update turn_waits set ended = ended + $4, done = $5 where program = $1 and as_of = $2 and until = $3"""


async def begin(connection: Connection, waits: Sequence[TurnWaits]) -> None:
    """Note that points rest; what was noted before stays as it is."""
    await connection.execute(_BEGIN, *columns(sorted(waits)))


async def any_open(connection: Connection) -> bool:
    """Say whether points rest for any waits."""
    return bool(await connection.fetchval(_ANY))


async def find_open(connection: Connection, offset: int) -> TurnWaits | None:
    """Take hold of waits for whose end points rest; `offset` passes over those that cannot go on yet."""
    row = await connection.fetchrow(_OPEN, offset)
    return TurnWaits(*row) if row is not None else None


async def is_releasing(connection: Connection, program: str) -> bool:
    """Say whether points are still to release anything that a program's sagas held."""
    return bool(await connection.fetchval(_RELEASING, program))


async def note(connection: Connection, waits: TurnWaits, ended: int, *, done: bool) -> None:
    """Keep how many have ended, and whether points are told to go on."""
    await connection.execute(_NOTE, waits.program, waits.as_of, waits.until, ended, done)
