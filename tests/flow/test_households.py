"""Members who share a wallet, through real processes: who is in which household, and who pays for whom."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.flow.stage import TWO_OF_EACH, Door, Town, grocery, purchase, voucher

pytestmark = pytest.mark.anyio

PROGRAM = "grocery"


@pytest.fixture(scope="module")
def town_parts() -> dict[str, str]:
    return TWO_OF_EACH


@pytest.fixture(scope="module")
async def town(town: Town) -> Town:
    door = town.door()
    await door.publish(grocery(PROGRAM))
    await door.call("PUT", f"programs/{PROGRAM}/rewards/off", voucher(50), 201)
    return town


async def settle(door: Door, household: str, *members: str, expect: int = 200, **more: Any) -> Any:
    body = {"members": list(members), **more}
    return await door.call("PUT", f"programs/{PROGRAM}/households/{household}", body, expect)


async def test_a_redemption_is_paid_by_the_whole_household(town: Town) -> None:
    door, other = town.door(), town.door("gateway-2")
    await door.enrol(PROGRAM, "a-1", "a-2", "a-3")
    for number, member in enumerate(("a-1", "a-2", "a-3")):
        await door.report(PROGRAM, purchase(f"a-{number}", member, 2_000))
    made = await settle(door, "home", "a-3", "a-1", "a-2", expect=201)
    assert (made["members"], made["pooling"], made["state"]) == (["a-1", "a-2", "a-3"], True, "posted")
    assert await other.call("GET", f"programs/{PROGRAM}/households/home") == made
    assert (await settle(other, "home", "a-1", "a-2", "a-3")) == made
    assert (await other.call("GET", f"programs/{PROGRAM}/members/a-2"))["household"] == "home"
    fulfilled = await other.redeem(PROGRAM, "r-1", "a-1", "off")
    assert fulfilled["state"] == "fulfilled"
    short = await door.redeem(PROGRAM, "r-2", "a-1", "off", 409)
    assert (short["code"], short["available"], short["shortfall"]) == ("insufficient_points", 10, 40)
    await town.prove()
    left = [await door.available(PROGRAM, member) for member in ("a-1", "a-2", "a-3")]
    assert sum(left) == 10


async def test_a_member_is_in_one_household_at_most(town: Town) -> None:
    """Ids may hold a colon, but for those of programs and partners."""
    door = town.door()
    await door.enrol(PROGRAM, "b-1", "b-2", "b-3")
    await settle(door, "one:1", "b-1", "b-2", expect=201)
    assert (await settle(door, "two", "b-2", "b-3", expect=409))["code"] == "other_household"
    path = f"programs/{PROGRAM}/households"
    assert (await door.call("GET", f"{path}/two", None, 404))["code"] == "household_unknown"
    assert (await settle(door, "one:1", "b-1", "ghost", expect=404))["code"] == "member_unknown"
    await settle(door, "one:1", "b-1", pooling=False)
    assert (await door.call("GET", f"programs/{PROGRAM}/members/b-2"))["household"] is None
    await settle(door, "two", "b-2", "b-3", expect=201)
    answers = await asyncio.gather(*(
        door.ask("PUT", f"{path}/{name}", {"members": ["b-1", "b-2"]}) for name in ("three", "four", "two")
    ))  # fmt: skip
    assert {answer.status_code for answer in answers} == {409}
    await town.prove()


async def test_who_left_no_longer_pays(town: Town) -> None:
    door = town.door()
    await door.enrol(PROGRAM, "c-1", "c-2")
    await door.report(PROGRAM, purchase("c", "c-2", 10_000))
    await settle(door, "pair", "c-1", "c-2", expect=201)
    await door.redeem(PROGRAM, "c-r-1", "c-1", "off")
    await settle(door, "pair", "c-1")
    short = await door.redeem(PROGRAM, "c-r-2", "c-1", "off", 409)
    assert (short["available"], short["shortfall"]) == (0, 50)
    assert await door.available(PROGRAM, "c-2") == 50
    await town.prove()


async def test_what_a_household_could_have_is_what_it_gets(town: Town) -> None:
    """The catalogue, a quote and a redemption of as many points as there are count what all have together."""
    door, other = town.door(), town.door("gateway-2")
    fare = {
        "name": "A fare", "kind": "pay_at_till", "unit": "point",
        "by_amount": {"points": 1, "per": 1, "currency": "USD"}, "pay": {"cash": True, "most": True},
    }  # fmt: skip
    await door.call("PUT", f"programs/{PROGRAM}/rewards/fare", fare, 201)
    await door.enrol(PROGRAM, "d-1", "d-2", "d-3")
    await door.report(PROGRAM, purchase("d-1", "d-1", 3_000))
    await door.report(PROGRAM, purchase("d-2", "d-2", 4_000))

    async def affordable(member: str) -> list[str]:
        shown = await other.call("GET", f"programs/{PROGRAM}/rewards?member={member}&affordable=true")
        return [each["reward"] for each in shown["data"]]

    assert await affordable("d-1") == [], "50 points of 30"
    await settle(door, "rich", "d-1", "d-2", "d-3", expect=201)
    assert await affordable("d-3") == ["off"]
    wish = {"member": "d-1", "reward": "fare", "amount": 100, "currency": "USD"}
    quoted = await other.call("POST", f"programs/{PROGRAM}/redemptions/quote", wish)
    assert (quoted["available"], quoted["points"], quoted["to_pay"]["amount"]) == (70, 70, 30)
    paid = await door.redeem(PROGRAM, "d-r", "d-1", "fare", amount=100, currency="USD")
    assert (paid["points"], paid["to_pay"]["amount"]) == (70, 30)
    assert await other.available(PROGRAM, "d-1") == 0

    async def is_spent() -> bool:
        return [await other.available(PROGRAM, member) for member in ("d-2", "d-3")] == [0, 0]

    # The answer waits for the one who redeemed, not for those who lent.
    await town.until(is_spent, "what was lent to be shown")
    await settle(door, "rich", "d-1", "d-2", "d-3", pooling=False)
    await door.report(PROGRAM, purchase("d-3", "d-2", 9_000))
    quoted = await other.call("POST", f"programs/{PROGRAM}/redemptions/quote", wish)
    assert (quoted["available"], quoted["points"]) == (0, 0)
    await town.prove()
