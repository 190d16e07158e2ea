"""The audit: who changed what. Rows are only ever added; the service's role may do nothing else with them."""

from __future__ import annotations

import hashlib
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from laurel.io.database import Connection


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A change, by whose key and which request; `before` and `after` are digests of what it was about."""

    id: str
    at: datetime
    key: str
    partner: str
    program: str | None
    action: str
    target: str
    request: str
    before: str | None = None
    after: str | None = None


_canonical: Final = msgspec.json.Encoder(order="deterministic").encode
_COLUMNS = "id, at, key, partner, program, action, target, request, before, after"
_ADD = f"insert into audit ({_COLUMNS}) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict do nothing"
_LIST = f"""
    select {_COLUMNS} from audit a
    where ($1::text is null or a.program = $1) and ($2::text is null or a.partner = $2)
        and ($3::text is null or a.action = $3) and ($4::text is null or a.target = $4)
        and ($5::text[] is null or a.program = any($5) or (a.program is null and a.partner = $6))
        and ($7 = '' or a.id < $7)
    order by a.id desc limit $8
"""


async def add(connection: Connection, rows: Sequence[AuditRow]) -> None:
    """Add rows; one that is there already is the same."""
    await connection.executemany(_ADD, [astuple(row) for row in rows])


async def listed(
    connection: Connection,
    *,
    filters: Sequence[str | None],
    programs: Sequence[str] | None,
    partner: str,
    before: str,
    limit: int,
) -> list[AuditRow]:
    """Return rows, newest first. `filters`: program, partner, action, target.

    `programs` are those that may be seen, None for all; what belongs to no program is seen by who did it.
    """
    seen: Any = list(programs) if programs is not None else None
    rows = await connection.fetch(_LIST, *filters, seen, partner, before, limit)
    return [AuditRow(*row) for row in rows]


def digest(value: object) -> str | None:
    """Return the digest of JSON, the same whatever order its names come in; bytes are taken for JSON already."""
    if value is None:
        return None
    plain = msgspec.json.decode(value) if isinstance(value, bytes) else value
    return "sha256:" + hashlib.sha256(_canonical(plain)).hexdigest()
