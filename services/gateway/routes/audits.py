"""The audit: who changed what, newest first."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

import msgspec
from fastapi import APIRouter, Request, Response

from laurel.errors import Problem
from services.gateway.documenting import PAGE, described
from services.gateway.reading import api_of, caller_of, cursor_of, limit_of, page, query_of
from services.gateway.shown import AuditShown
from services.gateway.store import audit as store

router = APIRouter()

_FILTERS: Final = {
    "program": "Only changes in this program",
    "partner": "Only changes by keys of this partner",
    "action": "Only changes of this kind, such as `key.revoked`",
    "target": "Only changes of this thing",
}


@router.get(
    **described(
        "Audit",
        "Read who changed what",
        path="/v1/audit",
        answers={200: AuditShown},
        problems=(403, 422),
        query={**_FILTERS, **PAGE},
    )
)
async def get_audit(request: Request) -> Response:
    """Of the key's own programs; changes of partners and keys are shown to the partner that made them."""
    caller = await caller_of(request)
    query = query_of(request, *_FILTERS, *PAGE)
    caller.require("admin")
    program = query.get("program")
    if program is not None and not caller.sees_program(program):
        raise Problem("program_unknown")
    limit = limit_of(query)
    async with api_of(request).database.connection() as connection:
        rows = await store.listed(
            connection,
            filters=[query.get(name) for name in _FILTERS],
            programs=None if caller.is_operator else sorted(caller.programs),
            partner=caller.partner,
            before=cursor_of(query),
            limit=limit,
        )
    shown = page([asdict(row) for row in rows], limit, rows[-1].id if rows else "")
    return Response(msgspec.json.encode(shown), media_type="application/json")
