"""Sandbox copies, through real processes: with rewards, on a clock of their own, and what a change would touch."""

from __future__ import annotations

import asyncio

import pytest

from tests.flow.stage import Door, Town, grocery, purchase, voucher

pytestmark = pytest.mark.anyio

PROGRAM = "grocery"
BASE = f"programs/{PROGRAM}"


@pytest.fixture(scope="module")
async def town(town: Town) -> Town:
    door = town.door()
    await door.publish(grocery(PROGRAM))
    for reward, price in (("five", 100), ("ten", 200)):
        await door.call("PUT", f"{BASE}/rewards/{reward}", voucher(price), 201)
    await door.enrol(PROGRAM, "m-1", "m-2", "m-3")
    await door.report(PROGRAM, purchase("b-1", "m-1", 5000))
    await door.report(PROGRAM, purchase("b-2", "m-1", 5000))
    await door.report(PROGRAM, purchase("b-3", "m-2", 5000))
    return town


async def test_a_copy_has_rewards_and_a_clock_but_no_members(town: Town) -> None:
    door = town.door()
    body = {"to": "copy-1", "changes": {"/earning/0/rate/points": 3, "/name": "Three a dollar"}}
    made = await door.call("POST", f"{BASE}/copy", body, 201)
    assert (made["program"], made["version"]) == ("copy-1", 1)
    document = (await door.call("GET", "programs/copy-1"))["document"]
    original = (await door.call("GET", BASE))["document"]
    assert (document["clock"], document["name"]) == ("manual", "Three a dollar")
    assert document["units"] == original["units"]
    rewards = await door.call("GET", "programs/copy-1/rewards")
    assert {each["reward"]: each["price"] for each in rewards["data"]} == {"five": 100, "ten": 200}
    assert (await door.call("GET", "programs/copy-1/members/m-1", None, 404))["code"] == "member_unknown"
    assert (await door.call("GET", "programs/copy-1/clock"))["as_of"] is None

    await door.enrol("copy-1", "m-1")
    posted = await door.report("copy-1", purchase("b-1", "m-1", 5000))
    assert posted["balances"][0]["available"] == 150
    redeemed = await door.redeem("copy-1", "k-1", "m-1", "five")
    assert redeemed["state"] == "fulfilled"
    assert await door.available(PROGRAM, "m-1") == 100, "the original does not notice"

    again = await door.call("POST", f"{BASE}/copy", body, 409)
    assert again["code"] == "program_exists"
    bare = await door.call("POST", f"{BASE}/copy", {"to": PROGRAM}, 409)
    assert bare["code"] == "program_exists"
    await town.prove()


async def test_of_two_copies_to_one_name_one_is_made(town: Town) -> None:
    door = town.door()
    bodies = [{"to": "copy-2", "changes": {"/name": name}} for name in ("A", "B", "C", "D")]
    answers = await asyncio.gather(*(door.ask("POST", f"{BASE}/copy", body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]


async def test_who_may_copy_where(town: Town) -> None:
    admin = town.door()
    await admin.call("PUT", "partners/acme", {"name": "Acme"}, 201)
    key = {"scopes": ["admin"], "programs": [PROGRAM]}
    narrow = town.door(secret=(await admin.call("POST", "partners/acme/keys", key, 201))["secret"])
    assert (await narrow.call("POST", f"{BASE}/copy", {"to": "copy-3"}, 404))["code"] == "program_unknown"
    key = {"scopes": ["read"], "programs": [PROGRAM, "copy-3"]}
    reader = town.door(secret=(await admin.call("POST", "partners/acme/keys", key, 201))["secret"])
    assert (await reader.call("POST", f"{BASE}/copy", {"to": "copy-3"}, 403))["code"] == "scope_missing"


async def test_a_change_of_expiry_is_told_whom_it_touches(town: Town, door_of: Door) -> None:
    same = await door_of.call("POST", f"{BASE}/validate", grocery(PROGRAM))
    assert (same["valid"], same["changed"], same["members"], same["lots"]) == (True, [], 0, 0)
    document = grocery(PROGRAM)
    document["units"]["point"]["validity"] = {"kind": "rolling", "years": 1}
    told = await door_of.call("POST", f"{BASE}/validate", document)
    assert (told["changed"], told["members"], told["lots"]) == (["/units/point/validity"], 2, 3)
    assert told["applies"] == {"/units/point/validity": "new_lots"}
    new = await door_of.call("POST", "programs/new/validate", {**document, "program": "new"})
    assert (new["members"], new["lots"]) == (0, 0)


@pytest.fixture
def door_of(town: Town) -> Door:
    return town.door()
