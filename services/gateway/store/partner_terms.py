"""What is said of the partners of programs, one version a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime

    from laurel.io.database import Connection
    from laurel.partnerships import State


@dataclass(frozen=True, slots=True)
class TermsRow:
    """One version, which never changes. `scores` is JSON; without `since` it holds from the beginning."""

    program: str
    version: int
    partner: str
    state: str
    since: datetime | None
    billing: str
    scores: bytes | None
    published_at: datetime


class Said(NamedTuple):
    """Of one version, whether the partner takes part."""

    state: State
    since: datetime | None


_COLUMNS = "program, version, partner, state, since, billing, scores, published_at"
_NEWEST = f"""
    select {_COLUMNS} from partner_terms where program = $1 and partner = $2 order by version desc limit 1
"""
_ALL = f"""
    select distinct on (partner) {_COLUMNS} from partner_terms where program = $1 order by partner, version desc
"""
_SAID = "select partner, state, since from partner_terms where program = $1 and version <= $2 order by version"
_ADD = f"insert into partner_terms ({_COLUMNS}) values ($1, $2, $3, $4, $5, $6, $7, $8)"
_COUNT = "update programs set partners = $2 where program = $1"


async def newest(connection: Connection, program: str, partner: str) -> TermsRow | None:
    """Return what was said last of a partner."""
    row = await connection.fetchrow(_NEWEST, program, partner)
    return None if row is None else TermsRow(*row)


async def of_program(connection: Connection, program: str) -> list[TermsRow]:
    """Return what was said last of each partner."""
    return [TermsRow(*row) for row in await connection.fetch(_ALL, program)]


async def said_up_to(connection: Connection, program: str, version: int) -> dict[str, list[Said]]:
    """Return what was said of each partner's part up to a version, in the order in which it was."""
    said: dict[str, list[Said]] = {}
    for partner, state, since in await connection.fetch(_SAID, program, version):
        said.setdefault(partner, []).append(Said(state, since))
    return said


async def add(connection: Connection, row: TermsRow) -> None:
    """Add a version and make it the program's newest; the program must be locked."""
    await connection.execute(
        _ADD,
        row.program,
        row.version,
        row.partner,
        row.state,
        row.since,
        row.billing,
        row.scores,
        row.published_at,
    )
    await connection.execute(_COUNT, row.program, row.version)
