"""Two accounts become one through real processes: reads, identifiers, activities, holds, and the way back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.flow.stage import JOINED_AT, TWO_OF_EACH, Door, Town, giving_back, grocery, purchase

pytestmark = pytest.mark.anyio

PROGRAM = "grocery"
MEMBERS = f"programs/{PROGRAM}/members"


@pytest.fixture(scope="module")
def town_parts() -> dict[str, str]:
    return TWO_OF_EACH


@pytest.fixture(scope="module")
async def town(town: Town) -> Town:
    await town.door().publish(grocery(PROGRAM, transfers={"point": {}}))
    return town


async def merge(door: Door, key: str, member: str, into: Any, expect: int = 201) -> Any:
    return await door.call("POST", f"{MEMBERS}/{member}/merge", {"into": into}, expect, idempotency_key=f'"{key}"')


async def unmerge(door: Door, key: str, member: str, expect: int = 201) -> Any:
    return await door.call("POST", f"{MEMBERS}/{member}/unmerge", {}, expect, idempotency_key=f'"{key}"')


async def hold(door: Door, key: str, member: str, amount: int, expect: int = 201) -> Any:
    body = {"member": member, "unit": "point", "amount": amount, "reference": key}
    return await door.call("POST", f"programs/{PROGRAM}/holds", body, expect, idempotency_key=f'"{key}"')


async def test_the_survivor_answers_for_both(town: Town) -> None:
    door, other = town.door(), town.door("gateway-2")
    card = {"scheme": "card", "value": "4711"}
    await door.call("POST", MEMBERS, {"member": "old", "identifiers": [card], "enrolled_at": JOINED_AT}, 201)
    await door.enrol(PROGRAM, "new")
    await door.report(PROGRAM, purchase("before", "old", 10_000))
    await door.report(PROGRAM, purchase("own", "new", 5_000))
    held = await hold(door, "first", "old", 30)
    waits = await merge(door, "m-1", "old", "new", 409)
    assert waits["code"] == "hold_open"
    await door.call("POST", f"programs/{PROGRAM}/holds/{held['hold']}/capture", {})
    merged = await merge(door, "m-1", "old", "new")
    assert (merged["member"], merged["into"], merged["state"]) == ("old", "new", "posted")
    assert await door.call("GET", f"{MEMBERS}/old/merge/{merged['merge']}") == merged
    assert (await merge(door, "m-1", "old", "new", 200))["merge"] == merged["merge"]

    shown = await other.call("GET", f"{MEMBERS}/old")
    assert (shown["member"], shown["status"], shown["balances"][0]["available"]) == ("new", "active", 120)
    assert (await other.call("POST", f"{MEMBERS}/find", card))["member"] == "new"
    # Whatever names the old one is meant for the new one, whoever is asked.
    earned = await other.report(PROGRAM, purchase("after", "old", 1_000))
    assert earned["awards"][0]["member"] == "new"
    await door.report(PROGRAM, {**purchase("by-card", "new", 1_000), "member": card})
    assert await door.available(PROGRAM, "new") == 140
    gift = {"from": "old", "to": "new", "unit": "point", "amount": 1}
    own = await door.call("POST", f"programs/{PROGRAM}/transfers", gift, 422, idempotency_key='"gift"')
    assert own["errors"][0]["pointer"] == "/to"
    spent = await hold(door, "second", "old", 140)
    assert spent["member"] == "new"
    await door.call("POST", f"programs/{PROGRAM}/holds/{spent['hold']}/release", {})
    # Its past is judged where it lies, and what that leaves is the survivor's.
    path = f"programs/{PROGRAM}/holds/{held['hold']}/cancel"
    await door.call("POST", path, {"by": "member", "reason": "changed plans"})
    await door.report(PROGRAM, giving_back("back", "before", "new"))
    await town.until(lambda: _has(other, "new", 70), "the return to be the survivor's")
    statement = await door.call("GET", f"{MEMBERS}/old/statement")
    assert {"activity", "capture", "merge", "return"} <= {each["kind"] for each in statement["data"]}
    again = await merge(door, "m-2", "old", "new", 409)
    assert again["code"] == "member_not_active"
    await town.prove()


async def test_what_was_brought_comes_back_as_far_as_it_is_there(town: Town) -> None:
    door = town.door()
    await door.enrol(PROGRAM, "a", "b")
    await door.report(PROGRAM, purchase("of-a", "a", 10_000))
    await merge(door, "ab", "a", "b")
    await door.report(PROGRAM, purchase("meanwhile", "a", 2_000))
    done = await hold(door, "spend", "b", 30)
    await door.call("POST", f"programs/{PROGRAM}/holds/{done['hold']}/capture", {})
    parted = await unmerge(door, "ba", "a")
    assert (parted["member"], parted["out_of"]) == ("a", "b")
    assert await door.call("GET", f"{MEMBERS}/a/unmerge/{parted['unmerge']}") == parted
    shown = await door.call("GET", f"{MEMBERS}/a")
    assert (shown["member"], shown["status"]) == ("a", "active")
    assert await door.available(PROGRAM, "a") + await door.available(PROGRAM, "b") == 90
    assert await door.available(PROGRAM, "a") >= 70
    assert (await unmerge(door, "ba-2", "a", 409))["code"] == "not_eligible"
    await door.report(PROGRAM, purchase("own-again", "a", 1_000))
    await town.prove()
    await merge(door, "ab-again", "a", "b")
    assert await door.available(PROGRAM, "b") == 100
    await town.prove()


async def test_a_chain_is_taken_back_link_by_link(town: Town) -> None:
    door, other = town.door(), town.door("gateway-2")
    card = {"scheme": "card", "value": "0815"}
    await door.call("POST", MEMBERS, {"member": "one", "identifiers": [card], "enrolled_at": JOINED_AT}, 201)
    await door.enrol(PROGRAM, "two", "three")
    await door.report(PROGRAM, purchase("chain-1", "one", 10_000))
    await door.report(PROGRAM, purchase("chain-2", "one", 5_000))
    await merge(door, "c-1", "one", "two")
    await merge(door, "c-2", "two", "three")
    assert (await other.call("POST", f"{MEMBERS}/find", card))["member"] == "three"
    # The till knows the card alone, which is the last one's by now.
    await door.report(PROGRAM, {**giving_back("chain-back", "chain-1"), "member": card})
    await town.until(lambda: _has(other, "three", 50), "the return to be the survivor's")
    assert (await unmerge(door, "c-3", "one", 409))["code"] == "member_not_active"
    await unmerge(door, "c-4", "two")
    await town.until(lambda: _is(other, card, "two"), "the card to be the second's again")
    earned = await door.report(PROGRAM, purchase("chain-3", "one", 1_000))
    assert earned["awards"][0]["member"] == "two"
    await unmerge(door, "c-5", "one")
    assert [await door.available(PROGRAM, member) for member in ("one", "two", "three")] == [50, 10, 0]
    await town.prove()


async def test_merging_amid_purchases_loses_none(town: Town) -> None:
    door, other = town.door(), town.door("gateway-2")
    await door.enrol(PROGRAM, "busy", "calm")

    async def buy(number: int) -> None:
        await (door, other)[number % 2].report(PROGRAM, purchase(f"busy-{number}", "busy", 1_000))

    buying = [asyncio.create_task(buy(number)) for number in range(30)]
    await merge(door, "busy", "busy", "calm")
    await asyncio.gather(*buying)
    await town.until(lambda: _has(other, "calm", 300), "every purchase to be the survivor's")
    await town.prove()


async def test_who_may_merge(town: Town) -> None:
    admin = town.door()
    await admin.enrol(PROGRAM, "c", "d")
    key = {"scopes": ["earn", "redeem", "read"], "programs": [PROGRAM]}
    till = town.door(secret=(await admin.call("POST", "partners/operator/keys", key, 201))["secret"])
    assert (await merge(till, "till", "c", "d", 403))["code"] == "scope_missing"
    assert (await merge(admin, "ghost", "ghost", "d", 404))["code"] == "member_unknown"
    assert (await merge(admin, "ghost-2", "c", "ghost", 404))["code"] == "member_unknown"
    assert (await unmerge(admin, "never", "c", 409))["code"] == "not_eligible"


async def _has(door: Door, member: str, points: int) -> bool:
    return await door.available(PROGRAM, member) == points


async def _is(door: Door, card: dict[str, str], member: str) -> bool:
    found = await door.call("POST", f"{MEMBERS}/find", card)
    return bool(found["member"] == member)
