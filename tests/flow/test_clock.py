"""A sandbox's clock, through real processes: what is due is done once, whoever dies meanwhile, and reads show it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from laurel.io.migrating import DatabaseUrls
from laurel.io.settings import KafkaSettings
from tests.flow.nursery import Nursery
from tests.flow.stage import Door, Town, grocery

pytestmark = pytest.mark.anyio

PROGRAM = "sandbox"
BASE = f"programs/{PROGRAM}"
MEMBERS = [f"m-{number:02}" for number in range(40)]
LIVES_MAX = 5


@pytest.fixture
async def town(
    database_urls: DatabaseUrls, town_kafka: KafkaSettings, tmp_path: Path, forks: Nursery | None
) -> AsyncIterator[Town]:
    parts = {"gateway": "both", "gateway-2": "both", "points": "both", "redemption": "both"}
    kafka = town_kafka.model_copy(update={"kafka_prefix": f"c{uuid.uuid4().hex[:8]}"})
    settings = {"expiry_batch_max": 7, "turn_interval_seconds": 0.2}
    async with Town(tmp_path, database_urls, kafka, parts, forks, **settings).open() as town:
        await town.door().publish(grocery(PROGRAM, clock="manual", effective_from="2020-01-01T00:00:00Z"))
        yield town


async def enrol(door: Door, *members: str) -> None:
    for member in members:
        body = {"member": member, "enrolled_at": "2020-01-01T00:00:00Z"}
        await door.call("POST", f"{BASE}/members", body, 201)


async def buy(door: Door, id_: str, member: str, amount: int, at: str, expect: int = 201) -> Any:
    basket = {"id": id_, "type": "purchase", "member": member, "occurred_at": at, "currency": "USD", "amount": amount}
    return await door.report(PROGRAM, basket, expect)


async def turn(door: Door, as_of: str, expect: int = 200, **headers: str) -> Any:
    return await door.call("POST", f"{BASE}/clock", {"as_of": as_of}, expect, **headers)


def done(as_of: str, **counts: int) -> dict[str, Any]:
    names = (
        "released", "holds_timed_out", "lots_expired", "vouchers_expired", "tiers_changed", "converted",
        "vouchers_issued",
    )  # fmt: skip
    return {"as_of": as_of, **dict.fromkeys(names, 0), **counts}


async def test_time_is_told_and_never_goes_back(town: Town) -> None:
    door, other = town.door(), town.door("gateway-2")
    await enrol(door, "m-1")
    # Before the clock is set nothing is late and nothing is due.
    await buy(door, "old", "m-1", 1000, "2020-03-01T12:00:00Z")
    await buy(door, "new", "m-1", 2000, "2021-06-01T12:00:00Z")
    assert (await door.call("GET", f"{BASE}/clock"))["as_of"] is None
    body = {"member": "m-1", "unit": "point", "amount": 15, "reference": "r", "ttl_seconds": 60}
    held = await door.call("POST", f"{BASE}/holds", body, 201, idempotency_key='"k-1"')
    assert held["expires_at"] == "2021-06-01T12:01:00Z"

    answer = await turn(door, "2022-03-02T00:00:00-05:00")
    assert answer == done("2022-03-02T05:00:00Z", holds_timed_out=1, lots_expired=1)
    assert await other.available(PROGRAM, "m-1") == 20
    assert (await other.call("GET", f"{BASE}/holds/{held['hold']}"))["state"] == "expired"
    assert await turn(other, "2022-03-02T05:00:00Z") == answer
    assert (await other.call("GET", f"{BASE}/clock")) == {**answer, "state": "posted"}

    behind = await turn(other, "2022-03-02T04:59:59Z", 409)
    assert behind["code"] == "clock_behind"
    # From now on what is too late is late, and an activity may lie ahead.
    late = await buy(door, "late", "m-1", 1000, "2021-08-01T12:00:00Z", 409)
    assert late["code"] == "claim_too_late"
    ahead = await buy(door, "ahead", "m-1", 500, "2022-05-01T12:00:00Z")
    assert ahead["balances"][0]["available"] == 25
    late_hold = await door.call("POST", f"{BASE}/holds", body, 201, idempotency_key='"k-2"')
    assert late_hold["expires_at"] == "2022-05-01T12:01:00Z", "not before the member's latest activity"
    await town.prove()

    await door.publish(grocery("real"))
    refused = await door.call("POST", "programs/real/clock", {"as_of": "2030-01-01T00:00:00Z"}, 422)
    assert refused["errors"][0]["pointer"] == "/as_of"


@pytest.mark.crash
async def test_a_turn_goes_on_after_a_death_and_nobody_is_met_twice(town: Town) -> None:
    door, other = town.door(), town.door("gateway-2")
    await enrol(door, *MEMBERS)
    for number, member in enumerate(MEMBERS):
        await buy(door, f"b-{member}", member, 1000, "2020-03-01T12:00:00Z")
        if number % 2:
            await buy(door, f"c-{member}", member, 700, "2021-03-01T12:00:00Z")
    town.kill("points")
    accepted = await turn(door, "2022-06-01T00:00:00Z", 202, prefer="respond-async")
    assert accepted["state"] == "pending"
    assert (await turn(other, "2022-06-01T00:00:00Z", 202, prefer="wait=1"))["state"] == "pending"

    refused = await other.ask("POST", f"{BASE}/clock", {"as_of": "2023-01-01T00:00:00Z"})
    assert (refused.status_code, refused.json()["code"]) == (503, "clock_running")
    assert refused.headers["retry-after"] == "1"
    for path, body in (
        ("activities", {"id": "x", "type": "purchase", "member": "m-01", "occurred_at": "2022-01-01T00:00:00Z"}),
        ("members", {"member": "m-99"}),
    ):
        refused = await door.ask("POST", f"{BASE}/{path}", body)
        assert (refused.status_code, refused.json()["code"]) == (503, "clock_running"), path
    assert (await door.call("GET", f"{BASE}/clock"))["state"] == "pending"

    # It dies after some steps, each of which is committed whole. What it had not yet committed the offsets of comes
    # again first, so a life may end before the turn has got anywhere; then another one gets further.
    opened: list[tuple[Any, ...]] = []
    for _ in range(LIVES_MAX):
        town.start("points", "after_commit:kill:4")
        await town.until(lambda: town.exit_code("points") is not None, "points to die in the middle")
        opened = await town.rows("select after, lots_expired, done from points.turns")
        if opened and opened[0][1]:
            break
    assert len(opened) == 1
    assert not opened[0][2]
    assert 0 < opened[0][1] < len(MEMBERS)
    town.start("points")
    await town.ready("points")
    answer = await turn(other, "2022-06-01T00:00:00Z", prefer="wait=30")
    assert answer == done("2022-06-01T00:00:00Z", lots_expired=len(MEMBERS))
    for number, member in enumerate(MEMBERS):
        assert await door.available(PROGRAM, member) == (7 if number % 2 else 0)
    assert await town.value("select count(*) from points.journals where kind = 'expiry'") == len(MEMBERS)
    await enrol(door, "m-99")
    await town.prove()


async def test_turns_and_requests_at_once_leave_everything_provable(town: Town) -> None:
    """Requests that race a turn are done before it or after it, or are told to come back."""
    door, other = town.door(), town.door("gateway-2")
    await enrol(door, *MEMBERS[:8])
    await turn(door, "2020-02-01T00:00:00Z")

    async def shop(index: int) -> list[int]:
        at = "2020-02-01T00:00:00Z"
        statuses = []
        for number in range(6):
            basket = {"id": f"s-{index}-{number}", "type": "purchase", "member": MEMBERS[index], "occurred_at": at}
            gate = (door, other)[number % 2]
            answer = await gate.ask("POST", f"{BASE}/activities", {**basket, "currency": "USD", "amount": 300})
            statuses.append(answer.status_code)
        return statuses

    async def time_passes() -> None:
        for month in range(3, 7):
            await turn(other, f"2020-{month:02}-01T00:00:00Z")

    passing = asyncio.create_task(time_passes())
    shops = await asyncio.gather(*(shop(index) for index in range(8)))
    await passing
    assert {status for statuses in shops for status in statuses} <= {201, 503}
    posted = [statuses.count(201) for statuses in shops]
    for index, count in enumerate(posted):
        shown = await door.balance(PROGRAM, MEMBERS[index])
        assert shown["available"] == 3 * count
    answer = await turn(door, "2022-02-02T12:00:00Z")
    assert answer["lots_expired"] == sum(posted)
    await town.prove()
