"""What points answers: statements, lots, decisions and liability."""

from __future__ import annotations

from typing import Final

import msgspec
from fastapi import APIRouter, Request, Response

from laurel.errors import Problem
from laurel.io.http import request_id
from services.gateway.documenting import PAGE, described
from services.gateway.passing import path_of
from services.gateway.reading import api_of, in_program, limit_of, path_id, query_of
from services.gateway.shown import LiabilityShown, PageShown
from services.gateway.store import redemptions

router = APIRouter()

_REWARDS: Final = 500


class _Priced(msgspec.Struct):
    unit: str = ""
    price: int = 0


_decode_price = msgspec.json.Decoder(_Priced).decode
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
        path="/v1/programs/{program}/reports/liability",
        answers={200: LiabilityShown},
        problems=(403, 422, 503),
    )
)
async def get_liability(request: Request) -> Response:
    _, head = await in_program(request, "admin")
    query_of(request)
    path = path_of("v1", "programs", head.program, "reports", "liability")
    answered = await api_of(request).points.ask("GET", path, request_id=request_id(request))
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
