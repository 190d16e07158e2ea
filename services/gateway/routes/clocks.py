"""Clocks: of a program with `clock: manual`, turned by its operator."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
from fastapi import APIRouter, Request, Response

from laurel.contracts.http import TurnClock
from laurel.errors import Fault, Problem
from laurel.io.http import traceparent
from services.gateway.accepting import check_time
from services.gateway.answering import answer
from services.gateway.asking import Ask, Stamp
from services.gateway.auditing import noted
from services.gateway.documenting import PREFER, described
from services.gateway.preferring import Preference
from services.gateway.reading import api_of, body_of, in_program, query_of, wish_of
from services.gateway.saying import clock_turn_requested
from services.gateway.shown import ClockShown, PendingShown
from services.gateway.store import programs, requests
from services.gateway.store.requests import NewRequest
from services.gateway.turning import turn_key

if TYPE_CHECKING:
    from laurel.io.saying import Saying

router = APIRouter()

_TAG = "Programs"
_PATH = "/v1/programs/{program}/clock"


@router.post(
    **described(
        _TAG,
        "Turn the clock of a sandbox",
        path=_PATH,
        answers={200: ClockShown, 202: PendingShown},
        problems=(400, 403, 409, 413, 415, 422, 503),
        body=TurnClock,
        headers=PREFER,
    )
)
async def turn_clock(request: Request) -> Response:
    """Do all time-driven work due up to then, each as if done on time. Meanwhile the program takes no requests."""
    caller, head = await in_program(request, "admin")
    query_of(request)
    wish = wish_of(request)
    body: Any = await body_of(request, TurnClock)
    if not head.is_manual:
        fault = Fault("/as_of", "not_allowed", "The program lives by the wall clock")
        raise Problem("invalid", errors=[fault])
    api = api_of(request)
    check_time(body.as_of, "/as_of", head, api.clock())
    key = turn_key(head.program, body.as_of)
    trace = traceparent(request)

    def say(stamp: Stamp) -> Saying:
        return clock_turn_requested(stamp, body.as_of, trace)

    note = noted(request, caller, "clock.turned", head.program, program=head.program, after={"as_of": body.as_of})
    ask = Ask(NewRequest(key, "", None), say, waits=False, turn=body.as_of, change=note)
    settled = await api.settler.settle(ask, Preference(0.0, None))
    if settled.state == requests.PENDING:
        row = await api.turning.wait(key, wish.wait_seconds)
        if row is not None:
            settled = replace(settled, state=row.state, code=row.code, outcome=row.outcome)
    api.known.forget_program(head.program)
    return answer(
        settled,
        wish,
        location=f"/v1/programs/{head.program}/clock",
        pending={"as_of": body.as_of},
        instance=request.url.path,
        success=200,
    )


@router.get(
    **described(_TAG, "Read the clock of a sandbox", path=_PATH, answers={200: ClockShown}, problems=(403, 422))
)
async def get_clock(request: Request) -> Response:
    """Its now and what the last turn brought about; `pending` while it is being turned, null before it was set."""
    _, head = await in_program(request, "admin")
    query_of(request)
    async with api_of(request).database.connection() as connection:
        head = (await programs.heads(connection, [head.program]))[head.program]
        as_of = head.turning_to or head.as_of
        row = await requests.find(connection, turn_key(head.program, as_of)) if as_of is not None else None
    shown: dict[str, Any] = {"as_of": as_of, "state": requests.PENDING if head.turning_to else requests.POSTED}
    if row is not None and row.outcome is not None:
        shown |= msgspec.json.decode(row.outcome)
    elif row is not None and row.delayed:
        shown["delayed"] = True
    return Response(msgspec.json.encode(shown), media_type="application/json")
