"""Exports: rows of the services that hold them, for whoever starts from nothing."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request, Response

from laurel.errors import Problem
from laurel.io.exporting import MEDIA_TYPE
from laurel.io.http import request_id
from services.gateway.documenting import described
from services.gateway.passing import path_of
from services.gateway.reading import api_of, cursor_of, in_program, query_of

router = APIRouter()

_OF_POINTS: Final = ("members", "lots", "journals", "activities")
_OF_REDEMPTION: Final = ("redemptions", "vouchers", "rewards")
_CURSOR: Final = {"cursor": "Where to begin again, from the `cursor` of the last row that was read"}


@router.get(
    **described(
        "Exports",
        "Read all members, lots, journals, activities, redemptions, vouchers or rewards",
        path="/v1/programs/{program}/exports/{kind}",
        answers={200: MEDIA_TYPE},
        problems=(403, 422, 503),
        query=_CURSOR,
    )
)
async def export_rows(request: Request) -> Response:
    """NDJSON, member by member. `contains` says up to which event of each topic a row goes: read the topics from their
    beginning and leave out what is not newer. With a `cursor` an export begins again at the member of that row.
    """
    _, head = await in_program(request, "admin")
    after = cursor_of(query_of(request, "cursor"))
    kind = request.path_params["kind"]
    api = api_of(request)
    if kind in _OF_POINTS:
        owner = api.points
    elif kind in _OF_REDEMPTION:
        owner = api.redemption
    else:
        raise Problem("not_found")
    path = path_of("v1", "programs", head.program, "exports", kind)
    return await owner.stream(path, params={"after": after}, request_id=request_id(request))
