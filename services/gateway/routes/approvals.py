"""Approvals: points of an activity that wait for somebody's decision become available, or are given up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response

from laurel.contracts.http import DecideAdjustment
from laurel.errors import Problem
from laurel.io.http import traceparent
from services.gateway.answering import answer
from services.gateway.asking import Ask, Stamp
from services.gateway.auditing import noted
from services.gateway.documenting import PARTNER, PREFER, described
from services.gateway.naming import ACTIVITY, PENDING_DECISION, RequestKey
from services.gateway.reading import (
    api_of,
    in_program,
    optional_body_of,
    partner_in_query,
    path_id,
    query_of,
    wish_of,
)
from services.gateway.saying import pending_decision_requested
from services.gateway.shown import PendingDecisionShown, PendingShown
from services.gateway.store import requests
from services.gateway.store.requests import NewRequest

if TYPE_CHECKING:
    from laurel.io.saying import Saying

router = APIRouter()

_PATH = "/v1/programs/{program}/activities/{activity}"
_TOLD: dict[str, Any] = {
    "answers": {200: PendingDecisionShown, 202: PendingShown},
    "problems": (400, 403, 409, 413, 415, 422, 503),
    "body": DecideAdjustment,
    "query": PARTNER,
    "headers": PREFER,
}


@router.post(**described("Earning", "Approve pending points", path=f"{_PATH}/approve", **_TOLD))
async def approve_pending(request: Request) -> Response:
    """By a key whose limit suffices. What is owed is paid first."""
    return await _decide(request, approve=True)


@router.post(**described("Earning", "Give up pending points", path=f"{_PATH}/reject", **_TOLD))
async def reject_pending(request: Request) -> Response:
    """By a key whose limit suffices. They will not be granted."""
    return await _decide(request, approve=False)


async def _decide(request: Request, *, approve: bool) -> Response:
    caller, head = await in_program(request, "adjust")
    query = query_of(request, "partner")
    activity = path_id(request, "activity", "activity_unknown")
    partner = partner_in_query(query, caller)
    wish = wish_of(request)
    await optional_body_of(request, DecideAdjustment)
    api = api_of(request)
    async with api.database.connection() as connection:
        row = await requests.find(connection, RequestKey(head.program, ACTIVITY, partner, activity))
    if row is None or row.member is None:
        raise Problem("activity_unknown")
    member = row.member
    trace = traceparent(request)

    def say(stamp: Stamp) -> Saying:
        limit = caller.adjust_limit
        return pending_decision_requested(stamp, activity, member, partner, limit, trace, approve=approve)

    # Each key decides for itself, so that one whose limit does not suffice takes nothing from another.
    name = f"{activity}:{'approve' if approve else 'reject'}:{caller.key}"
    action = f"pending.{'approved' if approve else 'rejected'}"
    ask = Ask(
        NewRequest(RequestKey(head.program, PENDING_DECISION, partner, name), "", member, subject=activity),
        say,
        waits=wish.wait_seconds > 0,
        change=noted(request, caller, action, activity, program=head.program),
    )
    location = f"/v1/programs/{head.program}/activities/{activity}"
    if partner != caller.partner:
        location += f"?partner={partner}"
    return answer(
        await api.settler.settle(ask, wish),
        wish,
        location=location,
        pending={"id": activity},
        instance=request.url.path,
        success=200,
    )
