"""Holds: points set aside for a payment in two steps, captured, released, cancelled, shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from fastapi import APIRouter, Request, Response

from laurel.contracts.hashing import body_hash
from laurel.contracts.http import CancelHold, CaptureHold, PlaceHold, ReleaseHold
from laurel.errors import Fault, Problem
from laurel.io.http import traceparent
from services.gateway.accepting import partner_of
from services.gateway.answering import answer
from services.gateway.asking import Ask, Stamp
from services.gateway.documenting import PREFER, described
from services.gateway.naming import (
    HOLD,
    HOLD_CANCEL,
    HOLD_CAPTURE,
    HOLD_RELEASE,
    RequestKey,
    idempotency_id,
    new_id,
)
from services.gateway.reading import (
    api_of,
    body_of,
    given_key,
    idempotency_key,
    in_program,
    optional_body_of,
    path_id,
    query_of,
    wish_of,
)
from services.gateway.routes.activities import require_partner
from services.gateway.saying import cancel_requested, capture_requested, hold_requested, release_requested
from services.gateway.shown import HoldShown, PendingShown
from services.gateway.store import operations, requests
from services.gateway.store.operations import NewOperation, OperationRow
from services.gateway.store.requests import NewRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from laurel.contracts.activity import Identifier
    from laurel.io.saying import Saying
    from services.gateway.wiring import Api

router = APIRouter()

_TAG = "Wallet"
_PATH = "/v1/programs/{program}/holds"
_HOLD = f"{_PATH}/{{hold}}"
KEY = {"Idempotency-Key": 'A quoted string, such as `"8e03978e-40d5"`; kept for ever'}
_OPTIONAL_KEY = {"Idempotency-Key": "Tells two cancellations of the same amount and reason apart; may be missing"}
_ANSWERS: dict[int, Any] = {200: HoldShown, 202: PendingShown}
_PROBLEMS = (400, 403, 409, 413, 415, 422, 503)


@router.post(
    **described(
        _TAG,
        "Set points aside",
        path=_PATH,
        answers={200: HoldShown, 201: HoldShown, 202: PendingShown},
        problems=_PROBLEMS,
        body=PlaceHold,
        headers={**KEY, **PREFER},
        required_headers=("Idempotency-Key",),
    )
)
async def place_hold(request: Request) -> Response:
    """All or nothing, from what expires first. It ends by itself unless it is captured or released in time."""
    caller, head = await in_program(request, "redeem")
    query_of(request)
    wish = wish_of(request)
    key = idempotency_id(idempotency_key(request))
    body: Any = await body_of(request, PlaceHold)
    api = api_of(request)
    partner = partner_of(body.partner, caller)
    await require_partner(api, caller, partner)
    await require_unit(api, head.program, head.version, body.unit)
    row_key = RequestKey(head.program, HOLD, partner, key)
    member = await known_member(api, head.program, body.member, row_key)
    hold = new_id("h")
    hash_ = body_hash(msgspec.structs.replace(body, partner=None))
    trace = traceparent(request)

    def say(stamp: Stamp) -> Saying:
        return hold_requested(stamp, hold, member, partner, body, trace)

    ask = Ask(
        NewRequest(row_key, hash_, member, subject=hold),
        say,
        waits=wish.wait_seconds > 0,
        operation=NewOperation(head.program, HOLD, hold, partner, member, key),
    )
    settled = await api.settler.settle(ask, wish)
    before = settled.recorded.before
    if before is not None and before.subject is not None:
        hold = before.subject
    return answer(
        settled,
        wish,
        location=f"/v1/programs/{head.program}/holds/{hold}",
        pending={"hold": hold},
        instance=request.url.path,
    )


@router.get(**described(_TAG, "Read a hold", path=_HOLD, answers={200: HoldShown}, problems=(403, 422)))
async def get_hold(request: Request) -> Response:
    api, row = await _found(request, "read", "redeem")
    return await show_operation(api, row, "hold")


@router.post(
    **described(
        _TAG,
        "Spend what is held",
        path=f"{_HOLD}/capture",
        answers=_ANSWERS,
        problems=_PROBLEMS,
        body=CaptureHold,
        headers=PREFER,
    )
)
async def capture_hold(request: Request) -> Response:
    """Whole, or in part: then the rest is released. The same again changes nothing."""
    api, row = await _found(request, "redeem")
    body: Any = await optional_body_of(request, CaptureHold)
    trace = traceparent(request)
    name = row.id if body.amount is None else f"{row.id}:{body.amount}"
    return await _settle(
        request,
        api,
        row,
        RequestKey(row.program, HOLD_CAPTURE, row.partner, name),
        body_hash(body),
        lambda stamp: capture_requested(stamp, row.id, row.member, body.amount, trace),
    )


@router.post(
    **described(
        _TAG,
        "Give back what is held",
        path=f"{_HOLD}/release",
        answers=_ANSWERS,
        problems=_PROBLEMS,
        body=ReleaseHold,
        headers=PREFER,
    )
)
async def release_hold(request: Request) -> Response:
    """What has expired meanwhile expires at that moment; what is owed is paid first."""
    api, row = await _found(request, "redeem")
    body = await optional_body_of(request, ReleaseHold)
    trace = traceparent(request)
    return await _settle(
        request,
        api,
        row,
        RequestKey(row.program, HOLD_RELEASE, row.partner, row.id),
        body_hash(body),
        lambda stamp: release_requested(stamp, row.id, row.member, trace),
    )


@router.post(
    **described(
        _TAG,
        "Undo a capture",
        path=f"{_HOLD}/cancel",
        answers=_ANSWERS,
        problems=_PROBLEMS,
        body=CancelHold,
        headers={**_OPTIONAL_KEY, **PREFER},
    )
)
async def cancel_hold(request: Request) -> Response:
    """Whole or in part: points go back to the lots they came from, with their old end."""
    api, row = await _found(request, "redeem")
    given = given_key(request)
    body: Any = await body_of(request, CancelHold)
    trace = traceparent(request)
    hash_ = body_hash(body)
    name = f"{row.id}:{idempotency_id(hash_ if given is None else given)}"
    return await _settle(
        request,
        api,
        row,
        RequestKey(row.program, HOLD_CANCEL, row.partner, name),
        hash_,
        lambda stamp: cancel_requested(stamp, row.id, row.member, body, trace),
    )


async def _found(request: Request, *scopes: str) -> tuple[Api, OperationRow]:
    """Return the hold of the path; another partner's answers 404, but to an admin."""
    caller, head = await in_program(request, *scopes)
    query_of(request)
    hold = path_id(request, "hold", "hold_unknown")
    api = api_of(request)
    async with api.database.connection() as connection:
        row = await operations.find(connection, head.program, HOLD, hold)
    if row is None or (row.partner != caller.partner and not caller.is_admin):
        raise Problem("hold_unknown")
    return api, row


async def _settle(
    request: Request, api: Api, row: OperationRow, key: RequestKey, hash_: str, say: Callable[[Stamp], Saying]
) -> Response:
    wish = wish_of(request)
    ask = Ask(NewRequest(key, hash_, row.member, subject=row.id), say, waits=wish.wait_seconds > 0)
    return answer(
        await api.settler.settle(ask, wish),
        wish,
        location=f"/v1/programs/{row.program}/holds/{row.id}",
        pending={"hold": row.id},
        instance=request.url.path,
        success=200,
    )


async def show_operation(api: Api, row: OperationRow, name: str) -> Response:
    """Show how an operation stands; one that no event has told of is on its way, parked, or given up."""
    if row.body is not None:
        body = row.body
        if row.note is not None:
            body = msgspec.json.encode({**msgspec.json.decode(body), "note": row.note})
        return Response(body, media_type="application/json")
    async with api.database.connection() as connection:
        asked = await requests.find(connection, RequestKey(row.program, row.kind, row.partner, row.request))
    shown: dict[str, Any] = {"state": row.state, "member": row.member}
    if asked is not None and asked.outcome is not None:
        shown |= msgspec.json.decode(asked.outcome)
    elif asked is not None and asked.delayed:
        shown["delayed"] = True
    return Response(msgspec.json.encode({**shown, name: row.id}), media_type="application/json")


async def require_unit(api: Api, program: str, version: int, unit: str) -> None:
    """A unit must be one of the program's."""
    if unit not in await api.known.units(program, version):
        raise Problem("invalid", errors=[Fault("/unit", "unknown", "The program has no such unit")])


async def _named(api: Api, program: str, member: str | Identifier, key: RequestKey | None) -> str:
    if isinstance(member, str):
        return member
    owner = await api.known.owner(program, member.scheme, member.value)
    if owner is not None and owner.is_blocked and key is not None:
        async with api.database.connection() as connection:
            if await requests.find(connection, key) is not None:
                return owner.member
    return await api.known.whose(program, member.scheme, member.value)


async def known_member(api: Api, program: str, member: str | Identifier, key: RequestKey | None = None) -> str:
    """Return who is meant, by id or identifier: the account that answers for it.

    404 where nobody knows, 409 where the identifier is blocked; what was asked under `key` before it was blocked is
    answered as before.
    """
    found = await api.known.survivor(program, await _named(api, program, member, key))
    if found is None:
        raise Problem("member_unknown")
    return found
