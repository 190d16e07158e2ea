"""Exchanges: points of one program that become points of another, and what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response

from laurel.contracts.hashing import body_hash
from laurel.contracts.http import ExchangePoints
from laurel.errors import Fault, Problem, named_at
from laurel.io.http import traceparent
from services.gateway.documenting import described
from services.gateway.meaning import known_member, require_unit
from services.gateway.naming import EXCHANGE, RequestKey, idempotency_id, new_id
from services.gateway.operating import KEYED, ask_for, found, show
from services.gateway.reading import api_of, body_of, idempotency_key, in_program, query_of
from services.gateway.saying import exchange_requested
from services.gateway.shown import ExchangeShown, PendingShown
from services.gateway.store.operations import NewOperation

if TYPE_CHECKING:
    pass

router = APIRouter()

_TAG = "Wallet"
_PATH = "/v1/programs/{program}/exchanges"


@router.post(
    **described(
        _TAG,
        "Exchange points for those of another program",
        path=_PATH,
        answers={200: ExchangeShown, 201: ExchangeShown, 202: PendingShown},
        body=ExchangePoints,
        **KEYED,
    )
)
async def exchange_points(request: Request) -> Response:
    """At the rate that the program has agreed, rounded down. The key must be one of both programs."""
    caller, head = await in_program(request, "redeem")
    query_of(request)
    key = idempotency_id(idempotency_key(request))
    body: Any = await body_of(request, ExchangePoints)
    api = api_of(request)
    to = body.to.program
    if to == head.program:
        raise Problem("invalid", errors=[Fault("/to/program", "not_allowed", "This is the program itself")])
    await require_unit(api, head.program, head.version, body.unit)
    by = RequestKey(head.program, EXCHANGE, caller.partner, key)
    giver = await known_member(api, head.program, body.member, by)
    if not caller.sees_program(to) or await api.known.program(to) is None:
        with named_at("/to/program"):
            raise Problem("program_unknown")
    receiver = await known_member(api, to, body.to.member, by, at="/to/member")
    exchange = new_id("x")
    trace = traceparent(request)
    return await ask_for(
        request,
        NewOperation(head.program, EXCHANGE, exchange, caller.partner, giver, key),
        body_hash(body),
        lambda stamp: exchange_requested(stamp, exchange, giver, receiver, caller.partner, body, trace),
        at=f"/v1/programs/{head.program}/exchanges",
        both=True,
        into=to,
    )


@router.get(
    **described(
        _TAG, "Read an exchange", path=f"{_PATH}/{{exchange}}", answers={200: ExchangeShown}, problems=(403, 422)
    )
)
async def get_exchange(request: Request) -> Response:
    _, api, row = await found(request, EXCHANGE, "exchange_unknown", "read", "redeem")
    return await show(api, row)
