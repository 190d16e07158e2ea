"""Points set aside and spent in two steps, through real processes; who is first gets them, whoever asks how often."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from laurel.io.migrating import DatabaseUrls
from laurel.io.settings import KafkaSettings
from tests.flow.nursery import Nursery
from tests.flow.stage import Door, Town, giving_back, grocery, purchase

pytestmark = pytest.mark.anyio

PROGRAM = "grocery"
HOLDS = f"programs/{PROGRAM}/holds"


@pytest.fixture(scope="module")
async def town(
    town_urls: DatabaseUrls, town_kafka: KafkaSettings, forks: Nursery | None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Town]:
    parts = {"gateway": "both", "points": "both", "points-2": "worker", "redemption": "both"}
    place = tmp_path_factory.mktemp("town")
    async with Town(place, town_urls, town_kafka, parts, forks, expiry_interval_seconds=0.2).open() as town:
        await town.door().publish(grocery(PROGRAM))
        yield town


@pytest.fixture(scope="module")
async def admin(town: Town) -> Door:
    return town.door()


@pytest.fixture(scope="module")
async def till(town: Town, admin: Door) -> Door:
    await admin.call("PUT", "partners/acme", {"name": "Acme"}, 201)
    scopes = ["earn", "redeem", "members", "read"]
    made = await admin.call("POST", "partners/acme/keys", {"scopes": scopes, "programs": [PROGRAM]}, 201)
    return town.door(secret=made["secret"])


async def with_points(till: Door, member: str, points: int) -> None:
    await till.enrol(PROGRAM, member)
    await till.report(PROGRAM, purchase(f"b-{member}", member, points * 100))


async def hold(till: Door, member: str, amount: int, key: str, expect: int = 201, **more: Any) -> Any:
    body = {"member": member, "unit": "point", "amount": amount, "reference": f"sale-{key}", **more}
    return await till.call("POST", HOLDS, body, expect, idempotency_key=f'"{key}"')


async def figures(till: Door, member: str) -> tuple[int, int, int]:
    balance = await till.balance(PROGRAM, member)
    return balance["available"], balance["held"], balance["lifetime"]["spent"]


async def test_held_captured_in_part_and_cancelled_in_part(town: Town, till: Door) -> None:
    await with_points(till, "m-1", 100)
    held = await hold(till, "m-1", 60, "k-1")
    assert (held["state"], held["amount"], held["captured"], held["partner"]) == ("held", 60, 0, "acme")
    assert held["lots"] == [{"lot": "2.1", "amount": 60}]
    assert held["reference"] == "sale-k-1"
    name = held["hold"]
    assert await till.call("GET", f"{HOLDS}/{name}") == held
    assert await figures(till, "m-1") == (40, 60, 0)

    spent = await till.call("POST", f"{HOLDS}/{name}/capture", {"amount": 50})
    assert (spent["state"], spent["captured"], spent["lots"]) == ("captured", 50, [{"lot": "2.1", "amount": 50}])
    assert await figures(till, "m-1") == (50, 0, 50)
    assert await till.call("POST", f"{HOLDS}/{name}/capture", {"amount": 50}) == spent
    other = await till.call("POST", f"{HOLDS}/{name}/capture", {"amount": 49}, 409)
    assert other["code"] == "hold_captured"
    released = await till.call("POST", f"{HOLDS}/{name}/release", {}, 409)
    assert released["code"] == "hold_captured"

    back = await till.call("POST", f"{HOLDS}/{name}/cancel", {"by": "member", "reason": "one back", "amount": 20})
    assert (back["state"], back["captured"], back["cancelled"]) == ("captured", 30, 20)
    again = await till.call("POST", f"{HOLDS}/{name}/cancel", {"by": "member", "reason": "one back", "amount": 20})
    assert again == back
    twice = await till.ask(
        "POST", f"{HOLDS}/{name}/cancel", {"by": "member", "reason": "one back", "amount": 20}, idempotency_key='"2"'
    )
    assert twice.json()["captured"] == 10
    rest = await till.call("POST", f"{HOLDS}/{name}/cancel", {"by": "provider", "reason": "sold out"})
    assert (rest["state"], rest["captured"], rest["cancelled"]) == ("cancelled", 0, 50)
    assert await till.call("GET", f"{HOLDS}/{name}") == rest
    assert await figures(till, "m-1") == (100, 0, 0)
    over = await till.call("POST", f"{HOLDS}/{name}/cancel", {"by": "member", "reason": "more"}, 409)
    assert over["code"] == "over_returned"
    await town.prove()


async def test_refused_with_the_shortfall_and_kept(till: Door) -> None:
    await with_points(till, "m-2", 10)
    refused = await hold(till, "m-2", 11, "k-2", 409)
    assert (refused["code"], refused["unit"], refused["available"], refused["shortfall"]) == (
        "insufficient_points",
        "point",
        10,
        1,
    )
    shown = await till.call("GET", f"{HOLDS}/{refused['hold']}")
    assert (shown["state"], shown["code"]) == ("refused", "insufficient_points")
    await till.report(PROGRAM, purchase("b-more", "m-2", 10_000))
    again = await hold(till, "m-2", 11, "k-2", 409)
    assert again["hold"] == refused["hold"]
    missing = await till.call("POST", f"{HOLDS}/{refused['hold']}/capture", {}, 404)
    assert missing["code"] == "hold_unknown"


async def test_a_double_click_is_one_hold(till: Door) -> None:
    await with_points(till, "m-3", 10)
    body = {"member": "m-3", "unit": "point", "amount": 6, "reference": "r"}
    answers = await asyncio.gather(*(till.ask("POST", HOLDS, body, idempotency_key='"k-3"') for _ in range(5)))
    assert {answer.json()["hold"] for answer in answers} == {answers[0].json()["hold"]}
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 200, 201]
    assert await figures(till, "m-3") == (4, 6, 0)
    other = await till.ask("POST", HOLDS, {**body, "amount": 7}, idempotency_key='"k-3"')
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")


async def test_two_requests_for_the_same_points(town: Town, till: Door) -> None:
    await with_points(till, "m-4", 10)

    async def one(number: int) -> httpx.Response:
        body = {"member": "m-4", "unit": "point", "amount": 6, "reference": "r"}
        return await till.ask("POST", HOLDS, body, idempotency_key=f'"k-4-{number}"')

    answers = await asyncio.gather(*map(one, range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    losers = [answer.json() for answer in answers if answer.status_code == 409]
    assert {(each["code"], each["shortfall"]) for each in losers} == {("insufficient_points", 2)}
    assert await figures(till, "m-4") == (4, 6, 0)


async def test_capture_races_release(town: Town, till: Door) -> None:
    """Whoever is first, the other is told so, and the points are in one place."""
    await with_points(till, "m-5", 100)
    ends: list[str] = []
    for turn in range(10):
        name = (await hold(till, "m-5", 10, f"k-5-{turn}"))["hold"]
        captured, released = await asyncio.gather(
            till.ask("POST", f"{HOLDS}/{name}/capture", {}), till.ask("POST", f"{HOLDS}/{name}/release", {})
        )
        assert sorted([captured.status_code, released.status_code]) == [200, 409]
        loser = captured if captured.status_code == 409 else released
        assert loser.json()["code"] == ("hold_released" if loser is captured else "hold_captured")
        ends.append((await till.call("GET", f"{HOLDS}/{name}"))["state"])
    spent = 10 * ends.count("captured")
    assert await figures(till, "m-5") == (100 - spent, 0, spent)
    await town.prove()


async def test_it_ends_by_itself(town: Town, till: Door) -> None:
    await with_points(till, "m-6", 10)
    name = (await hold(till, "m-6", 10, "k-6", ttl_seconds=1))["hold"]

    async def ended() -> bool:
        return bool((await till.call("GET", f"{HOLDS}/{name}"))["state"] == "expired")

    await town.until(ended, "the hold to time out")
    assert await figures(till, "m-6") == (10, 0, 0)
    late = await till.call("POST", f"{HOLDS}/{name}/capture", None, 409)
    assert late["code"] == "hold_expired"
    early = await till.call("POST", f"{HOLDS}/{name}/cancel", {"by": "member", "reason": "r"}, 409)
    assert early["code"] == "hold_expired"


async def test_what_is_held_is_owed_when_its_purchase_comes_back(town: Town, till: Door) -> None:
    await with_points(till, "m-7", 10)
    name = (await hold(till, "m-7", 10, "k-7"))["hold"]
    back = await till.report(PROGRAM, giving_back("r-7", "b-m-7"))
    assert back["reversals"][0]["owed"] == 10
    await till.call("POST", f"{HOLDS}/{name}/release", {})
    balance = await till.balance(PROGRAM, "m-7")
    assert (balance["available"], balance["held"], balance["owed"]) == (0, 0, 0)
    await town.prove()


async def test_a_hold_is_its_partners_own(town: Town, admin: Door, till: Door) -> None:
    await with_points(till, "m-8", 10)
    name = (await hold(till, "m-8", 5, "k-8"))["hold"]
    await admin.call("PUT", "partners/rival", {"name": "Rival"}, 201)
    made = await admin.call("POST", "partners/rival/keys", {"scopes": ["redeem"], "programs": [PROGRAM]}, 201)
    rival = town.door(secret=made["secret"])
    for path in ("capture", "release"):
        assert (await rival.call("POST", f"{HOLDS}/{name}/{path}", {}, 404))["code"] == "hold_unknown"
    assert (await rival.call("GET", f"{HOLDS}/{name}", None, 404))["code"] == "hold_unknown"
    named = {"member": "m-8", "unit": "point", "amount": 1, "reference": "r", "partner": "acme"}
    foreign = await rival.call("POST", HOLDS, named, 404, idempotency_key='"k"')
    assert foreign["code"] == "partner_unknown"
    made = await admin.call("POST", "partners/acme/keys", {"scopes": ["read"], "programs": [PROGRAM]}, 201)
    reader = town.door(secret=made["secret"])
    assert (await reader.call("GET", f"{HOLDS}/{name}"))["state"] == "held"
    assert (await reader.call("POST", f"{HOLDS}/{name}/release", {}, 403))["code"] == "scope_missing"
    later = await till.ask("POST", f"{HOLDS}/{name}/release", {}, prefer="respond-async")
    assert (later.status_code, later.headers["location"]) == (202, f"/v1/{HOLDS}/{name}")
    await town.until(lambda: _state(till, name, "released"), "the release")


async def _state(till: Door, name: str, state: str) -> bool:
    return bool((await till.call("GET", f"{HOLDS}/{name}"))["state"] == state)
