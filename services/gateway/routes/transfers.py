"""Transfers: points that one member gives to another of the program, and what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response

from laurel.contracts.hashing import body_hash
from laurel.contracts.http import TransferPoints
from laurel.errors import Fault, Problem
from laurel.io.http import traceparent
from services.gateway.answering import answer
from services.gateway.asking import Ask, Stamp
from services.gateway.documenting import PREFER, described
from services.gateway.naming import TRANSFER, RequestKey, idempotency_id, new_id
from services.gateway.reading import api_of, body_of, idempotency_key, in_program, path_id, query_of, wish_of
from services.gateway.routes.holds import KEY, known_member, require_unit, show_operation
from services.gateway.saying import transfer_requested
from services.gateway.showing import settle_both
from services.gateway.shown import PendingShown, TransferShown
from services.gateway.store import operations
from services.gateway.store.operations import NewOperation
from services.gateway.store.requests import NewRequest

if TYPE_CHECKING:
    from laurel.io.saying import Saying

router = APIRouter()

_TAG = "Wallet"
_PATH = "/v1/programs/{program}/transfers"


@router.post(
    **described(
        _TAG,
        "Give points to another member",
        path=_PATH,
        answers={200: TransferShown, 201: TransferShown, 202: PendingShown},
        problems=(400, 403, 409, 413, 415, 422, 503),
        body=TransferPoints,
        headers={**KEY, **PREFER},
        required_headers=("Idempotency-Key",),
    )
)
async def transfer_points(request: Request) -> Response:
    """From what expires first, within the program's limits; they keep their end, and pay first what the other owes."""
    caller, head = await in_program(request, "redeem")
    query_of(request)
    wish = wish_of(request)
    key = idempotency_id(idempotency_key(request))
    body: Any = await body_of(request, TransferPoints)
    api = api_of(request)
    await require_unit(api, head.program, head.version, body.unit)
    giver = await known_member(api, head.program, body.from_)
    receiver = await known_member(api, head.program, body.to)
    if giver == receiver:
        raise Problem("invalid", errors=[Fault("/to", "not_allowed", "Points are given to somebody else")])
    transfer = new_id("g")
    trace = traceparent(request)

    def say(stamp: Stamp) -> Saying:
        return transfer_requested(stamp, transfer, giver, receiver, caller.partner, body, trace)

    ask = Ask(
        NewRequest(RequestKey(head.program, TRANSFER, caller.partner, key), body_hash(body), giver, transfer),
        say,
        waits=wish.wait_seconds > 0,
        operation=NewOperation(head.program, TRANSFER, transfer, caller.partner, giver, key),
    )
    settled = await settle_both(api, ask, wish)
    before = settled.recorded.before
    if before is not None and before.subject is not None:
        transfer = before.subject
    return answer(
        settled,
        wish,
        location=f"/v1/programs/{head.program}/transfers/{transfer}",
        pending={"transfer": transfer},
        instance=request.url.path,
    )


@router.get(
    **described(
        _TAG, "Read a transfer", path=f"{_PATH}/{{transfer}}", answers={200: TransferShown}, problems=(403, 422)
    )
)
async def get_transfer(request: Request) -> Response:
    caller, head = await in_program(request, "read", "redeem")
    query_of(request)
    name = path_id(request, "transfer", "transfer_unknown")
    api = api_of(request)
    async with api.database.connection() as connection:
        row = await operations.find(connection, head.program, TRANSFER, name)
    if row is None or (row.partner != caller.partner and not caller.is_admin):
        raise Problem("transfer_unknown")
    return await show_operation(api, row, "transfer")
