"""Returns of what vouchers paid, through gateways, Kafka and Postgres: a use is undone, a part comes as a share."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from laurel.io.migrating import DatabaseUrls
from laurel.io.settings import KafkaSettings
from tests.flow.nursery import Nursery
from tests.flow.stage import Door, Town
from tests.flow.test_vouchers import BASE, CLUBCARD, FEBRUARY, basket, buy, enrol, turn, vouchers_of

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
    """Wait until the member has vouchers of these states and values: a return is answered by points alone."""
    door = town.door("gateway-2")
    found: list[dict[str, Any]] = []

    async def there() -> bool:
        found[:] = await vouchers_of(door, member)
        return sorted((each["state"], each["value"]) for each in found) == sorted(wanted)

    await town.until(there, f"{member} to have {wanted}")
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
