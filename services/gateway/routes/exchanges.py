"""Exchanges: points of one program that become points of another, and what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response

from laurel.contracts.hashing import body_hash
from laurel.contracts.http import ExchangePoints
from laurel.errors import Fault, Problem
from laurel.io.http import traceparent
from services.gateway.answering import answer
from services.gateway.asking import Ask, Stamp
from services.gateway.documenting import PREFER, described
from services.gateway.naming import EXCHANGE, RequestKey, idempotency_id, new_id
from services.gateway.reading import api_of, body_of, idempotency_key, in_program, path_id, query_of, wish_of
from services.gateway.routes.holds import KEY, known_member, require_unit, show_operation
from services.gateway.saying import exchange_requested
from services.gateway.showing import settle_both
from services.gateway.shown import ExchangeShown, PendingShown
from services.gateway.store import operations
from services.gateway.store.operations import NewOperation
from services.gateway.store.requests import NewRequest

if TYPE_CHECKING:
    from laurel.io.saying import Saying

router = APIRouter()

_TAG = "Wallet"
_PATH = "/v1/programs/{program}/exchanges"


@router.post(
    **described(
        _TAG,
        "Exchange points for those of another program",
        path=_PATH,
        answers={200: ExchangeShown, 201: ExchangeShown, 202: PendingShown},
        problems=(400, 403, 409, 413, 415, 422, 503),
        body=ExchangePoints,
        headers={**KEY, **PREFER},
        required_headers=("Idempotency-Key",),
    )
)
async def exchange_points(request: Request) -> Response:
    """At the rate that the program has agreed, rounded down. The key must be one of both programs."""
    caller, head = await in_program(request, "redeem")
    query_of(request)
    wish = wish_of(request)
    key = idempotency_id(idempotency_key(request))
    body: Any = await body_of(request, ExchangePoints)
    api = api_of(request)
    to = body.to.program
    if to == head.program:
        raise Problem("invalid", errors=[Fault("/to/program", "not_allowed", "This is the program itself")])
    await require_unit(api, head.program, head.version, body.unit)
    giver = await known_member(api, head.program, body.member)
    if not caller.sees_program(to) or await api.known.program(to) is None:
        raise Problem("program_unknown")
    receiver = await known_member(api, to, body.to.member)
    exchange = new_id("x")
    trace = traceparent(request)

    def say(stamp: Stamp) -> Saying:
        return exchange_requested(stamp, exchange, giver, receiver, caller.partner, body, trace)

    ask = Ask(
        NewRequest(RequestKey(head.program, EXCHANGE, caller.partner, key), body_hash(body), giver, exchange),
        say,
        waits=wish.wait_seconds > 0,
        operation=NewOperation(head.program, EXCHANGE, exchange, caller.partner, giver, key),
        into=to,
    )
    settled = await settle_both(api, ask, wish)
    before = settled.recorded.before
    if before is not None and before.subject is not None:
        exchange = before.subject
    return answer(
        settled,
        wish,
        location=f"/v1/programs/{head.program}/exchanges/{exchange}",
        pending={"exchange": exchange},
        instance=request.url.path,
    )


@router.get(
    **described(
        _TAG, "Read an exchange", path=f"{_PATH}/{{exchange}}", answers={200: ExchangeShown}, problems=(403, 422)
    )
)
async def get_exchange(request: Request) -> Response:
    caller, head = await in_program(request, "read", "redeem")
    query_of(request)
    name = path_id(request, "exchange", "exchange_unknown")
    api = api_of(request)
    async with api.database.connection() as connection:
        row = await operations.find(connection, head.program, EXCHANGE, name)
    if row is None or (row.partner != caller.partner and not caller.is_admin):
        raise Problem("exchange_unknown")
    return await show_operation(api, row, "exchange")
