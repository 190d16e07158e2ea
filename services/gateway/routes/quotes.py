"""Quotes: what an activity would earn, asked of points."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from laurel.contracts.activity import QuotedActivity, check, problem_of
from laurel.io.http import request_id
from laurel.shapes import encode
from services.gateway.accepting import check_time, partner_of
from services.gateway.documenting import described
from services.gateway.meaning import known_member, require_partner
from services.gateway.passing import path_of
from services.gateway.reading import api_of, body_of, in_program, query_of
from services.gateway.shown import QuoteShown

router = APIRouter()


@router.post(
    **described(
        "Earning",
        "Ask what an activity would earn",
        path="/v1/programs/{program}/quotes",
        answers={200: QuoteShown},
        problems=(400, 403, 409, 413, 415, 422, 503),
        body=QuotedActivity,
    )
)
async def quote(request: Request) -> Response:
    """Changes nothing."""
    caller, head = await in_program(request, "earn", "read")
    query_of(request)
    activity: Any = await body_of(request, QuotedActivity)
    api = api_of(request)
    faults = check(activity)
    if faults:
        raise problem_of(faults)
    check_time(activity.occurred_at, "/occurred_at", head, api.clock())
    partner = partner_of(activity.partner, caller)
    await require_partner(api, caller, head.program, partner)
    member = activity.member
    if member is not None:
        member = await known_member(api, head.program, member)
    body = encode(msgspec.structs.replace(activity, member=member, partner=partner))
    path = path_of("v1", "programs", head.program, "quotes")
    # A sandbox whose clock was never set has no now, and nothing is late there.
    now = head.as_of if head.is_manual else api.clock()
    params = {} if now is None else {"at": now.isoformat()}
    return await api.points.ask("POST", path, params=params, body=body, request_id=request_id(request))
