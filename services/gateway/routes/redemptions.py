"""Redemptions: asked for, and how they stand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
from fastapi import APIRouter, Request, Response

from laurel.contracts.hashing import body_hash
from laurel.contracts.http import CancelRedemption, ConfirmRedemption
from laurel.contracts.http_redeeming import QuoteRedemption, RequestRedemption
from laurel.errors import Problem
from laurel.io.http import request_id, traceparent
from services.gateway.accepting import partner_of
from services.gateway.answering import Settled, answer
from services.gateway.asking import Ask, Stamp
from services.gateway.documenting import PREFER, described
from services.gateway.meaning import known_account, require_partner
from services.gateway.naming import (
    REDEMPTION,
    REDEMPTION_CANCEL,
    REDEMPTION_CONFIRM,
    RequestKey,
    idempotency_id,
    new_id,
)
from services.gateway.passing import path_of
from services.gateway.reading import (
    api_of,
    body_of,
    idempotency_key,
    in_program,
    optional_body_of,
    path_id,
    query_of,
    wish_of,
)
from services.gateway.saying import (
    redemption_cancel_requested,
    redemption_confirm_requested,
    redemption_requested,
)
from services.gateway.shown import PendingShown, RedemptionQuoteShown, RedemptionShown
from services.gateway.store import redemptions as store
from services.gateway.store import requests
from services.gateway.store.requests import NewRequest
from services.gateway.told.telling import POSTED
from services.gateway.wanting import check, happens_at, judging_of, known_of, wanted_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from laurel.io.saying import Saying
    from services.gateway.guarding import Caller
    from services.gateway.preferring import Preference
    from services.gateway.store.programs import ProgramHead
    from services.gateway.store.redemptions import RedemptionRow
    from services.gateway.store.requests import RequestRow
    from services.gateway.wiring import Api

router = APIRouter()

_TAG = "Redeeming"
_PATH = "/v1/programs/{program}/redemptions"
_KEY = {"Idempotency-Key": 'A quoted string, such as `"8e03978e-40d5"`; kept for ever'}


@router.post(
    **described(
        _TAG,
        "Redeem a reward",
        path=_PATH,
        answers={200: RedemptionShown, 201: RedemptionShown, 202: PendingShown},
        problems=(400, 403, 409, 413, 415, 422, 503),
        body=RequestRedemption,
        headers={**_KEY, **PREFER},
        required_headers=("Idempotency-Key",),
    )
)
async def redeem(request: Request) -> Response:
    """The same key and body again is the same redemption, whatever came of it."""
    caller, head = await in_program(request, "redeem")
    query_of(request)
    wish = wish_of(request)
    key = idempotency_id(idempotency_key(request))
    body: Any = await body_of(request, RequestRedemption)
    check(body)
    api = api_of(request)
    partner = partner_of(body.partner, caller)
    await require_partner(api, caller, head.program, partner)
    row_key = RequestKey(head.program, REDEMPTION, partner, key)
    seen = await known_account(api, head.program, body.member, row_key)
    member = seen.row.member
    redemption = body.id or new_id("r")
    hash_ = body_hash(msgspec.structs.replace(body, partner=None))
    wanted = await wanted_of(api, head, body, seen, row_key)
    at = await happens_at(api, head, member)
    trace = traceparent(request)

    def say(stamp: Stamp) -> Saying:
        names = {"redemption": redemption, "member": member, "partner": partner, "hash_": hash_}
        return redemption_requested(stamp, wanted, **names, traceparent=trace, at=at)

    ask = Ask(
        NewRequest(row_key, hash_, member, subject=redemption),
        say,
        waits=wish.wait_seconds > 0,
        redemption=(head.program, redemption, partner, member, body.reward, key),
    )
    settled = await api.settler.settle(ask, wish)
    return await _answer(request, api, settled, wish, head.program, redemption, member)


@router.post(
    **described(
        _TAG,
        "Ask what a redemption would cost",
        path=f"{_PATH}/quote",
        answers={200: RedemptionQuoteShown},
        problems=(400, 403, 409, 413, 415, 422, 503),
        body=QuoteRedemption,
    )
)
async def quote_redemption(request: Request) -> Response:
    """Changes nothing."""
    caller, head = await in_program(request, "redeem", "read")
    query_of(request)
    body: Any = await body_of(request, QuoteRedemption)
    check(body)
    api = api_of(request)
    partner = partner_of(body.partner, caller)
    await require_partner(api, caller, head.program, partner)
    seen = await known_account(api, head.program, body.member)
    member = seen.row.member
    judging = await judging_of(api, head, member)
    asked = {"program": head.program, "member": member, "at": judging["now"], "redemption": "-", "partner": partner}
    wanted = await wanted_of(api, head, body, seen)
    _, balances = await known_of(api, head, seen)
    wish = {**asked, "hash": "", "versions": {"program": head.version, "as_of": judging["as_of"]}, **wanted}
    return await api.redemption.ask(
        "POST",
        path_of("v1", "programs", head.program, "redemptions", "quote"),
        body=msgspec.json.encode({"wish": wish, "judging": judging, "balances": balances}),
        request_id=request_id(request),
    )


@router.get(
    **described(
        _TAG,
        "Read a redemption",
        path=f"{_PATH}/{{redemption}}",
        answers={200: RedemptionShown},
        problems=(403, 422),
    )
)
async def get_redemption(request: Request) -> Response:
    """How it stands. Voucher codes are shown to keys with `redeem`."""
    caller, api, _, row = await _found(request, "read", "redeem")
    body = row.body
    if body is None:
        body = await _untold(api, row)
    elif row.state == "holding":
        body = await _held(api, row, body)
    elif row.state == "fulfilled" and "redeem" in caller.scopes:
        body = await _with_codes(request, api, row.program, row.redemption, row.member, body)
    return Response(body, media_type="application/json")


@router.post(
    **described(
        _TAG,
        "Finish a redemption that is held",
        path=f"{_PATH}/{{redemption}}/confirm",
        answers={200: RedemptionShown, 202: PendingShown},
        problems=(400, 403, 409, 413, 415, 422, 503),
        body=ConfirmRedemption,
        headers=PREFER,
    )
)
async def confirm_redemption(request: Request) -> Response:
    """At the price that is held, whatever was published meanwhile. The same again is the same confirmation."""
    caller, api, head, row = await _found(request, "redeem")
    body = await optional_body_of(request, ConfirmRedemption)
    await _require_active(api, row)
    settles = _settles(caller, row)
    at = await happens_at(api, head, row.member)
    trace = traceparent(request)
    return await _settle(
        request,
        api,
        row,
        REDEMPTION_CONFIRM,
        body_hash(body),
        lambda stamp: redemption_confirm_requested(
            stamp, row.redemption, row.member, row.partner, trace, settles=settles, at=at
        ),
        settles=settles,
    )


@router.post(
    **described(
        _TAG,
        "Take a redemption back",
        path=f"{_PATH}/{{redemption}}/cancel",
        answers={200: RedemptionShown, 202: PendingShown},
        problems=(400, 403, 409, 413, 415, 422, 503),
        body=CancelRedemption,
        headers=PREFER,
    )
)
async def cancel_redemption(request: Request) -> Response:
    """Points go back to the lots they came from, stock is on offer again, vouchers are void. The same changes nothing.

    What has expired since expires at once where the member chose, and is good for 90 days where the provider is to
    blame.
    """
    caller, api, head, row = await _found(request, "redeem")
    body: Any = await body_of(request, CancelRedemption)
    settles = _settles(caller, row)
    at = await happens_at(api, head, row.member)
    trace = traceparent(request)
    return await _settle(
        request,
        api,
        row,
        REDEMPTION_CANCEL,
        body.by,
        lambda stamp: redemption_cancel_requested(
            stamp, row.redemption, row.member, row.partner, body.by, trace, settles=settles, at=at
        ),
        settles=settles,
    )


async def _require_active(api: Api, row: RedemptionRow) -> None:
    """Who takes part no more gets nothing that costs no points; of points that are held nobody is closed."""
    seen = await api.seeing.find(row.program, row.member) if row.state == "holding" else None
    if seen is not None and seen.row.status in {"closed", "erased"}:
        raise Problem("member_not_active")


def _settles(caller: Caller, row: RedemptionRow) -> bool:
    """Say whether an operator decides for a partner that has been silent for too long."""
    if not caller.is_admin or row.state != "fulfilling" or row.body is None:
        return False
    return bool(msgspec.json.decode(row.body).get("delayed"))


async def _settle(
    request: Request,
    api: Api,
    row: RedemptionRow,
    kind: str,
    hash_: str,
    say: Callable[[Stamp], Saying],
    *,
    settles: bool,
) -> Response:
    """Ask something of a redemption, once for each kind, and answer with how it stands then.

    What an operator settles is a request of its own: the other one may still wait for the partner.
    """
    wish = wish_of(request)
    name = f"{row.redemption}:settled" if settles else row.redemption
    key = RequestKey(row.program, kind, row.partner, name)
    ask = Ask(NewRequest(key, hash_, row.member, subject=row.redemption), say, waits=wish.wait_seconds > 0)
    settled = await api.settler.settle(ask, wish)
    if settled.state == POSTED and settled.outcome is not None and not settled.replayed:
        settled = settled.shown_as(
            await _with_codes(request, api, row.program, row.redemption, row.member, settled.outcome)
        )
    return answer(
        settled,
        wish,
        location=f"/v1/programs/{row.program}/redemptions/{row.redemption}",
        pending={"redemption": row.redemption},
        instance=request.url.path,
        success=200,
    )


async def _found(request: Request, *scopes: str) -> tuple[Caller, Api, ProgramHead, RedemptionRow]:
    """Return the redemption of the path; another partner's is like one that is not there, but to an admin."""
    caller, head = await in_program(request, *scopes)
    query_of(request)
    redemption = path_id(request, "redemption", "redemption_unknown")
    api = api_of(request)
    async with api.database.connection() as connection:
        row = await store.find(connection, head.program, redemption)
    if row is None or (row.partner != caller.partner and not caller.is_admin):
        raise Problem("redemption_unknown")
    return caller, api, head, row


async def _untold(api: Api, row: RedemptionRow) -> bytes:
    """No event has told of it: it is on its way, it is parked, or it was given up before anything was decided."""
    asked = await _asked(api, row)
    shown: dict[str, Any] = {"state": row.state, "member": row.member, "reward": row.reward}
    if asked is not None and asked.outcome is not None:
        shown |= msgspec.json.decode(asked.outcome)
    elif asked is not None and asked.delayed:
        shown["delayed"] = True
    return msgspec.json.encode({**shown, "redemption": row.redemption})


async def _held(api: Api, row: RedemptionRow, body: bytes) -> bytes:
    """Its points are held; what is asked of it next may be parked."""
    kinds = (REDEMPTION_CONFIRM, REDEMPTION_CANCEL)
    async with api.database.connection() as connection:
        asked = await requests.find_all(
            connection, {RequestKey(row.program, kind, row.partner, row.redemption) for kind in kinds}
        )
    if not any(each.is_pending and each.delayed for each in asked.values()):
        return body
    return msgspec.json.encode({**msgspec.json.decode(body), "delayed": True})


async def _asked(api: Api, row: RedemptionRow) -> RequestRow | None:
    async with api.database.connection() as connection:
        return await requests.find(connection, RequestKey(row.program, REDEMPTION, row.partner, row.request))


async def _answer(
    request: Request, api: Api, settled: Settled, wish: Preference, program: str, redemption: str, member: str
) -> Response:
    before = settled.recorded.before
    if before is not None and before.subject is not None:
        # The same request again is the redemption that it was the first time.
        redemption = before.subject
    if settled.state == POSTED and settled.outcome is not None and not settled.replayed:
        settled = settled.shown_as(await _with_codes(request, api, program, redemption, member, settled.outcome))
    if settled.is_refused and settled.outcome is not None:
        refusal = {**msgspec.json.decode(settled.outcome), "redemption": redemption}
        settled = replace(settled, outcome=msgspec.json.encode(refusal))
    return answer(
        settled,
        wish,
        location=f"/v1/programs/{program}/redemptions/{redemption}",
        pending={"redemption": redemption},
        instance=request.url.path,
    )


async def _with_codes(request: Request, api: Api, program: str, redemption: str, member: str, body: bytes) -> bytes:
    """Put the codes of its vouchers into an answer. They are in no event, so redemption is asked for them."""
    shown: dict[str, Any] = msgspec.json.decode(body)
    if not shown.get("vouchers"):
        return body
    try:
        answered = await api.redemption.ask(
            "GET",
            path_of("v1", "programs", program, "vouchers"),
            params={"redemption": redemption, "member": member},
            request_id=request_id(request),
        )
    except Problem:
        # The redemption stands; its codes can be read later.
        return body
    if answered.status_code != 200:
        return body
    codes = {each["voucher"]: each.get("code") for each in msgspec.json.decode(answered.body)["data"]}
    for voucher in shown["vouchers"]:
        voucher["code"] = codes.get(voucher["voucher"])
    return msgspec.json.encode(shown)
