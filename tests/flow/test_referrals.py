"""A referral through real processes: both sides are credited, shown and rewound in one breath."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from laurel.program.reading import read_yaml
from tests.flow.stage import Door, Town

pytestmark = pytest.mark.anyio

PROGRAM = "bank-classes"
_FILE = Path(__file__).parents[2] / "programs" / "bank-classes.yaml"


@pytest.fixture(scope="module")
async def town(town: Town) -> Town:
    document: Any = json.loads(json.dumps(read_yaml(_FILE.read_text("utf-8")), default=str))
    await town.door().publish(document)
    return town


def paid(id_: str, member: str, **more: Any) -> dict[str, Any]:
    at = "2024-03-01T12:00:00+08:00"
    whole = {"id": id_, "type": "payment", "member": member, "occurred_at": at, "currency": "CNY", "amount": 100}
    return {**whole, **more}


async def enrol(door: Door, member: str, **more: Any) -> None:
    body = {"member": member, "enrolled_at": "2024-01-01T00:00:00Z", **more}
    await door.call("POST", f"programs/{PROGRAM}/members", body, 201)


async def test_both_sides_are_shown_with_the_answer(town: Town) -> None:
    door = town.door()
    await enrol(door, "m-1")
    await enrol(door, "f-1", referred_by="m-1")
    said = await door.report(PROGRAM, paid("p-1", "f-1"))
    assert [(award["member"], award["rule"], award["amount"]) for award in said["awards"]] == [
        ("f-1", "referred", 200),
        ("m-1", "referrer", 200),
    ]
    assert [await door.available(PROGRAM, member) for member in ("m-1", "f-1")] == [200, 200]
    again = await door.report(PROGRAM, paid("p-1", "f-1"), 200)
    assert again["awards"] == said["awards"]
    back = await door.report(PROGRAM, paid("r-1", "f-1", type="return", of="p-1"))
    assert [(each["rule"], each["taken"]) for each in back["reversals"]] == [("referred", 200), ("referrer", 200)]
    assert [await door.available(PROGRAM, member) for member in ("m-1", "f-1")] == [0, 0]
    await town.prove()


async def test_many_friends_pay_at_once(town: Town) -> None:
    door = town.door()
    await enrol(door, "m-2")
    friends = [f"g-{number}" for number in range(20)]
    await asyncio.gather(*(enrol(door, friend, referred_by="m-2") for friend in friends))
    said = await asyncio.gather(*(door.report(PROGRAM, paid(f"p-{friend}", friend)) for friend in friends))
    assert all(len(each["awards"]) == 2 for each in said)
    assert await door.available(PROGRAM, "m-2") == 4_000
    await town.prove()


async def test_who_is_unknown_refers_nobody(town: Town) -> None:
    door = town.door()
    body = {"member": "x-1", "referred_by": "nobody"}
    refused = await door.call("POST", f"programs/{PROGRAM}/members", body, 404)
    assert refused["code"] == "member_unknown"
    await enrol(door, "x-2")
    await door.report(PROGRAM, paid("s-1", "x-2", type="referral", referrer="x-2"))
    said = await door.report(PROGRAM, paid("p-x", "x-2"))
    assert said["awards"] == []
    await town.prove()
