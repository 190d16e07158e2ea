"""Returns of what vouchers paid, through gateways, Kafka and Postgres: a use is undone, a part comes as a share."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from laurel.io.migrating import DatabaseUrls
from laurel.io.settings import KafkaSettings
from tests.flow.clubcard import BASE, CLUBCARD, FEBRUARY, basket, buy, enrol, turn, vouchers_of
from tests.flow.nursery import Nursery
from tests.flow.stage import BOUGHT_AT, Door, Town, grocery, purchase, voucher

pytestmark = pytest.mark.anyio

LATER = "2021-02-10T10:00:00Z"


@pytest.fixture
async def town(
    database_urls: DatabaseUrls, town_kafka: KafkaSettings, tmp_path: Path, forks: Nursery | None
) -> AsyncIterator[Town]:
    parts = {"gateway": "both", "gateway-2": "both", "points": "both", "redemption": "both"}
    kafka = town_kafka.model_copy(update={"kafka_prefix": f"r{uuid.uuid4().hex[:8]}"})
    async with Town(tmp_path, database_urls, kafka, parts, forks).open() as town:
        await town.door().publish(CLUBCARD)
        yield town


async def paid_with_a_voucher(town: Town, member: str) -> dict[str, Any]:
    """TC-1: a basket of £25.30 is paid with a voucher of £2.50, and earns what was paid besides."""
    door = town.door()
    (voucher,) = await vouchers_of(door, member)
    await door.call("POST", f"{BASE}/vouchers/{voucher['code']}/redeem", basket(2530, f"till-{member}"))
    bought = await door.report(
        "clubcard",
        {
            "id": f"p-{member}", "type": "purchase", "member": member, "occurred_at": LATER, "currency": "GBP",
            "amount": 2530,
            "tenders": [
                {"kind": "voucher", "amount": 250, "ref": f"till-{member}"}, {"kind": "card", "amount": 2280},
            ],
        },
    )  # fmt: skip
    assert bought["awards"][0]["amount"] == 22
    return dict(voucher)


async def give_back(door: Door, member: str, number: int, **more: Any) -> Any:
    body = {"id": f"r-{member}-{number}", "type": "return", "of": f"p-{member}", "occurred_at": LATER, **more}
    return await door.report("clubcard", body)


async def seen(town: Town, member: str, wanted: list[tuple[str, int]]) -> list[dict[str, Any]]:
    """Return the member's vouchers, which have these states and values at once: the return was answered with that."""
    found = await vouchers_of(town.door("gateway-2"), member)
    assert sorted((each["state"], each["value"]) for each in found) == sorted(wanted)
    return found


async def test_what_vouchers_paid_comes_back_with_the_old_end(town: Town) -> None:
    door = town.door()
    members = ["m-1", "m-2", "m-3"]
    await enrol(door, *members)
    for member in members:
        await buy(door, f"b-{member}", member, 25000)
    await turn(door, FEBRUARY)
    whole, parts, nothing = [await paid_with_a_voucher(town, member) for member in members]

    await give_back(door, "m-1", 1)
    (again,) = await seen(town, "m-1", [("issued", 250)])
    assert (again["voucher"], again["left"], again["expires_at"]) == (whole["voucher"], 250, whole["expires_at"])
    used = await door.call("POST", f"{BASE}/vouchers/{again['code']}/redeem", basket(900, "till-again"))
    assert used["state"] == "spent"

    # 1012 of 2530 is two fifths: £1.00 of the voucher.
    await give_back(door, "m-2", 1, amount=1012)
    found = await seen(town, "m-2", [("spent", 250), ("issued", 100)])
    (share,) = [each for each in found if each["state"] == "issued"]
    assert (share["expires_at"], share["left"]) == (parts["expires_at"], 100)
    assert share["code"] != parts["code"]
    await give_back(door, "m-2", 2)
    await seen(town, "m-2", [("spent", 250), ("issued", 100), ("issued", 150)])
    undone = await door.call("POST", f"{BASE}/vouchers/{parts['code']}/void", {"reference": "till-m-2"}, 409)
    assert undone["code"] == "over_returned"

    await give_back(door, "m-3", 1, tenders=[])
    await town.prove()
    assert [each["state"] for each in await vouchers_of(door, "m-3")] == ["spent"]
    assert nothing["value"] == 250


async def test_what_points_paid_comes_back_into_its_lots(town: Town) -> None:
    """A hold at the till, and a redemption that paid at it: in parts, whole, and asked again at another gateway."""
    door, other = town.door(), town.door("gateway-2")
    await door.publish(grocery("grocery"))
    await door.enrol("grocery", "m-1")
    await door.report("grocery", purchase("b-1", "m-1", 30_000))
    holding = {"member": "m-1", "unit": "point", "amount": 120, "reference": "sale"}
    held = await door.call("POST", "programs/grocery/holds", holding, 201, idempotency_key='"h-1"')
    path = f"programs/grocery/holds/{held['hold']}"
    await door.call("POST", f"{path}/capture", {})
    await door.call("PUT", "programs/grocery/rewards/off", voucher(80), 201)
    redeemed = await door.redeem("grocery", "r-1", "m-1", "off")
    tenders = [
        {"kind": "points", "amount": 1_200, "ref": held["hold"]},
        {"kind": "points", "amount": 800, "ref": redeemed["redemption"]},
    ]
    # All of it is paid with points, so it earns nothing.
    await door.report("grocery", purchase("b-2", "m-1", 2_000, tenders=tenders))
    assert await door.available("grocery", "m-1") == 100

    part = {
        "id": "back-1", "type": "return", "of": "b-2", "occurred_at": BOUGHT_AT, "lines": [{"id": "1", "amount": 500}],
    }  # fmt: skip
    for asked in (door, other):
        answer = await asked.ask("POST", "programs/grocery/activities", part)
        assert answer.status_code == (201 if asked is door else 200), answer.text
        assert await other.available("grocery", "m-1") == 150
        assert (await other.call("GET", path))["captured"] == 90
    assert (await other.call("GET", f"programs/grocery/redemptions/{redeemed['redemption']}"))["state"] == "fulfilled"

    rest = {"id": "back-2", "type": "return", "of": "b-2", "occurred_at": BOUGHT_AT}
    answered = await door.report("grocery", rest)
    assert answered["given_back"] == [
        {"kind": "points", "ref": held["hold"], "amount": 900},
        {"kind": "points", "ref": redeemed["redemption"], "amount": 600},
    ]
    assert "told_in" not in answered
    assert await other.call("GET", "programs/grocery/activities/back-2") == answered
    balance = await other.balance("grocery", "m-1")
    assert (balance["available"], balance["lifetime"]["spent"]) == (300, 0)
    assert (await other.call("GET", path))["state"] == "cancelled"
    shown = await other.call("GET", f"programs/grocery/redemptions/{redeemed['redemption']}")
    assert shown["state"] == "cancelled"
    (made,) = (await other.call("GET", "programs/grocery/vouchers?member=m-1"))["data"]
    assert made["state"] == "void"
    await town.prove()


async def test_a_return_is_pending_while_redemption_cannot_show_what_came_back(town: Town) -> None:
    door = town.door("gateway-2")
    await enrol(door, "m-9")
    await buy(door, "b-m-9", "m-9", 25000)
    await turn(door, FEBRUARY)
    await paid_with_a_voucher(town, "m-9")
    town.kill("redemption")
    body = {"id": "r-m-9", "type": "return", "of": "p-m-9", "occurred_at": LATER}
    for _ in range(2):
        answer = await door.ask("POST", "programs/clubcard/activities", body, prefer="wait=1")
        assert (answer.status_code, answer.json()) == (202, {"id": "r-m-9", "state": "pending"})
    town.start("redemption")
    await town.ready("redemption")
    answer = await door.ask("POST", "programs/clubcard/activities", body)
    assert (answer.status_code, answer.headers["idempotency-replayed"]) == (200, "true")
    assert answer.json()["given_back"] == [{"kind": "voucher", "ref": "till-m-9", "amount": 250}]
    await seen(town, "m-9", [("issued", 250)])
    await town.prove()


async def test_a_file_is_done_when_reads_show_what_its_returns_gave_back(town: Town) -> None:
    door = town.door("gateway-2")
    members = ["f-1", "f-2"]
    await enrol(door, *members)
    for member in members:
        await buy(door, f"b-{member}", member, 25000)
    await turn(door, FEBRUARY)
    for member in members:
        await paid_with_a_voucher(town, member)
    town.kill("redemption")
    lines = [{"id": f"r-{each}", "type": "return", "of": f"p-{each}", "occurred_at": LATER} for each in members]
    path = await door.send_batch("clubcard", lines)

    async def says(**wanted: Any) -> bool:
        found = await door.call("GET", path)
        return {name: found[name] for name in wanted} == wanted

    await town.until(lambda: says(posted=len(members)), "points has answered every line")
    # What came back, redemption has yet to hear of.
    await asyncio.sleep(1)
    assert await says(state="running", pending=0)
    town.start("redemption")
    await town.until(lambda: says(state="done"), "the file is done")
    for member in members:
        await seen(town, member, [("issued", 250)])
    await town.prove()
