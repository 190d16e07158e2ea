"""What is known of people: their keys, what is sealed under these, and how both are forgotten."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from laurel.io.database import Connection

ERASED: Final = "erased"

_KEY: Final = """
    update members set key = coalesce(key, $3) where program = $1 and member = $2 and status <> 'erased' returning key
"""
_FIND_KEY: Final = "select key from members where program = $1 and member = $2"
_STATUS: Final = "select status from members where program = $1 and member = $2"
_ACCOUNTS: Final = """
    with recursive part(member) as (
        select member from members where program = $1 and merged_into = $2
        union
        select m.member from part p join members m on m.program = $1 and m.merged_into = p.member
    )
    select member from part order by member
"""
_IDENTIFIERS: Final = """
    select member, scheme, hash, sealed, created_at, blocked_at from identifiers
    where program = $1 and member = any($2::text[]) order by member, created_at, scheme, hash
"""
_OPERATIONS: Final = """
    select kind, id, partner, member, note, sealed_note, state, body, created_at from operations
    where program = $1 and member = any($2::text[]) and ($3::text is null or partner = $3)
    order by created_at, kind, id
"""

# Each row is found by its key, whatever is believed of a young table. No event is newer than this.
_FORGET: Final = """
    update members set status = 'erased', person = null, referred_by = null, attributes = '{}', key = null,
        household = null
    where program = $1 and member = $2
"""
_FORGET_PROFILE: Final = """
    insert into member_details (program, member, detail, body, epoch, sequence)
    values ($1, $2, 'profile', '{"person":null,"attributes":{}}', 2147483647, 9223372036854775807)
    on conflict (program, member, detail) do update
    set body = excluded.body, epoch = excluded.epoch, sequence = excluded.sequence
"""
_FREE_IDENTIFIERS: Final = "delete from identifiers where program = $1 and member = $2 and blocked_at is null"
_KEEP_BLOCKED: Final = "update identifiers set member = '', sealed = null where program = $1 and member = $2"
_FORGET_NOTES: Final = """
    update operations set note = null, sealed_note = null
    where program = $1 and member = $2 and (note is not null or sealed_note is not null)
"""


_CLEAR_NOTES: Final = """
    select program, kind, id, member, note from operations where note is not null
    order by program, member, kind, id limit $1
"""
_SEAL_NOTE: Final = """
    update operations set note = null, sealed_note = $4 where program = $1 and kind = $2 and id = $3
"""


class IdentifierRow(NamedTuple):
    """An identifier that somebody has or had."""

    member: str
    scheme: str
    hash: bytes
    sealed: bytes | None
    created_at: datetime
    blocked_at: datetime | None


class OperationRow(NamedTuple):
    """Something that was asked of somebody's wallet, with what was noted about it."""

    kind: str
    id: str
    partner: str
    member: str
    note: str | None
    sealed_note: bytes | None
    state: str
    body: bytes | None
    created_at: datetime


async def key_of(connection: Connection, program: str, member: str, new: bytes) -> bytes | None:
    """Return the key of a member, which is `new` if it had none; an erased one gets none."""
    found: bytes | None = await connection.fetchval(_KEY, program, member, new)
    return found


async def find_key(connection: Connection, program: str, member: str) -> bytes | None:
    """Return the key that a member has."""
    found: bytes | None = await connection.fetchval(_FIND_KEY, program, member)
    return found


async def is_erased(connection: Connection, program: str, member: str) -> bool:
    """Say whether nobody knows any more who a member is."""
    return bool(await connection.fetchval(_STATUS, program, member) == ERASED)


async def accounts(connection: Connection, program: str, member: str) -> list[str]:
    """Return the accounts that became a part of a member's, at whatever remove."""
    return [row["member"] for row in await connection.fetch(_ACCOUNTS, program, member)]


async def identifiers(connection: Connection, program: str, members: Sequence[str]) -> list[IdentifierRow]:
    """Return what these members are or were found by."""
    return [IdentifierRow(*row) for row in await connection.fetch(_IDENTIFIERS, program, list(members))]


async def operations(
    connection: Connection, program: str, members: Sequence[str], partner: str | None
) -> list[OperationRow]:
    """Return what was asked of these members' wallets, by one partner or by any."""
    return [OperationRow(*row) for row in await connection.fetch(_OPERATIONS, program, list(members), partner)]


async def forget(connection: Connection, members: Iterable[tuple[str, str]]) -> None:
    """Destroy the keys of members and what is known of them. Their identifiers are free; a blocked one is nobody's.

    Done twice it changes nothing, and whatever is heard of them later changes nothing of it.
    """
    for each in sorted(set(members)):
        await connection.execute(_FORGET, *each)
        await connection.execute(_FORGET_PROFILE, *each)
        await connection.execute(_FREE_IDENTIFIERS, *each)
        await connection.execute(_KEEP_BLOCKED, *each)


async def clear_notes(connection: Connection, limit: int) -> list[tuple[str, str, str, str, str]]:
    """Return notes that lie in clear: program, kind, id, member, note, in the order in which members are locked."""
    return [tuple(row) for row in await connection.fetch(_CLEAR_NOTES, limit)]


async def seal_note(connection: Connection, operation: tuple[str, str, str], sealed: bytes | None) -> None:
    """Keep a note sealed instead of in clear."""
    await connection.execute(_SEAL_NOTE, *operation, sealed)


async def forget_notes(connection: Connection, members: Iterable[tuple[str, str]]) -> None:
    """Forget what was noted about operations of members; nobody can read it any more anyway."""
    for each in sorted(set(members)):
        await connection.execute(_FORGET_NOTES, *each)
