"""Vouchers: shown, used once at a till, undone, dead. Codes stand in no event and no log; redemption knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from fastapi import APIRouter, Request, Response

from laurel.codes import looks_like_a_code, read_code
from laurel.contracts.codes import CODE_LENGTH_MAX
from laurel.contracts.hashing import body_hash
from laurel.contracts.http import RedeemVoucher, VoidVoucher
from laurel.errors import Fault, Problem
from laurel.io.http import request_id, traceparent
from services.gateway.answering import answer
from services.gateway.asking import Ask, Stamp
from services.gateway.documenting import PAGE, PREFER, described
from services.gateway.naming import VOUCHER_REDEEM, VOUCHER_VOID, RequestKey, idempotency_id
from services.gateway.passing import path_of
from services.gateway.reading import (
    api_of,
    body_of,
    cursor_of,
    in_program,
    limit_of,
    optional_body_of,
    query_of,
    wish_of,
)
from services.gateway.saying import voucher_redeem_requested, voucher_void_requested
from services.gateway.shown import PendingShown, VouchersShown, VoucherStanding
from services.gateway.store.requests import NewRequest
from services.gateway.wanting import happens_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from laurel.io.saying import Saying
    from services.gateway.guarding import Caller
    from services.gateway.store.programs import ProgramHead

router = APIRouter()

_TAG: Final = "Redeeming"
_PATH: Final = "/v1/programs/{program}/vouchers"
_VOUCHER: Final = f"{_PATH}/{{code}}"
_STATES: Final = ("issued", "spent", "expired", "void")
_PROBLEMS: Final = (400, 403, 409, 413, 415, 422, 503)
_ANSWERS: Final[dict[int, Any]] = {200: VoucherStanding, 202: PendingShown}


@router.get(
    **described(
        _TAG,
        "List vouchers",
        path=_PATH,
        answers={200: VouchersShown},
        problems=(403, 422, 503),
        query={
            "member": "Whose they are; only a key with `admin` may leave it out",
            "state": "`issued`, `spent`, `expired` or `void`",
            **PAGE,
        },
    )
)
async def list_vouchers(request: Request) -> Response:
    """In the order of members and ids. Codes are shown to keys with `redeem`."""
    caller, head = await in_program(request, "read", "redeem")
    query = query_of(request, "member", "state", "limit", "cursor")
    limit, cursor = limit_of(query), cursor_of(query)
    _check(query, caller)
    member = query.get("member")
    if member is not None and not await api_of(request).known.member(head.program, member):
        raise Problem("member_unknown")
    params: dict[str, str] = {"limit": str(limit), **_now(request, head)}
    params |= {name: query[name] for name in ("member", "state") if name in query}
    if cursor:
        params["cursor"] = query["cursor"]
    found = await _ask(request, "GET", "list", head.program, params=params)
    found["data"] = [_seen_by(caller, each) for each in found["data"]]
    return Response(msgspec.json.encode(found), media_type="application/json")


@router.get(
    **described(_TAG, "Read a voucher", path=_VOUCHER, answers={200: VoucherStanding}, problems=(403, 422, 503))
)
async def get_voucher(request: Request) -> Response:
    """By its code, however it is typed."""
    caller, head = await in_program(request, "read", "redeem")
    query_of(request)
    found = await _find(request, head)
    return Response(msgspec.json.encode(_seen_by(caller, found)), media_type="application/json")


@router.post(
    **described(
        _TAG,
        "Pay with a voucher",
        path=f"{_VOUCHER}/redeem",
        answers=_ANSWERS,
        problems=_PROBLEMS,
        body=RedeemVoucher,
        headers=PREFER,
    )
)
async def redeem_voucher(request: Request) -> Response:
    """Once, whoever asks how often; the same `reference` again is the first answer, or `voucher_use_undone` once that
    use was undone: the next one needs another reference.
    """
    caller, head = await in_program(request, "redeem")
    query_of(request)
    body: Any = await body_of(request, RedeemVoucher)
    found = await _find(request, head)
    _check_basket(body, found)
    voucher, member, partner = found["voucher"], found["member"], caller.partner
    at = await happens_at(api_of(request), head, member)
    trace = traceparent(request)
    return await _settle(
        request,
        found,
        RequestKey(head.program, VOUCHER_REDEEM, partner, f"{voucher}:{idempotency_id(body.reference)}"),
        body_hash(body),
        lambda stamp: voucher_redeem_requested(stamp, voucher, member, partner, body, trace, at),
    )


@router.post(
    **described(
        _TAG,
        "Undo the use of a voucher, or make it void",
        path=f"{_VOUCHER}/void",
        answers=_ANSWERS,
        problems=_PROBLEMS,
        body=VoidVoucher,
        headers=PREFER,
    )
)
async def void_voucher(request: Request) -> Response:
    """With a reference the voucher is good again, until its old end; without one it is dead."""
    caller, head = await in_program(request, "redeem")
    query_of(request)
    body: Any = await optional_body_of(request, VoidVoucher)
    found = await _find(request, head)
    voucher, member, partner = found["voucher"], found["member"], caller.partner
    trace = traceparent(request)
    name = voucher if body.reference is None else f"{voucher}:{idempotency_id(body.reference)}"
    return await _settle(
        request,
        found,
        RequestKey(head.program, VOUCHER_VOID, partner, name),
        body_hash(body),
        lambda stamp: voucher_void_requested(
            stamp, voucher, member, partner, body.reference, trace, anybodys=caller.is_admin
        ),
    )


async def _settle(
    request: Request, found: dict[str, Any], key: RequestKey, hash_: str, say: Callable[[Stamp], Saying]
) -> Response:
    wish = wish_of(request)
    ask = Ask(NewRequest(key, hash_, found["member"], subject=found["voucher"]), say, waits=wish.wait_seconds > 0)
    settled = await api_of(request).settler.settle(ask, wish)

    def with_code(outcome: bytes) -> bytes:
        return msgspec.json.encode({**msgspec.json.decode(outcome), "code": found["code"]})

    return answer(
        settled,
        wish,
        location=f"/v1/programs/{key.program}/vouchers/{request.path_params['code']}",
        pending={"voucher": found["voucher"]},
        instance=request.url.path,
        body=with_code,
        success=200,
    )


async def _find(request: Request, head: ProgramHead) -> dict[str, Any]:
    """Return the voucher of the path's code; what cannot be a code is told without looking for it."""
    code = request.path_params["code"]
    if len(code) > CODE_LENGTH_MAX or not code.isprintable():
        raise Problem("voucher_unknown")
    if looks_like_a_code(code) and read_code(code) is None:
        raise Problem("voucher_unknown", "The code was mistyped: its last character does not fit the others.")
    body = msgspec.json.encode({"code": code, **_now(request, head)})
    return await _ask(request, "POST", "find", head.program, body=body)


async def _ask(
    request: Request,
    method: str,
    path: str,
    program: str,
    *,
    params: dict[str, str] | None = None,
    body: bytes | None = None,
) -> dict[str, Any]:
    answered = await api_of(request).redemption.ask(
        method,
        path_of("v1", "programs", program, "vouchers", path),
        params=params,
        body=body,
        request_id=request_id(request),
    )
    told: dict[str, Any] = msgspec.json.decode(bytes(answered.body))
    if answered.status_code == 404:
        raise Problem("voucher_unknown")
    if answered.status_code == 422 and path == "list":
        fault = Fault("/query/cursor", "bad_format", "A cursor is given back as it was received")
        raise Problem("invalid", errors=[fault])
    if answered.status_code != 200:
        raise Problem("unavailable", "redemption cannot tell of vouchers.", retry_after_seconds=1)
    return told


def _now(request: Request, head: ProgramHead) -> dict[str, str]:
    """Say what the program's now is; before a manual clock was set nothing is over."""
    now = head.as_of if head.is_manual else api_of(request).clock()
    return {"now": now.isoformat()} if now is not None else {}


def _seen_by(caller: Caller, voucher: dict[str, Any]) -> dict[str, Any]:
    return voucher if "redeem" in caller.scopes else {**voucher, "code": None}


def _check(query: dict[str, str], caller: Caller) -> None:
    faults = []
    if query.get("state", "issued") not in _STATES:
        faults.append(Fault("/query/state", "not_allowed", f"A state is one of {', '.join(_STATES)}"))
    if "member" not in query and not caller.is_admin:
        faults.append(Fault("/query/member", "missing", "Say whose vouchers"))
    if faults:
        raise Problem("invalid", errors=faults)


def _check_basket(body: Any, voucher: dict[str, Any]) -> None:  # noqa: ANN401  (a Struct made of the class)
    """Tell what does not fit the voucher whatever its state: a part of one that is used whole, a basket left out."""
    faults = []
    if body.amount is not None and not voucher["parts"] and body.amount != voucher["value"]:
        faults.append(Fault("/amount", "not_allowed", "This voucher is used whole"))
    if voucher["not_above_basket"] and body.basket is None:
        faults.append(Fault("/basket", "missing", "This voucher must not exceed what is bought"))
    if voucher["percent"] is not None and body.basket is None:
        faults.append(Fault("/basket", "missing", "This voucher is worth a share of what is bought"))
    if faults:
        raise Problem("invalid", errors=faults)
    if body.basket is not None and voucher["currency"] is not None and body.basket.currency != voucher["currency"]:
        raise Problem("currency_not_accepted")
