"""Members: enrolled, read, found by an identifier."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING, Any

import msgspec
from fastapi import APIRouter, Request, Response

from laurel.calendars import local_date
from laurel.contracts.hashing import body_hash
from laurel.contracts.http import EnrolMember, FindMember
from laurel.errors import Fault, Problem
from laurel.io.http import traceparent
from laurel.shapes import encode
from services.gateway.accepting import check_time
from services.gateway.answering import Settled, answer
from services.gateway.asking import Ask, Recorded, Stamp
from services.gateway.details import PROFILE, SEGMENTS, counters_shown, profile_of
from services.gateway.documenting import PREFER, described
from services.gateway.naming import ENROLMENT, MEMBER, Correlation, RequestKey, idempotency_id, new_id
from services.gateway.reading import api_of, body_of, given_key, in_program, path_id, query_of, wish_of
from services.gateway.saying import enrolment_requested
from services.gateway.sealing import IDENTIFIER
from services.gateway.shown import FoundShown, MemberShown, PendingShown
from services.gateway.standing import tier_shown
from services.gateway.store import members as store
from services.gateway.store import requests
from services.gateway.store.members import MemberRow, NewIdentifier, NewMember
from services.gateway.store.requests import PENDING, POSTED, NewRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from laurel.contracts.activity import Identifier
    from laurel.io.saying import Saying
    from services.gateway.preferring import Preference
    from services.gateway.store.programs import ProgramHead
    from services.gateway.wiring import Api

router = APIRouter()

NOTHING_TOLD: Mapping[str, bytes] = {}

_TAG = "Members"
_PATH = "/v1/programs/{program}/members"
_KEY = {"Idempotency-Key": "A quoted string; with it, the same request again is answered with the same member"}
_FIRST_LOOK_SECONDS = 0.05
_LOOK_SECONDS_MAX = 1.0


@router.post(
    **described(
        _TAG,
        "Enrol a member",
        path=_PATH,
        answers={200: MemberShown, 201: MemberShown, 202: PendingShown},
        problems=(400, 403, 409, 413, 415, 422, 503),
        body=EnrolMember,
        headers={**_KEY, **PREFER},
    )
)
async def enrol_member(request: Request) -> Response:
    """Of two requests for one id or identifier, exactly one is answered 201 and the other 409, unless they are the same
    by their `Idempotency-Key`. Send one where the body has neither: nothing else tells a repeat from another member.
    """
    caller, head = await in_program(request, "members")
    query_of(request)
    wish = wish_of(request)
    body = await body_of(request, EnrolMember)
    api = api_of(request)
    given = given_key(request)
    # Two that are sent at once with one key and no id are to want the same id, so that one of them gets it.
    id_ = body.member or (new_id("m") if given is None else f"m-{idempotency_id(f'{caller.partner} {given}')[:24]}")
    new = _new_member(body, head, api, id_)
    keyed = None
    if given is not None:
        kept_as = RequestKey(head.program, ENROLMENT, caller.partner, idempotency_id(given))
        # Hashed under a key, because an identifier could be guessed from what is around it.
        hash_ = api.known.hash_of(head.program, ENROLMENT, body_hash(body)).hex()
        keyed = NewRequest(kept_as, hash_, new.member, outcome=b"{}")
    trace = traceparent(request)

    def say(stamp: Stamp) -> Saying:
        return enrolment_requested(stamp, new, body.attributes, trace)

    key = RequestKey(head.program, MEMBER, "", new.member)
    if body.referred_by is not None and not await api.known.member(head.program, body.referred_by):
        raise Problem("member_unknown", errors=[Fault("/referred_by", "unknown", "There is no such member")])
    try:
        settled = await api.settler.settle(
            Ask(NewRequest(key, "", new.member), say, waits=wish.wait_seconds > 0, enrolment=new, keyed=keyed), wish
        )
    except Problem as problem:
        member = None if keyed is None or problem.code != store.EXISTS else await _enrolled_by(api, keyed)
        if member is None:
            raise
        return await _again(request, api, head, member, wish)
    if settled.state == POSTED:
        settled = settled.shown_as(await _shown(api, head, _enrolled(new)))
    elif settled.state == PENDING:
        # The projector may have heard what the tail missed.
        row = await _find(api, head.program, new.member)
        if row is not None and row.status != store.PENDING:
            settled = settled.shown_as(await _shown(api, head, row))
    return answer_with_member(request, settled, wish, head.program, new.member)


def answer_with_member(
    request: Request, settled: Settled, wish: Preference, program: str, member: str, success: int = 201
) -> Response:
    """Answer with a member as it is shown, or with where to look at it once more is known."""
    return answer(
        settled,
        wish,
        location=f"/v1/programs/{program}/members/{member}",
        pending={"member": member, "program": program},
        instance=request.url.path,
        success=success,
    )


async def _enrolled_by(api: Api, keyed: NewRequest) -> str | None:
    """Return who was enrolled by a key before; 422 where something else was asked by it."""
    async with api.database.connection() as connection:
        before = await requests.find(connection, keyed.key)
    if before is None:
        return None
    if before.hash != keyed.hash:
        raise Problem("idempotency_mismatch")
    return before.member


async def _again(request: Request, api: Api, head: ProgramHead, member: str, wish: Preference) -> Response:
    """Answer an enrolment that was asked before: when reads show the member, or when its caller has waited enough."""
    loop = asyncio.get_running_loop()
    until, pause = loop.time() + wish.wait_seconds, _FIRST_LOOK_SECONDS
    row = await _find(api, head.program, member)
    while (row is None or row.status == store.PENDING) and loop.time() + pause < until:
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LOOK_SECONDS_MAX)
        row = await _find(api, head.program, member)
    correlation = Correlation(RequestKey(head.program, MEMBER, "", member), 1)
    settled = Settled(Recorded(correlation, None, None), PENDING, None, None, replayed=True)
    if row is not None and row.status != store.PENDING:
        settled = settled.shown_as(await show_member(api, head, member))
    return answer_with_member(request, settled, wish, head.program, member)


@router.get(
    **described(_TAG, "Read a member", path=f"{_PATH}/{{member}}", answers={200: MemberShown}, problems=(403, 422))
)
async def get_member(request: Request) -> Response:
    _, head = await in_program(request, "read", "members")
    query_of(request)
    member = path_id(request, "member", "member_unknown")
    api = api_of(request)
    member = await api.known.survivor(head.program, member) or member
    return Response(await show_member(api, head, member), media_type="application/json")


@router.post(
    **described(
        _TAG,
        "Find a member by an identifier",
        path=f"{_PATH}/find",
        answers={200: FoundShown},
        problems=(400, 403, 409, 413, 415, 422),
        body=FindMember,
    )
)
async def find_member(request: Request) -> Response:
    """The identifier travels in the body, so that it is in no URL and no log."""
    _, head = await in_program(request, "read", "members", "earn", "redeem")
    query_of(request)
    body = await body_of(request, FindMember)
    owner = await api_of(request).known.whose(head.program, body.scheme, body.value)
    member = await api_of(request).known.survivor(head.program, owner)
    if member is None:
        raise Problem("member_unknown")
    shown = {"member": member, "program": head.program}
    return Response(msgspec.json.encode(shown), media_type="application/json")


def _new_member(body: EnrolMember, head: ProgramHead, api: Api, member: str) -> NewMember:
    now = api.clock()
    enrolled_at = body.enrolled_at or (head.as_of if head.is_manual else None) or now
    check_time(enrolled_at, "/enrolled_at", head, now)
    key = api.sealing.new_key(head.program, member) if body.identifiers else None
    return NewMember(
        head.program,
        member,
        enrolled_at,
        body.person,
        body.referred_by,
        encode(body.attributes),
        tuple(_sealed(api, key, head.program, member, each) for each in body.identifiers) if key is not None else (),
        key,
    )


def _sealed(api: Api, key: bytes, program: str, member: str, given: Identifier) -> NewIdentifier:
    hash_ = api.known.hash_of(program, given.scheme, given.value)
    sealed = api.sealing.seal(key, program, member, (IDENTIFIER, given.scheme), given.value)
    return NewIdentifier(given.scheme, hash_, sealed)


def _enrolled(new: NewMember) -> MemberRow:
    """A member as it stands right after its enrolment."""
    return MemberRow(
        new.program,
        new.member,
        store.ACTIVE,
        new.enrolled_at.astimezone(UTC),
        new.person,
        new.attributes,
        None,
        None,
        1,
    )


async def _find(api: Api, program: str, member: str) -> MemberRow | None:
    async with api.database.connection() as connection:
        return await store.find(connection, program, member)


async def show_member(api: Api, head: ProgramHead, member: str) -> bytes:
    """Return a member as reads show it by now, with the details that events told; 404 where there is none."""
    seen = await api.seeing.find(head.program, member)
    if seen is None:
        raise Problem("member_unknown")
    row, told = seen
    if PROFILE in told:
        row = replace(row, **profile_of(told[PROFILE]))
    return await _shown(api, head, row, told)


async def _shown(api: Api, head: ProgramHead, row: MemberRow, told: Mapping[str, bytes] = NOTHING_TOLD) -> bytes:
    now = head.as_of if head.is_manual else api.clock()
    judging = await api.known.judging(head, now)
    today = None if now is None else local_date(now, judging.zone)
    tier = tier_shown(row.tier, judging.tiers, row.enrolled_at, now)
    return member_shown(row, tier, counters_shown(told, today), told.get(SEGMENTS, b"[]"))


class _Member(msgspec.Struct):
    member: str
    program: str
    state: str
    status: str
    enrolled_at: Any
    person: str | None
    tier: msgspec.Raw
    attributes: msgspec.Raw
    segments: msgspec.Raw
    household: str | None
    counters: list[Any]
    balances: msgspec.Raw


def member_shown(row: MemberRow, tier: bytes, counters: list[dict[str, Any]], segments: bytes) -> bytes:
    """Return a member as the contract shows it; one whose enrolment is on its way only as pending."""
    if row.status == store.PENDING:
        pending: dict[str, Any] = {"member": row.member, "program": row.program, "state": "pending"}
        return msgspec.json.encode({**pending, "delayed": True} if row.delayed else pending)
    return msgspec.json.encode(
        _Member(
            row.member,
            row.program,
            "posted",
            row.status,
            row.enrolled_at,
            row.person,
            msgspec.Raw(tier),
            msgspec.Raw(row.attributes),
            msgspec.Raw(segments),
            row.household,
            counters,
            msgspec.Raw(row.balances or b"[]"),
        )
    )
