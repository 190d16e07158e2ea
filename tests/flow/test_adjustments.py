"""Points by a person's decision, through real processes: limits, approval, and the operator's own errors."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.flow.stage import Door, Town, giving_back, grocery, purchase

pytestmark = pytest.mark.anyio

PROGRAM = "grocery"
PATH = f"programs/{PROGRAM}/adjustments"


@pytest.fixture(scope="module")
async def town(town: Town) -> Town:
    door = town.door()
    await door.publish(grocery(PROGRAM))
    await door.call("PUT", "partners/acme", {"name": "Acme"}, 201)
    return town


async def clerk(town: Town, limit: int | None, *scopes: str) -> Door:
    limits = {"limits": {"adjust": limit}} if limit is not None else {}
    key = {"scopes": list(scopes or ("adjust", "read", "earn", "redeem", "members")), "programs": [PROGRAM], **limits}
    return town.door(secret=(await town.door().call("POST", "partners/acme/keys", key, 201))["secret"])


async def adjust(door: Door, key: str, expect: int = 201, **body: Any) -> Any:
    whole = {"unit": "point", "reason": "goodwill", "note": f"Note of {key}", **body}
    return await door.call("POST", PATH, whole, expect, idempotency_key=f'"{key}"')


async def test_goodwill_up_to_the_limit_and_beyond(town: Town) -> None:
    junior, senior = await clerk(town, 100), await clerk(town, 1000)
    await junior.enrol(PROGRAM, "m-1")
    given = await adjust(junior, "k-1", member="m-1", amount=100)
    assert (given["state"], given["amount"], given["balances"][0]["available"]) == ("posted", 100, 100)
    shown = await junior.call("GET", f"{PATH}/{given['adjustment']}")
    assert shown == {**given, "note": "Note of k-1"}
    again = await adjust(junior, "k-1", 200, member="m-1", amount=100)
    assert again["adjustment"] == given["adjustment"]

    refused = await adjust(junior, "k-2", 409, member="m-1", amount=500)
    assert refused["code"] == "needs_approval"
    waiting = f"{PATH}/{refused['adjustment']}"
    assert (await junior.call("GET", waiting))["state"] == "waiting"
    assert (await junior.call("POST", f"{waiting}/approve", None, 409))["code"] == "needs_approval"
    answers = await asyncio.gather(*(senior.ask("POST", f"{waiting}/approve") for _ in range(3)))
    assert {answer.status_code for answer in answers} == {200}
    assert await senior.available(PROGRAM, "m-1") == 600
    assert (await senior.call("GET", waiting))["state"] == "posted"
    assert (await senior.call("POST", f"{waiting}/reject", None, 409))["code"] == "adjustment_decided"

    refused = await adjust(junior, "k-3", 409, member="m-1", amount=-200)
    rejected = await senior.call("POST", f"{PATH}/{refused['adjustment']}/reject", {})
    assert (rejected["state"], rejected["waiting"]) == ("rejected", 0)
    short = await adjust(senior, "k-4", 409, member="m-1", amount=-601)
    assert (short["code"], short["available"], short["shortfall"]) == ("insufficient_points", 600, 1)
    taken = await adjust(senior, "k-5", member="m-1", amount=-600)
    assert taken["balances"][0]["lifetime"]["adjusted"] == 0
    statement = await senior.call("GET", f"programs/{PROGRAM}/members/m-1/statement")
    assert "Note of" not in str(statement), "a note is nobody else's business"
    await town.prove()


@pytest.mark.parametrize(
    ("case", "posted", "spent", "reported_by", "figures", "available"),
    [
        ("a", 10_000, 5_000, "operator", (5_000, 4_900, 0, 0), 0),
        ("b", 10_000, 0, "member", (9_900, 0, 0, 300), 400),
        ("c", 30_000, 25_000, "operator", (5_000, 10_000, 14_900, 0), 0),
    ],
)
async def test_bk_6(
    town: Town,
    case: str,
    posted: int,
    spent: int,
    reported_by: str,
    figures: tuple[int, int, int, int],
    available: int,
) -> None:
    door = await clerk(town, None)
    member = f"bk-6-{case}"
    await door.enrol(PROGRAM, member)
    await door.report(PROGRAM, purchase(f"wrong-{case}", member, posted * 100))
    if spent:
        body = {"member": member, "unit": "point", "amount": spent, "reference": "r"}
        held = await door.call("POST", f"programs/{PROGRAM}/holds", body, 201, idempotency_key=f'"{case}"')
        await door.call("POST", f"programs/{PROGRAM}/holds/{held['hold']}/capture", {})
    corrects = {"id": f"wrong-{case}", "should_be": 100, "reported_by": reported_by}
    said = await door.call(
        "POST", PATH, {"member": member, "unit": "point", "corrects": corrects}, 201, idempotency_key=f'"c-{case}"'
    )
    assert (said["reversed"], said["written_off"], said["waiting"], said["bonus"]) == figures
    balance = await door.balance(PROGRAM, member)
    assert (balance["available"], balance["owed"]) == (available, 0)
    again = await door.call(
        "POST", PATH, {"member": member, "unit": "point", "corrects": corrects}, 409, idempotency_key=f'"d-{case}"'
    )
    assert again["code"] == "already_corrected"
    if said["waiting"]:
        approved = await door.call("POST", f"{PATH}/{said['adjustment']}/approve", {})
        assert (approved["waiting"], approved["owed"]) == (0, 14_900)
        assert (await door.balance(PROGRAM, member))["owed"] == 14_900
    # What still stands comes back with the purchase, and no more.
    back = await door.report(PROGRAM, giving_back(f"back-{case}", f"wrong-{case}"))
    assert sum(each["amount"] for each in back["reversals"]) == 100
    await town.prove()


async def test_who_may_adjust_what(town: Town) -> None:
    door = await clerk(town, None)
    await door.enrol(PROGRAM, "m-9")
    given = await adjust(door, "k-9", member="m-9", amount=1)
    path = f"{PATH}/{given['adjustment']}"
    reader = await clerk(town, None, "read")
    assert (await reader.call("GET", path))["amount"] == 1
    assert (await reader.call("POST", f"{path}/approve", {}, 403))["code"] == "scope_missing"
    assert (await adjust(reader, "k-10", 403, member="m-9", amount=1))["code"] == "scope_missing"
    admin = town.door()
    await admin.call("PUT", "partners/rival", {"name": "Rival"}, 201)
    key = {"scopes": ["adjust", "read"], "programs": [PROGRAM]}
    rival = town.door(secret=(await admin.call("POST", "partners/rival/keys", key, 201))["secret"])
    assert (await rival.call("GET", path, None, 404))["code"] == "adjustment_unknown"
    assert (await rival.call("POST", f"{path}/reject", {}, 404))["code"] == "adjustment_unknown"
    unknown = await door.call(
        "POST",
        PATH,
        {"member": "m-9", "unit": "point", "corrects": {"id": "no-such", "should_be": 1}},
        404,
        idempotency_key='"k-11"',
    )
    assert unknown["code"] == "activity_unknown"
