"""API keys: made, with a secret that is shown once, and revoked."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Request, Response

from laurel.contracts.http import CreateKey
from laurel.errors import Fault, Problem
from services.gateway.documenting import described
from services.gateway.guarding import make_key
from services.gateway.reading import api_of, body_of, caller_of, query_of
from services.gateway.routes.partners import visible_partner
from services.gateway.shown import KeyShown
from services.gateway.store import partners as store

router = APIRouter()

_TAG = "Keys"
_PATH = "/v1/partners/{partner}/keys"


@router.post(
    **described(
        _TAG,
        "Make a key",
        path=_PATH,
        answers={201: KeyShown},
        problems=(400, 403, 413, 415, 422),
        body=CreateKey,
    )
)
async def create_key(request: Request) -> Response:
    """A key can be given no program that the caller's own does not have."""
    caller = await caller_of(request)
    query_of(request)
    caller.require("admin")
    partner = await visible_partner(request, caller, request.path_params["partner"])
    body = await body_of(request, CreateKey)
    api = api_of(request)
    now = api.clock()
    if not caller.sees_programs(body.programs):
        raise Problem("program_unknown")
    if body.expires_at is not None and body.expires_at <= now:
        raise Problem("invalid", errors=[Fault("/expires_at", "out_of_range", "This is over already")])
    made = make_key(
        partner=partner.partner,
        scopes=body.scopes,
        programs=body.programs,
        expires_at=body.expires_at,
        adjust_limit=body.limits.adjust if body.limits is not None else None,
        at=now,
        created_by=caller.key,
    )
    row = made.row
    async with api.database.transaction() as connection:
        await store.add_key(connection, row)
    shown = {
        "key": row.key,
        "secret": made.secret,
        "prefix": row.prefix,
        "partner": row.partner,
        "scopes": row.scopes,
        "programs": row.programs,
        "limits": {"adjust": row.adjust_limit} if row.adjust_limit is not None else {},
        "expires_at": row.expires_at,
        "created_at": row.created_at,
    }
    return Response(msgspec.json.encode(shown), 201, {"Cache-Control": "no-store"}, "application/json")


@router.delete(**described(_TAG, "Revoke a key", path=f"{_PATH}/{{key}}", answers={204: None}, problems=(403, 422)))
async def revoke_key(request: Request) -> Response:
    """Every instance refuses the key within seconds. Revoking it again changes nothing."""
    caller = await caller_of(request)
    query_of(request)
    caller.require("admin")
    partner = await visible_partner(request, caller, request.path_params["partner"])
    name: str = request.path_params["key"]
    if "\x00" in name:
        raise Problem("key_unknown")
    api = api_of(request)
    async with api.database.transaction() as connection:
        row = await store.key_by_id(connection, name)
        if row is None or row.partner != partner.partner or not caller.sees_programs(row.programs):
            raise Problem("key_unknown")
        await store.revoke_key(connection, row.key, api.clock())
    api.guard.forget()
    return Response(status_code=204)
