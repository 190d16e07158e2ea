"""Households: members who share a wallet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from fastapi import APIRouter, Request, Response

from laurel.contracts.http import PutHousehold
from laurel.errors import Fault, Problem
from laurel.io.http import traceparent
from services.gateway.answering import answer
from services.gateway.asking import Ask, Stamp
from services.gateway.documenting import PREFER, described
from services.gateway.meaning import known_member
from services.gateway.naming import HOUSEHOLD, RequestKey, idempotency_id
from services.gateway.reading import api_of, body_of, in_program, path_id, path_name, query_of, wish_of
from services.gateway.saying import household_set_requested
from services.gateway.shown import HouseholdShown
from services.gateway.store import households, requests
from services.gateway.store.households import HouseholdRow, NewHousehold
from services.gateway.store.requests import NewRequest

if TYPE_CHECKING:
    from laurel.io.saying import Saying
    from services.gateway.wiring import Api

router = APIRouter()

_TAG = "Members"
_PATH = "/v1/programs/{program}/households/{household}"


@router.put(
    **described(
        _TAG,
        "Let members share a wallet",
        path=_PATH,
        answers={200: HouseholdShown, 201: HouseholdShown, 202: HouseholdShown},
        problems=(400, 403, 409, 413, 415, 422, 503),
        body=PutHousehold,
        headers=PREFER,
    )
)
async def put_household(request: Request) -> Response:
    """A member is in one household at most: 409 `other_household`. Who was in it and is not named leaves it."""
    _, head = await in_program(request, "members")
    query_of(request)
    wish = wish_of(request)
    name = path_name(request, "household", is_plain=False)
    body: Any = await body_of(request, PutHousehold)
    api = api_of(request)
    members = [
        await known_member(api, head.program, each, at=f"/members/{place}") for place, each in enumerate(body.members)
    ]
    faults = [
        Fault(f"/members/{place}", "repeated", "This member is named before")
        for place, member in enumerate(members)
        if member in members[:place]
    ]
    if faults:
        raise Problem("invalid", errors=faults)
    before = await _find(api, head.program, name)
    wanted = (tuple(sorted(members)), body.pooling)
    # The same again is the same request, unless that was given up.
    is_same = before is not None and (before.members, before.pooling) == wanted
    is_same = is_same and await _state(api, before) != requests.REFUSED
    id_ = before.request if before is not None and is_same else _id_of(name, before, wanted)
    new = NewHousehold(head.program, name, *wanted, id_)
    trace = traceparent(request)

    def say(stamp: Stamp) -> Saying:
        return household_set_requested(stamp, new, trace)

    key = RequestKey(head.program, HOUSEHOLD, "", id_)
    ask = Ask(NewRequest(key, "", None, name), say, waits=wish.wait_seconds > 0, household=new)
    settled = await api.settler.settle(ask, wish)
    shown = _shown(HouseholdRow(head.program, name, *wanted, id_))
    return answer(
        settled.shown_as(msgspec.json.encode(shown)) if settled.state == requests.POSTED else settled,
        wish,
        location=f"/v1/programs/{head.program}/households/{name}",
        pending=shown,
        instance=request.url.path,
        success=201 if before is None else 200,
    )


@router.get(**described(_TAG, "Read a household", path=_PATH, answers={200: HouseholdShown}, problems=(403, 422)))
async def get_household(request: Request) -> Response:
    _, head = await in_program(request, "read", "members")
    query_of(request)
    name = path_id(request, "household", "household_unknown")
    api = api_of(request)
    row = await _find(api, head.program, name)
    if row is None:
        raise Problem("household_unknown")
    shown = {**_shown(row), "state": await _state(api, row)}
    return Response(msgspec.json.encode(shown), media_type="application/json")


def _id_of(household: str, before: HouseholdRow | None, wanted: tuple[tuple[str, ...], bool]) -> str:
    """Whoever makes the same of the same household at once asks the same."""
    made_of = [household, before.request if before is not None else "", *wanted]
    return idempotency_id(msgspec.json.encode(made_of).decode())


async def _find(api: Api, program: str, household: str) -> HouseholdRow | None:
    async with api.database.connection() as connection:
        return await households.find(connection, program, household)


async def _state(api: Api, row: HouseholdRow | None) -> str:
    """Return what became of the request that made a household what it is; rows of requests are kept for a time."""
    if row is None:
        return requests.PENDING
    async with api.database.connection() as connection:
        asked = await requests.find(connection, RequestKey(row.program, HOUSEHOLD, "", row.request))
    return requests.POSTED if asked is None else asked.state


def _shown(row: HouseholdRow) -> dict[str, Any]:
    return {
        "household": row.household,
        "program": row.program,
        "state": requests.POSTED,
        "members": list(row.members),
        "pooling": row.pooling,
    }
