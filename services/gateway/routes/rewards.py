"""Rewards: published through redemption, listed from its events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from fastapi import APIRouter, Request, Response

from laurel.contracts.hashing import body_hash
from laurel.contracts.http_redeeming import PublishReward
from laurel.contracts.vouchers import voucher_faults
from laurel.errors import Fault, Problem
from laurel.io.http import request_id, traceparent
from laurel.program.reward_faults import reward_faults
from laurel.shapes import encode
from services.gateway.answering import answer
from services.gateway.asking import Ask, Stamp
from services.gateway.auditing import noted
from services.gateway.documenting import PAGE, PREFER, described
from services.gateway.naming import REWARD, RequestKey
from services.gateway.passing import path_of
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
from services.gateway.routes.resources import day_of
from services.gateway.saying import reward_publish_requested
from services.gateway.shown import FulfilmentSecret, PendingShown, RewardShown, RewardsShown, RewardStanding
from services.gateway.store import redemptions as store
from services.gateway.store import requests
from services.gateway.store.requests import NewRequest
from services.gateway.wanting import judging_of, known_of

if TYPE_CHECKING:
    from laurel.io.saying import Saying
    from services.gateway.guarding import Caller
    from services.gateway.store.programs import ProgramHead

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
    faults = reward_faults(body, (await api_of(request).known.judging(head, None)).document)
    faults += list(voucher_faults(body.voucher)) if body.voucher is not None else []
    faults += [
        Fault(f"/{name}", "not_allowed", "Its voucher says that")
        for name in ("value", "valid_days")
        if body.voucher is not None and getattr(body, name) is not None
    ]
    if body.fulfilment is not None and body.voucher is not None and body.voucher.codes is not None:
        faults.append(Fault("/voucher/codes", "not_allowed", "A partner that fulfils gives the codes itself"))
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
    **described(
        _TAG,
        "Read the catalogue",
        path=_PATH,
        answers={200: RewardsShown},
        problems=(403, 422, 503),
        query={
            "member": "For whom: each reward then has `price`, `eligible`, `reasons`, and `affordable` with its points",
            "on": "For which day, in the program's zone",
            "affordable": "`true`: what the member may have for its points alone",
            **PAGE,
        },
    )
)
async def get_rewards(request: Request) -> Response:
    """Without a member or a day: the newest documents. With one: what counts now, and for whom."""
    caller, head = await in_program(request, "read", "redeem")
    query = query_of(request, "member", "on", "affordable", "limit", "cursor")
    limit, after = limit_of(query), cursor_of(query)
    if {"member", "on", "affordable"} & query.keys():
        rows = await _browse(request, head, query, after, limit)
        shown = page(rows, limit, rows[-1]["reward"] if rows else "")
        if "affordable" in query:
            shown["data"] = [each for each in shown["data"] if each["eligible"] and each["affordable"]]
        shown["data"] = [_seen_by(caller, each) for each in shown["data"]]
        return Response(msgspec.json.encode(shown), media_type="application/json")
    async with api_of(request).database.connection() as connection:
        found = await store.rewards(connection, head.program, after, limit)
    data = [_seen_by(caller, _shown(reward, document)) for reward, document in found]
    return Response(
        msgspec.json.encode(page(data, limit, found[-1][0] if found else "")), media_type="application/json"
    )


async def _browse(
    request: Request, head: ProgramHead, query: dict[str, str], after: str, limit: int
) -> list[dict[str, Any]]:
    """Ask redemption for a page of the catalogue as it is for a member, or on a day."""
    if query.get("affordable", "true") != "true" or ("affordable" in query and "member" not in query):
        fault = Fault("/query/affordable", "not_allowed", "It is `true`, and somebody's points")
        raise Problem("invalid", errors=[fault])
    api = api_of(request)
    question: dict[str, Any] = {
        "on": day_of(query),
        "after": after,
        "limit": limit,
    }
    if "member" in query:
        seen = await api.known.account(head.program, query["member"])
        if seen is None:
            raise Problem("member_unknown")
        known, balances = await known_of(api, head, seen)
        question |= {"member": seen.row.member, "stands": known, "balances": balances}
    question["judging"] = await judging_of(api, head, question.get("member"))
    answered = await api.redemption.ask(
        "POST",
        path_of("v1", "programs", head.program, "rewards", "browse"),
        body=msgspec.json.encode(question),
        request_id=request_id(request),
    )
    if answered.status_code != 200:
        raise Problem("unavailable", "redemption cannot tell of rewards.", retry_after_seconds=1)
    rows: list[dict[str, Any]] = msgspec.json.decode(bytes(answered.body))
    return rows


@router.get(
    **described(_TAG, "Read a reward", path=f"{_PATH}/{{reward}}", answers={200: RewardStanding}, problems=(403, 422))
)
async def get_reward(request: Request) -> Response:
    """As it is offered. `state` is that of the newest document: `pending` while it is on its way."""
    caller, head = await in_program(request, "read", "redeem")
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
    return Response(msgspec.json.encode(_seen_by(caller, shown)), media_type="application/json")


@router.get(
    **described(
        _TAG,
        "Read the secret of a partner that fulfils",
        path=f"{_PATH}/{{reward}}/fulfilment",
        answers={200: FulfilmentSecret},
        problems=(403, 422, 503),
    )
)
async def get_fulfilment(request: Request) -> Response:
    """By it questions to the partner, and its answers, are signed (Standard Webhooks). It is made here."""
    _, head = await in_program(request, "admin")
    query_of(request)
    reward = path_id(request, "reward", "reward_unknown")
    api = api_of(request)
    async with api.database.connection() as connection:
        offered = await store.reward(connection, head.program, reward)
    if offered is None or msgspec.json.decode(offered).get("fulfilment") is None:
        raise Problem("reward_unknown")
    path = path_of("v1", "programs", head.program, "rewards", reward, "fulfilment")
    answered = await api.redemption.ask("GET", path, request_id=request_id(request))
    if answered.status_code != 200:
        raise Problem("unavailable", "redemption cannot tell the secret.", retry_after_seconds=1)
    return Response(answered.body, media_type="application/json", headers={"cache-control": "no-store"})


def _reward_id(request: Request) -> str:
    try:
        return path_id(request, "reward", "reward_unknown")
    except Problem:
        fault = Fault("/path/reward", "bad_format", "This cannot be an id")
        raise Problem("invalid", errors=[fault]) from None


def _seen_by(caller: Caller, shown: dict[str, Any]) -> dict[str, Any]:
    """Leave out how a partner is reached, which is for the program's operator alone."""
    return shown if caller.is_admin else {name: each for name, each in shown.items() if name != "fulfilment"}


def _shown(reward: str, document: bytes) -> dict[str, Any]:
    return {**msgspec.json.decode(document), "reward": reward}
