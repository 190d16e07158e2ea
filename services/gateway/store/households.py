"""Households: who is in which is decided here, under the locks of the household and of all members whom it concerns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from datetime import datetime

    from laurel.io.database import Connection


@dataclass(slots=True)
class NewHousehold:
    """A household as it is to be; `leaving` is told by `put`: who was in it until now. `request` asks for it."""

    program: str
    household: str
    members: tuple[str, ...]
    pooling: bool
    request: str
    leaving: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HouseholdRow:
    """A household as it is."""

    program: str
    household: str
    members: tuple[str, ...]
    pooling: bool
    request: str


_FIND = "select program, household, members, pooling, request from households where program = $1 and household = $2"
_POOLED = """
    select m.balances
    from households h
    cross join lateral jsonb_array_elements_text(convert_from(h.members, 'utf8')::jsonb) as k(member)
    join members m on m.program = h.program and m.member = k.member
    where h.program = $1 and h.household = $2 and h.pooling and m.member <> $3
      and m.status = 'active' and m.balances is not null and m.merged_into is null
"""
_ERASED = "select member from members where program = $1 and member = any($2::text[]) and status = 'erased'"
_BEGIN = """
    insert into households (program, household, members, pooling, request, created_at)
    values ($1, $2, $3, false, '', $4) on conflict (program, household) do nothing
"""
_LOCK = "select members from households where program = $1 and household = $2 for update"
_PUT = "update households set members = $3, pooling = $4, request = $5 where program = $1 and household = $2"
_DROP = "delete from households where program = $1 and household = $2 and request = ''"
# The keys come sorted, so that rows are locked in one order.
_MEMBERS = """
    select m.member, m.household, m.status from unnest($2::text[]) as k(member)
    cross join lateral (
        select member, household, status from members q where q.program = $1 and q.member = k.member offset 0 for update
    ) m
"""
_JOIN = "update members set household = $3 where program = $1 and member = any($2::text[])"

_decode_members = msgspec.json.Decoder(tuple[str, ...]).decode


async def pooled(connection: Connection, program: str, household: str, besides: str) -> list[bytes]:
    """Return the balances of those who pay together with a member, as reads show them; of nobody who has left."""
    rows = await connection.fetch(_POOLED, program, household, besides)
    return [bytes(row[0]) for row in rows]


async def find(connection: Connection, program: str, household: str) -> HouseholdRow | None:
    row = await connection.fetchrow(_FIND, program, household)
    if row is None:
        return None
    members = _decode_members(row[2])
    gone = {each["member"] for each in await connection.fetch(_ERASED, program, list(members))}
    return HouseholdRow(row[0], row[1], tuple(each for each in members if each not in gone), row[3], row[4])


async def put(connection: Connection, new: NewHousehold, at: datetime) -> str | None:
    """Let a household be as it is to be; return why it cannot: somebody is not there, or in another one."""
    await connection.execute(_BEGIN, new.program, new.household, msgspec.json.encode(()), at)
    before = _decode_members(await connection.fetchval(_LOCK, new.program, new.household))
    leaving = sorted(set(before).difference(new.members))
    rows = await connection.fetch(_MEMBERS, new.program, sorted({*before, *new.members}))
    homes = {row["member"]: row["household"] for row in rows}
    code = None
    if any(member not in homes for member in new.members):
        code = "member_unknown"
    elif any(row["status"] == "erased" and row["member"] in new.members for row in rows):
        code = "member_not_active"
    elif any(homes[member] not in {None, new.household} for member in new.members):
        code = "other_household"
    if code is not None:
        await connection.execute(_DROP, new.program, new.household)
        return code
    await connection.execute(_JOIN, new.program, leaving, None)
    await connection.execute(_JOIN, new.program, list(new.members), new.household)
    await connection.execute(
        _PUT, new.program, new.household, msgspec.json.encode(new.members), new.pooling, new.request
    )
    new.leaving = tuple(leaving)
    return None
