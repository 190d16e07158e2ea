"""Status matches: a rival's tier is asked for, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from fastapi import APIRouter, Request, Response

from laurel.calendars import local_date
from laurel.contracts.hashing import body_hash
from laurel.contracts.http import MatchStatus
from laurel.errors import Fault, Problem
from laurel.io.http import traceparent
from services.gateway.answering import answer
from services.gateway.asking import Ask, Stamp
from services.gateway.documenting import PREFER, described
from services.gateway.naming import MATCH, RequestKey, idempotency_id, new_id
from services.gateway.reading import api_of, body_of, idempotency_key, in_program, path_id, query_of, wish_of
from services.gateway.saying import status_match_requested
from services.gateway.shown import MatchShown, PendingShown
from services.gateway.store import requests
from services.gateway.store.requests import NewRequest

if TYPE_CHECKING:
    from laurel.io.saying import Saying
    from services.gateway.store.programs import ProgramHead
    from services.gateway.wiring import Api

router = APIRouter()

_TAG = "Members"
_PATH = "/v1/programs/{program}/members/{member}/status-match"
_KEY = {"Idempotency-Key": "A quoted string; with it, the same request again is the same match"}


@router.post(
    **described(
        _TAG,
        "Match a rival's tier",
        path=_PATH,
        answers={200: MatchShown, 201: MatchShown, 202: PendingShown},
        problems=(400, 403, 409, 413, 415, 422, 503),
        body=MatchStatus,
        headers={**_KEY, **PREFER},
    )
)
async def match_status(request: Request) -> Response:
    """At once, for as long as the program says; a key with `adjust` may say how long, and what keeps it."""
    caller, head = await in_program(request, "members")
    query_of(request)
    wish = wish_of(request)
    member = path_id(request, "member", "member_unknown")
    body: Any = await body_of(request, MatchStatus)
    if body.until is not None or body.challenge is not None:
        caller.require("adjust")
    api = api_of(request)
    found = await api.known.survivor(head.program, member)
    if found is None:
        raise Problem("member_unknown")
    member = found
    await _check(api, head, body)
    given = request.headers.get("idempotency-key")
    match = new_id("s") if given is None else f"s-{idempotency_id(idempotency_key(request))[:32]}"
    trace = traceparent(request)

    def say(stamp: Stamp) -> Saying:
        return status_match_requested(stamp, match, member, body, trace)

    # The same key for another member is another body.
    hash_ = f"{member} {body_hash(body)}"
    key = RequestKey(head.program, MATCH, caller.partner, match)
    ask = Ask(NewRequest(key, hash_, member), say, waits=wish.wait_seconds > 0)
    settled = await api.settler.settle(ask, wish)
    return answer(
        settled,
        wish,
        location=f"/v1/programs/{head.program}/members/{member}/status-match/{match}",
        pending={"match": match},
        instance=request.url.path,
    )


@router.get(
    **described(
        _TAG,
        "Read a status match",
        path=f"{_PATH}/{{match}}",
        answers={200: MatchShown},
        problems=(403, 422),
    )
)
async def get_match(request: Request) -> Response:
    """What became of it: posted, pending, or refused with a code."""
    caller, head = await in_program(request, "read", "members")
    query_of(request)
    member = path_id(request, "member", "member_unknown")
    match = path_id(request, "match", "not_found")
    api = api_of(request)
    async with api.database.connection() as connection:
        row = await requests.find(connection, RequestKey(head.program, MATCH, caller.partner, match))
    if row is None or row.member != member:
        raise Problem("not_found")
    shown: dict[str, Any] = {"match": match, "state": requests.PENDING}
    if row.delayed:
        shown["delayed"] = True
    return Response(row.outcome or msgspec.json.encode(shown), media_type="application/json")


async def _check(api: Api, head: ProgramHead, body: MatchStatus) -> None:
    """Refuse what the program does not know, before anything is asked."""
    now = head.as_of if head.is_manual else api.clock()
    tiers, coming = await api.known.tiers(head, now), await api.known.tiers(head, None)
    faults = []
    if tiers is not None:
        if now is not None and body.evidence.dated > local_date(now, tiers.zone):
            faults.append(Fault("/evidence/dated", "in_the_future", "A proof is not of a day to come"))
        # In a sandbox it may happen ahead of the program's now; whether there is the tier by then is for points to say.
        levels = (*tiers.levels, *(coming.levels if coming is not None else ()))
        if body.tier not in {level.tier for level in levels}:
            faults.append(Fault("/tier", "unknown", "There is no such tier"))
        counter = body.challenge.counter if body.challenge is not None else None
        if counter is not None and (tiers.match is None or tiers.match.counter.name != counter):
            faults.append(Fault("/challenge/counter", "unknown", "Matches are not kept by this counter"))
        if body.until is not None and now is not None and body.until < local_date(now, tiers.zone):
            faults.append(Fault("/until", "out_of_range", "A match does not end before it begins"))
    if faults:
        raise Problem("invalid", errors=faults)
