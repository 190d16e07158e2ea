"""How often a key may call."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laurel.errors import Problem
from services.gateway.guarding import Caller
from services.gateway.limiting import BURST_SECONDS, Buckets, Limiter
from services.gateway.settings import GatewaySettings
from tests.gateway.keys import bearer, key
from tests.gateway.stage import PROGRAM, Instance, gateway

BASE = f"/v1/programs/{PROGRAM}"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def caller(name: str = "key-1", rate: int | None = None) -> Caller:
    return Caller(name, "acme", frozenset({"read"}), frozenset({PROGRAM}), None, rate)


@given(st.integers(1, 50), st.lists(st.floats(0, 2), max_size=200))
def test_no_more_than_rate_and_burst_come_through(rate: int, pauses: list[float]) -> None:
    clock = Clock()
    buckets = Buckets(clock)
    let_through = 0
    for pause in pauses:
        clock.now += pause
        spent = buckets.take(("k", ""), rate)
        if not spent.wait_seconds:
            let_through += 1
            continue
        # Whoever waits as long as it is told is let through; a moment less is not enough.
        clock.now += spent.wait_seconds - 1e-3
        assert buckets.take(("k", ""), rate, cost=0).wait_seconds
        clock.now += 1e-3 + 1e-6
        assert not buckets.take(("k", ""), rate).wait_seconds
        let_through += 1
    assert let_through <= rate * (BURST_SECONDS + clock.now - 1000.0) + 1


def test_what_is_left_is_told() -> None:
    clock = Clock()
    limiter = Limiter(2, {"POST /x": 1}, clock)
    told = [dict(limiter.take(caller(), "GET /y")) for _ in range(10)]
    assert told[0] == {b"ratelimit-policy": b'"key";q=10;w=5', b"ratelimit": b'"key";r=9;t=1'}
    assert told[9][b"ratelimit"] == b'"key";r=0;t=5'
    with pytest.raises(Problem) as caught:
        limiter.take(caller(), "GET /y")
    assert (caught.value.code, caught.value.retry_after_seconds) == ("rate_limited", 1)
    # Another key, and one with a rate of its own, are not concerned.
    assert limiter.take(caller("key-2"), "GET /y")
    for _ in range(100):
        limiter.take(caller("key-3", 20), "GET /y")
    clock.now += 0.5
    assert limiter.take(caller(), "GET /y")


def test_a_route_of_its_own_stops_first_and_takes_nothing_else() -> None:
    limiter = Limiter(100, {"POST /x": 1}, Clock())
    for _ in range(5):
        told = dict(limiter.take(caller(), "POST /x"))
    assert told[b"ratelimit"] == b'"key";r=495;t=1, "route";r=0;t=5'
    with pytest.raises(Problem):
        limiter.take(caller(), "POST /x")
    assert limiter.take(caller(), "GET /y")


def test_buckets_are_bounded() -> None:
    buckets = Buckets(Clock(), size_max=3)
    for name in "abcd":
        buckets.take((name, ""), 1)
    assert len(buckets._full_at) == 3


@pytest.mark.anyio
async def test_a_key_is_stopped_and_told_when_to_come_again(settings: GatewaySettings, here: Instance) -> None:
    made = await key(here.http, limits={"rate": 2})
    assert made["limits"] == {"rate": 2}
    answers = [await here.http.get(BASE, headers=bearer(made)) for _ in range(12)]
    stopped = [answer for answer in answers if answer.status_code == 429]
    assert stopped
    assert {answer.status_code for answer in answers} == {200, 429}
    assert stopped[0].json()["code"] == "rate_limited"
    assert stopped[0].headers["content-type"] == "application/problem+json"
    assert int(stopped[0].headers["retry-after"]) >= 1
    for answer in answers:
        assert answer.headers["ratelimit-policy"] == '"key";q=10;w=5'
        assert answer.headers["ratelimit"].startswith('"key";r=')
    # Nobody else is stopped, and this one no longer than it was told.
    assert (await here.http.get(BASE)).status_code == 200
    await asyncio.sleep(int(stopped[-1].headers["retry-after"]))
    assert (await here.http.get(BASE, headers=bearer(made))).status_code == 200


@pytest.mark.anyio
async def test_a_route_may_have_a_limit_of_its_own(settings: GatewaySettings, here: Instance) -> None:
    told = settings.model_copy(update={"rate_limits_by_route": {"POST /v1/programs/{program}/members/find": 1}})
    async with gateway(told, "api") as there:
        body = {"scheme": "card", "value": "no such card"}
        seen = [(await there.http.post(f"{BASE}/members/find", json=body)).status_code for _ in range(7)]
        assert seen[:5] == [404] * 5
        assert 429 in seen
        assert (await there.http.get(BASE)).status_code == 200


@pytest.mark.anyio
async def test_who_tries_keys_is_stopped_and_others_are_not(here: Instance) -> None:
    wrong = {"authorization": f"Bearer lk_0000000000_{'0' * 40}"}
    transport = httpx.ASGITransport(app=here.http._transport.app, client=("10.0.0.9", 1))  # type: ignore[attr-defined]
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as stranger:
        answers = await asyncio.gather(*(stranger.get(BASE, headers=wrong) for _ in range(400)))
        assert {answer.status_code for answer in answers} == {401, 429}
        # A good key from the same address is taken all the same.
        good = {"authorization": here.http.headers["authorization"]}
        assert (await stranger.get(BASE, headers=good)).status_code == 200
