"""Published program versions, and where each program's clock stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from laurel.io.database import Connection


@dataclass(frozen=True, slots=True)
class ProgramHead:
    """What a request must know of a program: its newest version and its now."""

    program: str
    version: int
    clock: str
    as_of: datetime | None
    turning_to: datetime | None = None
    partners: int = 0
    """The newest version of what is said of its partners."""

    @property
    def is_manual(self) -> bool:
        return self.clock == "manual"


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One version, which never changes."""

    program: str
    version: int
    hash: str
    document: bytes
    effective_from: datetime
    published_at: datetime


_HEAD = "program, version, clock, as_of, turning_to, partners"
_HEADS = f"select {_HEAD} from programs where program = any($1::text[])"
_LOCK = f"select {_HEAD} from programs where program = $1 for update"
_KEEP = f"""
    select {_HEAD} from programs where program = any($1::text[])
    order by program for share
"""
_BEGIN_TURN = "update programs set turning_to = $2, turned = null where program = $1"
_TURN = "select program, turning_to, turned from programs where program = $1 and turning_to is not null"
_TURNS_DONE = """
    select program, turning_to, turned from programs where turning_to is not null and turned is not null
"""
_END_TURN = """
    update programs set as_of = turning_to, turning_to = null
    where program = $1 and turning_to = $2 and turned is not null returning program
"""
_PUT_HEAD = """
    insert into programs (program, version, clock, changed_at) values ($1, $2, $3, $4)
    on conflict (program) do update
    set version = excluded.version, clock = excluded.clock, changed_at = excluded.changed_at
"""
_ADD = """
    insert into program_versions (program, version, hash, document, effective_from, published_at)
    values ($1, $2, $3, $4, $5, $6)
"""
_COLUMNS = "program, version, hash, document, effective_from, published_at"
_VERSION = f"select {_COLUMNS} from program_versions where program = $1 and version = $2"
_PAGE = """
    select program, version, hash, ''::bytea, effective_from, published_at from program_versions
    where program = $1 and version > $2 order by version limit $3
"""
_IN_FORCE = f"""
    select {_COLUMNS} from program_versions where program = $1
    order by (effective_from <= $2) desc,
        case when effective_from <= $2 then effective_from end desc nulls last,
        case when effective_from <= $2 then version end desc nulls last, version
    limit 1
"""


_STARTS = "select effective_from, version from program_versions where program = $1 and version <= $2"


_DOCUMENTS = "select document from program_versions where program = $1 and version <= $2"


async def documents(connection: Connection, program: str, newest: int) -> list[bytes]:
    """Return the documents of all versions up to one."""
    return [row[0] for row in await connection.fetch(_DOCUMENTS, program, newest)]


async def starts(connection: Connection, program: str, newest: int) -> list[tuple[datetime, int]]:
    """Return from when on each version judges, of those up to one."""
    return [(row[0], row[1]) for row in await connection.fetch(_STARTS, program, newest)]


async def heads(connection: Connection, programs: Iterable[str]) -> dict[str, ProgramHead]:
    rows = await connection.fetch(_HEADS, sorted(set(programs)))
    return {row[0]: ProgramHead(*row) for row in rows}


async def names(connection: Connection) -> list[str]:
    """Return all programs."""
    return [row[0] for row in await connection.fetch("select program from programs order by program")]


async def kept_heads(connection: Connection, programs: Iterable[str]) -> dict[str, ProgramHead]:
    """Return the same, and let no clock begin to turn before the transaction ends."""
    rows = await connection.fetch(_KEEP, sorted(set(programs)))
    return {row[0]: ProgramHead(*row) for row in rows}


async def lock_head(connection: Connection, program: str) -> ProgramHead | None:
    """Hold the program, so that versions are counted one after the other."""
    row = await connection.fetchrow(_LOCK, program)
    return None if row is None else ProgramHead(*row)


@dataclass(frozen=True, slots=True)
class TurnRow:
    """A clock that is being turned; `turned` is what points told when it was done."""

    program: str
    turning_to: datetime
    turned: bytes | None


async def begin_turn(connection: Connection, program: str, as_of: datetime) -> None:
    """Let the clock of a program that is locked begin to turn."""
    await connection.execute(_BEGIN_TURN, program, as_of)


async def turn(connection: Connection, program: str) -> TurnRow | None:
    """Return the turn that is going on."""
    row = await connection.fetchrow(_TURN, program)
    return None if row is None else TurnRow(*row)


async def turns_done(connection: Connection) -> list[TurnRow]:
    """Return the turns that points is done with."""
    return [TurnRow(*row) for row in await connection.fetch(_TURNS_DONE)]


async def end_turn(connection: Connection, program: str, as_of: datetime) -> bool:
    """Let the clock stand at its new now; False where somebody else did, or it is not so far."""
    return await connection.fetchval(_END_TURN, program, as_of) is not None


async def add_version(connection: Connection, row: VersionRow, clock: str) -> None:
    """Add a version and make it the newest. Of two first ones at once, the second fails as a conflict."""
    await connection.execute(
        _ADD, row.program, row.version, row.hash, row.document, row.effective_from, row.published_at
    )
    await connection.execute(_PUT_HEAD, row.program, row.version, clock, row.published_at)


async def version(connection: Connection, program: str, number: int) -> VersionRow | None:
    row = await connection.fetchrow(_VERSION, program, number)
    return None if row is None else VersionRow(*row)


async def in_force(connection: Connection, program: str, at: datetime) -> VersionRow | None:
    """Return the version by which something at `at` is judged: before the first one, the first."""
    row = await connection.fetchrow(_IN_FORCE, program, at)
    return None if row is None else VersionRow(*row)


async def versions(connection: Connection, program: str, after: int, limit: int) -> list[VersionRow]:
    """Return a page of versions, without their documents."""
    return [VersionRow(*row) for row in await connection.fetch(_PAGE, program, after, limit)]
