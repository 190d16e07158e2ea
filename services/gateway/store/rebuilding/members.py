"""How members stand, and what is told of them only when it moves, written again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from services.gateway.details import PROFILE
from services.gateway.store import people
from services.gateway.store.rebuilding.standing import NOWHERE, Row, Stands, Written, columns, fits

if TYPE_CHECKING:
    from laurel.io.database import Connection
    from services.gateway.recalling import MemberTold

_FITS_MEMBER: Final = """(
        ((m.epoch, m.sequence) <= (s.epoch, s.sequence)
            and (m.merged_epoch, m.merged_sequence) <= (s.epoch, s.sequence)
            and (m.epoch < s.epoch or m.version <= s.version))
        or (m.epoch, m.sequence, m.version, m.merged_epoch, m.merged_sequence) = (s.k1, s.k2, s.k3, s.k4, s.k5))"""
_MEMBERS_TOLD: Final = """
    unnest($1::text[], $2::text[], $3::int4[], $4::int8[], $5::int8[], $6::bytea[], $7::bytea[], $8::text[],
        $9::text[], $10::int8[], $11::int8[], $12::int8[], $13::int8[], $14::int8[])
        as s(program, member, epoch, sequence, version, balances, tier, status, merged_into, k1, k2, k3, k4, k5)"""
_MEMBERS: Final = f"""
    update members m set status = s.status, tier = s.tier, balances = s.balances, version = s.version,
        epoch = s.epoch, sequence = s.sequence, merged_into = s.merged_into,
        merged_epoch = case when m.merged_sequence = 0 and s.merged_into is null then 0 else s.epoch end,
        merged_sequence = case when m.merged_sequence = 0 and s.merged_into is null then 0 else s.sequence end
    from {_MEMBERS_TOLD}
    where m.program = s.program and m.member = s.member and {_FITS_MEMBER}
        and (m.status, m.tier, m.balances, m.version, m.epoch, m.sequence, m.merged_into)
            is distinct from (s.status, s.tier, s.balances, s.version, s.epoch, s.sequence, s.merged_into)
    returning m.member
"""
_MEMBERS_AHEAD: Final = f"""
    select m.program, m.member, m.epoch, m.sequence, m.version, m.merged_epoch, m.merged_sequence
    from {_MEMBERS_TOLD}
    join members m on m.program = s.program and m.member = s.member
    where not {_FITS_MEMBER}
"""
# Whoever has a wallet was a member here. What only this row had is lost with it: the key of what is sealed.
_MEMBERS_LOST: Final = """
    insert into members (program, member, status, enrolled_at, person, referred_by, attributes, tier, balances, version,
        epoch, sequence, merged_into, merged_epoch, merged_sequence, household, created_at)
    select program, member, status, enrolled_at, person, referred_by, attributes, tier, balances, version, epoch,
        sequence, merged_into, case when merged_into is null then 0 else epoch end,
        case when merged_into is null then 0 else sequence end, household, enrolled_at
    from unnest($1::text[], $2::text[], $3::int4[], $4::int8[], $5::int8[], $6::bytea[], $7::bytea[], $8::text[],
        $9::text[], $10::timestamptz[], $11::text[], $12::text[], $13::bytea[], $14::text[])
        as s(program, member, epoch, sequence, version, balances, tier, status, merged_into, enrolled_at, person,
            referred_by, attributes, household)
    on conflict (program, member) do nothing
    returning member
"""


async def write(connection: Connection, told: Sequence[MemberTold], known: Mapping[Row, Stands]) -> Written:
    """Write how members stand, and their details."""
    whole = [each for each in told if each.wallet is not None and each.wallet.enrolled_at is not None]
    whole.sort(key=lambda each: (each.program, each.member))
    if not whole:
        return Written()
    rows = [(*_standing(each), *known.get(("members", each.program, each.member), NOWHERE)) for each in whole]
    written = Written(len(await connection.fetch(_MEMBERS, *columns(rows))))
    for row in await connection.fetch(_MEMBERS_AHEAD, *columns(rows)):
        written.ahead["members", row[0], row[1]] = tuple(row)[2:]
    lost = [(*_standing(each), *_identity(each)) for each in whole]
    written.mended += len(await connection.fetch(_MEMBERS_LOST, *columns(lost)))
    await people.forget(connection, [(each.program, each.member) for each in whole if each.is_erased])
    await _details(connection, whole, known, written)
    return written


def _standing(told: MemberTold) -> tuple[Any, ...]:
    wallet, place = told.wallet, told.place
    assert wallet is not None  # the caller has looked
    return (
        told.program, told.member, place.epoch, place.sequence, wallet.version, told.balances, told.tier, wallet.status,
        wallet.merged_into,
    )  # fmt: skip


def _identity(told: MemberTold) -> tuple[Any, ...]:
    wallet = told.wallet
    assert wallet is not None  # as above
    return (wallet.enrolled_at, wallet.person, wallet.referred_by, bytes(wallet.attributes), wallet.household)


_DETAILS_TOLD: Final = """
    unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::int4[], $6::int8[], $7::int8[], $8::int8[])
        as s(program, member, detail, body, epoch, sequence, k1, k2)"""
_DETAILS: Final = f"""
    update member_details d set body = s.body, epoch = s.epoch, sequence = s.sequence
    from {_DETAILS_TOLD}
    where d.program = s.program and d.member = s.member and d.detail = s.detail and {fits("d")}
        and (d.body is distinct from s.body or (d.epoch, d.sequence) > (s.epoch, s.sequence))
    returning d.detail
"""
_DETAILS_LOST: Final = f"""
    insert into member_details (program, member, detail, body, epoch, sequence)
    select program, member, detail, body, epoch, sequence from {_DETAILS_TOLD}
    on conflict (program, member, detail) do nothing
    returning detail
"""
_DETAILS_THERE: Final = """
    select d.program, d.member, d.detail, d.epoch, d.sequence from unnest($1::text[], $2::text[]) as k(program, member)
    cross join lateral (
        select program, member, detail, epoch, sequence from member_details q
        where q.program = k.program and q.member = k.member offset 0
    ) d
"""
_DETAIL_GONE: Final = """
    delete from member_details d using unnest($1::text[], $2::text[], $3::text[], $4::int8[], $5::int8[])
        as s(program, member, detail, epoch, sequence)
    where d.program = s.program and d.member = s.member and d.detail = s.detail
        and (d.epoch, d.sequence) = (s.epoch, s.sequence)
"""


async def _details(
    connection: Connection, told: Sequence[MemberTold], known: Mapping[Row, Stands], written: Written
) -> None:
    """Write the details that were told, and let go of those that nobody ever told of."""
    rows = sorted(
        (*detail, *known.get(("details", *detail[:3]), NOWHERE)[:2])
        for each in told
        for detail in each.details.values()
    )
    if rows:
        written.mended += len(await connection.fetch(_DETAILS, *columns(rows)))
        written.mended += len(await connection.fetch(_DETAILS_LOST, *columns(rows)))
    members = {(each.program, each.member): each for each in told}
    gone: list[tuple[Any, ...]] = []
    for program, member, detail, *stands in await connection.fetch(_DETAILS_THERE, *columns(sorted(members))):
        name, each = ("details", program, member, detail), members[program, member]
        if each.is_erased and detail == PROFILE:
            continue  # it was forgotten, for ever
        if tuple(stands) > (each.place.epoch, each.place.sequence) and known.get(name) != tuple(stands):
            written.ahead[name] = tuple(stands)
        elif detail not in each.details:
            gone.append((program, member, detail, *stands))
    if gone:
        written.mended += len(gone)
        await connection.execute(_DETAIL_GONE, *columns(gone))
