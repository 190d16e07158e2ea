"""Partners of a coalition through real processes: vetted, suspended, and paying in advance (CO-4, CO-6, CO-7)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from laurel.program.reading import read_yaml
from tests.flow.stage import Door, Town, voucher

pytestmark = pytest.mark.anyio

PROGRAM = "coalition"
_FILE = Path(__file__).parents[2] / "programs" / "coalition.yaml"
NOON = "2024-05-10T12:00:00-05:00"
SCORES = ("brand_fit", "customers", "information_system", "service", "database_marketing")


async def coalition(door: Door, program: str, *partners: str) -> None:
    """A coalition of its own, on a clock that stands at noon of 11 May 2024."""
    plain: Any = read_yaml(_FILE.read_text("utf-8"))
    document: Any = json.loads(json.dumps({**plain, "program": program}, default=str))
    await door.publish(document)
    for partner in partners:
        await door.ask("PUT", f"partners/{partner}", {"name": partner})
    await _enrol(door, program, "m-1")
    await door.call("POST", f"programs/{program}/clock", {"as_of": "2024-05-11T12:00:00-05:00"})


def bought(id_: str, partner: str, amount: int, at: str = NOON, member: str = "m-1") -> dict[str, Any]:
    return {
        "id": id_,
        "type": "purchase",
        "member": member,
        "occurred_at": at,
        "currency": "USD",
        "amount": amount,
        "partner": partner,
    }


async def miles(door: Door, program: str, member: str = "m-1") -> tuple[int, int]:
    shown = await door.call("GET", f"programs/{program}/members/{member}")
    found = [(each["available"], each["pending"]) for each in shown["balances"]]
    return found[0] if found else (0, 0)


async def test_a_block_that_is_used_up_and_topped_up(town: Town, door: Door) -> None:
    program = "co-4"
    await coalition(door, program, "shop")
    path = f"programs/{program}/partners/shop"
    joined = await door.call("PUT", path, {"state": "approved", "billing": "prepaid"}, 201)
    assert (joined["state"], joined["billing"]) == ("approved", "prepaid")
    first = {"unit": "mile", "units": 100_000, "amount": 200_000, "currency": "USD", "reference": "INV 1/2024"}
    paid = await door.call("POST", f"{path}/blocks", first, 201)
    assert paid["block"] == {"unit": "mile", "units": 100_000, "used": 0, "left": 100_000}
    await door.report(program, bought("before", "shop", 9_995_000))

    answer = await door.ask("POST", f"programs/{program}/activities", bought("a", "shop", 9_999))
    assert answer.status_code == 202, answer.text
    assert (answer.json()["state"], answer.json()["reason"]) == ("pending", "pending_funding")
    where = answer.headers["location"].removeprefix("/v1/")
    waits = await door.call("GET", where)
    assert (waits["state"], waits["awards"][0]["amount"], waits["awards"][0]["state"]) == ("pending", 99, "pending")
    assert await miles(door, program) == (99_950, 99)
    await town.prove()
    again = await door.ask("POST", f"programs/{program}/activities", bought("a", "shop", 9_999))
    assert (again.status_code, again.json()["reason"]) == (202, "pending_funding")
    lots = (await door.call("GET", f"programs/{program}/members/m-1/lots"))["data"]
    assert [(lot["state"], lot["granted"], lot["remaining"]) for lot in lots][1] == ("pending", 99, 0)

    second = {"unit": "mile", "units": 10_000, "amount": 20_000, "currency": "USD", "reference": "INV 2/2024"}
    paid = await door.call("POST", f"{path}/blocks", second, 201)
    assert paid["block"]["left"] == 9_951
    assert await miles(door, program) == (100_049, 0)
    posted = await door.call("GET", where)
    assert (posted["state"], posted["awards"][0]["amount"], posted["awards"][0]["state"]) == ("posted", 99, "available")
    assert (await door.call("GET", path))["block"]["left"] == 9_951

    same = await door.ask("POST", f"{path}/blocks", second)
    assert (same.status_code, same.headers["idempotency-replayed"]) == (200, "true")
    other = await door.call("POST", f"{path}/blocks", {**second, "units": 1}, 422)
    assert other["code"] == "idempotency_mismatch"
    beyond = {**first, "units": 10**15, "reference": "too much"}
    assert (await door.call("POST", f"{path}/blocks", beyond, 409))["code"] == "limit_reached"
    assert (await door.call("GET", path))["block"] == {"unit": "mile", "units": 110_000, "used": 100_049, "left": 9_951}
    await town.prove()


async def test_fifty_tills_share_a_block(town: Town, door: Door) -> None:
    program = "co-50"
    await coalition(door, program, "shop")
    path = f"programs/{program}/partners/shop"
    await door.call("PUT", path, {"billing": "prepaid"}, 201)
    paid = {"unit": "mile", "units": 1_000, "amount": 2_000, "currency": "USD", "reference": "a"}
    await door.call("POST", f"{path}/blocks", paid, 201)
    members = [f"w-{number}" for number in range(50)]
    await asyncio.gather(*(_enrol(door, program, member) for member in members))
    path_in = f"programs/{program}/activities"
    asked = [door.ask("POST", path_in, bought(f"p-{member}", "shop", 3_000, member=member)) for member in members]
    answers = await asyncio.gather(*asked)
    assert sorted(answer.status_code for answer in answers) == [201] * 33 + [202] * 17
    assert (await door.call("GET", path))["block"]["left"] == 10
    await door.call("POST", f"{path}/blocks", {**paid, "units": 500, "reference": "b"}, 201)
    found = await asyncio.gather(*(miles(door, program, member) for member in members))
    assert found == [(30, 0)] * 50
    assert (await door.call("GET", path))["block"] == {"unit": "mile", "units": 1_500, "used": 1_500, "left": 0}
    await town.prove()


async def test_a_file_is_not_held_up_by_what_waits_for_a_block(town: Town, door: Door) -> None:
    program = "co-file"
    await coalition(door, program, "shop")
    path = f"programs/{program}/partners/shop"
    await door.call("PUT", path, {"billing": "prepaid"}, 201)
    where = await door.send_batch(program, [bought(f"l-{number}", "shop", 1_000) for number in range(20)])

    async def waits() -> bool:
        shown = await door.call("GET", where)
        return bool(shown["pending"] == 20 and (await miles(door, program))[1] == 200)

    await town.until(waits, "all lines to wait")
    paid = {"unit": "mile", "units": 200, "amount": 400, "currency": "USD", "reference": "a"}
    await door.call("POST", f"{path}/blocks", paid, 201)

    async def done() -> bool:
        shown = await door.call("GET", where)
        return bool(shown["state"] == "done" and shown["posted"] == 20)

    await town.until(done, "the file to be done")
    assert (await door.call("GET", where))["awarded"] == [{"unit": "mile", "amount": 200}]
    await town.prove()


@pytest.mark.parametrize(
    ("scores", "state", "vetting"),
    [
        ((4, 4, 3, 4, 3), "approved", (18, True, [])),
        ((5, 5, 5, 5, 2), "applicant", (22, False, ["database_marketing_below_3"])),
        ((3, 3, 3, 3, 3), "applicant", (15, False, ["total_below_18"])),
    ],
)
async def test_applicants_are_vetted(
    door: Door, scores: tuple[int, ...], state: str, vetting: tuple[int, bool, list[str]]
) -> None:
    """CO-6."""
    program = f"co-6-{vetting[0]}"
    await coalition(door, program, "shop")
    path = f"programs/{program}/partners/shop"
    joined = await door.call("PUT", path, {"scores": dict(zip(SCORES, scores, strict=True))}, 201)
    assert joined["state"] == state
    assert joined["vetting"] == dict(zip(("total", "passed", "reasons"), vetting, strict=True))
    answer = await door.ask("POST", f"programs/{program}/activities", bought("a", "shop", 1_000))
    assert answer.status_code == (201 if state == "approved" else 409)
    if state == "applicant":
        assert answer.json()["code"] == "partner_not_active"
        # Nobody is approved against its scores; with better ones, what was refused is judged again.
        assert (await door.call("PUT", path, {"state": "approved"}))["state"] == "applicant"
        better = {"scores": dict.fromkeys(SCORES, 4), "since": "2024-01-01T00:00:00Z"}
        assert (await door.call("PUT", path, better))["state"] == "approved"
        await door.report(program, bought("a", "shop", 1_000))


async def test_a_suspension_dates_back(town: Town, door: Door) -> None:
    """CO-7: both purchases are sent on 11 May."""
    program = "co-7"
    await coalition(door, program, "restaurant")
    path = f"programs/{program}/partners/restaurant"
    await door.call("PUT", path, {"state": "approved", "since": "2024-01-01T00:00:00-06:00"}, 201)
    suspended = await door.call("PUT", path, {"state": "suspended", "since": NOON})
    assert suspended["state"] == "suspended"
    posted = await door.report(program, bought("a", "restaurant", 4_550, "2024-05-10T11:59:00-05:00"))
    assert posted["awards"][0]["amount"] == 136
    refused = await door.report(program, bought("b", "restaurant", 4_550), 409)
    assert refused["code"] == "partner_not_active"
    early = await door.report(program, bought("c", "restaurant", 4_550, "2023-12-31T12:00:00-06:00"), 409)
    assert early["code"] == "partner_not_active"
    # The refusal is not kept: once the suspension is lifted the same request is judged again.
    await door.call("PUT", path, {"state": "approved", "since": NOON})
    assert (await door.report(program, bought("b", "restaurant", 4_550)))["awards"][0]["amount"] == 136
    await town.prove()


async def test_nothing_is_spent_with_a_partner_that_is_away(town: Town, door: Door) -> None:
    """What was set aside before is still paid with; what was refused is judged again once the partner is back."""
    program = "co-away"
    await coalition(door, program, "hotel", "shop")
    path = f"programs/{program}/partners/hotel"
    await door.call("PUT", f"programs/{program}/rewards/night", voucher(100, unit="mile", partner="hotel"), 201)
    await door.report(program, bought("a", "shop", 30_000))
    assert await miles(door, program) == (300, 0)

    async def hold(key: str, expect: int, partner: str = "hotel") -> Any:
        body = {"member": "m-1", "unit": "mile", "amount": 50, "partner": partner, "reference": key}
        return await door.call("POST", f"programs/{program}/holds", body, expect, idempotency_key=f'"{key}"')

    async def said(**of_whom: str) -> Any:
        query = "&".join(f"{name}={value}" for name, value in of_whom.items())
        (night,) = (await door.call("GET", f"programs/{program}/rewards?{query}"))["data"]
        return night["reasons"]

    async def quoted() -> Any:
        wish = {"member": "m-1", "reward": "night"}
        quote = await door.call("POST", f"programs/{program}/redemptions/quote", wish)
        return quote["eligible"], quote["reasons"]

    held = await hold("before", 201)
    assert (await said(member="m-1"), await quoted()) == ([], (True, []))
    await door.call("PUT", path, {"state": "suspended", "since": NOON}, 201)
    assert await said(member="m-1") == await said(on="2024-03-20") == ["partner_not_active"]
    assert await quoted() == (False, ["partner_not_active"])
    assert (await hold("away", 409))["code"] == "partner_not_active"
    assert (await door.redeem(program, "r-1", "m-1", "night", 409))["code"] == "partner_not_active"
    assert await miles(door, program) == (250, 0)
    await hold("elsewhere", 201, "shop")
    await door.call("POST", f"programs/{program}/holds/{held['hold']}/capture", {})
    await door.call("PUT", path, {"state": "approved", "since": NOON})
    assert (await said(member="m-1"), await quoted()) == ([], (True, []))
    await hold("away", 201)
    assert (await door.redeem(program, "r-1", "m-1", "night"))["state"] == "fulfilled"
    assert await miles(door, program) == (50, 0)
    await town.prove()


async def test_the_same_terms_again_are_no_new_version(town: Town, door: Door) -> None:
    program = "co-same"
    await coalition(door, program, "shop", "hotel")
    path = f"programs/{program}/partners/shop"
    terms = {"state": "approved", "since": "2024-01-01T00:00:00Z", "billing": "netting"}
    first = await door.call("PUT", path, terms, 201)
    assert await door.call("PUT", path, terms, 200) == first
    assert await door.call("PUT", path, {}, 200) == first
    versions = "select version, partner from gateway.partner_terms where program = $1 order by version"
    assert await town.rows(versions, program) == [(1, "shop")]
    assert await door.call("GET", path) == first
    assert (await door.call("GET", f"programs/{program}/partners/hotel", None, 404))["code"] == "not_found"
    assert (await door.call("PUT", f"programs/{program}/partners/nobody", {}, 404))["code"] == "partner_unknown"


async def test_a_copy_takes_the_terms_along(door: Door) -> None:
    program = "co-copied"
    await coalition(door, program, "shop")
    await door.call("PUT", f"programs/{program}/partners/shop", {"billing": "prepaid"}, 201)
    await door.call("POST", f"programs/{program}/copy", {"to": "co-copy"}, 201)
    shown = await door.call("GET", "programs/co-copy/partners/shop")
    assert (shown["state"], shown["billing"], shown.get("block")) == ("approved", "prepaid", None)
    await _enrol(door, "co-copy", "m-1")
    answer = await door.ask("POST", "programs/co-copy/activities", bought("a", "shop", 1_000))
    assert (answer.status_code, answer.json()["reason"]) == (202, "pending_funding")


async def _enrol(door: Door, program: str, member: str) -> None:
    body = {"member": member, "enrolled_at": "2024-01-01T00:00:00Z"}
    await door.call("POST", f"programs/{program}/members", body, 201)
