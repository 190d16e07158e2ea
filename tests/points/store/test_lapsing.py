"""Points that end by inactivity, over the tables: a late report may tell that all of them have ended."""

from __future__ import annotations

from datetime import timedelta

import pytest

from laurel.io.database import Database
from laurel.io.migrating import DatabaseUrls
from laurel.program import load_program
from tests.points.stored import StoredTill, findings
from tests.points.till import purchase
from tests.program.samples import a_document

pytestmark = pytest.mark.anyio


VALIDITY = {"kind": "inactivity", "months": 1, "kept_by": ["purchase"]}
UNITS = {"point": {"scale": 0, "validity": VALIDITY}}
BASE = {"rule": "base", "rate": {"points": 1, "per": 100}}


async def test_a_late_report_ends_what_waits_as_well(database: Database, database_urls: DatabaseUrls) -> None:
    visit = {"rule": "visit", "on": ["visit"], "fixed": {"points": 20}, "pending": {"approval": True}}
    till = StoredTill(load_program(a_document(BASE, visit, clock="wall", units=UNITS)))
    till.database = database
    await till.enrol()
    await till.report({**purchase("v-1", 0, till.at), "type": "visit"})
    till.pass_time(days=60)
    await till.report(purchase("b-1", 700, till.at - timedelta(days=40)))
    totals = await till.totals()
    assert (totals.available, totals.pending, totals.expired) == (0, 0, 7)
    assert await findings(database_urls) == []


async def test_a_late_report_ends_all_that_it_would_have_kept(database: Database, database_urls: DatabaseUrls) -> None:
    """What a person gave had no end, since nothing had happened yet; by what is reported now that is long past."""
    till = StoredTill(load_program(a_document(BASE, clock="wall", units=UNITS)))
    till.database = database
    await till.enrol()
    for name in ("a-1", "a-2"):
        await till.adjust(name, 15, reason="raffle")
    till.pass_time(days=60)
    said = await till.report(purchase("b-1", 700, till.at - timedelta(days=40)))
    assert (said["type"], said["balances"][0]["available"]) == ("points.awarded.v1", 37)
    assert (await till.totals()).expired == 37
    assert await till.figures("point") == (0, 0)
    assert await findings(database_urls) == []
