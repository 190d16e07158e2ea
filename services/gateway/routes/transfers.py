"""Transfers: points that one member gives to another of the program, and what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response

from laurel.contracts.hashing import body_hash
from laurel.contracts.http import TransferPoints
from laurel.errors import Fault, Problem
from laurel.io.http import traceparent
from services.gateway.documenting import described
from services.gateway.meaning import known_member, require_unit
from services.gateway.naming import TRANSFER, RequestKey, idempotency_id, new_id
from services.gateway.operating import KEYED, ask_for, found, show
from services.gateway.reading import api_of, body_of, idempotency_key, in_program, query_of
from services.gateway.saying import transfer_requested
from services.gateway.shown import PendingShown, TransferShown
from services.gateway.store.operations import NewOperation

if TYPE_CHECKING:
    pass

router = APIRouter()

_TAG = "Wallet"
_PATH = "/v1/programs/{program}/transfers"


@router.post(
    **described(
        _TAG,
        "Give points to another member",
        path=_PATH,
        answers={200: TransferShown, 201: TransferShown, 202: PendingShown},
        body=TransferPoints,
        **KEYED,
    )
)
async def transfer_points(request: Request) -> Response:
    """From what expires first, within the program's limits; they keep their end, and pay first what the other owes."""
    caller, head = await in_program(request, "redeem")
    query_of(request)
    key = idempotency_id(idempotency_key(request))
    body: Any = await body_of(request, TransferPoints)
    api = api_of(request)
    await require_unit(api, head.program, head.version, body.unit)
    by = RequestKey(head.program, TRANSFER, caller.partner, key)
    giver = await known_member(api, head.program, body.from_, by, at="/from")
    receiver = await known_member(api, head.program, body.to, by, at="/to")
    if giver == receiver:
        raise Problem("invalid", errors=[Fault("/to", "not_allowed", "Points are given to somebody else")])
    transfer = new_id("g")
    trace = traceparent(request)
    return await ask_for(
        request,
        NewOperation(head.program, TRANSFER, transfer, caller.partner, giver, key),
        body_hash(body),
        lambda stamp: transfer_requested(stamp, transfer, giver, receiver, caller.partner, body, trace),
        at=f"/v1/programs/{head.program}/transfers",
        both=True,
    )


@router.get(
    **described(
        _TAG, "Read a transfer", path=f"{_PATH}/{{transfer}}", answers={200: TransferShown}, problems=(403, 422)
    )
)
async def get_transfer(request: Request) -> Response:
    _, api, row = await found(request, TRANSFER, "transfer_unknown", "read", "redeem")
    return await show(api, row)
