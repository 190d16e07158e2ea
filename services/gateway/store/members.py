"""Members and their identifiers: who exists is decided here, by unique keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from services.gateway.store.programs import ProgramHead

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from laurel.io.database import Connection

PENDING: Final = "pending"
ACTIVE: Final = "active"

EXISTS: Final = "member_exists"
TAKEN: Final = "identifier_taken"


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A member as reads show it. `tier` and `balances` are the JSON that points said last."""

    program: str
    member: str
    status: str
    enrolled_at: datetime
    person: str | None
    attributes: bytes
    tier: bytes | None
    balances: bytes | None
    version: int
    delayed: bool = False
    """Whether the enrolment, while it is pending, waits for something parked."""
    merged_into: str | None = None
    """Which account answers for it."""
    household: str | None = None


class Owner(NamedTuple):
    """Whose an identifier is. One that `is_blocked` finds nobody any more."""

    member: str
    is_blocked: bool


class NewIdentifier(NamedTuple):
    """An identifier by its keyed hash, and sealed under the key of whom it belongs to."""

    scheme: str
    hash: bytes
    sealed: bytes


@dataclass(frozen=True, slots=True)
class NewMember:
    """Somebody to be enrolled; without identifiers it needs no key."""

    program: str
    member: str
    enrolled_at: datetime
    person: str | None
    referred_by: str | None
    attributes: bytes
    identifiers: tuple[NewIdentifier, ...]
    key: bytes | None = None


_FIND = """
    select m.program, m.member, m.status, m.enrolled_at, m.person, m.attributes, m.tier, m.balances, m.version,
        m.delayed, m.merged_into, m.household
    from members m where m.program = $1 and m.member = $2
"""
_FIND_ALL = """
    select m.*, d.detail, d.body from unnest($1::text[], $2::text[]) as k (program, member)
    cross join lateral (
        select program, member, status, enrolled_at, person, attributes, tier, balances, version, delayed, merged_into,
            household
        from members where program = k.program and member = k.member offset 0) m
    left join lateral (
        select detail, body from member_details where program = m.program and member = m.member offset 0) d on true
"""
_SURVIVOR = """
    with recursive chain(member, merged_into) as (
        select member, merged_into from members where program = $1 and member = $2
        union
        select m.member, m.merged_into from chain c join members m on m.program = $1 and m.member = c.merged_into
    )
    select member from chain where merged_into is null limit 1
"""
_EXISTING = """
    select m.program, m.member from unnest($1::text[], $2::text[]) as k(program, member)
    cross join lateral (
        select program, member from members q where q.program = k.program and q.member = k.member offset 0
    ) m
"""
_BEHIND = """
    select exists (
        select from unnest($2::text[], $3::int8[]) as k(member, version)
        cross join lateral (
            select version from members q where q.program = $1 and q.member = k.member offset 0
        ) m
        where m.version < k.version
    )
"""
_RESOLVE = """
    select i.program, i.scheme, i.hash, i.member, i.blocked from unnest($1::text[], $2::text[], $3::bytea[])
        as k(program, scheme, hash)
    cross join lateral (
        select program, scheme, hash, member, blocked_at is not null as blocked from identifiers q
        where q.program = k.program and q.scheme = k.scheme and q.hash = k.hash offset 0
    ) i
"""
_ADD = """
    with added as (
    insert into members (program, member, status, enrolled_at, person, referred_by, attributes, key, created_at)
    select program, member, 'pending', enrolled_at, person, referred_by, attributes, key, $8
    from unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::text[], $6::bytea[], $7::bytea[])
        as n(program, member, enrolled_at, person, referred_by, attributes, key)
    on conflict (program, member) do nothing
    returning program, member
    )
    select n.program, n.member, p.version, p.clock, p.as_of, p.partners from added n cross join lateral (
        select h.version, h.clock, h.as_of, h.partners from programs h where h.program = n.program limit 1
    ) p
"""
_ADD_IDENTIFIERS = """
    insert into identifiers (program, scheme, hash, member, sealed, created_at)
    select program, scheme, hash, member, sealed, $6
    from unnest($1::text[], $2::text[], $3::bytea[], $4::text[], $5::bytea[])
        as n(program, scheme, hash, member, sealed)
    on conflict (program, scheme, hash) do nothing
    returning program, scheme, hash, member
"""
_DROP_IDENTIFIERS = "delete from identifiers where program = $1 and member = $2"
_DROP = "delete from members where program = $1 and member = $2"


async def find(connection: Connection, program: str, member: str) -> MemberRow | None:
    row = await connection.fetchrow(_FIND, program, member)
    return None if row is None else MemberRow(*row)


async def find_all(
    connection: Connection, asked: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], tuple[MemberRow, dict[str, bytes]]]:
    """Return those of these (program, member) that there are, each with its details by name, as of one moment."""
    columns = [list(column) for column in zip(*asked, strict=True)]
    found: dict[tuple[str, str], tuple[MemberRow, dict[str, bytes]]] = {}
    for *fields, detail, body in await connection.fetch(_FIND_ALL, *columns):
        row = MemberRow(*fields)
        _, details = found.setdefault((row.program, row.member), (row, {}))
        if detail is not None:
            details[detail] = body
    return found


async def survivor(connection: Connection, program: str, member: str) -> str | None:
    """Return who answers for a member: itself, or the account that it became a part of; None where nobody knows it."""
    found: str | None = await connection.fetchval(_SURVIVOR, program, member)
    return found


async def is_behind(connection: Connection, program: str, moved: Sequence[tuple[str, int]]) -> bool:
    """Whether any of these members is not yet shown as far as its wallet had come."""
    if not moved:
        return False
    columns = [list(column) for column in zip(*moved, strict=True)]
    return bool(await connection.fetchval(_BEHIND, program, *columns))


async def existing(connection: Connection, asked: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return which of these (program, member) there are."""
    wanted = sorted(set(asked))
    if not wanted:
        return set()
    rows = await connection.fetch(_EXISTING, [each[0] for each in wanted], [each[1] for each in wanted])
    return {(row[0], row[1]) for row in rows}


async def resolve(
    connection: Connection, asked: Iterable[tuple[str, str, bytes]]
) -> dict[tuple[str, str, bytes], Owner]:
    """Return whose these (program, scheme, hash) are, as far as anybody has them."""
    wanted = sorted(set(asked))
    if not wanted:
        return {}
    rows = await connection.fetch(_RESOLVE, *(list(column) for column in zip(*wanted, strict=True)))
    return {(row[0], row[1], row[2]): Owner(row[3], row[4]) for row in rows}


async def enrol(connection: Connection, new: Sequence[NewMember], at: datetime) -> list[ProgramHead | str]:
    """Add members with their identifiers; answer for each how its program stands, or why it was not added.

    Of two that want the same id or identifier, in one set or in two transactions at once, exactly one gets it.
    """
    found: list[ProgramHead | str] = [EXISTS] * len(new)
    waiting = list(range(len(new)))
    while waiting:
        taken, waiting = _apart(new, waiting)
        for index, each in zip(taken, await _enrol_apart(connection, [new[i] for i in taken], at), strict=True):
            found[index] = each
    return found


def _apart(new: Sequence[NewMember], waiting: list[int]) -> tuple[list[int], list[int]]:
    """Take those that want nothing in common; the others have their turn when these are decided."""
    taken: list[int] = []
    later: list[int] = []
    wanted: set[tuple[object, ...]] = set()
    for index in waiting:
        member = new[index]
        wants = {(member.program, member.member)}
        wants |= {(member.program, each.scheme, each.hash) for each in member.identifiers}  # type: ignore[misc]
        if wanted & wants:
            later.append(index)
        else:
            wanted |= wants
            taken.append(index)
    return taken, later


async def _enrol_apart(connection: Connection, new: list[NewMember], at: datetime) -> list[ProgramHead | str]:
    ordered = sorted(new, key=lambda member: (member.program, member.member))
    rows = await connection.fetch(
        _ADD,
        [each.program for each in ordered],
        [each.member for each in ordered],
        [each.enrolled_at for each in ordered],
        [each.person for each in ordered],
        [each.referred_by for each in ordered],
        [each.attributes for each in ordered],
        [each.key for each in ordered],
        at,
    )
    added = {(row[0], row[1]): ProgramHead(row[0], row[2], row[3], row[4], None, row[5]) for row in rows}
    losers = await _add_identifiers(connection, [each for each in ordered if (each.program, each.member) in added], at)
    for program, member in sorted(losers):
        await connection.execute(_DROP_IDENTIFIERS, program, member)
        await connection.execute(_DROP, program, member)
    keys = [(each.program, each.member) for each in new]
    return [TAKEN if key in losers else added.get(key, EXISTS) for key in keys]


async def _add_identifiers(connection: Connection, new: list[NewMember], at: datetime) -> set[tuple[str, str]]:
    """Add the identifiers of these members, and return the members who did not get all of theirs."""
    wanted = sorted(
        (member.program, each.scheme, each.hash, member.member, each.sealed)
        for member in new
        for each in {(one.scheme, one.hash): one for one in member.identifiers}.values()
    )
    if not wanted:
        return set()
    rows = await connection.fetch(_ADD_IDENTIFIERS, *(list(column) for column in zip(*wanted, strict=True)), at)
    added = {tuple(row) for row in rows}
    return {(each[0], each[3]) for each in wanted if each[:4] not in added}
