"""The replay against a gateway that answers as the contract says, or does not answer."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from laurel.replaying.complete_journey import Basket, Product, Sold
from laurel.replaying.gateway import Gateway, GatewayError
from laurel.replaying.sending import HowToSend, Replay
from laurel.replaying.summary import ReplaySummary

pytestmark = pytest.mark.anyio

PRODUCTS = {1: Product("SOUP", "National", "GROCERY", 69)}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class FakeGateway:
    """Takes members, batches and activities in memory. `stumbles` are given before it answers properly."""

    def __init__(self) -> None:
        self.members: dict[str, str] = {}
        self.activities: dict[str, dict[str, Any]] = {}
        self.order: dict[str, list[str]] = defaultdict(list)
        self.batches: list[dict[str, Any]] = []
        self.polls: dict[int, int] = defaultdict(int)
        self.stumbles: list[httpx.Response | Exception] = []
        self.refuse: set[str] = set()
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.stumbles:
            stumble = self.stumbles.pop(0)
            if isinstance(stumble, Exception):
                raise stumble
            return stumble
        assert request.headers["authorization"] == "Bearer lk_test"
        path = request.url.path.removeprefix("/v1/programs/grocery")
        if request.method == "GET":
            return self._shown(path)
        return {"/members": self._member, "/batches": self._batch, "/activities": self._activity}[path](request)

    def _member(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        if body["member"] in self.members:
            return problem(409, "member_exists")
        self.members[body["member"]] = body["enrolled_at"]
        return httpx.Response(201, json=body)

    def _batch(self, request: httpx.Request) -> httpx.Response:
        content = request.content
        if request.headers.get("content-encoding") == "gzip":
            content = gzip.decompress(content)
        outcomes = [self._take(json.loads(line)) for line in content.splitlines()]
        count = len(self.batches)
        self.batches.append(
            {
                "state": "done",
                "received": len(outcomes),
                **{state: outcomes.count(state) for state in ("posted", "refused", "duplicate", "rejected", "pending")},
                "awarded": [{"unit": "point", "amount": outcomes.count("posted")}],
            }
        )
        return httpx.Response(202, headers={"location": f"/v1/programs/grocery/batches/{count}"})

    def _activity(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        outcome = self._take(body)
        awards = [{"unit": "point", "amount": 1}]
        if outcome == "refused":
            return problem(409, "claim_too_late")
        if outcome == "duplicate":
            return httpx.Response(
                200, json={"state": "posted", "awards": awards}, headers={"idempotency-replayed": "true"}
            )
        if body["amount"] == 13:
            location = f"/v1/programs/grocery/activities/{body['id']}"
            return httpx.Response(202, json={"state": "pending"}, headers={"location": location})
        return httpx.Response(201, json={"state": "posted", "awards": awards})

    def _take(self, body: dict[str, Any]) -> str:
        assert body["member"] in self.members
        if body["id"] in self.refuse:
            return "refused"
        if body["id"] in self.activities:
            assert self.activities[body["id"]] == body
            return "duplicate"
        self.activities[body["id"]] = body
        self.order[body["member"]].append(body["id"])
        return "posted"

    def _shown(self, path: str) -> httpx.Response:
        if path.endswith("/errors"):
            lines = [json.dumps({"line": 1, "code": "claim_too_late"}) for _ in self.refuse]
            return httpx.Response(200, text="\n".join(lines))
        if path.startswith("/batches/"):
            number = int(path.rpartition("/")[2])
            self.polls[number] += 1
            if self.polls[number] == 1:
                return httpx.Response(200, json={"state": "running", "received": 1, "posted": 1, "awarded": []})
            return httpx.Response(200, json=self.batches[number])
        return httpx.Response(200, json={"state": "posted", "awards": [{"unit": "point", "amount": 1}]})

    def count(self, path: str) -> int:
        return sum(request.url.path.endswith(path) for request in self.requests)


def problem(status: int, code: str) -> httpx.Response:
    return httpx.Response(
        status, json={"code": code, "detail": "…"}, headers={"content-type": "application/problem+json"}
    )


def some_baskets(count: int, households: int = 3) -> Iterator[Basket]:
    for number in range(count):
        yield Basket(number, number % households, 1, 1_500_000_000 + number * 60, (Sold(1, 1, 10 + number),))


def gateway(fake: FakeGateway, patience_seconds: float = 5.0) -> Gateway:
    transport = httpx.MockTransport(fake)
    return Gateway("http://gateway", "lk_test", patience_seconds=patience_seconds, transport=transport)


async def replay(fake: FakeGateway, count: int = 10, **how: Any) -> ReplaySummary:
    async with gateway(fake) as open_gateway:
        return await Replay(open_gateway, "grocery", PRODUCTS, HowToSend(**how)).run(some_baskets(count))


@pytest.mark.parametrize("how", [{"batch_size": 4}, {"batch_size": 4, "gzip": True}, {"one_by_one": True}])
async def test_twice_changes_nothing(how: dict[str, Any]) -> None:
    fake = FakeGateway()
    first = await replay(fake, **how)
    assert (first.sent, first.posted, first.enrolled, first.duplicate) == (10, 10, 3, 0)
    assert first.awarded == {"point": 10}
    assert first.clean
    kept = dict(fake.activities)
    second = await replay(fake, **how)
    assert (second.sent, second.posted, second.enrolled, second.duplicate) == (10, 0, 0, 10)
    assert fake.activities == kept
    assert second.clean


@pytest.mark.parametrize("how", [{"batch_size": 2}, {"one_by_one": True, "lanes": 2}])
async def test_baskets_of_a_household_stay_in_order_after_its_enrolment(how: dict[str, Any]) -> None:
    fake = FakeGateway()
    await replay(fake, 30, **how)
    assert set(fake.members) == {"hh-0", "hh-1", "hh-2"}
    for ids in fake.order.values():
        numbers = [int(one.removeprefix("cj-")) for one in ids]
        assert numbers == sorted(numbers)


async def test_batches_are_of_the_size_asked_for() -> None:
    fake = FakeGateway()
    await replay(fake, batch_size=4)
    assert [batch["received"] for batch in fake.batches] == [4, 4, 2]
    assert fake.count("/members") == 3, "a household is enrolled on first sight only"


@pytest.mark.parametrize("how", [{}, {"one_by_one": True}])
async def test_refusals_are_counted_by_their_code(how: dict[str, Any]) -> None:
    fake = FakeGateway()
    fake.refuse = {"cj-3", "cj-4"}
    summary = await replay(fake, **how)
    assert (summary.posted, summary.refused, summary.codes) == (8, 2, {"claim_too_late": 2})
    assert not summary.clean


@pytest.mark.parametrize(
    "stumble",
    [
        httpx.ConnectError("refused"),
        httpx.RemoteProtocolError("closed"),
        httpx.Response(503, headers={"retry-after": "0.01"}),
        httpx.Response(429, headers={"retry-after": "soon"}),
    ],
)
async def test_a_gateway_that_stumbles_is_asked_again(stumble: httpx.Response | Exception) -> None:
    fake = FakeGateway()
    fake.stumbles = [stumble]
    assert (await replay(fake, 2)).posted == 2


@pytest.mark.parametrize("how", [{}, {"one_by_one": True}])
async def test_a_key_that_is_wrong_is_said_once_and_plainly(how: dict[str, Any]) -> None:
    fake = FakeGateway()
    fake.stumbles = [problem(401, "unauthenticated") for _ in range(30)]
    with pytest.raises(GatewayError, match="unauthenticated") as raised:
        await replay(fake, **how)
    assert raised.value.status == 401


async def test_a_gateway_that_never_answers() -> None:
    fake = FakeGateway()
    fake.stumbles = [httpx.ConnectError("refused") for _ in range(30)]
    async with gateway(fake, patience_seconds=0.1) as open_gateway:
        with pytest.raises(GatewayError, match="does not answer"):
            await Replay(open_gateway, "grocery", PRODUCTS).run(some_baskets(1))


async def test_a_batch_that_broke_off_is_an_error() -> None:
    fake = FakeGateway()
    async with gateway(fake) as open_gateway:
        replay = Replay(open_gateway, "grocery", PRODUCTS)
        fake.polls[0] = 1
        original = fake._batch

        def cut(request: httpx.Request) -> httpx.Response:
            answer = original(request)
            fake.batches[-1]["state"] = "cut_off"
            return answer

        fake._batch = cut  # type: ignore[method-assign]
        with pytest.raises(GatewayError, match="broke off"):
            await replay.run(some_baskets(3))


async def test_progress_never_goes_back() -> None:
    fake = FakeGateway()
    seen: list[int] = []
    async with gateway(fake) as open_gateway:
        how = HowToSend(batch_size=3)
        run = Replay(open_gateway, "grocery", PRODUCTS, how, lambda so_far: seen.append(so_far.answered))
        await run.run(some_baskets(10))
        assert run.households == ["hh-0", "hh-1", "hh-2"]
    assert seen == sorted(seen)
    assert seen[-1] == 10


async def test_paced_baskets_are_sent_when_they_are_due() -> None:
    fake = FakeGateway()
    summary = await replay(fake, 4, times_faster=600.0)
    assert summary.posted == 4
    assert summary.seconds == pytest.approx(0.3, abs=0.25)


async def test_the_time_is_over() -> None:
    fake = FakeGateway()
    assert (await replay(fake, 10, seconds_max=0.0)).sent == 0


def test_a_summary_as_plain_values() -> None:
    summary = ReplaySummary(sent=2, seconds=1.23456).with_batch(
        {"posted": 1, "rejected": 1, "awarded": [{"unit": "point", "amount": 7}]}
    )
    assert summary.document() == {
        "sent": 2,
        "enrolled": 0,
        "posted": 1,
        "refused": 0,
        "pending": 0,
        "rejected": 1,
        "duplicate": 0,
        "awarded": [{"unit": "point", "amount": 7}],
        "codes": {},
        "seconds": 1.235,
    }
    assert summary.answered == 2
    assert not summary.clean
