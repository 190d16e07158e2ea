"""What a caller wants of a reward: checked by itself, resolved, and told with who the member is."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from laurel.contracts.asking import MemberStands, PayAsked, SegmentAsked
from laurel.errors import Fault, Problem
from laurel.shapes import struct_of
from services.gateway.details import PROFILE, SEGMENTS, profile_of
from services.gateway.meaning import known_member
from services.gateway.passing import path_of
from services.gateway.standing import tier_shown
from services.gateway.store import households, members

if TYPE_CHECKING:
    from laurel.contracts.http_redeeming import RequestRedemption
    from services.gateway.naming import RequestKey
    from services.gateway.seeing import Seen
    from services.gateway.store.programs import ProgramHead
    from services.gateway.wiring import Api


class _Available(msgspec.Struct):
    unit: str
    available: int
    owed: int = 0


class _Times(msgspec.Struct):
    occurred_at: datetime | None
    enrolled_at: datetime | None


_decode_times = msgspec.json.Decoder(_Times).decode
_decode_balances = msgspec.json.Decoder(list[_Available]).decode

_Pay: Any = struct_of(PayAsked)
_Segment: Any = struct_of(SegmentAsked)
_Stands: Any = struct_of(MemberStands)


def check(body: RequestRedemption) -> None:
    """Say what is wrong with a request by itself; the problem names every fault with its pointer."""
    faults = []
    if body.on is not None and body.segments is not None:
        faults.append(Fault("/on", "not_allowed", "The segments name their days"))
    seen = set()
    for number, each in enumerate(body.segments or ()):
        if (each.resource, each.on) in seen:
            faults.append(Fault(f"/segments/{number}", "duplicate", "This resource is named for this day already"))
        seen.add((each.resource, each.on))
    if body.currency is not None and body.amount is None:
        faults.append(Fault("/amount", "missing", "A currency is that of an amount"))
    if body.beneficiary is not None and (body.beneficiary.member is None) == (body.beneficiary.name is None):
        faults.append(Fault("/beneficiary", "not_allowed", "A beneficiary is either a member or a name"))
    if body.pay is not None and body.pay.points is None and body.pay.cash is None:
        faults.append(Fault("/pay", "missing", "Say how many points or how much cash"))
    if faults:
        raise Problem("invalid", errors=faults)


async def wanted_of(
    api: Api, head: ProgramHead, body: RequestRedemption, seen: Seen, key: RequestKey | None = None
) -> dict[str, Any]:
    """Return what is told of a request; 404 where the beneficiary is nobody. Names are not told."""
    beneficiary = None
    if body.beneficiary is not None and body.beneficiary.member is not None:
        beneficiary = await known_member(api, head.program, body.beneficiary.member, key, at="/beneficiary/member")
    return {
        "reward": body.reward,
        "quantity": body.quantity,
        "later": body.confirm is not None,
        "amount": body.amount,
        "currency": body.currency,
        "on": body.on,
        "segments": [_Segment(resource=each.resource, on=each.on) for each in body.segments or ()],
        "party": body.party,
        "beneficiary": beneficiary,
        "for_other": body.beneficiary is not None and body.beneficiary.name is not None,
        "attributes": body.attributes,
        "pay": _pay(body),
        "stands": (await known_of(api, head, seen))[0],
    }


def _pay(body: RequestRedemption) -> object:
    if body.pay is None:
        return None
    points = body.pay.points
    return _Pay(points=None if points == "all" else points, all_points=points == "all", cash=body.pay.cash)


async def known_of(api: Api, head: ProgramHead, seen: Seen) -> tuple[object, dict[str, int]]:
    """Return who a member is, and what is available to it of each unit, from its household too; below zero: owed.

    As reads show it now: who asks after an answer is judged by what that answer showed.
    """
    row, told = seen
    others: list[bytes] = []
    if row.household is not None:
        async with api.database.connection() as connection:
            others = await households.pooled(connection, head.program, row.household, row.member)
    if PROFILE in told:
        row = replace(row, **profile_of(told[PROFILE]))
    now = head.as_of if head.is_manual else api.clock()
    judging = await api.known.judging(head, now)
    tier = msgspec.json.decode(tier_shown(row.tier, judging.tiers, row.enrolled_at, now))
    declared = judging.document.attributes.member
    told_of = {name: value for name, value in msgspec.json.decode(row.attributes).items() if name in declared}
    balances = _together(row.balances or b"[]", others)
    known = _Stands(
        enrolled_at=row.enrolled_at,
        person=row.person,
        tier=tier["name"],
        segments=[each["name"] for each in msgspec.json.decode(told.get(SEGMENTS, b"[]"))],
        attributes=told_of,
        active=row.status in {members.PENDING, members.ACTIVE},
    )
    return known, balances


def _together(own: bytes, others: list[bytes]) -> dict[str, int]:
    """Return what is available of each unit, below zero what is owed: what others lend pays that first."""
    lent: dict[str, int] = {}
    for balances in others:
        for each in _decode_balances(balances):
            lent[each.unit] = lent.get(each.unit, 0) + each.available
    mine = {each.unit: each for each in _decode_balances(own)}
    found = {}
    for unit in {*mine, *lent}:
        balance = mine.get(unit, _Available(unit, 0))
        found[unit] = balance.available + lent.get(unit, 0) - balance.owed
    return found


async def happens_at(api: Api, head: ProgramHead, member: str) -> datetime | None:
    """Return when what has no time of its own happens to a member of a sandbox; None where time passes by itself.

    That is the later of the program's now and the member's latest activity, and without either its enrolment. Points
    alone knows; while it cannot be asked, 503.
    """
    if not head.is_manual:
        return None
    answered = await api.points.ask("GET", path_of("v1", "programs", head.program, "members", member, "times"))
    if answered.status_code != 200:
        raise Problem("unavailable", "points cannot tell a sandbox's time.", retry_after_seconds=1)
    told = _decode_times(bytes(answered.body))
    known = [each for each in (head.as_of, told.occurred_at) if each is not None]
    return max(known) if known else told.enrolled_at


async def judging_of(api: Api, head: ProgramHead, member: str | None = None) -> dict[str, Any]:
    """Return what redemption has to know of a program to answer a question about it, or about a member of it.

    A sandbox whose clock was never set has no now without a member; then it is the machine's.
    """
    told = await happens_at(api, head, member) if member is not None else None
    known = told or (head.as_of if head.is_manual else None)
    now = known or api.clock()
    document = (await api.known.judging(head, known if head.is_manual else now)).document
    share = document.award_share
    return {
        "now": now,
        "as_of": head.as_of if head.is_manual else None,
        "zone": document.time_zone,
        "manual": head.is_manual,
        "member_attributes": dict(document.attributes.member),
        "tiers": document.tiers is not None,
        "share": {} if share is None else share.model_dump(),
        "away": await api.known.away(head, now) if head.partners else [],
    }
