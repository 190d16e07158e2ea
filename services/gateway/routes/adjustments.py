"""Adjustments: points given, taken or corrected by a person's decision, and those that wait for another's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response

from laurel.contracts.hashing import body_hash
from laurel.contracts.http import AdjustPoints, DecideAdjustment
from laurel.errors import Fault, Problem
from laurel.io.http import traceparent
from services.gateway.accepting import partner_of
from services.gateway.asking import Stamp
from services.gateway.auditing import noted
from services.gateway.documenting import PREFER, described
from services.gateway.meaning import known_member, require_partner, require_unit
from services.gateway.naming import ADJUSTMENT, ADJUSTMENT_DECISION, RequestKey, idempotency_id, new_id
from services.gateway.operating import KEYED, PROBLEMS, ask_for, ask_of, found, show
from services.gateway.reading import (
    api_of,
    body_of,
    idempotency_key,
    in_program,
    optional_body_of,
    query_of,
)
from services.gateway.saying import adjustment_decision_requested, adjustment_requested, correction_requested
from services.gateway.sealing import NOTE
from services.gateway.shown import AdjustmentShown, PendingShown
from services.gateway.store.operations import NewOperation

if TYPE_CHECKING:
    from laurel.io.saying import Saying
    from services.gateway.store.programs import ProgramHead
    from services.gateway.wiring import Api

router = APIRouter()

_TAG = "Wallet"
_PATH = "/v1/programs/{program}/adjustments"
_ADJUSTMENT = f"{_PATH}/{{adjustment}}"


@router.post(
    **described(
        _TAG,
        "Adjust a member's points",
        path=_PATH,
        answers={200: AdjustmentShown, 201: AdjustmentShown, 202: PendingShown},
        body=AdjustPoints,
        **KEYED,
    )
)
async def adjust_points(request: Request) -> Response:
    """Above the key's limit it is 409 `needs_approval`, and waits. The note is kept here and travels nowhere."""
    caller, head = await in_program(request, "adjust")
    query_of(request)
    key = idempotency_id(idempotency_key(request))
    body: Any = await body_of(request, AdjustPoints)
    api = api_of(request)
    _check(body, head, api)
    named = body.corrects.partner if body.corrects is not None else None
    of_partner = partner_of(named, caller, at="/corrects/partner")
    await require_partner(api, caller, head.program, of_partner, at="/corrects/partner")
    await require_unit(api, head.program, head.version, body.unit)
    by = RequestKey(head.program, ADJUSTMENT, caller.partner, key)
    member = await known_member(api, head.program, body.member, by)
    adjustment = new_id("a")
    trace = traceparent(request)

    def say(stamp: Stamp) -> Saying:
        if body.corrects is not None:
            return correction_requested(stamp, adjustment, member, caller.partner, of_partner, body, trace)
        return adjustment_requested(stamp, adjustment, member, caller.partner, caller.adjust_limit, body, trace)

    sealed = await _sealed_note(api, head.program, member, adjustment, body.note)
    new = NewOperation(head.program, ADJUSTMENT, adjustment, caller.partner, member, key, sealed)
    # A note may name people, and so may whom it is about; what was given and why is what counts.
    after = {"unit": body.unit, "amount": body.amount, "reason": body.reason, "of": body.corrects and body.corrects.id}
    change = noted(request, caller, "adjustment.made", adjustment, program=head.program, after=after)
    return await ask_for(request, new, body_hash(body), say, at=_at(head.program), change=change)


@router.get(
    **described(_TAG, "Read an adjustment", path=_ADJUSTMENT, answers={200: AdjustmentShown}, problems=(403, 422))
)
async def get_adjustment(request: Request) -> Response:
    _, api, row = await found(request, ADJUSTMENT, "adjustment_unknown", "adjust", "read")
    return await show(api, row)


@router.post(
    **described(
        _TAG,
        "Do an adjustment that waits",
        path=f"{_ADJUSTMENT}/approve",
        answers={200: AdjustmentShown, 202: PendingShown},
        problems=PROBLEMS,
        body=DecideAdjustment,
        headers=PREFER,
    )
)
async def approve_adjustment(request: Request) -> Response:
    """By a key whose limit suffices. Of a correction, what is not there any more is owed from now on."""
    return await _decide(request, approve=True)


@router.post(
    **described(
        _TAG,
        "Give up an adjustment that waits",
        path=f"{_ADJUSTMENT}/reject",
        answers={200: AdjustmentShown, 202: PendingShown},
        problems=PROBLEMS,
        body=DecideAdjustment,
        headers=PREFER,
    )
)
async def reject_adjustment(request: Request) -> Response:
    """By a key whose limit suffices. Of a correction, it is written off."""
    return await _decide(request, approve=False)


async def _sealed_note(api: Api, program: str, member: str, adjustment: str, note: str | None) -> bytes | None:
    """Seal the caller's words under the member's key; of an erased member nothing is noted."""
    if note is None:
        return None
    key = await api.sealing.key_of(program, member)
    return api.sealing.seal(key, program, member, (NOTE, adjustment), note) if key is not None else None


def _check(body: Any, head: ProgramHead, api: Api) -> None:  # noqa: ANN401  (a Struct made of the class)
    faults = []
    if body.corrects is None:
        faults += [
            Fault(f"/{name}", "missing", "An adjustment has an amount, a reason and a note, or says what it corrects")
            for name in ("amount", "reason", "note")
            if getattr(body, name) is None
        ]
        if body.amount == 0:
            faults.append(Fault("/amount", "out_of_range", "Nothing is no adjustment"))
    else:
        faults += [
            Fault(f"/{name}", "not_allowed", "What is corrected says how much it is about")
            for name in ("amount", "expires_at")
            if getattr(body, name) is not None
        ]
    if body.expires_at is not None and body.amount is not None and body.amount < 0:
        faults.append(Fault("/expires_at", "not_allowed", "What is taken does not end"))
    now = head.as_of if head.is_manual else api.clock()
    if body.expires_at is not None and now is not None and body.expires_at <= now:
        faults.append(Fault("/expires_at", "out_of_range", "This is over already"))
    if faults:
        raise Problem("invalid", errors=faults)


async def _decide(request: Request, *, approve: bool) -> Response:
    caller, api, row = await found(request, ADJUSTMENT, "adjustment_unknown", "adjust")
    await optional_body_of(request, DecideAdjustment)
    trace = traceparent(request)

    def say(stamp: Stamp) -> Saying:
        return adjustment_decision_requested(stamp, row.id, row.member, caller.adjust_limit, trace, approve=approve)

    # Each key decides for itself, so that one whose limit does not suffice takes nothing from another.
    name = f"{row.id}:{'approve' if approve else 'reject'}:{caller.key}"
    key = RequestKey(row.program, ADJUSTMENT_DECISION, row.partner, name)
    action = f"adjustment.{'approved' if approve else 'rejected'}"
    note = noted(request, caller, action, row.id, program=row.program)
    return await ask_of(request, api, row, key, "", say, at=_at(row.program), change=note)


def _at(program: str) -> str:
    return f"/v1/programs/{program}/adjustments"
