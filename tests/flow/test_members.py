"""Members change and leave, through real processes; what reads show is what points decided."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from tests.flow.stage import Door, Town, gather_bounded, grocery, points_of, purchase, voucher

pytestmark = pytest.mark.anyio

PROGRAM = "members"
AMOUNT = 5000


@pytest.fixture(scope="module")
async def town(town: Town) -> Town:
    await town.door().publish(grocery(PROGRAM))
    return town


async def member_of(door: Door, name: str) -> dict[str, Any]:
    shown: dict[str, Any] = await door.call("GET", f"programs/{PROGRAM}/members/{name}")
    return shown


async def test_a_change_is_shown_at_once_and_again_it_is_the_same(town: Town) -> None:
    door = town.door()
    await door.enrol(PROGRAM, "m-1")
    path = f"programs/{PROGRAM}/members/m-1"
    for value in ("plain", "gold"):
        changed = await door.call("PATCH", path, {"person": "p-1", "attributes": {"card": value}})
        assert (changed["person"], changed["attributes"]) == ("p-1", {"card": value})
        assert await member_of(door, "m-1") == changed
    more = {"attributes": {"age": 40}}
    first = await door.ask("PATCH", path, more, idempotency_key='"k"')
    assert (first.status_code, first.json()["attributes"]) == (200, {"card": "gold", "age": 40})
    await door.call("PATCH", path, {"attributes": {"age": 41}})
    again = await door.ask("PATCH", path, more, idempotency_key='"k"')
    assert (again.status_code, again.headers["idempotency-replayed"]) == (200, "true")
    assert again.json()["attributes"]["age"] == 41
    other = await door.ask("PATCH", path, {"attributes": {"age": 42}}, idempotency_key='"k"')
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert await door.call("PATCH", path, {}) == await member_of(door, "m-1")
    await town.prove()


async def test_of_many_changes_at_once_the_last_in_order_is_shown(town: Town) -> None:
    door = town.door()
    await door.enrol(PROGRAM, "m-2")
    path = f"programs/{PROGRAM}/members/m-2"
    changes = [partial(door.call, "PATCH", path, {"attributes": {f"a{n}": n, "last": n}}) for n in range(20)]
    buys = [partial(door.report, PROGRAM, purchase(f"m-2-{n}", "m-2", AMOUNT)) for n in range(20)]
    await gather_bounded([one for pair in zip(changes, buys, strict=True) for one in pair], 10)
    shown = await member_of(door, "m-2")
    assert {f"a{n}": n for n in range(20)}.items() <= shown["attributes"].items()
    assert shown["balances"][0]["available"] == 20 * points_of(AMOUNT)
    await town.prove()


async def test_a_member_leaves_when_nothing_is_held(town: Town) -> None:
    door = town.door()
    await door.enrol(PROGRAM, "m-3")
    await door.report(PROGRAM, purchase("m-3-1", "m-3", AMOUNT))
    member, holds = f"programs/{PROGRAM}/members/m-3", f"programs/{PROGRAM}/holds"
    body = {"member": "m-3", "unit": "point", "amount": 1, "reference": "sale"}
    held = await door.call("POST", holds, body, 201, idempotency_key='"m-3"')
    assert (await door.call("POST", f"{member}/close", {}, 409))["code"] == "hold_open"
    assert (await member_of(door, "m-3"))["status"] == "active"
    await door.call("POST", f"{holds}/{held['hold']}/release", {})
    closed = await door.call("POST", f"{member}/close", {})
    assert closed["status"] == "closed"
    assert closed == await member_of(door, "m-3")
    again = await door.ask("POST", f"{member}/close", {})
    assert (again.status_code, again.json()["status"]) == (200, "closed")
    assert (await door.report(PROGRAM, purchase("m-3-2", "m-3", AMOUNT), 409))["code"] == "member_not_active"
    refused = await door.call("POST", holds, body, 409, idempotency_key='"m-3-2"')
    assert refused["code"] == "member_not_active"
    await door.call("PUT", f"programs/{PROGRAM}/rewards/off", voucher(1), 201)
    assert (await door.redeem(PROGRAM, "m-3-3", "m-3", "off", 409))["code"] == "member_not_active"
    card = {"scheme": "card", "value": "m-3"}
    assert (await door.call("POST", f"{member}/identifiers", card, 409))["code"] == "member_not_active"
    assert (await door.call("PATCH", member, {"attributes": {"card": "gold"}}, 409))["code"] == "member_not_active"
    await town.prove()


async def test_a_member_shows_what_its_caps_have_counted(town: Town) -> None:
    door = town.door()
    caps = [
        {"cap": "year", "unit": "point", "window": "calendar_year", "limit": 60},
        {"cap": "ever", "unit": "point", "window": "lifetime", "limit": 1000},
    ]
    program = "counted"
    await door.publish(grocery(program, caps=caps, clock="manual"))
    await door.enrol(program, "m-1")

    async def counters() -> dict[str, tuple[Any, ...]]:
        shown = (await door.call("GET", f"programs/{program}/members/m-1"))["counters"]
        return {each["rule"]: (each["from"], each["until"], each["granted"], each["limit"]) for each in shown}

    assert await counters() == {}
    for number, at in enumerate(("2031-12-30T12:00:00+00:00", "2031-12-31T12:00:00+00:00")):
        await door.report(program, purchase(f"b-{number}", "m-1", AMOUNT, occurred_at=at))
    assert points_of(AMOUNT) < 60 < 2 * points_of(AMOUNT)
    assert await counters() == {"year": ("2031-01-01", "2031-12-31", 60, 60), "ever": (None, None, 60, 1000)}
    back = {"id": "r", "type": "return", "of": "b-0", "member": "m-1", "occurred_at": "2031-12-31T13:00:00+00:00"}
    await door.report(program, back)
    assert (await counters())["year"][2] == 60 - points_of(AMOUNT)
    await door.call("POST", f"programs/{program}/clock", {"as_of": "2032-01-10T00:00:00+00:00"})
    assert (await counters()).keys() == {"ever"}
    await door.report(program, purchase("b-3", "m-1", AMOUNT, occurred_at="2032-01-10T12:00:00+00:00"))
    assert (await counters())["year"] == ("2032-01-01", "2032-12-31", points_of(AMOUNT), 60)
    await town.prove()
