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


async def test_a_late_report_ends_all_that_it_would_have_kept(database: Database, database_urls: DatabaseUrls) -> None:
    """What a person gave had no end, since nothing had happened yet; by what is reported now that is long past."""
    validity = {"kind": "inactivity", "months": 1, "kept_by": ["purchase"]}
    units = {"point": {"scale": 0, "validity": validity}}
    till = StoredTill(
        load_program(a_document({"rule": "base", "rate": {"points": 1, "per": 100}}, clock="wall", units=units))
    )
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
