"""Rewards: published through redemption, listed from its events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from fastapi import APIRouter, Request, Response

from laurel.contracts.hashing import body_hash
from laurel.contracts.http import PublishReward
from laurel.contracts.vouchers import voucher_faults
from laurel.errors import Fault, Problem
from laurel.io.http import traceparent
from laurel.shapes import encode
from services.gateway.answering import answer
from services.gateway.asking import Ask, Stamp
from services.gateway.auditing import noted
from services.gateway.documenting import PAGE, PREFER, described
from services.gateway.naming import REWARD, RequestKey
from services.gateway.reading import (
    api_of,
    body_of,
    cursor_of,
    in_program,
    limit_of,
    page,
    path_id,
    query_of,
    wish_of,
)
from services.gateway.saying import reward_publish_requested
from services.gateway.shown import PendingShown, RewardShown, RewardsShown, RewardStanding
from services.gateway.store import redemptions as store
from services.gateway.store import requests
from services.gateway.store.requests import NewRequest

if TYPE_CHECKING:
    from laurel.io.saying import Saying

router = APIRouter()

_TAG = "Redeeming"
_PATH = "/v1/programs/{program}/rewards"


@router.put(
    **described(
        _TAG,
        "Publish a reward",
        path=f"{_PATH}/{{reward}}",
        answers={200: RewardShown, 201: RewardShown, 202: PendingShown},
        problems=(400, 403, 409, 413, 415, 422, 503),
        body=PublishReward,
        headers=PREFER,
    )
)
async def put_reward(request: Request) -> Response:
    """The same reward again changes nothing; another one under its id takes its place."""
    caller, head = await in_program(request, "admin")
    query_of(request)
    wish = wish_of(request)
    reward = _reward_id(request)
    body: Any = await body_of(request, PublishReward)
    if body.reward is not None and body.reward != reward:
        fault = Fault("/reward", "not_allowed", "The path names another reward")
        raise Problem("invalid", errors=[fault])
    faults = list(voucher_faults(body.voucher)) if body.voucher is not None else []
    faults += [
        Fault(f"/{name}", "not_allowed", "Its voucher says that")
        for name in ("value", "valid_days")
        if body.voucher is not None and getattr(body, name) is not None
    ]
    if faults:
        raise Problem("invalid", errors=faults)
    document = msgspec.structs.replace(body, reward=reward)
    trace = traceparent(request)

    def say(stamp: Stamp) -> Saying:
        return reward_publish_requested(stamp, reward, document, trace)

    key = RequestKey(head.program, REWARD, "", reward)
    note = noted(request, caller, "reward.published", reward, program=head.program, after=encode(document))
    ask = Ask(NewRequest(key, body_hash(document), None), say, waits=wish.wait_seconds > 0, change=note)
    settled = await api_of(request).settler.settle(ask, wish)
    return answer(
        settled,
        wish,
        location=f"/v1/programs/{head.program}/rewards/{reward}",
        pending={"reward": reward},
        instance=request.url.path,
    )


@router.get(
    **described(_TAG, "Read the catalogue", path=_PATH, answers={200: RewardsShown}, problems=(403, 422), query=PAGE)
)
async def get_rewards(request: Request) -> Response:
    _, head = await in_program(request, "read", "redeem")
    query = query_of(request, "limit", "cursor")
    limit = limit_of(query)
    async with api_of(request).database.connection() as connection:
        rows = await store.rewards(connection, head.program, cursor_of(query), limit)
    data = [_shown(reward, document) for reward, document in rows]
    return Response(msgspec.json.encode(page(data, limit, rows[-1][0] if rows else "")), media_type="application/json")


@router.get(
    **described(_TAG, "Read a reward", path=f"{_PATH}/{{reward}}", answers={200: RewardStanding}, problems=(403, 422))
)
async def get_reward(request: Request) -> Response:
    """As it is offered. `state` is that of the newest document: `pending` while it is on its way."""
    _, head = await in_program(request, "read", "redeem")
    query_of(request)
    reward = path_id(request, "reward", "reward_unknown")
    async with api_of(request).database.connection() as connection:
        asked = await requests.find(connection, RequestKey(head.program, REWARD, "", reward))
        offered = await store.reward(connection, head.program, reward)
    if asked is None and offered is None:
        raise Problem("reward_unknown")
    shown: dict[str, Any] = {} if offered is None else msgspec.json.decode(offered)
    shown |= {"reward": reward, "state": requests.POSTED}
    if asked is not None and asked.state != requests.POSTED:
        shown["state"] = asked.state if asked.is_pending else requests.REFUSED
        shown |= {"code": asked.code} if asked.code is not None else {}
        shown |= {"delayed": True} if asked.is_pending and asked.delayed else {}
    return Response(msgspec.json.encode(shown), media_type="application/json")


def _reward_id(request: Request) -> str:
    try:
        return path_id(request, "reward", "reward_unknown")
    except Problem:
        fault = Fault("/path/reward", "bad_format", "This cannot be an id")
        raise Problem("invalid", errors=[fault]) from None


def _shown(reward: str, document: bytes) -> dict[str, Any]:
    return {**msgspec.json.decode(document), "reward": reward}
