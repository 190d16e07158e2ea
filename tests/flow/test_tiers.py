"""Tiers through real processes: a lift, what reads show, a match that is asked for twice, and a quote."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from laurel.program.reading import read_yaml
from tests.flow.stage import BOUGHT_AT, NOW, Door, Town

pytestmark = pytest.mark.anyio

PROGRAM = "mileageplus"
_DOCUMENT: Any = read_yaml((Path(__file__).parents[2] / "programs" / f"{PROGRAM}.yaml").read_text(encoding="utf-8"))
DATED = (NOW - timedelta(days=40)).date().isoformat()


@pytest.fixture(scope="module")
async def town(town: Town) -> Town:
    await town.door().publish(json.loads(json.dumps({**_DOCUMENT, "clock": "wall"}, default=str)))
    return town


def flight(id_: str, member: str, miles: int) -> dict[str, Any]:
    return {"id": id_, "type": "flight", "member": member, "occurred_at": BOUGHT_AT, "attributes": {"miles": miles}}


async def tier_of(door: Door, member: str) -> dict[str, Any]:
    shown: dict[str, Any] = (await door.call("GET", f"programs/{PROGRAM}/members/{member}"))["tier"]
    return shown


async def test_a_flight_lifts_and_every_read_shows_it(town: Town) -> None:
    door = town.door()
    await door.enrol(PROGRAM, "m-1")
    assert (await tier_of(door, "m-1"))["name"] == "member"
    quoted = await door.call("POST", f"programs/{PROGRAM}/quotes", flight("q", "m-1", 1000))
    assert [(award["rule"], award["amount"]) for award in quoted["awards"]] == [("base", 1000)]
    said = await door.report(PROGRAM, flight("f-1", "m-1", 25000))
    assert said["tier"] == {"name": "silver", "changed": True}
    assert [award["rule"] for award in said["awards"]] == ["base"]
    shown = await tier_of(door, "m-1")
    assert shown["name"] == "silver"
    assert shown["since"] is not None
    assert shown["until"].endswith("-12-31")
    assert shown["benefits"] == [{"name": "priority-boarding", "value": None}]
    assert shown["progress"][0]["value"] == 25000
    assert shown["progress"][0]["next"] == {"tier": "gold", "needs": 50000}
    quoted = await door.call("POST", f"programs/{PROGRAM}/quotes", {**flight("q", "m-1", 1000), "occurred_at": _NOW})
    assert [(award["rule"], award["amount"]) for award in quoted["awards"]] == [("base", 1000), ("tier-bonus", 250)]
    back = {"id": "r-1", "type": "return", "of": "f-1", "member": "m-1", "occurred_at": BOUGHT_AT}
    assert (await door.report(PROGRAM, back))["tier"] == {"name": "member", "changed": True}
    assert (await tier_of(door, "m-1"))["progress"][0]["value"] == 0
    await town.prove()


_NOW = NOW.isoformat()


async def test_a_rivals_tier_is_matched_once(town: Town) -> None:
    door = town.door()
    await door.enrol(PROGRAM, "m-2")
    path = f"programs/{PROGRAM}/members/m-2/status-match"
    asked = {"tier": "gold", "evidence": {"issuer": "rival", "dated": DATED}}
    answer = await door.ask("POST", path, asked, idempotency_key='"k-1"')
    assert answer.status_code == 201, answer.text
    matched = answer.json()
    assert (matched["tier"], matched["challenge"]["counter"], matched["challenge"]["needs"]) == (
        "gold",
        "year_miles",
        12500,
    )
    assert matched["challenge"]["until"] == matched["until"]
    assert (await tier_of(door, "m-2"))["name"] == "gold"
    assert await door.call("GET", answer.headers["location"].removeprefix("/v1/")) == matched
    again = await door.ask("POST", path, asked, idempotency_key='"k-1"')
    assert (again.status_code, again.json()) == (200, matched)
    other = await door.ask("POST", path, {**asked, "tier": "platinum"}, idempotency_key='"k-1"')
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    refused = await door.ask("POST", path, {**asked, "tier": "platinum"})
    assert (refused.status_code, refused.json()["code"]) == (409, "match_limit")
    late = {"tier": "gold", "evidence": {"issuer": "rival", "dated": "2019-01-01"}}
    await door.enrol(PROGRAM, "m-3")
    refused = await door.ask("POST", f"programs/{PROGRAM}/members/m-3/status-match", late)
    assert (refused.status_code, refused.json()["code"]) == (409, "proof_expired")
    unknown = await door.ask("POST", path, {**asked, "tier": "tin"})
    assert (unknown.status_code, unknown.json()["errors"][0]["pointer"]) == (422, "/tier")
    nobody = await door.ask("POST", f"programs/{PROGRAM}/members/nobody/status-match", asked)
    assert (nobody.status_code, nobody.json()["code"]) == (404, "member_unknown")
    await town.prove()


async def test_only_a_key_that_may_adjust_says_what_keeps_a_match(town: Town) -> None:
    admin = town.door()
    await admin.enrol(PROGRAM, "m-4")
    await admin.call("PUT", "partners/acme", {"name": "Acme"}, 201)
    path = f"programs/{PROGRAM}/members/m-4/status-match"
    asked = {
        "tier": "gold",
        "evidence": {"issuer": "rival", "dated": DATED},
        "challenge": {"counter": "year_miles", "needs": 100},
    }
    for scopes, status in ((["members"], 403), (["members", "adjust"], 201)):
        made = await admin.call("POST", "partners/acme/keys", {"scopes": scopes, "programs": [PROGRAM]}, 201)
        answer = await town.door(secret=made["secret"]).ask("POST", path, asked)
        assert answer.status_code == status, answer.text
    assert answer.json()["challenge"]["needs"] == 100
    said = await admin.report(PROGRAM, flight("f-4", "m-4", 500))
    # The flight happened before the match, so it does not count for it.
    assert said["tier"] == {"name": "gold", "changed": False}
    await town.prove()
