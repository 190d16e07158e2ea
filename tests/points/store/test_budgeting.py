"""A budget is drawn to the last point and no further, by whoever comes first, and never given back."""

import asyncio
from typing import Any

import asyncpg
import pytest

from laurel.io.database import Database
from laurel.io.migrating import DatabaseUrls
from laurel.program import ProgramDocument, load_program
from tests.points.stored import StoredTill, findings
from tests.points.till import START, enrolment, purchase, report
from tests.program.samples import a_document

pytestmark = pytest.mark.anyio

BASE = {"rule": "base", "rate": {"points": 1, "per": 100}}
OFFER = {"rule": "offer", "rate": {"points": 7, "per": 100}, "budget": {"points": 100}}


def campaign(**rule: Any) -> ProgramDocument:
    return load_program(a_document(BASE, {**OFFER, **rule}, program="campaign"))


async def till_of(database: Database, member: str = "m-1", **rule: Any) -> StoredTill:
    till = StoredTill(campaign(**rule), member)
    till.database = database
    await till.enrol()
    return till


async def test_the_last_point_goes_to_the_first_who_asks(database: Database, database_urls: DatabaseUrls) -> None:
    till = await till_of(database)
    await till.send(enrolment("campaign", "m-2"))
    notes = [report("campaign", f"m-{1 + n % 2}", purchase(f"b-{n}", 600), START) for n in range(4)]
    said = [one for one in await till.send(*notes) if one["type"] == "points.awarded.v1"]
    offers = [judged for one in said for judged in one["decision"] if judged["rule"] == "offer"]
    assert [judged["amount"] for judged in offers] == [42, 42, 16, 0]
    assert [judged["capped_by"] for judged in offers[1:]] == [
        [],
        [{"cap": "budget", "cut": 26}],
        [{"cap": "budget", "cut": 42}],
    ]
    assert await findings(database_urls) == []


async def test_a_return_gives_nothing_back(database: Database, database_urls: DatabaseUrls) -> None:
    till = await till_of(database)
    await till.buy("a", 1500)
    await till.give_back("r", "a")
    assert await till.figures("point") == (0, 0)
    said = await till.buy("b", 1500)
    assert [(award["rule"], award["amount"]) for award in said["awards"]] == [("base", 15)]
    assert await findings(database_urls) == []


async def test_fifty_at_once_draw_what_there_is(database: Database, database_urls: DatabaseUrls) -> None:
    tills = [await till_of(database, f"m-{number}") for number in range(50)]
    said = await asyncio.gather(*(till.buy(f"b-{till.member}", 100) for till in tills))
    granted = [award["amount"] for one in said for award in one["awards"] if award["rule"] == "offer"]
    assert sum(granted) == 100
    assert sorted(granted) == [2, *[7] * 14]
    assert await findings(database_urls) == []


async def test_whom_the_offer_is_not_for_draws_nothing(database: Database) -> None:
    till = await till_of(database, where='activity.channel == "app"')
    await till.buy("a", 10_000)
    said = await till.buy("b", 1000, channel="app")
    assert [award["amount"] for award in said["awards"]] == [10, 70]


async def test_auditor_finds_a_budget_that_was_changed(database: Database, database_urls: DatabaseUrls) -> None:
    till = await till_of(database)
    await till.buy("a", 600)
    owner = await asyncpg.connect(database_urls.owner)
    await owner.execute("update points.budgets set drawn = drawn - 1")
    await owner.close()
    assert [finding.where for finding in await findings(database_urls)] == ["budgets"]
