"""Caps, refills and limits over real tables: the examples of gm-card and seven-eleven, and what the auditor finds."""

from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from laurel.io.database import Database
from laurel.io.migrating import DatabaseUrls
from laurel.program import load_program
from laurel.program.cases import Case, changed, instant_of, load_cases
from services.points.road import Road
from services.points.testing import FixedPrograms
from tests.points.playing import check
from tests.points.stored import StoredTill, findings
from tests.points.till import START, document, purchase, report
from tests.program.played import SHIPPED as PROGRAMS
from tests.program.samples import a_document

pytestmark = pytest.mark.anyio

CASES = [
    pytest.param(name, case, id=f"{name}-{case.case}")
    for name in ("gm-card", "ford-card", "seven-eleven")
    for case in load_cases((PROGRAMS / f"{name}.cases.yaml").read_text()).cases
]


def till_of(database: Database, name: str, **changes: Any) -> StoredTill:
    till = StoredTill(document(name, clock="wall", **changes))
    till.database = database
    return till


async def test_examples_hold_over_tables(database: Database, database_urls: DatabaseUrls) -> None:
    for number, param in enumerate(CASES):
        name, case = param.values
        assert isinstance(case, Case)
        await play(database, str(name), case, f"m-{number}")
    assert await findings(database_urls) == []


async def play(database: Database, name: str, case: Case, member: str) -> None:
    program = changed(document(name, clock="wall"), case.changes)
    till = StoredTill(program, member)
    till.database = database
    till.at = case.member.enrolled_at or instant_of(case.steps[0])
    await till.enrol(attributes=dict(case.member.attributes))
    for number, step in enumerate(case.steps):
        till.at = max(till.at, instant_of(step))
        if step.activity is not None:
            said = await till.report(
                {**step.activity, "id": f"{member}-{step.activity['id']}", **of(step.activity, member)}
            )
            check(till, step.expect.model_copy(update={"balances": None}), said)
        elif step.spend is not None:
            await till.hold(f"{member}-{number}", step.spend.amount, unit=step.spend.unit)
            await till.capture(f"{member}-{number}")
        else:
            await till.run_due()
        for unit, balance in (step.expect.balances or {}).items():
            available, owed = await till.figures(unit)
            assert balance.available in {None, available}, case.case
            assert balance.owed in {None, owed}, case.case


def of(activity: dict[str, Any], member: str) -> dict[str, str]:
    return {"of": f"{member}-{activity['of']}"} if "of" in activity else {}


async def test_many_refusals_are_refilled_oldest_first(database: Database, database_urls: DatabaseUrls) -> None:
    till = till_of(database, "gm-card")
    await till.enrol()
    await till.buy("full", 1_000_000, currency="USD")
    batch = []
    for number in range(100):
        till.pass_time(minutes=1)
        batch.append(report("gm-card", "m-1", purchase(f"b-{number}", 2000, till.at, currency="USD"), till.at))
    await till.send(*batch)
    back = await till.give_back("r-1", "full", amount=150_000)
    assert [award["activity"] for award in back["awards"]] == [f"b-{number}" for number in range(75)]
    assert await till.figures("credit") == (50_000, 0)
    # Refilled grants go back with their own activity, from lots in other journals.
    again = await till.give_back("r-2", "b-3")
    assert [(one["amount"], one["taken"]) for one in again["reversals"]] == [(100, 100)]
    assert [award["activity"] for award in again["awards"]] == ["b-75"]
    assert await findings(database_urls) == []


async def test_purchase_refusal_and_return_in_one_batch(database: Database, database_urls: DatabaseUrls) -> None:
    till = till_of(database, "gm-card")
    await till.enrol()
    await till.buy("a", 1_000_000, currency="USD")
    back = {"id": "r", "type": "return", "of": "a", "occurred_at": START.isoformat(), "amount": 100_000}
    said = await till.send(
        report("gm-card", "m-1", purchase("b", 40_000, currency="USD"), START),
        report("gm-card", "m-1", back, START),
        report("gm-card", "m-1", purchase("c", 100_000, currency="USD"), START),
    )
    assert [sum(award["amount"] for award in one["awards"]) for one in said if "awards" in one] == [0, 2000, 3000]
    assert await till.counters() == {"cap/year/account_year": [50_000]}
    assert await findings(database_urls) == []


async def test_hundred_at_once_take_no_more_than_there_is(database: Database, database_urls: DatabaseUrls) -> None:
    till = till_of(database, "gm-card")
    await till.enrol()
    import asyncio

    tills = [till_of(database, "gm-card") for _ in range(50)]
    said = await asyncio.gather(
        *(each.buy(f"b-{number}", 30_000, currency="USD") for number, each in enumerate(tills)),
    )
    assert sum(award["amount"] for one in said for award in one["awards"]) == 50_000
    assert await till.figures("credit") == (50_000, 0)
    assert await findings(database_urls) == []


async def test_limits_across_batches_and_stores_of_other_zones(database: Database) -> None:
    stores = {
        "office-1": {"type": "office"},
        "office-2": {"type": "office", "time_zone": "America/New_York"},
        "station-1": {"type": "station"},
    }
    till = till_of(database, "seven-eleven", stores=stores)
    till.at = START
    await till.enrol()
    lines = [{"id": "1", "amount": 980, "category": "lunch-box"}]

    async def bonus(id_: str, at: str, store: str) -> int:
        activity = {"id": id_, "type": "purchase", "occurred_at": at, "currency": "JPY", "store": store, "lines": lines}
        said = await till.report(activity)
        return sum(award["amount"] for award in said["awards"] if award["rule"] == "office-noon-lunch-box")

    assert await bonus("a", "2024-03-02T12:00:00+09:00", "office-1") == 10
    assert await bonus("b", "2024-03-01T12:00:00-05:00", "office-2") == 10
    assert await bonus("c", "2024-03-02T13:00:00+09:00", "office-1") == 0
    assert await bonus("d", "2024-03-01T13:00:00-05:00", "office-2") == 0
    assert await bonus("e", "2024-03-03T13:00:00+09:00", "office-1") == 10


@pytest.mark.parametrize(
    "damage",
    [
        "update points.counters set counted = counted - 1",
        "delete from points.counters",
        "update points.refusals set refused = refused + 1",
        "delete from points.refusals",
    ],
)
async def test_auditor_finds_damaged_counters(database: Database, database_urls: DatabaseUrls, damage: str) -> None:
    till = till_of(database, "gm-card")
    await till.enrol()
    await till.buy("a", 1_000_100, currency="USD")
    assert await findings(database_urls) == []
    owner = await asyncpg.connect(database_urls.owner)
    await owner.execute(damage)
    await owner.close()
    assert [finding.proof for finding in await findings(database_urls)] == ["tables are folds of the journals"]


async def test_a_version_without_caps_counts_nothing(database: Database) -> None:
    till = till_of(database, "gm-card", caps=[], returns={"refill_on_return": False})
    capped = document("gm-card", clock="wall", effective_from="2024-03-02T00:00:00+00:00")
    till.road = Road(FixedPrograms(document("gm-card", clock="wall", caps=[]), capped))
    await till.enrol()
    await till.report(purchase("a", 2_000_000, currency="USD"), version=2)
    assert await till.counters() == {}
    till.pass_time(days=1)
    said = await till.report(purchase("b", 2_000_000, till.at, currency="USD"), version=2)
    assert sum(award["amount"] for award in said["awards"]) == 50_000


async def test_a_refill_looks_beyond_many_that_another_cap_still_refuses(
    database: Database, database_urls: DatabaseUrls
) -> None:
    """The year's room could go to forty purchases of January, but that month is full; one of March gets it."""
    caps = [
        {"cap": "year", "unit": "point", "window": "calendar_year", "limit": 100},
        {"cap": "month", "unit": "point", "window": "month", "limit": 40},
    ]
    rule = {"rule": "base", "rate": {"points": 1, "per": 100}}
    till = StoredTill(load_program(a_document(rule, clock="wall", caps=caps, returns={"refill_on_return": True})))
    till.database = database
    till.at = datetime(2024, 1, 10, 12, tzinfo=UTC)
    await till.enrol()
    january = till.at
    await till.buy("full", 4000)
    till.pass_time(days=31)
    await till.buy("february", 4000)
    till.pass_time(days=31)
    await till.buy("march", 2000)
    late = [purchase(f"late-{number}", 200, january) for number in range(40)]
    await till.send(*(report("sample", "m-1", each, till.at) for each in late))
    await till.buy("more", 3000)
    back = await till.give_back("r", "february")
    assert [(award["activity"], award["amount"]) for award in back["awards"]] == [("more", 20)]
    assert await till.figures("point") == (80, 0)
    assert await findings(database_urls) == []


async def test_a_refill_looks_beyond_many_that_come_back_themselves(
    database: Database, database_urls: DatabaseUrls
) -> None:
    caps = [{"cap": "year", "unit": "point", "window": "calendar_year", "limit": 20}]
    rule = {"rule": "base", "rate": {"points": 1, "per": 100}}
    till = StoredTill(load_program(a_document(rule, clock="wall", caps=caps, returns={"refill_on_return": True})))
    till.database = database
    await till.enrol()
    await till.buy("full", 2000)
    few = [purchase(f"b-{number}", 100, till.at) for number in range(40)]
    await till.send(*(report("sample", "m-1", each, till.at) for each in few))
    till.pass_time(days=1)
    await till.buy("last", 5000)
    names = [*(each["id"] for each in few), "full"]
    back = [{"id": f"r-{of}", "type": "return", "of": of, "occurred_at": till.at.isoformat()} for of in names]
    said = await till.send(*(report("sample", "m-1", each, till.at) for each in back))
    assert [(award["activity"], award["amount"]) for award in said[-1]["awards"]] == [("last", 20)]
    assert await findings(database_urls) == []
