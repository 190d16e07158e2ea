"""Redemptions confirmed later and taken back, through real processes."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from laurel.io.migrating import DatabaseUrls
from laurel.io.settings import KafkaSettings
from tests.flow.nursery import Nursery
from tests.flow.stage import Door, Town, gather_bounded, grocery, purchase, voucher

pytestmark = pytest.mark.anyio

PROGRAM = "grocery"
SANDBOX = "sandbox"
AT = f"programs/{PROGRAM}/redemptions"
# Long enough for whoever confirms beside other work, short enough to be waited for.
WAIT = timedelta(seconds=15)
DOOR_WAITS_SECONDS = 30
MEMBER = {"by": "member", "reason": "changed their mind"}
PROVIDER = {"by": "provider", "reason": "it broke"}


@pytest.fixture(scope="module")
async def town(
    town_urls: DatabaseUrls, town_kafka: KafkaSettings, forks: Nursery | None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Town]:
    parts = {"gateway": "both", "points": "both", "redemption": "both", "redemption-2": "worker"}
    place = tmp_path_factory.mktemp("town")
    told = {"expiry_interval_seconds": 0.2, "wait_timer_seconds": 0.2, "hold_wait": f"PT{WAIT.seconds}S"}
    async with Town(place, town_urls, town_kafka, parts, forks, **told).open() as town:
        door = town.door()
        await door.publish(grocery(PROGRAM))
        await door.call("PUT", f"programs/{PROGRAM}/rewards/off", voucher(50, stock=1000), 201)
        yield town


async def with_points(door: Door, member: str, points: int) -> None:
    await door.enrol(PROGRAM, member)
    await door.report(PROGRAM, purchase(f"b-{member}", member, points * 100))


async def figures(door: Door, member: str) -> tuple[int, int, int]:
    balance = await door.balance(PROGRAM, member)
    return balance["available"], balance["held"], balance["lifetime"]["spent"]


async def left(town: Town) -> int:
    return int(await town.value("select total - reserved - taken from redemption.stock where reward = 'off'"))


async def test_confirmed_later_at_the_held_price(town: Town, door: Door) -> None:
    await with_points(door, "m-1", 120)
    held = await door.redeem(PROGRAM, "k-1", "m-1", "off", id="r-1", confirm="later")
    assert (held["state"], held["points"], held["vouchers"]) == ("holding", 50, [])
    assert datetime.fromisoformat(held["expires_at"]) > datetime.now(UTC)
    assert await door.call("GET", f"{AT}/r-1") == held
    assert await figures(door, "m-1") == (70, 50, 0)
    await door.call("PUT", f"programs/{PROGRAM}/rewards/off", voucher(60, stock=1000), 201)
    done = await door.call("POST", f"{AT}/r-1/confirm")
    assert (done["state"], done["points"], len(done["vouchers"])) == ("fulfilled", 50, 1)
    assert done["vouchers"][0]["code"]
    again = await door.call("POST", f"{AT}/r-1/confirm")
    assert again["state"] == "fulfilled"
    await door.call("PUT", f"programs/{PROGRAM}/rewards/off", voucher(50, stock=1000), 201)
    await town.prove()
    assert await figures(door, "m-1") == (70, 0, 50)
    refused = await door.redeem(PROGRAM, "k-1b", "m-1", "off", id="r-1b", quantity=2, confirm="later", expect=409)
    assert (refused["code"], refused["shortfall"]) == ("insufficient_points", 30)


async def test_not_confirmed_it_is_refused_and_given_back(town: Town, door: Door) -> None:
    await with_points(door, "m-2", 60)
    before = await left(town)
    await door.redeem(PROGRAM, "k-2", "m-2", "off", id="r-2", confirm="later")

    async def refused() -> bool:
        return bool((await door.call("GET", f"{AT}/r-2"))["state"] == "refused")

    await town.until(refused, "the wait to end")
    shown = await door.call("GET", f"{AT}/r-2")
    assert shown["code"] == "hold_expired"
    late = await door.call("POST", f"{AT}/r-2/confirm", {}, 409)
    assert (late["code"], late["ended"]) == ("redemption_ended", "refused")
    await town.prove()
    assert await figures(door, "m-2") == (60, 0, 0)
    assert await left(town) == before


async def test_taken_back_before_and_after(town: Town, door: Door) -> None:
    await with_points(door, "m-3", 200)
    before = await left(town)
    await door.redeem(PROGRAM, "k-3", "m-3", "off", id="r-3", confirm="later")
    back = await door.call("POST", f"{AT}/r-3/cancel", MEMBER)
    assert (back["state"], back["by"]) == ("cancelled", "member")
    assert await figures(door, "m-3") == (200, 0, 0), "the answer shows the points"
    assert await door.call("POST", f"{AT}/r-3/cancel", {**MEMBER, "reason": "in other words"}) == back
    other = await door.call("POST", f"{AT}/r-3/cancel", PROVIDER, 422)
    assert other["code"] == "idempotency_mismatch"

    done = await door.redeem(PROGRAM, "k-4", "m-3", "off", id="r-4", quantity=2)
    codes = [each["code"] for each in done["vouchers"]]
    used = await door.call("POST", f"programs/{PROGRAM}/vouchers/{codes[0]}/redeem", {"reference": "till-1"})
    assert used["state"] == "spent"
    spent = await door.call("POST", f"{AT}/r-4/cancel", PROVIDER, 409)
    assert (spent["code"], spent["voucher"]) == ("redemption_used", used["voucher"])
    await door.call("POST", f"programs/{PROGRAM}/vouchers/{codes[0]}/void", {"reference": "till-1"})
    back = await door.call("POST", f"{AT}/r-4/cancel", PROVIDER)
    assert (back["state"], back["by"]) == ("cancelled", "provider")
    assert back["lots"] == done["lots"]
    assert await figures(door, "m-3") == (200, 0, 0)
    for code in codes:
        dead = await door.call("POST", f"programs/{PROGRAM}/vouchers/{code}/redeem", {"reference": "till-2"}, 409)
        assert dead["code"] == "voucher_void"
    assert await left(town) == before
    unknown = await door.call("POST", f"{AT}/r-99/cancel", MEMBER, 404)
    assert unknown["code"] == "redemption_unknown"
    await town.prove()


async def test_cancellation_and_capture_race(town: Town, door: Door) -> None:
    members = [f"race-{number}" for number in range(20)]
    await gather_bounded([partial(with_points, door, member, 50) for member in members], 5)

    async def both(member: str) -> tuple[int, int]:
        name = f"r-{member}"
        body = {"member": member, "reward": "off", "id": name}
        asked = asyncio.create_task(door.ask("POST", AT, body, idempotency_key=f'"{name}"'))
        cancelled = await door.ask("POST", f"{AT}/{name}/cancel", MEMBER)
        while cancelled.status_code == 404:
            await asyncio.sleep(0.002)
            cancelled = await door.ask("POST", f"{AT}/{name}/cancel", MEMBER)
        return (await asked).status_code, cancelled.status_code

    began = time.monotonic()
    found = Counter(await gather_bounded([partial(both, member) for member in members], 5))
    # Whoever asked for what another cancelled is told so at once, and does not wait until nothing comes any more.
    assert time.monotonic() - began < DOOR_WAITS_SECONDS
    assert {cancelled for _, cancelled in found} == {200}, found
    assert {redeemed for redeemed, _ in found} <= {201, 202, 409}, found
    await town.prove()
    for member in members:
        assert await figures(door, member) == (50, 0, 0)
        again = await door.ask("POST", AT, {"member": member, "reward": "off", "id": f"r-{member}"},
                               idempotency_key=f'"r-{member}"')  # fmt: skip
        assert again.status_code in {200, 409}, again.text
        if again.status_code == 409:
            assert again.json()["code"] == "redemption_cancelled"
        assert (await door.call("GET", f"{AT}/r-{member}"))["state"] == "cancelled"


async def test_aa_6_after_the_lots_have_ended(town: Town, door: Door) -> None:
    """Taken back after its lots have ended: gone at once for the member, good for 90 days by the provider's fault."""
    units = {"point": {"scale": 0, "validity": {"kind": "rolling", "months": 1}}}
    await door.publish(grocery(SANDBOX, units=units, clock="manual"))
    start = datetime(2025, 1, 1, tzinfo=UTC)
    await door.call("POST", f"programs/{SANDBOX}/clock", {"as_of": start.isoformat()})
    await door.call("PUT", f"programs/{SANDBOX}/rewards/trip", {**voucher(50), "kind": "product"}, 201)
    for member in ("member", "provider", "waits"):
        await door.enrol(SANDBOX, member)
        await door.report(SANDBOX, purchase(f"b-{member}", member, 5000, occurred_at=start.isoformat()))
    for member in ("member", "provider"):
        await door.redeem(SANDBOX, f"t-{member}", member, "trip", id=f"t-{member}")
    held = await door.redeem(SANDBOX, "t-waits", "waits", "trip", id="t-waits", confirm="later")
    assert datetime.fromisoformat(held["expires_at"]) == start + WAIT
    later = start + timedelta(days=60)
    turned = await door.call("POST", f"programs/{SANDBOX}/clock", {"as_of": later.isoformat()})
    assert turned["holds_timed_out"] == 1

    async def refused() -> bool:
        return bool((await door.call("GET", f"programs/{SANDBOX}/redemptions/t-waits"))["state"] == "refused")

    # The clock answers when points have let go; redemption and the gateway hear of it by events.
    await town.until(refused, "the wait to end")
    expired = await door.call("GET", f"programs/{SANDBOX}/redemptions/t-waits")
    assert expired["code"] == "hold_expired"
    for member, deed in (("member", MEMBER), ("provider", PROVIDER)):
        await door.call("POST", f"programs/{SANDBOX}/redemptions/t-{member}/cancel", deed)
    await town.prove()
    shown: dict[str, Any] = {member: await door.balance(SANDBOX, member) for member in ("member", "provider", "waits")}
    assert {member: each["available"] for member, each in shown.items()} == {"member": 0, "provider": 50, "waits": 0}
    assert shown["member"]["lifetime"]["expired"] == 50
    assert shown["provider"]["next_expiry"]["on"] == "2025-05-29"


async def test_a_turned_clock_answers_when_the_points_of_waits_that_it_ended_are_shown(town: Town, door: Door) -> None:
    """Each holds another's release up a little, so an answer that does not wait for them comes too early."""
    program, members = "turned", [f"w-{number}" for number in range(40)]
    await door.publish(grocery(program, clock="manual"))
    start = datetime(2025, 1, 1, tzinfo=UTC)
    await door.call("POST", f"programs/{program}/clock", {"as_of": start.isoformat()})
    await door.call("PUT", f"programs/{program}/rewards/trip", {**voucher(50), "kind": "product"}, 201)

    async def hold(member: str) -> None:
        await door.enrol(program, member)
        await door.report(program, purchase(f"b-{member}", member, 5000, occurred_at=start.isoformat()))
        await door.redeem(program, f"k-{member}", member, "trip", id=f"r-{member}", confirm="later")

    await gather_bounded([partial(hold, member) for member in members], 8)
    turned = await door.call("POST", f"programs/{program}/clock", {"as_of": (start + WAIT).isoformat()})
    shown = await asyncio.gather(*(door.balance(program, member) for member in members))
    assert turned["holds_timed_out"] == len(members)
    assert {(each["available"], each["held"]) for each in shown} == {(50, 0)}
    await town.prove()


async def test_a_double_click_is_one_redemption(town: Town, door: Door) -> None:
    await with_points(door, "clicks", 50)
    body = {"member": "clicks", "reward": "off"}
    answers = await asyncio.gather(*(door.ask("POST", AT, body, idempotency_key='"click"') for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 200, 200, 201]
    assert len({answer.json()["redemption"] for answer in answers}) == 1
    # Two keys are two requests for the same points (AA-9): exactly one is granted.
    await with_points(door, "twice", 50)
    body = {"member": "twice", "reward": "off"}
    answers = await asyncio.gather(*(door.ask("POST", AT, body, idempotency_key=f'"t-{n}"') for n in range(2)))
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    loser = next(answer.json() for answer in answers if answer.status_code == 409)
    assert (loser["code"], loser["shortfall"]) == ("insufficient_points", 50)
    await town.prove()


async def test_two_hundred_buyers_and_seven_pieces(town: Town, door: Door) -> None:
    await door.call("PUT", f"programs/{PROGRAM}/rewards/rare", voucher(10, stock=7), 201)
    buyers = [f"buyer-{number}" for number in range(200)]
    await gather_bounded([partial(with_points, door, buyer, 20) for buyer in buyers], 20)

    async def buy(buyer: str) -> int:
        body = {"member": buyer, "reward": "rare"}
        answer = await door.ask("POST", AT, body, idempotency_key=f'"rare-{buyer}"')
        assert answer.status_code == 201 or answer.json()["code"] == "sold_out", answer.text
        return answer.status_code

    found = Counter(await gather_bounded([partial(buy, buyer) for buyer in buyers], 100))
    assert found == {201: 7, 409: 193}
    await town.prove()
    stock = "select reserved, taken from redemption.stock where reward = 'rare'"
    assert await town.rows(stock) == [(0, 7)]
