"""Activities: reported, judged by points, shown again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
from fastapi import APIRouter, Request, Response

from laurel.contracts.activity import Activity
from laurel.errors import Problem, named_at
from laurel.io.http import traceparent
from services.gateway.accepting import Reported, blocked, read_activity, unearned
from services.gateway.answering import answer
from services.gateway.asking import Ask, Stamp
from services.gateway.documenting import PARTNER, PREFER, described
from services.gateway.explaining import explained, with_explanation
from services.gateway.meaning import require_partner
from services.gateway.naming import ACTIVITY, RequestKey
from services.gateway.reading import (
    api_of,
    in_program,
    json_of,
    partner_in_query,
    path_id,
    query_of,
    wish_of,
)
from services.gateway.saying import activity_reported
from services.gateway.shown import ActivityShown, PendingShown
from services.gateway.store import requests
from services.gateway.store.requests import NewRequest

if TYPE_CHECKING:
    from laurel.io.saying import Saying
    from services.gateway.wiring import Api

router = APIRouter()

_TAG = "Earning"
_PATH = "/v1/programs/{program}/activities"


@router.post(
    **described(
        _TAG,
        "Report an activity",
        path=_PATH,
        answers={200: ActivityShown, 201: ActivityShown, 202: PendingShown},
        problems=(400, 403, 409, 413, 415, 422, 503),
        body=Activity,
        headers=PREFER,
    )
)
async def report_activity(request: Request) -> Response:
    """Idempotent by its id within program and partner, for ever."""
    caller, head = await in_program(request, "earn")
    query_of(request)
    wish = wish_of(request)
    until = asyncio.get_running_loop().time() + wish.wait_seconds
    body = await json_of(request)
    api = api_of(request)
    reported = read_activity(body, caller, head, api.clock())
    await require_partner(api, caller, head.program, reported.partner)
    try:
        with named_at("/member"):
            member = await member_of(api, head.program, reported)
    except Problem as problem:
        if problem.code != "identifier_blocked":
            raise
        # Kept like any refusal; what was posted before its card was blocked is answered as before.
        request_of = NewRequest(_key(head.program, reported), reported.hash, None, outcome=blocked(reported.id))
        ask = Ask(replace(request_of, code=problem.code), None, waits=wish.wait_seconds > 0)
    else:
        ask = _ask(head.program, reported, member, traceparent(request), waits=wish.wait_seconds > 0)
    settled = await api.catching_up.settle(head.program, await api.settler.settle(ask, wish), until)
    location = f"/v1/programs/{head.program}/activities/{reported.id}"
    if reported.partner != caller.partner:
        location += f"?partner={reported.partner}"
    settled = await with_explanation(api.known, head.program, settled)
    return answer(settled, wish, location=location, pending={"id": reported.id}, instance=request.url.path)


@router.get(
    **described(
        _TAG,
        "Read an activity",
        path=f"{_PATH}/{{activity}}",
        answers={200: ActivityShown},
        problems=(403, 422),
        query=PARTNER,
    )
)
async def get_activity(request: Request) -> Response:
    """What it earned and why, or that it was refused; `pending` until that is known."""
    caller, head = await in_program(request, "read", "earn")
    query = query_of(request, "partner")
    activity = path_id(request, "activity", "activity_unknown")
    partner = partner_in_query(query, caller)
    async with api_of(request).database.connection() as connection:
        row = await requests.find(connection, RequestKey(head.program, ACTIVITY, partner, activity))
    if row is None:
        raise Problem("activity_unknown")
    if row.outcome is not None:
        shown_whole = await explained(api_of(request).known, head.program, row.outcome)
        return Response(shown_whole, media_type="application/json")
    shown = {"id": activity, "state": row.state, **({"delayed": True} if row.delayed else {})}
    return Response(msgspec.json.encode(shown), media_type="application/json")


async def member_of(api: Api, program: str, reported: Reported) -> str | None:
    """Return whose activity it is; a return that does not say is its purchase's. 404 where nobody knows."""
    if reported.identifier is not None:
        return await api.known.whose(program, *reported.identifier)
    if reported.member_id is not None:
        if not await api.known.member(program, reported.member_id):
            raise Problem("member_unknown")
        return reported.member_id
    if reported.of is not None:
        key = RequestKey(program, ACTIVITY, reported.partner, reported.of)
        async with api.database.connection() as connection:
            row = await requests.find(connection, key)
            if row is not None and row.member is None:
                # Whoever claimed it later would be credited with what came back.
                await requests.give_up_claims(connection, key)
        if row is None or row.state == requests.FREED:
            raise Problem("activity_unknown")
        return row.member
    return None


def _key(program: str, reported: Reported) -> RequestKey:
    return RequestKey(program, ACTIVITY, reported.partner, reported.id)


def _ask(program: str, reported: Reported, member: str | None, trace: str, *, waits: bool) -> Ask:
    key = _key(program, reported)
    body = reported.json(member)
    if member is None:
        # Kept until somebody claims it. It can earn nothing before, so nobody needs to be asked.
        return Ask(NewRequest(key, reported.hash, None, outcome=unearned(reported.id), body=body), None, waits=False)

    def say(stamp: Stamp) -> Saying:
        return activity_reported(
            stamp,
            member=member,
            partner=reported.partner,
            hash_=reported.hash,
            occurred_at=reported.occurred_at,
            activity=body,
            traceparent=trace,
        )

    return Ask(NewRequest(key, reported.hash, member), say, waits=waits)
