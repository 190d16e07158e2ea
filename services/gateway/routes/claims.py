"""Claims: a purchase that was reported without a member becomes somebody's, once."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from fastapi import APIRouter, Request, Response

from laurel.contracts.http import ClaimActivity
from laurel.errors import Problem
from laurel.io.http import traceparent
from services.gateway.answering import answer
from services.gateway.asking import Ask, Stamp
from services.gateway.documenting import PARTNER, PREFER, described
from services.gateway.explaining import with_explanation
from services.gateway.meaning import known_member
from services.gateway.naming import ACTIVITY, CLAIM, RequestKey
from services.gateway.reading import api_of, body_of, in_program, partner_in_query, path_id, query_of, wish_of
from services.gateway.saying import activity_reported
from services.gateway.shown import ActivityShown, PendingShown
from services.gateway.store import requests
from services.gateway.store.requests import NewRequest

if TYPE_CHECKING:
    from laurel.io.saying import Saying

router = APIRouter()


@router.post(
    **described(
        "Earning",
        "Claim a purchase",
        path="/v1/programs/{program}/activities/{activity}/claim",
        answers={200: ActivityShown, 201: ActivityShown, 202: PendingShown},
        problems=(400, 403, 409, 413, 415, 422, 503),
        body=ClaimActivity,
        query=PARTNER,
        headers=PREFER,
    )
)
async def claim_activity(request: Request) -> Response:
    """It is judged as if it had been reported with its member, within the program's time for that."""
    caller, head = await in_program(request, "earn")
    query = query_of(request, "partner")
    activity = path_id(request, "activity", "activity_unknown")
    partner = partner_in_query(query, caller)
    wish = wish_of(request)
    body: Any = await body_of(request, ClaimActivity)
    api = api_of(request)
    member = await known_member(api, head.program, body.member)
    key, claim = (RequestKey(head.program, kind, partner, activity) for kind in (ACTIVITY, CLAIM))
    async with api.database.connection() as connection:
        found = await requests.find_unclaimed(connection, key)
        claimed = await requests.find(connection, claim)
    if found is None:
        raise Problem("activity_unknown")
    reported, raw = found
    is_ours = claimed is not None and claimed.state != requests.FREED and claimed.member == member
    if reported.member is None and raw is None and claimed is None:
        raise Problem("over_returned", "It came back before anybody had claimed it")
    if (reported.member is not None or raw is None) and not is_ours:
        raise Problem("already_credited", "The purchase has its member")
    if claimed is not None and claimed.state != requests.FREED and not is_ours:
        raise Problem("already_credited", "Somebody else has claimed this")
    said = msgspec.json.decode(raw or b"{}")
    occurred_at = msgspec.convert(said["occurred_at"], type=datetime) if raw is not None else api.clock()
    trace = traceparent(request)

    def say(stamp: Stamp) -> Saying:
        return activity_reported(
            stamp,
            member=member,
            partner=partner,
            hash_=reported.hash,
            occurred_at=occurred_at,
            activity=msgspec.json.encode({**said, "member": member}),
            traceparent=trace,
        )

    # Whoever is meant is one member, however it is named.
    ask = Ask(NewRequest(claim, member, member), say, waits=wish.wait_seconds > 0)
    settled = await api.settler.settle(ask, wish)
    location = f"/v1/programs/{head.program}/activities/{activity}"
    if partner != caller.partner:
        location += f"?partner={partner}"
    settled = await with_explanation(api.known, head.program, settled)
    return answer(settled, wish, location=location, pending={"id": activity}, instance=request.url.path)
