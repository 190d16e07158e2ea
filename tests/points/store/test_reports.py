"""Reads over a whole program, with the figures of the reference programs."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from laurel.io.database import Database
from laurel.program import load_program
from laurel.values import AMOUNT_MAX
from services.points.store.reports import percent
from services.points.store.views import LedgerViews
from tests.points.stored import StoredTill
from tests.points.till import enrolment, purchase, report
from tests.program.samples import POINT, a_document

pytestmark = pytest.mark.anyio

SPENT = {"rule": "spent", "unit": "spent", "rate": {"points": 1, "per": 1}}
UNITS = {"point": POINT, "spent": {"scale": 2, "counts_only": True}}
BEST = {
    "segment": "best", "rank": {"unit": "spent", "months": 12, "top": 20}, "judged": {"every": "year"},
}  # fmt: skip


async def test_the_share_of_the_top_fifth(database: Database) -> None:
    """CP-5: 20 members at 400 pounds and 80 at 25 make 8,000 of 10,000 pounds."""
    document = a_document(SPENT, units=UNITS, segments=[BEST])
    del document["earning"][0]["funding"]
    till = StoredTill(load_program(document))
    till.database = database
    till.at = datetime(2024, 3, 1, 12, tzinfo=UTC)
    members = [f"m-{number:03}" for number in range(100)]
    await till.send(*(enrolment("sample", member, till.at) for member in members))
    for number, member in enumerate(members):
        amount = 40_000 if number % 5 == 0 else 2_500
        await till.send(report("sample", member, purchase(f"b-{number}", amount, till.at), till.at))
    # What was spent before, and what came back, is no spending of the year.
    before = purchase("old", 9_900, datetime(2023, 12, 31, 23, tzinfo=UTC))
    await till.send(report("sample", members[1], before, till.at))
    await till.send(report("sample", members[1], purchase("sent", 50_000, till.at), till.at))
    back = {"id": "r", "type": "return", "of": "sent", "occurred_at": till.at.isoformat()}
    await till.send(report("sample", members[1], back, till.at))
    views, year = LedgerViews(database), (date(2024, 1, 1), date(2025, 1, 1))
    found = await views.concentration("sample", "spent", year, 20)
    assert (found["members"], found["top"], found["total"], found["of_top"]) == (100, 20, 1_000_000, 800_000)
    assert found["percent"] == "80.0"
    assert (await views.concentration("sample", "spent", year, 100))["percent"] == "100.0"
    # At least one is looked at; of nobody there is no share.
    one = await views.concentration("sample", "spent", (date(2023, 1, 1), date(2024, 1, 1)), 20)
    assert (one["members"], one["top"], one["percent"]) == (1, 1, "100.0")
    none = await views.concentration("sample", "spent", (date(2025, 1, 1), date(2026, 1, 1)), 20)
    assert (none["members"], none["top"], none["total"], none["percent"]) == (0, 0, 0, None)


async def test_what_became_of_the_points(database: Database) -> None:
    """ME-7: of 1,000,000 points 640,000 are redeemed and 210,000 expire, so 150,000 are outstanding."""
    short = {
        "rule": "short",
        "on": ["visit"],
        "rate": {"points": 1, "per": 1},
        "validity": {"kind": "rolling", "days": 9},
    }
    till = StoredTill(load_program(a_document({"rule": "base", "rate": {"points": 1, "per": 1}}, short, clock="wall")))
    till.database = database
    await till.enrol()
    await till.buy("a", 790_000)
    await till.report({**purchase("b", 210_000, till.at), "type": "visit"})
    till.pass_time(days=10)
    await till.hold("h", 640_000)
    await till.capture("h")
    assert await LedgerViews(database).breakage("sample") == {
        "units": [
            {
                "unit": "point",
                "granted": 1_000_000,
                "redeemed": 640_000,
                "expired": 210_000,
                "outstanding": 150_000,
                "redemption_percent": "64.0",
                "breakage_percent": "21.0",
            }
        ]
    }


async def test_a_program_of_more_points_than_a_float_can_tell_apart(database: Database) -> None:
    """S20: 10^12 points are outstanding, and one more; then ten members have the most that an amount can say."""
    till = StoredTill(load_program(a_document({"rule": "base", "rate": {"points": 1, "per": 1}}, clock="wall")))
    till.database = database
    members = [f"m-{number}" for number in range(10)]
    await till.send(*(enrolment("sample", member, till.at) for member in members))
    for number, member in enumerate(members):
        await till.send(report("sample", member, purchase(f"b-{number}", 10**11 + (number == 0), till.at), till.at))
    views = LedgerViews(database)
    (unit,) = (await views.liability("sample", till.programs.zone("sample")))["units"]
    assert (unit["granted"], unit["outstanding"]) == (10**12 + 1, 10**12 + 1)
    assert [each["outstanding"] for each in (*unit["by_funder"], *unit["by_expiry_year"])] == [10**12 + 1] * 2
    for number, member in enumerate(members):
        most = AMOUNT_MAX - 10**11 - (number == 0)
        await till.send(report("sample", member, purchase(f"c-{number}", most, till.at), till.at))
    (unit,) = (await views.liability("sample", till.programs.zone("sample")))["units"]
    # Beyond what a binary floating point number can say exactly.
    assert unit["outstanding"] == 10 * AMOUNT_MAX > 2**53
    (told,) = (await views.breakage("sample"))["units"]
    assert (told["granted"], told["redemption_percent"]) == (10 * AMOUNT_MAX, "0.0")


def test_shares_are_rounded_half_up_to_one_decimal() -> None:
    assert [percent(*pair) for pair in ((1, 3), (2, 3), (1, 2000), (1, 2001), (0, 5), (0, 0))] == [
        "33.3", "66.7", "0.1", "0.0", "0.0", None,
    ]  # fmt: skip
