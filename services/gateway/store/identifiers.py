"""Identifiers come and go: added, replaced, blocked. A blocked one stays whose it was, and is nobody else's ever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from datetime import datetime

    from laurel.io.database import Connection

Added = Literal["added", "there", "identifier_taken", "identifier_blocked", "identifier_unknown", "member_not_active"]

# The member's row is locked first, as an enrolment takes rows: of two changes at once one sees what the other did.
_LOCK: Final = "select status from members where program = $1 and member = $2 for update"
_FIND: Final = """
    select member, blocked_at is not null as blocked from identifiers
    where program = $1 and scheme = $2 and hash = $3
"""
_ADD: Final = """
    insert into identifiers (program, scheme, hash, member, created_at, sealed) values ($1, $2, $3, $4, $5, $6)
    on conflict (program, scheme, hash) do nothing returning member
"""
_BLOCK: Final = """
    update identifiers set blocked_at = coalesce(blocked_at, $5)
    where program = $1 and scheme = $2 and hash = $3 and member = $4 returning member
"""


async def add(
    connection: Connection,
    program: str,
    member: str,
    scheme: str,
    hash_: bytes,
    *,
    sealed: bytes,
    replaces: bytes | None,
    at: datetime,
) -> Added:
    """Give a member an identifier; the one that it replaces is blocked by the same deed, or nothing is done."""
    status = await connection.fetchval(_LOCK, program, member)
    if status in {"closed", "erased"}:
        return "member_not_active"
    if replaces is not None:
        old = await connection.fetchrow(_FIND, program, scheme, replaces)
        if old is None or old["member"] != member:
            return "identifier_unknown"
    found: Added = "added"
    if await connection.fetchval(_ADD, program, scheme, hash_, member, at, sealed) is None:
        row = await connection.fetchrow(_FIND, program, scheme, hash_)
        if row is None or row["member"] != member:
            return "identifier_blocked" if row is not None and row["blocked"] else "identifier_taken"
        if row["blocked"]:
            return "identifier_blocked"
        found = "there"
    if replaces is not None:
        await connection.fetchval(_BLOCK, program, scheme, replaces, member, at)
    return found


async def block(connection: Connection, program: str, member: str, scheme: str, hash_: bytes, at: datetime) -> bool:
    """Block a member's identifier for ever; tells whether the member has it. Again it changes nothing."""
    await connection.fetchval(_LOCK, program, member)
    return await connection.fetchval(_BLOCK, program, scheme, hash_, member, at) is not None
