"""Holds: points set aside for a payment in two steps, captured, released, cancelled, shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from fastapi import APIRouter, Request, Response

from laurel.contracts.hashing import body_hash
from laurel.contracts.http import CancelHold, CaptureHold, PlaceHold, ReleaseHold
from laurel.io.http import traceparent
from services.gateway.accepting import partner_of
from services.gateway.documenting import PREFER, described
from services.gateway.meaning import known_member, require_partner, require_unit
from services.gateway.naming import (
    HOLD,
    HOLD_CANCEL,
    HOLD_CAPTURE,
    HOLD_RELEASE,
    RequestKey,
    idempotency_id,
    new_id,
)
from services.gateway.operating import KEYED, PROBLEMS, ask_for, ask_of, found, show
from services.gateway.reading import (
    api_of,
    body_of,
    given_key,
    idempotency_key,
    in_program,
    optional_body_of,
    query_of,
)
from services.gateway.saying import cancel_requested, capture_requested, hold_requested, release_requested
from services.gateway.shown import HoldShown, PendingShown
from services.gateway.store.operations import NewOperation

if TYPE_CHECKING:
    pass

router = APIRouter()

_TAG = "Wallet"
_PATH = "/v1/programs/{program}/holds"
_HOLD = f"{_PATH}/{{hold}}"
_OPTIONAL_KEY = {"Idempotency-Key": "Tells two cancellations of the same amount and reason apart; may be missing"}
_ANSWERS: dict[int, Any] = {200: HoldShown, 202: PendingShown}


@router.post(
    **described(
        _TAG,
        "Set points aside",
        path=_PATH,
        answers={200: HoldShown, 201: HoldShown, 202: PendingShown},
        body=PlaceHold,
        **KEYED,
    )
)
async def place_hold(request: Request) -> Response:
    """All or nothing, from what expires first. It ends by itself unless it is captured or released in time."""
    caller, head = await in_program(request, "redeem")
    query_of(request)
    key = idempotency_id(idempotency_key(request))
    body: Any = await body_of(request, PlaceHold)
    api = api_of(request)
    partner = partner_of(body.partner, caller)
    await require_partner(api, caller, head.program, partner)
    await require_unit(api, head.program, head.version, body.unit)
    member = await known_member(api, head.program, body.member, RequestKey(head.program, HOLD, partner, key))
    hold = new_id("h")
    trace = traceparent(request)
    return await ask_for(
        request,
        NewOperation(head.program, HOLD, hold, partner, member, key),
        body_hash(msgspec.structs.replace(body, partner=None)),
        lambda stamp: hold_requested(stamp, hold, member, partner, body, trace),
        at=_at(head.program),
    )


@router.get(**described(_TAG, "Read a hold", path=_HOLD, answers={200: HoldShown}, problems=(403, 422)))
async def get_hold(request: Request) -> Response:
    _, api, row = await found(request, HOLD, "hold_unknown", "read", "redeem")
    return await show(api, row)


@router.post(
    **described(
        _TAG,
        "Spend what is held",
        path=f"{_HOLD}/capture",
        answers=_ANSWERS,
        problems=PROBLEMS,
        body=CaptureHold,
        headers=PREFER,
    )
)
async def capture_hold(request: Request) -> Response:
    """Whole, or in part: then the rest is released. The same again changes nothing."""
    _, api, row = await found(request, HOLD, "hold_unknown", "redeem")
    body: Any = await optional_body_of(request, CaptureHold)
    trace = traceparent(request)
    name = row.id if body.amount is None else f"{row.id}:{body.amount}"
    return await ask_of(
        request,
        api,
        row,
        RequestKey(row.program, HOLD_CAPTURE, row.partner, name),
        body_hash(body),
        lambda stamp: capture_requested(stamp, row.id, row.member, body.amount, trace),
        at=_at(row.program),
    )


@router.post(
    **described(
        _TAG,
        "Give back what is held",
        path=f"{_HOLD}/release",
        answers=_ANSWERS,
        problems=PROBLEMS,
        body=ReleaseHold,
        headers=PREFER,
    )
)
async def release_hold(request: Request) -> Response:
    """What has expired meanwhile expires at that moment; what is owed is paid first."""
    _, api, row = await found(request, HOLD, "hold_unknown", "redeem")
    body = await optional_body_of(request, ReleaseHold)
    trace = traceparent(request)
    return await ask_of(
        request,
        api,
        row,
        RequestKey(row.program, HOLD_RELEASE, row.partner, row.id),
        body_hash(body),
        lambda stamp: release_requested(stamp, row.id, row.member, trace),
        at=_at(row.program),
    )


@router.post(
    **described(
        _TAG,
        "Undo a capture",
        path=f"{_HOLD}/cancel",
        answers=_ANSWERS,
        problems=PROBLEMS,
        body=CancelHold,
        headers={**_OPTIONAL_KEY, **PREFER},
    )
)
async def cancel_hold(request: Request) -> Response:
    """Whole or in part: points go back to the lots they came from, with their old end."""
    _, api, row = await found(request, HOLD, "hold_unknown", "redeem")
    given = given_key(request)
    body: Any = await body_of(request, CancelHold)
    trace = traceparent(request)
    hash_ = body_hash(body)
    name = f"{row.id}:{idempotency_id(hash_ if given is None else given)}"
    return await ask_of(
        request,
        api,
        row,
        RequestKey(row.program, HOLD_CANCEL, row.partner, name),
        hash_,
        lambda stamp: cancel_requested(stamp, row.id, row.member, body, trace),
        at=_at(row.program),
    )


def _at(program: str) -> str:
    return f"/v1/programs/{program}/holds"
