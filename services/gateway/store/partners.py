"""Partners and their keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from datetime import datetime

    from laurel.io.database import Connection


@dataclass(frozen=True, slots=True)
class PartnerRow:
    """A partner: somebody who reports, redeems or pays."""

    partner: str
    name: str | None
    created_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as it is kept: its secret only as a hash."""

    key: str
    prefix: str
    hash: bytes
    partner: str
    scopes: tuple[str, ...]
    programs: tuple[str, ...]
    adjust_limit: int | None
    expires_at: datetime | None
    created_at: datetime
    created_by: str | None
    revoked_at: datetime | None
    old_prefix: str | None = None
    old_hash: bytes | None = None
    old_until: datetime | None = None
    rate_limit: int | None = None


_PARTNER = "select partner, name, created_by, created_at from partners where partner = $1"
_PUT = """
    insert into partners (partner, name, created_by, created_at, updated_at) values ($1, $2, $3, $4, $4)
    on conflict (partner) do update set name = excluded.name, updated_at = excluded.updated_at
    returning partner, name, created_by, created_at, xmax = 0 as created
"""


ANYBODY: Final = "*"
"""Whoever may name every partner there is: the operator."""
_MAY_BE_NAMED = """
    select exists (
        select 1 from partners p where p.partner = $1 and (
            $3 in ('*', p.created_by)
            or exists (select 1 from partner_terms t where t.program = $2 and t.partner = $1)
            or exists (select 1 from api_keys k where k.partner = $1 and k.programs && array[$2, '*'])
        )
    )
"""


async def may_be_named(connection: Connection, name: str, program: str, namer: str) -> bool:
    """Whether a partner is there, and the namer's own, or takes part in the program by its terms or by a key."""
    return bool(await connection.fetchval(_MAY_BE_NAMED, name, program, namer))


async def partner(connection: Connection, name: str) -> PartnerRow | None:
    row = await connection.fetchrow(_PARTNER, name)
    return None if row is None else PartnerRow(*row)


async def put_partner(
    connection: Connection, partner_id: str, name: str | None, *, created_by: str, at: datetime
) -> tuple[PartnerRow, bool]:
    """Make or change a partner, and say whether it is new."""
    row = await connection.fetchrow(_PUT, partner_id, name, created_by, at)
    assert row is not None
    return PartnerRow(*row[:4]), row[4]


_KEY_COLUMNS = (
    "key, prefix, hash, partner, scopes, programs, adjust_limit, expires_at, created_at, created_by, revoked_at, "
    "old_prefix, old_hash, old_until, rate_limit"
)
_BY_PREFIX = f"select {_KEY_COLUMNS} from api_keys where prefix = $1 or old_prefix = $1"
_BY_ID = f"select {_KEY_COLUMNS} from api_keys where key = $1 for update"
_ADD = f"""
    insert into api_keys ({_KEY_COLUMNS})
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, null, null, null, null, $11)
"""
_ROTATE = """
    update api_keys set old_prefix = prefix, old_hash = hash, old_until = $4, prefix = $2, hash = $3 where key = $1
"""
_REVOKE = "update api_keys set revoked_at = $2 where key = $1 and revoked_at is null"


async def key_by_prefix(connection: Connection, prefix: str) -> KeyRow | None:
    row = await connection.fetchrow(_BY_PREFIX, prefix)
    return None if row is None else _key_row(row)


async def key_by_id(connection: Connection, key: str) -> KeyRow | None:
    """Read a key and hold its row."""
    row = await connection.fetchrow(_BY_ID, key)
    return None if row is None else _key_row(row)


async def add_key(connection: Connection, row: KeyRow) -> None:
    await connection.execute(
        _ADD,
        row.key,
        row.prefix,
        row.hash,
        row.partner,
        list(row.scopes),
        list(row.programs),
        row.adjust_limit,
        row.expires_at,
        row.created_at,
        row.created_by,
        row.rate_limit,
    )


async def rotate_key(connection: Connection, key: str, prefix: str, hash_: bytes, *, old_until: datetime) -> None:
    """Put a new secret in place; the one that it replaces is good until then, the one before that no more."""
    await connection.execute(_ROTATE, key, prefix, hash_, old_until)


async def revoke_key(connection: Connection, key: str, at: datetime) -> None:
    await connection.execute(_REVOKE, key, at)


def _key_row(row: Any) -> KeyRow:  # noqa: ANN401 - a row is whatever its statement selects
    values = dict(row)
    return KeyRow(**{**values, "scopes": tuple(values["scopes"]), "programs": tuple(values["programs"])})
