from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from laurel.replaying.gateway import Gateway, GatewayError
from laurel.replaying.touring import Bought, Earner, Tour

pytestmark = pytest.mark.anyio

BASE = "/v1/programs/grocery"


def answer(request: httpx.Request) -> httpx.Response:
    path = request.url.path.removeprefix(BASE)
    if path == "/members/hh-4":
        return httpx.Response(404, json={"code": "member_unknown", "detail": "…"})
    if path == "/members/hh-3":
        return httpx.Response(200, json={"balances": []})
    if path.startswith("/members/hh-"):
        earned = int(path.rpartition("-")[2]) * 100
        balance = {"unit": "point", "available": earned - 1, "lifetime": {"earned": earned}}
        return httpx.Response(200, json={"balances": [{"unit": "mile"}, balance]})
    if path == "/redemptions":
        wanted = json.loads(request.content)
        assert request.headers["idempotency-key"] == '"once"'
        if wanted["member"] == "hh-1":
            return httpx.Response(409, json={"code": "insufficient_points", "detail": "150 are missing"})
        headers = {"idempotency-replayed": "true"} if wanted["member"] == "hh-9" else {}
        return httpx.Response(201, json={"state": "fulfilled"}, headers=headers)
    return httpx.Response(200, json={})


def tour(gateway: Gateway) -> Tour:
    return Tour(gateway, "grocery")


def gateway() -> Gateway:
    return Gateway("http://gateway", "lk_test", patience_seconds=0.1, transport=httpx.MockTransport(answer))


async def test_who_earned_most_comes_first() -> None:
    counted: list[int] = []
    async with gateway() as open_gateway:
        found = await tour(open_gateway).earners(["hh-2", "hh-3", "hh-7"], "point", counted.append)
    assert found == [Earner("hh-7", 700, 699), Earner("hh-2", 200, 199), Earner("hh-3", 0, 0)]
    assert counted == [1, 2, 3]


async def test_a_member_that_is_not_there_is_said_plainly() -> None:
    async with gateway() as open_gateway:
        with pytest.raises(GatewayError, match="member_unknown"):
            await tour(open_gateway).earners(["hh-2", "hh-4"], "point")


@pytest.mark.parametrize(
    ("member", "bought"),
    [
        ("hh-1", Bought({}, replayed=False, code="insufficient_points", detail="150 are missing")),
        ("hh-5", Bought({"state": "fulfilled"}, replayed=False)),
        ("hh-9", Bought({"state": "fulfilled"}, replayed=True)),
    ],
)
async def test_a_reward_is_bought_or_refused(member: str, bought: Bought) -> None:
    async with gateway() as open_gateway:
        assert await tour(open_gateway).buy(member, "mug", "once") == bought


async def test_questions_go_where_the_contract_says() -> None:
    asked: list[Any] = []

    def listen(request: httpx.Request) -> httpx.Response:
        asked.append((request.method, request.url.raw_path.decode()))
        return httpx.Response(200, json={"data": [{"journal": 1}]})

    async with Gateway("http://gateway", "lk", transport=httpx.MockTransport(listen)) as open_gateway:
        one = tour(open_gateway)
        await one.program()
        await one.liability()
        await one.offer("mug", {"name": "Mug"})
        assert await one.statement("hh-1", 5) == [{"journal": 1}]
    assert asked == [
        ("GET", BASE),
        ("GET", f"{BASE}/reports/liability"),
        ("PUT", f"{BASE}/rewards/mug"),
        ("GET", f"{BASE}/members/hh-1/statement?limit=5"),
    ]
