"""How members stand, and what is told of them only when it moves, written again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from services.gateway.details import PROFILE
from services.gateway.store import details, people
from services.gateway.store.rebuilding.standing import Row, Stands, Written, at_of, columns

if TYPE_CHECKING:
    from laurel.io.database import Connection
    from services.gateway.details import DetailSeen
    from services.gateway.recalling import MemberTold

_LOCK: Final = """
    select m.program, m.member, m.epoch, m.sequence, m.version, m.merged_epoch, m.merged_sequence, m.status, m.tier,
        m.balances, m.merged_into
    from unnest($1::text[], $2::text[]) as k(program, member)
    cross join lateral (
        select program, member, epoch, sequence, version, merged_epoch, merged_sequence, status, tier, balances,
            merged_into
        from members q where q.program = k.program and q.member = k.member offset 0 for update
    ) m
"""
_MEND: Final = """
    insert into members (program, member, epoch, sequence, version, balances, tier, status, merged_into, merged_epoch,
        merged_sequence, enrolled_at, attributes, created_at)
    select s.program, s.member, s.epoch, s.sequence, s.version, s.balances, s.tier, s.status, s.merged_into, s.epoch,
        s.sequence, q.enrolled_at, q.attributes, q.created_at
    from unnest($1::text[], $2::text[], $3::int4[], $4::int8[], $5::int8[], $6::bytea[], $7::bytea[], $8::text[],
        $9::text[]) as s(program, member, epoch, sequence, version, balances, tier, status, merged_into)
    cross join lateral (
        select enrolled_at, attributes, created_at from members p
        where p.program = s.program and p.member = s.member offset 0
    ) q
    on conflict (program, member) do update
    set epoch = excluded.epoch, sequence = excluded.sequence, version = excluded.version, balances = excluded.balances,
        tier = excluded.tier, status = excluded.status, merged_into = excluded.merged_into,
        merged_epoch = excluded.merged_epoch, merged_sequence = excluded.merged_sequence
"""
# Whoever has a wallet was a member here. What only this row had is lost with it: the key of what is sealed.
_ADD: Final = """
    insert into members (program, member, epoch, sequence, version, balances, tier, status, merged_into, merged_epoch,
        merged_sequence, enrolled_at, person, referred_by, attributes, household, created_at)
    select program, member, epoch, sequence, version, balances, tier, status, merged_into, epoch, sequence, enrolled_at,
        person, referred_by, attributes, household, enrolled_at
    from unnest($1::text[], $2::text[], $3::int4[], $4::int8[], $5::int8[], $6::bytea[], $7::bytea[], $8::text[],
        $9::text[], $10::timestamptz[], $11::text[], $12::text[], $13::bytea[], $14::text[])
        as s(program, member, epoch, sequence, version, balances, tier, status, merged_into, enrolled_at, person,
            referred_by, attributes, household)
    on conflict (program, member) do nothing
"""


async def write(connection: Connection, told: Sequence[MemberTold], known: Mapping[Row, Stands]) -> Written:
    """Write how members stand, and their details."""
    whole = [each for each in told if each.wallet is not None and each.wallet.enrolled_at is not None]
    whole.sort(key=lambda each: (each.program, each.member))
    if not whole:
        return Written()
    keys = [(each.program, each.member) for each in whole]
    there = {(row[0], row[1]): tuple(row)[2:] for row in await connection.fetch(_LOCK, *columns(keys))}
    written = Written()
    mend, add = [], []
    for each, key in zip(whole, keys, strict=True):
        row = _standing(each)
        if key not in there:
            add.append((*row, *_identity(each)))
            continue
        stands, shows = there[key][:5], there[key][5:]
        name = ("members", *key)
        if not _fits(stands, each) and known.get(name) != stands:
            written.ahead[name] = stands
        elif (*stands[:3], *shows) != (*row[2:5], row[7], row[6], row[5], row[8]):
            mend.append(row)
    if mend:
        await connection.execute(_MEND, *columns(mend))
    if add:
        await connection.execute(_ADD, *columns(add))
    written.mended = len(mend) + len(add)
    await people.forget(connection, [(each.program, each.member) for each in whole if each.is_erased])
    await _details(connection, whole, known, written)
    return written


def _fits(stands: Stands, told: MemberTold) -> bool:
    """Say whether a row stands no further than what is told; an event of another's may have moved only its version."""
    place, version = at_of(told.place), told.wallet.version if told.wallet is not None else 0
    return stands[:2] <= place and stands[3:] <= place and (stands[0] < place[0] or stands[2] <= version)


def _standing(told: MemberTold) -> tuple[Any, ...]:
    wallet = told.wallet
    assert wallet is not None  # the caller has looked
    return (
        told.program, told.member, *at_of(told.place), wallet.version, told.balances, told.tier, wallet.status,
        wallet.merged_into,
    )  # fmt: skip


def _identity(told: MemberTold) -> tuple[Any, ...]:
    wallet = told.wallet
    assert wallet is not None  # as above
    return (wallet.enrolled_at, wallet.person, wallet.referred_by, bytes(wallet.attributes), wallet.household)


_LOCK_DETAILS: Final = """
    select d.program, d.member, d.detail, d.epoch, d.sequence, d.body
    from unnest($1::text[], $2::text[]) as k(program, member)
    cross join lateral (
        select program, member, detail, epoch, sequence, body from member_details q
        where q.program = k.program and q.member = k.member order by detail offset 0 for update
    ) d
"""
_DROP_DETAIL: Final = "delete from member_details where program = $1 and member = $2 and detail = $3"


async def _details(
    connection: Connection, told: Sequence[MemberTold], known: Mapping[Row, Stands], written: Written
) -> None:
    """Write the details that were told, and let go of those that nobody ever told of."""
    members = {(each.program, each.member): each for each in told}
    there: set[tuple[str, str, str]] = set()
    mend: list[DetailSeen] = []
    drop: list[tuple[str, str, str]] = []
    for program, member, detail, epoch, sequence, body in await connection.fetch(
        _LOCK_DETAILS, *columns(sorted(members))
    ):
        key, each, stands = (program, member, detail), members[program, member], (epoch, sequence)
        there.add(key)
        said = each.details.get(detail)
        if each.is_erased and detail == PROFILE:
            continue  # it was forgotten, for ever, though journals still say who it was
        is_ahead = stands > at_of(each.place)
        if is_ahead and known.get(("details", *key)) != stands:
            written.ahead["details", *key] = stands
        elif said is None:
            drop.append(key)
        elif is_ahead or body != said.body:
            mend.append(said)
            drop.append(key)
    lost = [said for each in told for said in each.details.values() if said[:3] not in there]
    # What is to be written anew goes first, for it may claim to be newer than what is written.
    for key in drop:
        await connection.execute(_DROP_DETAIL, *key)
    await details.keep(connection, [*mend, *lost])
    written.mended += len(set(drop) | {said[:3] for said in lost})
