"""Exports hold what events told: tiers, counters, segments and households, activities, and the catalogue."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import datetime
from typing import Any

import pytest

from tests.flow.living import AIR, CLUB, EVERYWHERE, SHOP, live
from tests.flow.stage import Door, Town

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def town(town: Town) -> Town:
    await live(town.door())
    await town.prove()
    return town


async def exported(door: Door, program: str, kind: str) -> list[dict[str, Any]]:
    answer = await door.http.get(f"/v1/programs/{program}/exports/{kind}")
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


async def told_of_members(town: Town, program: str) -> dict[str, dict[str, Any]]:
    """Fold what events said, as a follower of the topic does: of each member by the versions of its wallet."""
    rows = await town.rows(
        "select convert_from(event, 'UTF8') from gateway.events where program = $1 order by member, sequence", program
    )
    said: dict[str, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
    for (row,) in rows:
        data = json.loads(row)["data"]
        for each in (data, *data.get("wallets", ())):
            if "version" in each and each.get("member"):
                said[each["member"]].append((each["version"], each))
    return {member: fold([each for _, each in sorted(told, key=lambda one: one[0])]) for member, told in said.items()}


def fold(told: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {"tier_standing": None, "segments": [], "household": None, "balances": []}
    counters: dict[tuple[str, str, str], dict[str, Any]] = {}
    for each in told:
        found |= {name: each[name] for name in ("tier_standing", "segments") if each.get(name) is not None}
        found |= {"version": each["version"], "balances": each.get("balances", found["balances"])}
        for counter in each.get("counters", ()):
            counters[counter["rule"], counter["unit"], counter["from"]] = counter
        if "pooling" in each:
            home = {name: each[name] for name in ("household", "members", "pooling")}
            found["household"] = home if home["members"] else None
    return {**found, "counters": [counters[name] for name in sorted(counters)]}


async def test_members_stand_as_events_left_them(town: Town) -> None:
    door = town.door()
    seen: dict[str, set[str]] = defaultdict(set)
    for program in EVERYWHERE:
        told = await told_of_members(town, program)
        rows = await exported(door, program, "members")
        assert {row["member"] for row in rows} == set(told)
        for row in rows:
            expected = told[row["member"]]
            if expected["tier_standing"] is None and program == AIR:
                expected["tier_standing"] = row["tier_standing"]
                assert row["tier_standing"]["name"] == "member"
            assert {name: row[name] for name in expected} == expected, row["member"]
            seen[program] |= {name for name, value in row.items() if value}
    assert {"counters", "household", "balances", "version"} <= seen[SHOP]
    assert "tier_standing" in seen[AIR]
    assert "segments" in seen[CLUB]


async def test_activities_are_there_as_they_were_answered(town: Town) -> None:
    door = town.door()
    states = set()
    for program in EVERYWHERE:
        rows = await exported(door, program, "activities")
        known = await town.rows("select activity from points.activities where program = $1", program)
        assert sorted(row["activity"] for row in rows) == sorted(activity for (activity,) in known)
        for row in rows:
            shown = await door.call("GET", f"programs/{program}/activities/{row['activity']}")
            assert (row["state"], row["code"]) == (shown["state"], shown.get("code"))
            awards = [each for each in shown.get("awards", ()) if each["member"] == row["member"]]
            if row["of"] is None:
                assert [{**each, **award} for each, award in zip(row["awards"], awards, strict=True)] == awards
            states.add((row["type"], row["state"]))
            datetime.fromisoformat(row["occurred_at"])
    assert {("purchase", "posted"), ("return", "posted"), ("return", "refused"), ("flight", "posted")} <= states


async def test_the_catalogue_is_there_with_the_last_event_of_the_program(town: Town) -> None:
    door = town.door()
    rows = await exported(door, SHOP, "rewards")
    listed = (await door.call("GET", f"programs/{SHOP}/rewards"))["data"]
    assert [row["reward"] for row in rows] == sorted(each["reward"] for each in listed) == ["few", "off"]
    assert rows[0]["document"]["stock"] == 3
    number = await town.value(
        "select number from redemption.outbox_keys where program = $1 and member = '' and stream = ''", SHOP
    )
    for row in rows:
        ((topic, place),) = row["contains"].items()
        assert topic.endswith(".redemption.v1")
        assert (row["member"], place["sequence"]) == ("", number)
