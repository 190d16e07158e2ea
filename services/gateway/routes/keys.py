"""API keys: made, with a secret that is shown once, and revoked."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from fastapi import APIRouter, Request, Response

from laurel.contracts.http import CreateKey, RotateKey
from laurel.errors import Fault, Problem
from services.gateway.auditing import noted
from services.gateway.documenting import described
from services.gateway.guarding import make_key, make_secret
from services.gateway.reading import api_of, body_of, caller_of, optional_body_of, query_of
from services.gateway.routes.partners import visible_partner
from services.gateway.shown import KeyShown, RotatedKeyShown
from services.gateway.store import audit, webhooks
from services.gateway.store import partners as store

if TYPE_CHECKING:
    from laurel.io.database import Connection
    from services.gateway.guarding import Caller
    from services.gateway.store.partners import KeyRow, PartnerRow

router = APIRouter()

_TAG = "Keys"
_OVERLAP_SECONDS = 86_400
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
    caller, partner = await _administered(request)
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
        rate_limit=body.limits.rate if body.limits is not None else None,
        at=now,
        created_by=caller.key,
    )
    row = made.row
    async with api.database.transaction() as connection:
        await store.add_key(connection, row)
        await audit.add(connection, [noted(request, caller, "key.made", row.key, after=_granted(row))])
    return _json({"secret": made.secret, **_shown(row)}, 201)


@router.post(
    **described(
        _TAG,
        "Give a key another secret",
        path=f"{_PATH}/{{key}}/rotate",
        answers={200: RotatedKeyShown},
        problems=(400, 403, 413, 415, 422),
        body=RotateKey,
    )
)
async def rotate_key(request: Request) -> Response:
    """The secret before stays good for `overlap_seconds`, a day by default; one from before that ends at once."""
    caller, partner = await _administered(request)
    body: Any = await optional_body_of(request, RotateKey)
    api = api_of(request)
    now = api.clock()
    secret = make_secret()
    until = now + timedelta(seconds=_OVERLAP_SECONDS if body.overlap_seconds is None else body.overlap_seconds)
    async with api.database.transaction() as connection:
        row = await _found(request, connection, caller, partner)
        if row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= now):
            raise Problem("key_unknown")
        await store.rotate_key(connection, row.key, secret.prefix, secret.hash, old_until=until)
        old, new = {"prefix": row.prefix}, {"prefix": secret.prefix}
        note = noted(request, caller, "key.rotated", row.key, before=old, after=new)
        await audit.add(connection, [note])
    api.guard.forget()
    previous = {"prefix": row.prefix, "good_until": until}
    return _json({"secret": secret.token, **_shown(row), "prefix": secret.prefix, "previous": previous}, 200)


@router.delete(**described(_TAG, "Revoke a key", path=f"{_PATH}/{{key}}", answers={204: None}, problems=(403, 422)))
async def revoke_key(request: Request) -> Response:
    """Every instance refuses the key within seconds, and tells its streams and webhooks nothing more.

    Revoking it again changes nothing.
    """
    caller, partner = await _administered(request)
    api = api_of(request)
    async with api.database.transaction() as connection:
        row = await _found(request, connection, caller, partner)
        if row.revoked_at is None:
            await store.revoke_key(connection, row.key, api.clock())
            await webhooks.end_with_keys(connection, api.clock())
            await audit.add(connection, [noted(request, caller, "key.revoked", row.key, before=_granted(row))])
    api.guard.forget()
    return Response(status_code=204)


async def _administered(request: Request) -> tuple[Caller, PartnerRow]:
    """Return an admin, and the partner of the path, which it may see."""
    caller = await caller_of(request)
    query_of(request)
    caller.require("admin")
    return caller, await visible_partner(request, caller, request.path_params["partner"])


async def _found(request: Request, connection: Connection, caller: Caller, partner: PartnerRow) -> KeyRow:
    """Return the key of the path and hold its row; one of programs that are not the caller's answers 404."""
    name: str = request.path_params["key"]
    row = await store.key_by_id(connection, name) if "\x00" not in name else None
    if row is None or row.partner != partner.partner or not caller.sees_programs(row.programs):
        raise Problem("key_unknown")
    return row


def _shown(row: KeyRow) -> dict[str, Any]:
    limits = {"adjust": row.adjust_limit, "rate": row.rate_limit}
    return {
        "key": row.key,
        "prefix": row.prefix,
        "partner": row.partner,
        "scopes": row.scopes,
        "programs": row.programs,
        "limits": {name: limit for name, limit in limits.items() if limit is not None},
        "expires_at": row.expires_at,
        "created_at": row.created_at,
    }


def _granted(row: KeyRow) -> dict[str, Any]:
    """What a key may do, as the audit takes its digest."""
    return {name: value for name, value in _shown(row).items() if name != "created_at"}


def _json(shown: dict[str, Any], status: int) -> Response:
    return Response(msgspec.json.encode(shown), status, {"Cache-Control": "no-store"}, "application/json")
