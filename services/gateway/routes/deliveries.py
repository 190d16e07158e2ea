"""What became of the events that a webhook was to be told, and sending one again."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from laurel.contracts.http import SendAgain
from laurel.errors import Fault, Problem
from services.gateway.documenting import PAGE, described
from services.gateway.reading import api_of, cursor_of, limit_of, optional_body_of, page, query_of
from services.gateway.routes.webhooks import webhook_of
from services.gateway.shown import DeliveriesShown, DeliveryShown
from services.gateway.store import deliveries as store
from services.gateway.store import webhooks
from services.gateway.store.deliveries import DELIVERED, FAILED, WAITING, Attempted
from services.gateway.store.webhooks import ENABLED

router = APIRouter()

_TAG = "Webhooks"
_STATES = (WAITING, DELIVERED, FAILED)
_DELIVERY = re.compile(r"(.+)-([0-9]{1,18})")
_NEWEST = 2**62


@router.get(
    **described(
        _TAG,
        "Read what became of a webhook's deliveries",
        path="/v1/webhooks/{webhook}/deliveries",
        answers={200: DeliveriesShown},
        problems=(403, 422),
        query={**PAGE, "state": "`waiting`, `delivered` or `failed`"},
    )
)
async def list_deliveries(request: Request) -> Response:
    """The newest first, for as long as events are kept."""
    query = query_of(request, "limit", "cursor", "state")
    row = await webhook_of(request)
    limit = limit_of(query)
    state = query.get("state")
    if state is not None and state not in _STATES:
        raise Problem("invalid", errors=[Fault("/query/state", "unknown", "A state is waiting, delivered or failed")])
    cursor = cursor_of(query)
    if cursor and re.fullmatch(r"[0-9]{1,18}", cursor) is None:
        fault = Fault("/query/cursor", "bad_format", "A cursor is given back as it was received")
        raise Problem("invalid", errors=[fault])
    async with api_of(request).database.connection() as connection:
        found = await store.listed(connection, row.webhook, int(cursor) if cursor else _NEWEST, state, limit)
    data = [_shown(row.webhook, each) for each in found]
    return _json(page(data, limit, found[-1].position if found else ""))


@router.post(
    **described(
        _TAG,
        "Send a delivery again",
        path="/v1/deliveries/{delivery}/redeliver",
        answers={202: DeliveryShown},
        problems=(400, 403, 409, 410, 413, 415, 422),
        body=SendAgain,
    )
)
async def redeliver(request: Request) -> Response:
    """Under the same `webhook-id`, whatever became of it before. Later events of its member wait for it."""
    query_of(request)
    found = _DELIVERY.fullmatch(request.path_params["delivery"])
    # Whose key it is comes first: a stranger learns nothing of what can be named.
    row = await webhook_of(request, found[1] if found is not None else "")
    await optional_body_of(request, SendAgain)
    assert found is not None
    position = int(found[2])
    api = api_of(request)
    if row.state != ENABLED:
        raise Problem("webhook_disabled")
    async with api.database.transaction() as connection:
        # The webhook before its deliveries: so does whoever writes what became of attempts.
        await webhooks.touch(connection, row.webhook)
        if await store.find(connection, row.webhook, position) is None:
            raise Problem("delivery_unknown")
        if not await store.send_again(connection, row.webhook, position, api.clock()):
            raise Problem("events_gone")
        sent = await store.find(connection, row.webhook, position)
    assert sent is not None
    return _json(_shown(row.webhook, sent), 202)


def _shown(webhook: str, each: Attempted) -> dict[str, Any]:
    return {
        "delivery": f"{webhook}-{each.position}",
        "webhook": webhook,
        "program": each.program,
        "member": each.member or None,
        "type": each.type,
        "state": each.state,
        "attempts": each.attempts,
        "next_at": each.next_at,
        "status": each.status,
        "error": each.error,
        "first_at": each.first_at,
        "tried_at": each.tried_at,
    }


def _json(shown: dict[str, Any], status: int = 200) -> Response:
    return Response(msgspec.json.encode(shown), status, media_type="application/json")
