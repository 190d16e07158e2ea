"""A town in which everything has happened that is shown of members: at a shop, in the air and in a club."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from laurel.program.reading import read_yaml
from tests.flow.stage import BOUGHT_AT, Door, giving_back, grocery, purchase, voucher

SHOP = "shop"
AIR = "air"
CLUB = "club"
EVERYWHERE = (SHOP, AIR, CLUB)
MEMBERS = [f"m-{number}" for number in range(8)]
_PROGRAMS = Path(__file__).parents[2] / "programs"


def shipped(name: str, program: str, **changes: Any) -> dict[str, Any]:
    """A program as it is shipped, under another name."""
    whole: Any = read_yaml((_PROGRAMS / f"{name}.yaml").read_text(encoding="utf-8"))
    document: dict[str, Any] = json.loads(json.dumps({**whole, "program": program, **changes}, default=str))
    return document


async def live(door: Door) -> None:
    """Let all of it happen."""
    await asyncio.gather(shop(door), fly(door), belong(door))


async def shop(door: Door) -> None:
    path = f"programs/{SHOP}"
    cap = {"cap": "year", "unit": "point", "window": "calendar_year", "limit": 1_000}
    await door.publish(grocery(SHOP, caps=[cap], transfers={"point": {}}))
    await door.call("PUT", f"{path}/rewards/off", voucher(10), 201)
    await door.call("PUT", f"{path}/rewards/few", voucher(20, stock=3), 201)
    await door.enrol(SHOP, *MEMBERS, "gone", "closed")
    for number, member in enumerate((*MEMBERS, "gone")):
        for turn in range(3):
            await door.report(SHOP, purchase(f"b-{number}-{turn}", member, 10_000 + number, produce=1_000))
    await door.report(SHOP, giving_back("back-whole", "b-0-0", "m-0"))
    await door.report(SHOP, giving_back("back-part", "b-1-0", "m-1", lines=[{"id": "2", "amount": 500}]))
    await door.report(SHOP, purchase("capped", "m-2", 200_000))
    await door.report(SHOP, giving_back("back-again", "b-0-0", "m-0"), 409)
    unclaimed = purchase("found", "", 4_000)
    del unclaimed["member"]
    await door.report(SHOP, unclaimed)
    await door.report(SHOP, {**unclaimed, "id": "nobodys"})
    await door.call("POST", f"{path}/activities/found/claim", {"member": "m-3"}, 201)

    held = [await hold(door, f"h-{number}", "m-4", 10 + number) for number in range(4)]
    await door.call("POST", f"{path}/holds/{held[0]}/capture", {"amount": 5})
    await door.call("POST", f"{path}/holds/{held[1]}/release", {})
    await hold(door, "h-short", "m-4", 1_000_000, 409)
    note = {"unit": "point", "reason": "goodwill", "note": "Sorry."}
    adjusted = {"member": "m-5", "amount": 50, **note}
    await door.call("POST", f"{path}/adjustments", adjusted, 201, idempotency_key='"a-1"')
    given = {"from": "m-5", "to": "m-6", "unit": "point", "amount": 30}
    await door.call("POST", f"{path}/transfers", given, 201, idempotency_key='"g-1"')
    await door.call("POST", f"{path}/transfers", {**given, "amount": 10**9}, 409, idempotency_key='"g-2"')
    await door.call("PUT", f"{path}/households/home", {"members": ["m-0", "m-1"]}, 201)

    for number in range(3):
        await door.redeem(SHOP, f"r-{number}", MEMBERS[number], "few")
    await door.redeem(SHOP, "r-sold-out", "m-3", "few", 409)
    taken = await door.redeem(SHOP, "r-taken", "m-4", "off")
    await door.call("POST", f"{path}/redemptions/{taken['redemption']}/cancel", {"by": "member", "reason": "x"})
    used = await door.redeem(SHOP, "r-used", "m-6", "off")
    pay = {"reference": "sale-1", "basket": {"amount": 9_000, "currency": "USD"}}
    await door.call("POST", f"{path}/vouchers/{used['vouchers'][0]['code']}/redeem", pay)

    await door.call("PATCH", f"{path}/members/m-1", {"person": "p-1"})
    await door.call("POST", f"{path}/members/closed/close", {})
    await door.call("POST", f"{path}/members/gone/erase", {})


async def hold(door: Door, key: str, member: str, amount: int, expect: int = 201) -> str:
    body = {"member": member, "unit": "point", "amount": amount, "reference": key}
    answer = await door.call("POST", f"programs/{SHOP}/holds", body, expect, idempotency_key=f'"{key}"')
    return str(answer["hold"])


async def fly(door: Door) -> None:
    """Tiers that rise and fall, and one that was matched."""
    await door.publish(shipped("mileageplus", AIR, clock="wall"))
    await door.enrol(AIR, "f-1", "f-2", "f-3")
    for number, (member, miles) in enumerate((("f-1", 30_000), ("f-1", 1_000), ("f-2", 60_000), ("f-3", 500))):
        flight = {"id": f"f-{number}", "type": "flight", "member": member, "occurred_at": BOUGHT_AT}
        await door.report(AIR, {**flight, "attributes": {"miles": miles}})
    await door.report(AIR, giving_back("f-back", "f-2", "f-2"))
    await door.call("POST", f"programs/{AIR}/members/f-3/merge", {"into": "f-1"}, 201, idempotency_key='"mg-1"')


async def belong(door: Door) -> None:
    """Segments that members enter and leave by a program's clock."""
    await door.publish(shipped("clubcard", CLUB))
    path = f"programs/{CLUB}"
    for number in range(10):
        body = {"member": f"c-{number}", "enrolled_at": "2023-01-10T12:00:00+00:00"}
        await door.call("POST", f"{path}/members", body, 201)
        bought = {"id": f"c-{number}", "type": "purchase", "member": body["member"], "currency": "GBP"}
        at = "2024-05-15T12:00:00+00:00"
        await door.report(CLUB, {**bought, "occurred_at": at, "amount": 520_000 - 30_000 * number})
    await door.call("POST", f"{path}/clock", {"as_of": "2025-01-01T00:00:00+00:00"})
    joining = {"type": "plus_opened", "occurred_at": "2025-02-01T12:00:00+00:00"}
    await door.report(CLUB, {"id": "plus", "member": "c-0", **joining})
    fruit = {"lines": [{"id": "1", "category": "FRUIT", "amount": 12_000}], "currency": "GBP", "amount": 12_000}
    at = "2025-02-20T12:00:00+00:00"
    await door.report(CLUB, {"id": "fruit", "type": "purchase", "member": "c-9", "occurred_at": at, **fruit})
    await door.call("POST", f"{path}/clock", {"as_of": "2025-03-02T00:00:00+00:00"})
