"""What counters show after a decision, over the tables: of whatever led there, all that counts is at hand."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from laurel.io.database import Database
from laurel.io.migrating import DatabaseUrls
from services.points.testing import note
from tests.points.stored import StoredTill, findings
from tests.points.till import document, enrolment, report

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["calendar_year", "rolling"])
async def till(request: pytest.FixtureRequest, database: Database) -> StoredTill:
    """A member who flies; its miles are counted by the year, or over the last twelve months."""
    plain = document("mileageplus", clock="wall")
    assert plain.tiers is not None
    tiers = plain.tiers.model_dump(mode="json", by_alias=True, exclude_none=True)
    if request.param == "rolling":
        tiers["counters"]["year_miles"].update(window="rolling", months=12)
    till = StoredTill(document("mileageplus", clock="wall", tiers=tiers))
    till.database = database
    till.at = datetime(2023, 6, 10, 18, tzinfo=UTC)
    await till.enrol()
    return till


async def fly(till: StoredTill, id_: str, miles: int, member: str = "m-1") -> list[dict[str, Any]]:
    activity = {"id": id_, "type": "flight", "occurred_at": till.at.isoformat(), "attributes": {"miles": miles}}
    return await till.send(report("mileageplus", member, activity, till.at))


def shown(said: list[dict[str, Any]], member: str = "m-1") -> int:
    """Return what the miles of the last standing that was told show."""
    told = [one["tier_standing"] for one in said if one["member"] == member and one["tier_standing"]]
    (value,) = [each["value"] for each in told[-1]["progress"] if each["counter"] == "year_miles"]
    return int(value)


async def test_a_match_shows_what_was_flown(till: StoredTill, database_urls: DatabaseUrls) -> None:
    assert shown(await fly(till, "f-1", 10_000)) == 10_000
    till.pass_time(days=20)
    said = await till.match("s-1", "gold", date(2023, 6, 1))
    assert [one["type"] for one in said] == ["tier.changed.v1"]
    assert shown(said) == 10_000
    assert await findings(database_urls) == []


async def test_a_return_of_a_merged_past_shows_what_the_survivor_has(
    till: StoredTill, database_urls: DatabaseUrls
) -> None:
    await till.send(enrolment("mileageplus", "m-2", till.at))
    await fly(till, "f-0", 3_000)
    await fly(till, "f-1", 10_000)
    await fly(till, "f-2", 4_000, "m-2")
    till.pass_time(days=20)
    common = {"at": till.at, "cause": {"kind": "merge", "id": "g"}, "versions": {"program": 1}}
    said = await till.send(note("member.merge_requested.v1", "mileageplus", "m-1", merge="g", into="m-2", **common))
    assert shown(said, "m-2") == 17_000
    till.at += timedelta(days=20)
    back = {"id": "r-1", "type": "return", "of": "f-1", "occurred_at": till.at.isoformat()}
    said = await till.send(report("mileageplus", "m-1", back, till.at))
    assert shown(said, "m-2") == 7_000
    till.at += timedelta(days=20)
    common = {**common, "at": till.at}
    said = await till.send(note("member.unmerge_requested.v1", "mileageplus", "m-1", merge="u", into="m-2", **common))
    assert shown(said, "m-2") == 4_000
    assert await findings(database_urls) == []


async def test_a_birthday_counts_to_what_is_there(till: StoredTill, database_urls: DatabaseUrls) -> None:
    plain = document("mileageplus", clock="wall")
    gift = {"rule": "gift", "on": ["birthday"], "unit": "qualifying_mile", "fixed": {"points": 1000}}
    rules = [*(rule.model_dump(mode="json", by_alias=True, exclude_none=True) for rule in plain.earning), gift]
    attributes = plain.attributes.model_dump(mode="json")
    attributes["member"]["born"] = "text"
    other = StoredTill(
        document(
            "mileageplus", clock="wall", program="celebrating", earning=rules, attributes=attributes, birthdays={},
            tiers=till_tiers(till),
        )
    )  # fmt: skip
    other.database, other.at = till.database, till.at
    await other.enrol(attributes={"born": "1990-07-01"})
    activity = {"id": "f-1", "type": "flight", "occurred_at": other.at.isoformat(), "attributes": {"miles": 24_500}}
    await other.report(activity)
    other.pass_time(days=30)
    said = await other.send(
        note("hold.release_requested.v1", "celebrating", "m-1", at=other.at, hold="h", redemption="h")
    )
    assert shown(said) == 25_500
    assert "tier.changed.v1" in [one["type"] for one in said]
    assert await findings(database_urls) == []


def till_tiers(till: StoredTill) -> Any:
    program = till.programs.version("mileageplus", 1)
    assert program is not None
    assert program.document.tiers is not None
    return program.document.tiers.model_dump(mode="json", by_alias=True, exclude_none=True)
