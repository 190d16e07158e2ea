"""Gifts and exchanges through real processes: many at once in a ring, repeats, refusals, and who may see what."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.flow.stage import TWO_OF_EACH, Door, Town, grocery, purchase

pytestmark = pytest.mark.anyio

PROGRAM = "grocery"
SISTER = "sister"
RING = 5


@pytest.fixture(scope="module")
def town_parts() -> dict[str, str]:
    return TWO_OF_EACH


@pytest.fixture(scope="module")
async def town(town: Town) -> Town:
    door = town.door()
    limit = {"points": 1000, "window": "calendar_year"}
    rate = {"unit": "point", "to": SISTER, "into": "point", "rate": "1/3", "least": 30, "step": 10,
            "funding": {"funder": "sister", "price": "1", "currency": "USD"}}  # fmt: skip
    gifts = {"point": {"least": 2, "most": 500, "given": limit}}
    await door.publish(grocery(PROGRAM, transfers=gifts, exchanges=[rate]))
    await door.publish(grocery(SISTER))
    return town


async def give(door: Door, key: str, giver: Any, to: str, amount: int, expect: int = 201) -> Any:
    whole = {"from": giver, "to": to, "unit": "point", "amount": amount}
    return await door.call("POST", f"programs/{PROGRAM}/transfers", whole, expect, idempotency_key=f'"{key}"')


async def swap(door: Door, key: str, expect: int = 201, **body: Any) -> Any:
    whole = {"unit": "point", **body}
    return await door.call("POST", f"programs/{PROGRAM}/exchanges", whole, expect, idempotency_key=f'"{key}"')


async def test_fifty_gifts_in_a_ring_at_once_come_out_exact(town: Town) -> None:
    doors = [town.door(), town.door("gateway-2")]
    members = [f"ring-{number}" for number in range(RING)]
    await doors[0].enrol(PROGRAM, *members)
    # Each has more than it gives, however late it is given something itself.
    await asyncio.gather(*(doors[0].report(PROGRAM, purchase(f"b-{each}", each, 20_000)) for each in members))

    async def one(number: int) -> Any:
        giver, to = members[number % RING], members[(number + 1) % RING]
        given = await give(doors[number % 2], f"ring-{number}", giver, to, 10 + number // RING)
        # What was answered is shown by whoever is asked, on both sides of it.
        shown = await doors[(number + 1) % 2].call("GET", f"programs/{PROGRAM}/transfers/{given['transfer']}")
        assert shown == given
        return given

    given = await asyncio.gather(*(one(number) for number in range(50)))
    assert sum(each["amount"] for each in given) == RING * sum(range(10, 20))
    assert [await doors[1].available(PROGRAM, each) for each in members] == [200] * RING
    await town.prove()
    journals = "select count(*), count(distinct cause) from points.journals where program = $1 and kind = 'transfer'"
    assert await town.rows(journals, PROGRAM) == [(100, 50)]


async def test_a_gift_is_shown_on_both_sides_when_it_is_answered(town: Town) -> None:
    door, other = town.door(), town.door("gateway-2")
    await door.enrol(PROGRAM, "both-1", "both-2")
    await door.report(PROGRAM, purchase("both", "both-1", 10_000))
    for number in range(10):
        await give(door, f"both-{number}", "both-1", "both-2", 5)
        assert await other.available(PROGRAM, "both-2") == 5 * (number + 1)
        assert await other.available(PROGRAM, "both-1") == 100 - 5 * (number + 1)


async def test_the_same_gift_again_is_the_same_gift(town: Town) -> None:
    door = town.door()
    await door.call("POST", f"programs/{PROGRAM}/members", {
        "member": "twice-1", "identifiers": [{"scheme": "card", "value": "4711"}],
        "enrolled_at": "2020-01-01T00:00:00Z"}, 201)  # fmt: skip
    await door.enrol(PROGRAM, "twice-2")
    await door.report(PROGRAM, purchase("twice", "twice-1", 10_000))
    card = {"scheme": "card", "value": "4711"}
    body = {"from": card, "to": "twice-2", "unit": "point", "amount": 10}
    answers = await asyncio.gather(*(
        door.ask("POST", f"programs/{PROGRAM}/transfers", body, idempotency_key='"twice"')
        for _ in range(4)
    ))  # fmt: skip
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
    assert len({answer.json()["transfer"] for answer in answers}) == 1
    assert (await give(door, "twice", card, "twice-2", 11, 422))["code"] == "idempotency_mismatch"
    assert await door.available(PROGRAM, "twice-1") == 90


async def test_refusals_are_kept_and_say_why(town: Town) -> None:
    door = town.door()
    await door.enrol(PROGRAM, "poor", "rich")
    await door.report(PROGRAM, purchase("rich", "rich", 150_000))
    short = await give(door, "r-1", "poor", "rich", 7, 409)
    assert (short["code"], short["available"], short["shortfall"]) == ("insufficient_points", 0, 7)
    shown = await door.call("GET", f"programs/{PROGRAM}/transfers/{short['transfer']}")
    assert (shown["state"], shown["code"], shown["from"], shown["to"]) == (
        "refused", "insufficient_points", "poor", "rich",
    )  # fmt: skip
    again = await give(door, "r-1", "poor", "rich", 7, 409)
    assert again["transfer"] == short["transfer"]
    assert (await give(door, "r-2", "rich", "poor", 1, 409))["code"] == "below_minimum"
    most = await give(door, "r-3", "rich", "poor", 501, 409)
    assert (most["code"], most["left"]) == ("limit_reached", 500)
    for number in range(2):
        await give(door, f"r-4-{number}", "rich", "poor", 500)
    year = await give(door, "r-5", "rich", "poor", 2, 409)
    assert (year["code"], year["left"]) == ("limit_reached", 0)
    own = await give(door, "r-6", "rich", "rich", 2, 422)
    assert own["errors"][0]["pointer"] == "/to"
    assert (await give(door, "r-7", "rich", "ghost", 2, 404))["code"] == "member_unknown"
    await town.prove()


async def test_points_become_those_of_another_program(town: Town) -> None:
    door = town.door()
    await door.enrol(PROGRAM, "swap-1")
    await door.enrol(SISTER, "swap-2")
    await door.report(PROGRAM, purchase("swap", "swap-1", 10_000))
    to = {"program": SISTER, "member": "swap-2"}
    done = await swap(door, "x-1", member="swap-1", to=to, amount=50)
    assert done["to"] == {**to, "unit": "point", "amount": 16}
    assert await door.available(SISTER, "swap-2") == 16
    assert await door.available(PROGRAM, "swap-1") == 50
    assert await door.call("GET", f"programs/{PROGRAM}/exchanges/{done['exchange']}") == done
    assert (await swap(door, "x-1", 200, member="swap-1", to=to, amount=50))["exchange"] == done["exchange"]
    assert (await swap(door, "x-2", 409, member="swap-1", to=to, amount=20))["code"] == "below_minimum"
    assert (await swap(door, "x-3", 409, member="swap-1", to=to, amount=35))["code"] == "below_minimum"
    short = await swap(door, "x-4", 409, member="swap-1", to=to, amount=60)
    assert (short["code"], short["shortfall"]) == ("insufficient_points", 10)
    lots = (await door.call("GET", f"programs/{SISTER}/members/swap-2/lots"))["data"]
    assert [(lot["rule"], lot["funding"]) for lot in lots] == [("exchange", [{"partner": "sister", "amount": 16}])]
    await town.prove()


async def test_only_a_key_of_both_programs_exchanges(town: Town) -> None:
    admin = town.door()
    await admin.enrol(PROGRAM, "keys-1")
    await admin.enrol(SISTER, "keys-2")
    await admin.call("PUT", "partners/acme", {"name": "Acme"}, 201)
    key = {"scopes": ["redeem", "read"], "programs": [PROGRAM]}
    acme = town.door(secret=(await admin.call("POST", "partners/acme/keys", key, 201))["secret"])
    for program, member in ((SISTER, "keys-2"), (SISTER, "ghost"), ("nowhere", "keys-2")):
        to = {"program": program, "member": member}
        assert (await swap(acme, "k-1", 404, member="keys-1", to=to, amount=30))["code"] == "program_unknown"
    refused = await give(acme, "k-2", "keys-1", "swap-1", 5, 409)
    await admin.call("PUT", "partners/rival", {"name": "Rival"}, 201)
    key = {"scopes": ["read", "redeem"], "programs": [PROGRAM]}
    rival = town.door(secret=(await admin.call("POST", "partners/rival/keys", key, 201))["secret"])
    path = f"programs/{PROGRAM}/transfers/{refused['transfer']}"
    assert (await rival.call("GET", path, None, 404))["code"] == "transfer_unknown"
    assert (await admin.call("GET", path))["state"] == "refused"
