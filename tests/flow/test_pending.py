"""Points that wait, through real processes: for a date by the clock, for another activity, for approval."""

from __future__ import annotations

from typing import Any

import pytest

from tests.flow.stage import Door, Town, grocery

pytestmark = pytest.mark.anyio


async def waiting(door: Door, program: str, pending: dict[str, Any], **more: Any) -> None:
    """A sandbox in which a dollar earns a point that waits."""
    base = {
        "rule": "base", "on": ["purchase"], "unit": "point", "rate": {"points": 1, "per": 100},
        "funding": {"funder": "operator"}, "pending": pending, **more,
    }  # fmt: skip
    await door.publish(grocery(program, clock="manual", earning=[base]))
    joined = {"member": "m-1", "enrolled_at": "2024-01-01T00:00:00+00:00"}
    await door.call("POST", f"programs/{program}/members", joined, 201)


def bought(id_: str, amount: int, **more: Any) -> dict[str, Any]:
    at = "2024-03-01T12:00:00+00:00"
    whole = {"id": id_, "type": "purchase", "member": "m-1", "occurred_at": at, "currency": "USD", "amount": amount}
    return {**whole, **more}


async def sums(door: Door, program: str) -> tuple[int, int]:
    balance = await door.balance(program, "m-1")
    return balance["available"], balance["pending"]


async def test_the_clock_releases_what_waits_for_its_date(town: Town, door: Door) -> None:
    program = "fortnight"
    await waiting(door, program, {"days": 14})
    award = (await door.report(program, bought("a", 1_000)))["awards"][0]
    assert award["state"] == "pending"
    assert await sums(door, program) == (0, 10)
    before = await door.call("POST", f"programs/{program}/clock", {"as_of": "2024-03-14T12:00:00+00:00"})
    assert (before["released"], await sums(door, program)) == (0, (0, 10))
    after = await door.call("POST", f"programs/{program}/clock", {"as_of": "2024-03-16T12:00:00+00:00"})
    assert (after["released"], await sums(door, program)) == (1, (10, 0))
    (lot,) = (await door.call("GET", f"programs/{program}/members/m-1/lots"))["data"]
    assert (lot["state"], lot["remaining"], lot["available_at"]) == ("open", 10, award["available_at"])
    await town.prove()


async def test_an_activity_releases_what_waits_for_it(town: Town, door: Door) -> None:
    program = "awaited"
    await waiting(door, program, {"until_event": "stay_completed"})
    await door.report(program, bought("a", 1_000))
    await door.report(program, bought("b", 500))
    await door.report(program, bought("came", 100, type="stay_completed", of="a"))
    assert await sums(door, program) == (10, 5)
    await town.prove()


async def test_the_clock_gives_up_what_ends_before_its_activity_comes(town: Town, door: Door) -> None:
    program = "never"
    await waiting(door, program, {"until_event": "stay_completed"}, validity={"kind": "rolling", "days": 30})
    await door.report(program, bought("a", 1_000))
    before = await door.call("POST", f"programs/{program}/clock", {"as_of": "2024-03-30T12:00:00+00:00"})
    assert (before["lots_expired"], await sums(door, program)) == (0, (0, 10))
    after = await door.call("POST", f"programs/{program}/clock", {"as_of": "2024-04-01T12:00:00+00:00"})
    assert (after["released"], after["lots_expired"], await sums(door, program)) == (0, 1, (0, 0))
    (lot,) = (await door.call("GET", f"programs/{program}/members/m-1/lots"))["data"]
    assert (lot["granted"], lot["remaining"]) == (10, 0)
    await town.prove()


async def test_somebody_approves_or_rejects(town: Town, door: Door) -> None:
    program = "approved"
    await waiting(door, program, {"approval": True})
    await door.report(program, bought("a", 1_000))
    await door.report(program, bought("b", 500))
    path = f"programs/{program}/activities"
    key = {"scopes": ["adjust"], "programs": [program], "limits": {"adjust": 5}}
    junior = town.door(secret=(await door.call("POST", "partners/operator/keys", key, 201))["secret"])
    refused = await junior.call("POST", f"{path}/a/approve", None, 409)
    assert (refused["code"], refused["amount"]) == ("needs_approval", 10)
    given = await door.call("POST", f"{path}/a/approve")
    assert (given["approved"], given["amount"]) == (True, 10)
    assert await sums(door, program) == (10, 5)
    assert (await junior.call("POST", f"{path}/b/reject", {}))["approved"] is False
    assert await sums(door, program) == (10, 0)
    assert (await door.call("POST", f"{path}/b/approve", None, 409))["code"] == "nothing_pending"
    assert (await door.call("POST", f"{path}/none/approve", None, 404))["code"] == "activity_unknown"
    back = {"id": "r", "type": "return", "of": "b", "member": "m-1", "occurred_at": "2024-03-02T12:00:00+00:00"}
    assert (await door.report(program, back))["reversals"] == []
    await town.prove()
