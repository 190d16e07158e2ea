"""A version that has not started yet, through real processes: reads, reports and doors go by the one in force (S14)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.flow.stage import NOW, Town, purchase

pytestmark = pytest.mark.anyio

PROGRAM = "changing"
POINTS: dict[str, Any] = {"scale": 0, "validity": {"kind": "never"}}
STEPS = {"scale": 0, "counts_only": True}


def document(unit: str, tier: str, value: str, **changes: Any) -> dict[str, Any]:
    """A program of one unit, in which everybody has a tier."""
    funding = {"funder": "acme"}
    return {
        "program": PROGRAM, "name": "Changing", "effective_from": "2020-01-01T00:00:00+00:00", "time_zone": "UTC",
        "clock": "wall", "currency": "USD",
        "units": {unit: {**POINTS, "value": {"per_point": value}}, "step": STEPS},
        "earning": [
            {"rule": "base", "on": ["purchase"], "unit": unit, "rate": {"points": 1, "per": 10}, "funding": funding},
            {"rule": "steps", "on": ["purchase"], "unit": "step", "rate": {"points": 1, "per": 1}},
        ],
        "tiers": {
            "counters": {"c": {"unit": "step", "window": "calendar_year"}},
            "levels": [
                {"tier": tier, "benefits": [{"name": f"{tier}-lounge"}]},
                {"tier": "gold", "needs": {"c": 1_000_000}},
            ],
        },
        **changes,
    }  # fmt: skip


@pytest.fixture(scope="module")
async def town(town: Town) -> Town:
    door = town.door()
    await door.call("PUT", "partners/acme", {"name": "Acme"}, 201)
    await door.publish(document("point", "member", "2"))
    later = (NOW + timedelta(days=300)).isoformat()
    await door.publish(document("star", "friend", "5", effective_from=later))
    return town


async def test_reads_and_reports_go_by_the_version_in_force(town: Town) -> None:
    door = town.door()
    await door.enrol(PROGRAM, "m-1")
    shown = (await door.call("GET", f"programs/{PROGRAM}/members/m-1"))["tier"]
    assert (shown["name"], shown["benefits"]) == ("member", [{"name": "member-lounge", "value": None}])
    await door.report(PROGRAM, purchase("b-1", "m-1", 1000))
    (unit,) = (await door.call("GET", f"programs/{PROGRAM}/reports/liability"))["units"]
    assert (unit["unit"], unit["outstanding"]) == ("point", 100)
    assert unit["provision"] == {"amount": 200, "currency": "USD"}
    await town.prove()


async def test_points_that_a_later_version_gives_up_are_still_the_members(town: Town) -> None:
    door = town.door()
    await door.enrol(PROGRAM, "m-2")
    await door.report(PROGRAM, purchase("b-2", "m-2", 1000))
    asked = {"member": "m-2", "unit": "point", "amount": 40, "reference": "till-1"}
    held = await door.call("POST", f"programs/{PROGRAM}/holds", asked, 201, idempotency_key='"h-1"')
    assert held["state"] == "held"
    path = f"programs/{PROGRAM}/adjustments"
    given = {"member": "m-2", "unit": "point", "amount": 5, "reason": "goodwill", "note": "n"}
    await door.call("POST", path, given, 201, idempotency_key='"a-1"')
    # Of what is yet to come nothing can be given.
    refused = await door.call("POST", path, {**given, "unit": "star"}, 409, idempotency_key='"a-2"')
    assert refused["code"] == "not_offered"
    assert (await door.call("GET", f"{path}/{refused['adjustment']}"))["state"] == "refused"
    shown = await door.call("GET", f"programs/{PROGRAM}/members/m-2")
    assert [(each["unit"], each["available"]) for each in shown["balances"]] == [("point", 65)]
    await town.prove()


async def test_what_only_counts_is_nobody_s_to_give(town: Town) -> None:
    door = town.door()
    await door.enrol(PROGRAM, "m-3")
    given = {"member": "m-3", "unit": "step", "amount": 5, "reason": "goodwill", "note": "n"}
    fault = await door.call("POST", f"programs/{PROGRAM}/adjustments", given, 422, idempotency_key='"a-3"')
    assert [each["pointer"] for each in fault["errors"]] == ["/unit"]
    await door.report(PROGRAM, purchase("b-3", "m-3", 1000))
    assert await door.available(PROGRAM, "m-3") == 100


async def test_more_than_an_amount_can_say_is_not_given_and_all_goes_on(town: Town) -> None:
    door = town.door()
    await door.enrol(PROGRAM, "m-4")
    given = {"member": "m-4", "unit": "point", "amount": 10**15, "reason": "goodwill", "note": "n"}
    path = f"programs/{PROGRAM}/adjustments"
    await door.call("POST", path, given, 201, idempotency_key='"a-4"')
    assert (await door.call("POST", path, given, 409, idempotency_key='"a-5"'))["code"] == "limit_reached"
    await door.call("POST", path, {**given, "amount": -1}, 201, idempotency_key='"a-6"')
    assert await door.available(PROGRAM, "m-4") == 10**15 - 1
    await town.prove()
