"""Webhooks: made, with a secret that is shown once, read, given another secret, disabled, enabled, deleted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from laurel.contracts.http import ChangeWebhook, CreateWebhook, RotateSecret
from laurel.errors import Fault, Problem
from laurel.io.reaching_out import AddressRefusedError
from services.gateway.auditing import noted
from services.gateway.documenting import PAGE, described
from services.gateway.guarding import Caller
from services.gateway.naming import new_id
from services.gateway.reading import (
    api_of,
    body_of,
    caller_of,
    cursor_of,
    limit_of,
    optional_body_of,
    page,
    query_of,
)
from services.gateway.routes.events import types_of
from services.gateway.shown import WebhookMade, WebhookShown, WebhooksShown
from services.gateway.store import audit, deliveries
from services.gateway.store import webhooks as store
from services.gateway.store.webhooks import ASKED, DISABLED, ENABLED, WebhookRow

router = APIRouter()

_TAG = "Webhooks"
_PATH = "/v1/webhooks"
_ONE = f"{_PATH}/{{webhook}}"


@router.post(
    **described(
        _TAG,
        "Make a webhook",
        path=_PATH,
        answers={201: WebhookMade},
        problems=(400, 403, 409, 413, 415, 422),
        body=CreateWebhook,
    )
)
async def create_webhook(request: Request) -> Response:
    """It is told what happens from now on, while the key is good. Its secret is shown only now."""
    caller = await caller_of(request)
    query_of(request)
    caller.require("read")
    body = await body_of(request, CreateWebhook)
    api = api_of(request)
    for program in body.programs:
        if not caller.sees_program(program) or await api.known.program(program) is None:
            raise Problem("program_unknown")
    types = types_of(body.types, "/types")
    try:
        api.outside.check(body.url)
    except AddressRefusedError as refused:
        raise Problem("invalid", errors=[Fault("/url", "not_allowed", str(refused))]) from None
    async with api.database.transaction() as connection:
        if await store.count(connection, caller.partner) >= api.settings.webhooks_max:
            raise Problem("limit_reached", f"A partner has at most {api.settings.webhooks_max} webhooks.")
        row = await store.add(
            connection,
            new_id("whk"),
            caller.partner,
            caller.key,
            body.url,
            types,
            body.programs,
            api.clock(),
            own_only=not caller.is_admin,
        )
        await audit.add(connection, [noted(request, caller, "webhook.made", row.webhook, after=_shown(row))])
    return _secret(request, row, 201)


@router.get(
    **described(_TAG, "List webhooks", path=_PATH, answers={200: WebhooksShown}, problems=(403, 422), query=PAGE)
)
async def list_webhooks(request: Request) -> Response:
    caller = await caller_of(request)
    query = query_of(request, "limit", "cursor")
    caller.require("read")
    limit = limit_of(query)
    async with api_of(request).database.connection() as connection:
        rows = await store.listed(connection, caller.partner, cursor_of(query), limit)
    shown = [_shown(row) for row in rows if may_see(caller, row)]
    following = page(rows, limit, rows[-1].webhook if rows else "")["next_cursor"]
    return _json({"data": shown, "next_cursor": following})


@router.get(**described(_TAG, "Read a webhook", path=_ONE, answers={200: WebhookShown}, problems=(403, 422)))
async def get_webhook(request: Request) -> Response:
    query_of(request)
    return _json(_shown(await webhook_of(request)))


@router.delete(**described(_TAG, "Delete a webhook", path=_ONE, answers={204: None}, problems=(403, 422)))
async def delete_webhook(request: Request) -> Response:
    """It is told nothing more, and what became of its deliveries is forgotten."""
    query_of(request)
    row = await webhook_of(request)
    note = noted(request, await caller_of(request), "webhook.deleted", row.webhook, before=_shown(row))
    async with api_of(request).database.transaction() as connection:
        if not await store.delete(connection, row.webhook):
            raise Problem("webhook_unknown")
        await deliveries.forget(connection, row.webhook)
        await audit.add(connection, [note])
    return Response(status_code=204)


@router.post(
    **described(
        _TAG,
        "Give a webhook another secret",
        path=f"{_ONE}/rotate",
        answers={200: WebhookMade},
        problems=(400, 403, 413, 415, 422),
        body=RotateSecret,
    )
)
async def rotate_secret(request: Request) -> Response:
    """The secret before signs, too, for `overlap_seconds` (a day), so its receiver need not change at once."""
    query_of(request)
    row = await webhook_of(request)
    caller = await caller_of(request)
    body = await optional_body_of(request, RotateSecret)
    api = api_of(request)
    now = api.clock()
    overlap = timedelta(days=1) if body.overlap_seconds is None else timedelta(seconds=body.overlap_seconds)
    async with api.database.transaction() as connection:
        rotated = await store.rotate(connection, row.webhook, now + overlap, now)
        if rotated is None:
            raise Problem("webhook_unknown")
        await audit.add(
            connection,
            [noted(request, caller, "webhook.rotated", row.webhook, before=row.generation, after=rotated.generation)],
        )
    return _secret(request, rotated, 200)


@router.post(
    **described(
        _TAG,
        "Disable a webhook",
        path=f"{_ONE}/disable",
        answers={200: WebhookShown},
        problems=(400, 403, 413, 415, 422),
        body=ChangeWebhook,
    )
)
async def disable_webhook(request: Request) -> Response:
    """It is told nothing until it is enabled; then it goes on where it was, as far as events are kept."""
    return await _set(request, DISABLED)


@router.post(
    **described(
        _TAG,
        "Enable a webhook",
        path=f"{_ONE}/enable",
        answers={200: WebhookShown},
        problems=(400, 403, 413, 415, 422),
        body=ChangeWebhook,
    )
)
async def enable_webhook(request: Request) -> Response:
    """What waits is tried at once. From then on it is this key that answers for it."""
    return await _set(request, ENABLED)


async def _set(request: Request, state: str) -> Response:
    query_of(request)
    row = await webhook_of(request)
    caller = await caller_of(request)
    await optional_body_of(request, ChangeWebhook)
    api = api_of(request)
    now = api.clock()
    async with api.database.transaction() as connection:
        changed = await store.set_state(
            connection, row.webhook, state, ASKED if state == DISABLED else None, now, caller.key
        )
        if state == ENABLED:
            # The webhook before its deliveries, and whoever tells it learns of it where nothing else has changed.
            await store.touch(connection, row.webhook)
            await deliveries.send_all_again(connection, row.webhook, now)
        if changed is not None:
            note = noted(request, caller, f"webhook.{state}", row.webhook, before=row.state, after=state)
            await audit.add(connection, [note])
        found = changed or await store.find(connection, row.webhook)
    if found is None:
        raise Problem("webhook_unknown")
    return _json(_shown(found))


async def webhook_of(request: Request, named: str | None = None) -> WebhookRow:
    """Return the webhook of the path; one that is not the caller's answers 404."""
    caller = await caller_of(request)
    caller.require("read")
    name: str = named if named is not None else request.path_params["webhook"]
    row = None
    if "\x00" not in name:
        async with api_of(request).database.connection() as connection:
            row = await store.find(connection, name)
    if row is None or not may_see(caller, row):
        raise Problem("webhook_unknown")
    return row


def may_see(caller: Caller, row: WebhookRow) -> bool:
    """A webhook is its partner's, and for keys of all its programs; what hears everybody's events is for an admin."""
    is_own = row.partner == caller.partner and (row.own_only is True or caller.is_admin)
    return is_own and caller.sees_programs(row.programs)


def _secret(request: Request, row: WebhookRow, status: int) -> Response:
    shown = {**_shown(row), "secret": api_of(request).signing.secret(row.webhook, row.generation)}
    return Response(msgspec.json.encode(shown), status, {"Cache-Control": "no-store"}, "application/json")


def _shown(row: WebhookRow) -> dict[str, Any]:
    return {
        "id": row.webhook,
        "url": row.url,
        "types": row.types,
        "programs": row.programs,
        "state": row.state,
        "reason": row.reason,
        "changed_at": row.changed_at,
        "created_at": row.created_at,
        "before_until": row.before_until,
        "failing_since": row.failing_since,
        "last_error": row.last_error,
        "delivered_at": row.delivered_at,
        "missed_at": row.missed_at,
    }


def _json(shown: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(shown), media_type="application/json")
