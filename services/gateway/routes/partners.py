"""Partners: who reports, redeems and pays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from fastapi import APIRouter, Request, Response

from laurel.contracts.http import SavePartner
from laurel.errors import Problem
from services.gateway.auditing import noted
from services.gateway.documenting import described
from services.gateway.reading import api_of, body_of, caller_of, path_name, query_of
from services.gateway.shown import PartnerShown
from services.gateway.store import audit
from services.gateway.store import partners as store

if TYPE_CHECKING:
    from services.gateway.guarding import Caller
    from services.gateway.store.partners import PartnerRow

router = APIRouter()

_TAG = "Partners"
_PATH = "/v1/partners/{partner}"


@router.put(
    **described(
        _TAG,
        "Make or change a partner",
        path=_PATH,
        answers={200: PartnerShown, 201: PartnerShown},
        problems=(400, 403, 413, 415, 422),
        body=SavePartner,
    )
)
async def put_partner(request: Request) -> Response:
    """A partner that somebody else's key made answers 404, as if it were not there."""
    caller = await caller_of(request)
    query_of(request)
    caller.require("admin")
    name = path_name(request, "partner")
    body = await body_of(request, SavePartner)
    api = api_of(request)
    async with api.database.transaction() as connection:
        before = await store.partner(connection, name)
        if before is not None and not may_see(caller, before):
            raise Problem("partner_unknown")
        row, created = await store.put_partner(connection, name, body.name, created_by=caller.partner, at=api.clock())
        if before is None and not created and not may_see(caller, row):
            # Somebody else made it between the two statements; what this one wrote is rolled back.
            raise Problem("partner_unknown")
        old = {"name": before.name} if before is not None else None
        if old != (new := {"name": row.name}):
            note = noted(request, caller, "partner.saved", name, before=old, after=new)
            await audit.add(connection, [note])
    return _json(row, 201 if created else 200)


@router.get(**described(_TAG, "Read a partner", path=_PATH, answers={200: PartnerShown}, problems=(422,)))
async def get_partner(request: Request) -> Response:
    caller = await caller_of(request)
    query_of(request)
    name: str = request.path_params["partner"]
    row = await visible_partner(request, caller, name)
    return _json(row, 200)


async def visible_partner(request: Request, caller: Caller, name: str) -> PartnerRow:
    """Return a partner that the caller may see, else 404."""
    if "\x00" in name:
        raise Problem("partner_unknown")
    async with api_of(request).database.connection() as connection:
        row = await store.partner(connection, name)
    if row is None or not may_see(caller, row):
        raise Problem("partner_unknown")
    return row


def may_see(caller: Caller, row: PartnerRow) -> bool:
    """A key sees its own partner; an admin also those that its partner made, the operator's all."""
    if row.partner == caller.partner:
        return True
    return caller.is_admin and (caller.is_operator or row.created_by == caller.partner)


def _json(row: PartnerRow, status: int) -> Response:
    shown = {"partner": row.partner, "name": row.name, "created_at": row.created_at}
    return Response(msgspec.json.encode(shown), status, media_type="application/json")
