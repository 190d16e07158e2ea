"""A purchase without a member is kept and earns nothing, until somebody claims it, once and in time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.flow.stage import Door, Town, giving_back, grocery, points_of, purchase

pytestmark = pytest.mark.anyio

AMOUNT = 4_000


def unclaimed(id_: str, **more: Any) -> dict[str, Any]:
    body = purchase(id_, "", AMOUNT, **more)
    del body["member"]
    return body


async def test_a_purchase_is_claimed_once(town: Town, door: Door) -> None:
    program = "claims"
    await door.publish(grocery(program))
    await door.enrol(program, "m-1", "m-2")
    kept = await door.report(program, unclaimed("b-1"))
    assert (kept["state"], kept["awards"]) == ("posted", [])
    path = f"programs/{program}/activities/b-1"
    answers = await asyncio.gather(*(door.ask("POST", f"{path}/claim", {"member": "m-1"}) for _ in range(3)))
    assert {answer.status_code for answer in answers} <= {200, 201}
    assert [award["amount"] for award in answers[0].json()["awards"]] == [points_of(AMOUNT)]
    assert await door.available(program, "m-1") == points_of(AMOUNT)
    shown = await door.call("GET", path)
    assert [award["member"] for award in shown["awards"]] == ["m-1"]
    refused = await door.call("POST", f"{path}/claim", {"member": "m-2"}, 409)
    assert refused["code"] == "already_credited"
    # The till sends it again, still without a member, and hears what it came to.
    assert (await door.report(program, unclaimed("b-1"), 200))["awards"] == shown["awards"]
    # It is the claimer's purchase in every way.
    back = await door.report(program, giving_back("r-1", "b-1"))
    assert back["reversals"][0]["taken"] == points_of(AMOUNT)
    assert await door.available(program, "m-1") == 0
    await town.prove()


async def test_two_who_claim_at_once(town: Town, door: Door) -> None:
    program = "claim-race"
    await door.publish(grocery(program))
    await door.enrol(program, "m-1", "m-2")
    await door.report(program, unclaimed("b-1"))
    path = f"programs/{program}/activities/b-1/claim"
    asked = (door.ask("POST", path, {"member": member}) for member in ("m-1", "m-2"))
    answers = await asyncio.gather(*asked)
    assert sorted(answer.status_code for answer in answers) in ([201, 409], [201, 422])
    assert sum([await door.available(program, member) for member in ("m-1", "m-2")]) == points_of(AMOUNT)
    await town.prove()


async def test_what_came_back_before_it_was_claimed_is_nobodys(town: Town, door: Door) -> None:
    program = "claim-back"
    await door.publish(grocery(program))
    await door.enrol(program, "m-1")
    await door.report(program, unclaimed("b-1"))
    assert (await door.report(program, giving_back("r-1", "b-1")))["state"] == "posted"
    refused = await door.call("POST", f"programs/{program}/activities/b-1/claim", {"member": "m-1"}, 409)
    assert refused["code"] == "over_returned"
    assert await door.available(program, "m-1") == 0
    await town.prove()


async def test_what_cannot_be_claimed(town: Town, door: Door) -> None:
    program = "claim-late"
    await door.publish(grocery(program))
    await door.enrol(program, "m-1", "m-2")
    path = f"programs/{program}/activities"
    await door.report(program, purchase("mine", "m-1", AMOUNT))
    assert (await door.call("POST", f"{path}/mine/claim", {"member": "m-2"}, 409))["code"] == "already_credited"
    assert (await door.call("POST", f"{path}/none/claim", {"member": "m-2"}, 404))["code"] == "activity_unknown"
    await door.report(program, unclaimed("old", occurred_at="2020-01-01T12:00:00Z"))
    assert (await door.call("POST", f"{path}/old/claim", {"member": "nobody"}, 404))["code"] == "member_unknown"
    late = await door.call("POST", f"{path}/old/claim", {"member": "m-2"}, 409)
    assert late["code"] == "claim_too_late"
    assert (await door.call("GET", f"{path}/old"))["state"] == "posted"
    await town.prove()
