"""What points answers: statements, lots, decisions and reports."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Final

import msgspec
from fastapi import APIRouter, Request, Response

from laurel.errors import Fault, Problem
from laurel.io.http import request_id
from laurel.program.document import NAME_PATTERN
from services.gateway.documenting import PAGE, described
from services.gateway.passing import path_of
from services.gateway.reading import api_of, in_program, limit_of, path_id, query_of
from services.gateway.shown import BreakageShown, ConcentrationShown, LiabilityShown, PageShown
from services.gateway.store import redemptions

router = APIRouter()

_REWARDS: Final = 500
_WHOLE: Final = 100


class _Priced(msgspec.Struct):
    unit: str = ""
    price: int = 0


_decode_price = msgspec.json.Decoder(_Priced).decode
_PATH = "/v1/programs/{program}/reports"
_MEMBER = "/v1/programs/{program}/members/{member}"
_LISTED = {"answers": {200: PageShown}, "problems": (403, 422, 503), "query": PAGE}


@router.get(**described("Members", "Read a member's journals", path=f"{_MEMBER}/statement", **_LISTED))  # type: ignore[arg-type]
async def get_statement(request: Request) -> Response:
    return await _of_member(request, "statement")


@router.get(**described("Members", "Read a member's lots", path=f"{_MEMBER}/lots", **_LISTED))  # type: ignore[arg-type]
async def get_lots(request: Request) -> Response:
    return await _of_member(request, "lots")


@router.get(**described("Members", "Read why activities earned what they did", path=f"{_MEMBER}/decisions", **_LISTED))  # type: ignore[arg-type]
async def get_decisions(request: Request) -> Response:
    return await _of_member(request, "decisions")


@router.get(
    **described(
        "Reports",
        "Read what is outstanding",
        path=f"{_PATH}/liability",
        answers={200: LiabilityShown},
        problems=(403, 422, 503),
    )
)
async def get_liability(request: Request) -> Response:
    _, head = await in_program(request, "admin")
    query_of(request)
    now = head.as_of if head.is_manual else api_of(request).clock()
    params = {} if now is None else {"at": now.isoformat()}
    answered = await _report(request, head.program, "liability", params)
    if answered.status_code != 200:
        return answered
    report = msgspec.json.decode(bytes(answered.body))
    offered = await _priced(request, head.program)
    for unit in report.get("units", ()):
        unit["affords"] = [
            dict(zip(("reward", "count", "rest"), (name, *divmod(max(0, unit["outstanding"]), price)), strict=True))
            for name, (of, price) in offered.items()
            if of == unit["unit"]
        ]
    return Response(msgspec.json.encode(report), media_type="application/json")


async def _priced(request: Request, program: str) -> dict[str, tuple[str, int]]:
    """Return the rewards that have one price for everybody, in their order: its unit and points."""
    found: dict[str, tuple[str, int]] = {}
    after = ""
    while True:
        async with api_of(request).database.connection() as connection:
            rows = await redemptions.rewards(connection, program, after, _REWARDS)
        for name, document in rows:
            terms = _decode_price(document)
            if terms.price:
                found[name] = (terms.unit, terms.price)
        if len(rows) < _REWARDS:
            return found
        after = rows[-1][0]


@router.get(
    **described(
        "Reports",
        "Read what became of the points",
        path=f"{_PATH}/breakage",
        answers={200: BreakageShown},
        problems=(403, 422, 503),
    )
)
async def get_breakage(request: Request) -> Response:
    """Of all that was granted of each unit: what was redeemed, what expired, and which shares that is."""
    _, head = await in_program(request, "admin")
    query_of(request)
    return await _report(request, head.program, "breakage")


@router.get(
    **described(
        "Reports",
        "Read how much comes from few members",
        path=f"{_PATH}/concentration",
        answers={200: ConcentrationShown},
        problems=(403, 422, 503),
        query={
            "unit": "What is added up: one that `counts_only`, and that a segment or tier of the program counts by day",
            "from": "The first day",
            "until": "The first day after",
            "top": "How many percent of the members are looked at, 1 to 100; 20 unless it is said",
        },
    )
)
async def get_concentration(request: Request) -> Response:
    """The share of what members counted on some days that comes from those who counted most.

    Of N members who counted anything these are the first of N x `top` percent, rounded down, at least one.
    """
    _, head = await in_program(request, "admin")
    query = query_of(request, "unit", "from", "until", "top")
    days = {name: _day(query, name) for name in ("from", "until")}
    top = query.get("top", "20")
    faults = [] if re.fullmatch(NAME_PATTERN, query.get("unit", "")) else [_wrong("unit", "A unit is named")]
    faults += [_wrong(name, "A day is written 2026-03-31") for name, day in days.items() if day is None]
    if not (top.isascii() and top.isdecimal() and 1 <= int(top[:4]) <= _WHOLE):
        faults.append(_wrong("top", "A share is a whole number of percent, 1 to 100"))
    if faults:
        raise Problem("invalid", errors=faults)
    params = {"unit": query["unit"], "from": str(days["from"]), "until": str(days["until"]), "top": top}
    return await _report(request, head.program, "concentration", params)


async def _report(request: Request, program: str, name: str, params: Mapping[str, str] | None = None) -> Response:
    """Ask points for a report of a program."""
    path = path_of("v1", "programs", program, "reports", name)
    return await api_of(request).points.ask("GET", path, params=params, request_id=request_id(request))


def _day(query: Mapping[str, str], name: str) -> date | None:
    try:
        return datetime.strptime(query.get(name, ""), "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        return None


def _wrong(name: str, detail: str) -> Fault:
    return Fault(f"/query/{name}", "bad_format", detail)


async def _of_member(request: Request, what: str) -> Response:
    """Pass the question on. To a key without `admin` only what its own partner reported is shown."""
    caller, head = await in_program(request, "read")
    query = query_of(request, "limit", "cursor")
    limit = limit_of(query)
    member = path_id(request, "member", "member_unknown")
    api = api_of(request)
    if not await api.known.member(head.program, member):
        raise Problem("member_unknown")
    params = {"limit": str(limit)}
    if "cursor" in query:
        params["cursor"] = query["cursor"]
    if not caller.is_admin:
        params["partner"] = caller.partner
    path = path_of("v1", "programs", head.program, "members", member, what)
    return await api.points.ask("GET", path, params=params, request_id=request_id(request))
