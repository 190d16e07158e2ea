"""Exports: every row, as its member's events told up to the one it names; whole while everybody is busy."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from functools import partial
from typing import Any

import pytest

from tests.flow.stage import Door, Town, gather_bounded, grocery, purchase, voucher

pytestmark = pytest.mark.anyio

PROGRAM = "exported"
MEMBERS = [f"m-{number:03}" for number in range(230)]


def with_tiers() -> dict[str, Any]:
    """A grocery that counts what is spent in a year: for a tier, and under a cap."""
    document = grocery(PROGRAM, caps=[{"cap": "year", "unit": "point", "window": "calendar_year", "limit": 10**6}])
    document["units"]["spent"] = {"scale": 2, "counts_only": True}
    document["earning"].append({"rule": "spent", "on": ["purchase"], "unit": "spent", "rate": {"points": 1, "per": 1}})
    document["tiers"] = {
        "counters": {"year": {"unit": "spent", "window": "calendar_year"}},
        "levels": [{"tier": "member"}, {"tier": "silver", "needs": {"year": 4_500}}],
        "lasts": {"kind": "end_of_period", "period": "year", "after": 1},
    }
    return document


@pytest.fixture(scope="module")
async def town(town: Town) -> Town:
    door = town.door()
    await door.publish(with_tiers())
    await door.call("PUT", f"programs/{PROGRAM}/rewards/off", voucher(5), 201)
    await gather_bounded([partial(door.enrol, PROGRAM, member) for member in MEMBERS], 8)
    lines = [purchase(f"b-{number}", MEMBERS[number % len(MEMBERS)], 2_000) for number in range(2 * len(MEMBERS))]
    place = await door.send_batch(PROGRAM, lines)

    async def is_done() -> bool:
        return bool((await door.call("GET", place))["state"] == "done")

    await town.until(is_done, "the file to be done")
    for number, member in enumerate(MEMBERS[:20]):
        await door.redeem(PROGRAM, f"r-{number}", member, "off")
    await town.prove()
    return town


async def exported(door: Door, kind: str, cursor: str = "") -> list[dict[str, Any]]:
    answer = await door.http.get(f"/v1/programs/{PROGRAM}/exports/{kind}", params={"cursor": cursor})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_everything_is_there_once_and_in_the_order_of_members(town: Town) -> None:
    door = town.door()
    counted = {
        "members": "select count(*) from points.wallets where program = $1",
        "lots": "select count(*) from points.lots where program = $1",
        "journals": "select count(*) from points.journals where program = $1 and member <> ''",
        "redemptions": "select count(*) from redemption.sagas where program = $1",
        "activities": "select count(*) from points.activities where program = $1",
        "vouchers": "select count(*) from redemption.vouchers where program = $1",
        "rewards": "select count(*) from redemption.rewards where program = $1",
    }
    for kind, query in counted.items():
        rows = await exported(door, kind)
        assert len(rows) == await town.value(query, PROGRAM) > 0
        assert [row["member"] for row in rows] == sorted(row["member"] for row in rows)
    member = (await exported(door, "members"))[0]
    shown = await door.call("GET", f"programs/{PROGRAM}/members/{member['member']}")
    assert member["balances"][0]["available"] == shown["balances"][0]["available"]
    assert member["balances"][0]["lifetime"] == shown["balances"][0]["lifetime"]
    lots = await exported(door, "lots")
    shown = await door.call("GET", f"programs/{PROGRAM}/members/{lots[0]['member']}/lots")
    assert {**lots[0], **shown["data"][0]} == lots[0]
    journals = [row for row in await exported(door, "journals") if row["member"] == MEMBERS[0]]
    shown = await door.call("GET", f"programs/{PROGRAM}/members/{MEMBERS[0]}/statement")
    with_entries = [row for row in journals if row["entries"]]
    assert [{**row, **each} == row for row, each in zip(with_entries, reversed(shown["data"]), strict=True)]
    (reward,) = await exported(door, "rewards")
    assert reward["document"] == {"reward": "off", **reward["document"], "price": 5, "unit": "point"}
    vouchers = await exported(door, "vouchers")
    assert all("code" not in row and row["suffix"] for row in vouchers)


async def test_what_broke_off_begins_again_at_its_member(town: Town) -> None:
    door = town.door()
    whole = await exported(door, "lots")
    for place in (0, 1, 99, 100, 101, 251, len(whole) - 1):
        row = whole[place]
        first = next(number for number, each in enumerate(whole) if each["member"] == row["member"])
        assert await exported(door, "lots", row["cursor"]) == whole[first:]


async def test_rows_are_what_the_events_told_up_to_the_one_they_name(town: Town) -> None:
    """While baskets are reported: of each row, the balances are those of the very event that it names."""
    door = town.door()
    ended = asyncio.Event()

    async def shop() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            await door.report(PROGRAM, purchase(f"busy-{number}", MEMBERS[number % len(MEMBERS)], 1_000 + number))

    shopping = asyncio.create_task(shop())
    exports = [await exported(door, "members") for _ in range(3)]
    lots = await exported(door, "lots")
    ended.set()
    await shopping
    await town.prove()
    told = {
        (row[0], row[1], row[2]): json.loads(row[3])["data"]
        for row in await town.rows(
            "select member, source, sequence, convert_from(event, 'UTF8') from gateway.events where program = $1",
            PROGRAM,
        )
    }
    (topic,) = exports[0][0]["contains"]
    assert topic.endswith(".points.v1")
    # Not every event moves the tier or a counter, so of these the last that was said counts.
    said: dict[tuple[Any, ...], dict[str, Any]] = {}
    standing: dict[str, dict[str, Any]] = defaultdict(lambda: {"tier_standing": None, "counters": []})
    for place in sorted(told):
        moved = {name: told[place][name] for name in ("tier_standing", "counters") if told[place].get(name)}
        standing[place[0]] = said[place] = {**standing[place[0]], **moved}
    tiers = set()
    for row in [row for rows in exports for row in rows]:
        place = row["contains"][topic]
        event = told[row["member"], place["source"], place["sequence"]]
        assert row["version"] == event["version"]
        assert row["balances"] == event["balances"]
        assert {name: row[name] for name in ("tier_standing", "counters")} == said[
            row["member"], place["source"], place["sequence"]
        ]
        tiers.add(row["tier_standing"]["name"])
    assert tiers == {"member", "silver"}
    remaining: dict[str, int] = defaultdict(int)
    for row in lots:
        remaining[row["member"]] += row["remaining"]
    for row in lots:
        place = row["contains"][topic]
        event = told[row["member"], place["source"], place["sequence"]]
        assert remaining[row["member"]] == event["balances"][0]["available"]


async def test_only_an_admin_exports_and_only_what_there_is(town: Town) -> None:
    door = town.door()
    path = f"programs/{PROGRAM}/exports"
    await door.call("PUT", "partners/acme", {}, 201)
    made = await door.call("POST", "partners/acme/keys", {"scopes": ["read"], "programs": [PROGRAM]}, 201)
    reader = town.door(secret=made["secret"])
    refused = await reader.call("GET", f"{path}/members", expect=403)
    assert refused["code"] == "scope_missing"
    unknown = await door.call("GET", f"{path}/secrets", expect=404)
    assert unknown["code"] == "not_found"
    wrong = await door.call("GET", f"{path}/members?cursor=%21", expect=422)
    assert wrong["errors"][0]["pointer"] == "/query/cursor"
