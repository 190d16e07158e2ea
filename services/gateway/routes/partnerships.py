"""Partners of a program: let in, suspended, and what they pay for in advance."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import msgspec
from fastapi import APIRouter, Request, Response

from laurel.contracts.hashing import body_hash
from laurel.contracts.http import JoinPartner, TopUpBlock
from laurel.errors import Problem
from laurel.io.http import request_id, traceparent
from laurel.shapes import encode
from services.gateway.answering import answer
from services.gateway.asking import Ask, Stamp
from services.gateway.auditing import noted
from services.gateway.documenting import PREFER, described
from services.gateway.meaning import require_unit
from services.gateway.naming import BLOCK, RequestKey, idempotency_id
from services.gateway.partnering import join, vetted
from services.gateway.passing import path_of
from services.gateway.reading import api_of, body_of, in_program, query_of, wish_of
from services.gateway.routes.partners import visible_partner
from services.gateway.saying import block_top_up_requested
from services.gateway.shown import PartnershipShown, PaymentShown, PendingShown
from services.gateway.store import members, partner_terms, requests
from services.gateway.store.requests import NewRequest

if TYPE_CHECKING:
    from laurel.io.saying import Saying
    from services.gateway.guarding import Caller
    from services.gateway.store.partner_terms import TermsRow
    from services.gateway.store.programs import ProgramHead
    from services.gateway.wiring import Api

router = APIRouter()

_TAG = "Partners"
_PATH = "/v1/programs/{program}/partners/{partner}"
_FIRST_LOOK_SECONDS: Final = 0.01
_LOOK_SECONDS_MAX: Final = 0.2


@router.put(
    **described(
        _TAG,
        "Let a partner into a program, or change its terms",
        path=_PATH,
        answers={200: PartnershipShown, 201: PartnershipShown},
        problems=(400, 403, 413, 415, 422, 503),
        body=JoinPartner,
    )
)
async def put_partnership(request: Request) -> Response:
    """Passing scores approve an applicant; activities are judged by its partner's state when they happened."""
    caller, head, partner = await _found(request)
    query_of(request)
    body: Any = await body_of(request, JoinPartner)
    api = api_of(request)
    note = noted(request, caller, "terms.saved", partner, program=head.program)
    row, is_first = await join(api.unit, head.program, partner, body, api.clock, traceparent(request), note)
    api.known.forget_program(head.program)
    return await _shown(request, row, 201 if is_first else 200)


@router.get(
    **described(
        _TAG,
        "Read on what terms a partner takes part in a program",
        path=_PATH,
        answers={200: PartnershipShown},
        problems=(403, 422, 503),
    )
)
async def get_partnership(request: Request) -> Response:
    """A partner of whom nothing was said takes part, and is not shown."""
    _, head, partner = await _found(request)
    query_of(request)
    async with api_of(request).database.connection() as connection:
        row = await partner_terms.newest(connection, head.program, partner)
    if row is None:
        raise Problem("not_found")
    return await _shown(request, row, 200)


@router.post(
    **described(
        _TAG,
        "Pay for points in advance",
        path=f"{_PATH}/blocks",
        answers={200: PaymentShown, 201: PaymentShown, 202: PendingShown},
        problems=(400, 403, 409, 413, 415, 422, 503),
        body=TopUpBlock,
        headers=PREFER,
    )
)
async def top_up_block(request: Request) -> Response:
    """What waited for the block is posted in its order before the answer comes. Idempotent by `reference`."""
    caller, head, partner = await _found(request)
    query_of(request)
    wish = wish_of(request)
    body: Any = await body_of(request, TopUpBlock)
    api = api_of(request)
    await require_unit(api, head.program, head.version, body.unit)
    trace = traceparent(request)

    def say(stamp: Stamp) -> Saying:
        return block_top_up_requested(stamp, partner, body, trace)

    key = RequestKey(head.program, BLOCK, partner, idempotency_id(body.reference))
    ask = Ask(NewRequest(key, body_hash(body), None, subject=body.reference), say, waits=wish.wait_seconds > 0)
    ask = replace(ask, change=noted(request, caller, "block.paid", partner, program=head.program, after=encode(body)))
    settled = await api.settler.settle(ask, wish)
    # Whoever asks again may come before reads show what the first request did.
    if settled.state == requests.POSTED:
        seconds = wish.wait_seconds
        if not await _is_shown(api, head.program, partner, body.reference, seconds, request_id(request)):
            settled = replace(settled, state=requests.PENDING, outcome=None)
    return answer(
        settled,
        wish,
        location=path_of("v1", "programs", head.program, "partners", partner, "blocks", key.id),
        pending={"partner": partner, "reference": body.reference},
        instance=request.url.path,
    )


@router.get(
    **described(
        _TAG,
        "Read a payment in advance",
        path=f"{_PATH}/blocks/{{payment}}",
        answers={200: PaymentShown},
        problems=(403, 422),
    )
)
async def get_payment(request: Request) -> Response:
    """Where `Location` of a payment leads: what became of it."""
    _, head, partner = await _found(request)
    query_of(request)
    name: str = request.path_params["payment"]
    row = None
    if "\x00" not in name:
        async with api_of(request).database.connection() as connection:
            row = await requests.find(connection, RequestKey(head.program, BLOCK, partner, name))
    if row is None:
        raise Problem("not_found")
    shown: dict[str, Any] = {"partner": partner, "reference": row.subject, "state": row.state}
    if row.delayed:
        shown["delayed"] = True
    return Response(row.outcome or msgspec.json.encode(shown), media_type="application/json")


async def _found(request: Request) -> tuple[Caller, ProgramHead, str]:
    """Return who asks, the program and the partner, as far as the caller may see both."""
    caller, head = await in_program(request, "admin")
    row = await visible_partner(request, caller, request.path_params["partner"])
    return caller, head, row.partner


async def _shown(request: Request, row: TermsRow, status: int) -> Response:
    """Show terms, with what points knows of the partner's blocks."""
    path = path_of("v1", "programs", row.program, "partners", row.partner, "blocks")
    blocks: list[Any] = []
    if row.billing == "prepaid":
        answered = await api_of(request).points.ask("GET", path, request_id=request_id(request))
        blocks = msgspec.json.decode(answered.body)["blocks"]
    scores = msgspec.json.decode(row.scores, type=dict[str, int]) if row.scores is not None else None
    shown = {
        "partner": row.partner,
        "state": row.state,
        "since": row.since,
        "vetting": vetted(scores),
        "billing": row.billing,
        **({"block": blocks[0], "blocks": blocks} if blocks else {}),
    }
    return Response(msgspec.json.encode(shown), status, media_type="application/json")


class _Moved(msgspec.Struct):
    members: list[tuple[str, int]]
    next: tuple[str, int] | None


_decode_moved = msgspec.json.Decoder(_Moved).decode


async def _is_shown(api: Api, program: str, partner: str, reference: str, seconds: float, asked: str) -> bool:
    """Wait until every member is shown as far as the payment moved its wallet; say whether that came in time.

    What a payment did is told on the keys of members, which may be shown later than that it is done.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    path = path_of("v1", "programs", program, "partners", partner, "moved")
    place: tuple[str, int] | None = ("", 0)
    pause = _FIRST_LOOK_SECONDS
    while place is not None:
        params = {"reference": reference, "after": place[0], "journal": str(place[1])}
        answered = await api.points.ask("GET", path, params=params, request_id=asked)
        page = _decode_moved(bytes(answered.body))
        async with api.database.connection() as connection:
            is_behind = await members.is_behind(connection, program, page.members)
        if not is_behind:
            place = page.next
        elif asyncio.get_running_loop().time() + pause > deadline:
            return False
        else:
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LOOK_SECONDS_MAX)
    return True
