"""A coupon is credited once among the programs of a group, however often and at the same moment (CA-3)."""

import asyncio
from typing import Any

import asyncpg
import pytest

from laurel.io.database import Database
from laurel.io.migrating import DatabaseUrls
from services.points.road import Road
from services.points.testing import FixedPrograms
from tests.points.stored import StoredTill, findings
from tests.points.till import START, document, report

pytestmark = pytest.mark.anyio


@pytest.fixture
async def tills(database: Database) -> dict[str, StoredTill]:
    found = {}
    for name in ("companion", "worldperks", "aadvantage"):
        till = StoredTill(document(name))
        till.database = database
        await till.enrol()
        found[name] = till
    return found


def flight(id_: str, key: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": id_,
        "type": "flight",
        "occurred_at": START.isoformat(),
        "attributes": {"miles": 5900, "fare_class": "full"},
        "exclusive_key": key,
        **fields,
    }


async def test_second_program_is_told_where_it_was_credited(
    tills: dict[str, StoredTill], database_urls: DatabaseUrls
) -> None:
    posted = await tills["worldperks"].report(flight("a", "999/1"), partner="air-china")
    refused = await tills["companion"].report(flight("b", "999/1"), partner="air-china")
    assert posted["awards"][0]["amount"] == 5900
    assert (refused["code"], refused["facts"]) == ("already_credited", {"credited": {"program": "worldperks"}})
    again = await tills["worldperks"].report(flight("a", "999/1"), partner="air-china")
    assert again["awards"] == posted["awards"]
    other = await tills["worldperks"].report(flight("c", "999/1"), partner="air-china")
    assert other["facts"] == {"credited": {"program": "worldperks"}}
    assert (await tills["aadvantage"].report(flight("d", "999/1")))["type"] == "points.awarded.v1"
    assert await tills["companion"].figures("mile") == (0, 0)
    assert await findings(database_urls) == []


async def test_a_refusal_leaves_the_key_and_a_return_keeps_it(tills: dict[str, StoredTill]) -> None:
    refused = await tills["companion"].report(flight("a", "999/1", currency="CNY", amount=1), partner="air-china")
    assert refused["code"] == "currency_not_accepted"
    await tills["worldperks"].report(flight("a", "999/1"), partner="air-china")
    back = {"id": "r", "type": "return", "of": "a", "occurred_at": START.isoformat()}
    assert (await tills["worldperks"].report(back, partner="air-china"))["type"] == "points.clawed_back.v1"
    refused = await tills["companion"].report(flight("b", "999/1"), partner="air-china")
    assert refused["code"] == "already_credited"


async def test_two_programs_in_one_batch(tills: dict[str, StoredTill]) -> None:
    till = tills["companion"]
    till.road = Road(FixedPrograms(document("companion"), document("worldperks")))
    said = await till.send(
        report("worldperks", "m-1", flight("a", "999/1"), START, partner="air-china"),
        report("companion", "m-1", flight("b", "999/1"), START, partner="air-china"),
        report("companion", "m-1", flight("c", "999/2"), START, partner="air-china"),
    )
    assert [one["type"] for one in said] == ["points.awarded.v1", "activity.refused.v1", "points.awarded.v1"]


async def test_at_the_same_moment_exactly_one_posts(tills: dict[str, StoredTill], database_urls: DatabaseUrls) -> None:
    for coupon in range(10):
        asked = [
            tills[name].report(flight(f"{name}-{coupon}-{turn}", f"999/{coupon}"), partner="air-china")
            for turn in range(3)
            for name in ("companion", "worldperks")
        ]
        said = await asyncio.gather(*asked)
        assert sorted(one["type"] for one in said) == [*["activity.refused.v1"] * 5, "points.awarded.v1"]
    credited = [(await tills[name].figures("mile"))[0] for name in ("companion", "worldperks")]
    assert sum(credited) == 59_000
    assert await findings(database_urls) == []


async def test_auditor_finds_a_key_that_is_gone(tills: dict[str, StoredTill], database_urls: DatabaseUrls) -> None:
    await tills["companion"].report(flight("a", "999/1"), partner="air-china")
    owner = await asyncpg.connect(database_urls.owner)
    await owner.execute("update points.exclusive_keys set program = null")
    await owner.close()
    assert [finding.proof for finding in await findings(database_urls)] == ["tables are folds of the journals"]
