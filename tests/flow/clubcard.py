"""The club card through the doors: members who shop, the turns of its clock, and the vouchers that come of it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from laurel.program.reading import read_yaml
from tests.flow.stage import Door, gather_bounded

CLUBCARD: Any = read_yaml((Path(__file__).parents[2] / "programs" / "clubcard.yaml").read_text("utf-8"))
# Clubs are judged each week, in transactions of their own: here it is a statement's that are counted.
del CLUBCARD["segments"]
BASE = "programs/clubcard"
FEBRUARY = "2021-02-01T00:00:00Z"


async def enrol(door: Door, *members: str) -> None:
    bodies = [{"member": member, "enrolled_at": "2020-01-01T00:00:00Z"} for member in members]
    deeds = [partial(door.call, "POST", f"{BASE}/members", body, 201) for body in bodies]
    await gather_bounded(deeds, 8)


async def buy(door: Door, id_: str, member: str, amount: int, at: str = "2021-01-10T10:00:00Z") -> Any:
    basket = {"id": id_, "type": "purchase", "member": member, "occurred_at": at, "currency": "GBP", "amount": amount}
    return await door.report("clubcard", basket)


async def turn(door: Door, as_of: str, expect: int = 200, **headers: str) -> Any:
    return await door.call("POST", f"{BASE}/clock", {"as_of": as_of}, expect, **headers)


async def vouchers_of(door: Door, member: str, state: str = "") -> list[dict[str, Any]]:
    wanted = f"&state={state}" if state else ""
    return list((await door.call("GET", f"{BASE}/vouchers?member={member}{wanted}"))["data"])


def basket(amount: int, reference: str = "till-1") -> dict[str, Any]:
    return {"reference": reference, "basket": {"amount": amount, "currency": "GBP"}}
