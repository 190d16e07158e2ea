"""Bonuses for what adds up, over real tables: found again by the return of another activity, once, and proved."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from laurel.io.database import Database
from laurel.io.migrating import DatabaseUrls
from laurel.program import load_program
from services.points.store.views import LedgerViews
from services.points.testing import note
from tests.points.stored import StoredTill, findings, insist
from tests.points.till import document, enrolment, purchase, report
from tests.program.samples import a_document

pytestmark = pytest.mark.anyio

BASE = {"rule": "base", "rate": {"points": 1, "per": 100}}
BONUS = {"rule": "bonus", "fixed": {"points": 500}, "threshold": {"of": "base", "reaches": 100, "window": "month"}}


async def shop(database: Database, *rules: dict[str, Any], **changes: Any) -> StoredTill:
    till = StoredTill(load_program(a_document(*(rules or (BASE, BONUS)), clock="wall", **changes)))
    till.database = database
    await till.enrol()
    return till


def back(till: StoredTill, id_: str, of: str, **fields: Any) -> Any:
    activity = {"id": id_, "type": "return", "of": of, "occurred_at": till.at.isoformat(), **fields}
    return report(till.program, till.member, activity, till.at)


def bought(till: StoredTill, id_: str, amount: int) -> Any:
    return report(till.program, till.member, purchase(id_, amount, till.at), till.at)


async def test_the_return_of_another_purchase_finds_the_bonus(database: Database, database_urls: DatabaseUrls) -> None:
    till = await shop(database)
    await till.buy("a", 6000)
    said = await till.buy("b", 5000)
    assert [(each["rule"], each["amount"]) for each in said["awards"]] == [("base", 50), ("bonus", 500)]
    said = await till.give_back("r", "a", amount=2000)
    assert [(each["rule"], each["taken"], each["owed"]) for each in said["reversals"]] == [
        ("base", 20, 0), ("bonus", 500, 0),
    ]  # fmt: skip
    assert await till.figures("point") == (90, 0)
    # The purchase that it lay with comes back: the bonus is not taken again.
    assert [each["rule"] for each in (await till.give_back("s", "b"))["reversals"]] == ["base"]
    assert (await till.figures("point"), await till.counters()) == ((40, 0), {"threshold/bonus/month": [40]})
    assert await findings(database_urls) == []


async def test_a_correction_asks_for_no_bonus_that_went_back(database: Database, database_urls: DatabaseUrls) -> None:
    till = await shop(database)
    await till.buy("a", 6000)
    await till.buy("b", 5000)
    await till.give_back("r", "a", amount=2000)
    said = await till.correct("c", "b", 40)
    assert (said[0]["reversed"], said[0]["written_off"]) == (10, 0)
    assert await till.figures("point") == (80, 0)
    assert await findings(database_urls) == []


async def test_it_lies_with_what_came_back_before(database: Database, database_urls: DatabaseUrls) -> None:
    till = await shop(database)
    for name, amount in (("a", 6000), ("b", 5000), ("c", 6000)):
        await till.buy(name, amount)
    assert [each["rule"] for each in (await till.give_back("r", "b"))["reversals"]] == ["base"]
    await till.hold("h", 620)
    await till.capture("h")
    said = await till.give_back("s", "c", amount=3000)
    assert [(each["rule"], each["taken"], each["owed"]) for each in said["reversals"]] == [
        ("base", 0, 30), ("bonus", 0, 500),
    ]  # fmt: skip
    assert await till.figures("point") == (0, 530)
    assert await findings(database_urls) == []


async def test_all_of_it_in_one_batch(database: Database, database_urls: DatabaseUrls) -> None:
    till = await shop(database)
    await till.buy("a", 6000)
    await till.send(
        bought(till, "b", 5000), back(till, "r", "a", amount=2000), bought(till, "c", 1000), back(till, "s", "b")
    )
    # "b" had it, the return of a part of "a" took it, "c" had it again, the return of "b" took it again.
    assert (await till.figures("point"), await till.counters()) == ((50, 0), {"threshold/bonus/month": [50]})
    await till.send(bought(till, "d", 5000), bought(till, "e", 9000), back(till, "t", "d"))
    assert await till.figures("point") == (640, 0)
    assert await findings(database_urls) == []


async def test_purchases_at_once_earn_it_once(database: Database, database_urls: DatabaseUrls) -> None:
    till = await shop(database)
    await asyncio.gather(*(insist(till, bought(till, f"p-{number}", 3000)) for number in range(12)))
    assert await till.figures("point") == (12 * 30 + 500, 0)
    await asyncio.gather(*(insist(till, back(till, f"r-{number}", f"p-{number}")) for number in range(9)))
    assert await till.figures("point") == (90, 0)
    assert await findings(database_urls) == []


async def test_a_bonus_that_goes_makes_room_for_what_the_cap_had_refused(
    database: Database, database_urls: DatabaseUrls
) -> None:
    caps = [{"cap": "month", "unit": "point", "window": "month", "limit": 600}]
    stay = {"rule": "stay", "on": ["stay"], "fixed": {"points": 80}}
    till = await shop(database, BASE, BONUS, stay, caps=caps, returns={"refill_on_return": True})
    await till.buy("a", 4000)
    await till.buy("b", 6000)
    await till.report({**purchase("s", 100, till.at), "type": "stay"})
    assert await till.figures("point") == (600, 0)
    said = await till.give_back("r", "a", amount=100)
    assert [(each["activity"], each["amount"]) for each in said["awards"]] == [("s", 1), ("s", 79)]
    assert await till.figures("point") == (99 + 80, 0)
    assert await findings(database_urls) == []


async def test_what_was_refused_itself_comes_back_beside_a_bonus(
    database: Database, database_urls: DatabaseUrls
) -> None:
    """The activity with which the bonus lies is read for the return as well, and so is what it could make room for."""
    caps = [{"cap": "month", "unit": "point", "window": "month", "limit": 600}]
    till = await shop(database, BASE, BONUS, caps=caps, returns={"refill_on_return": True})
    await till.buy("a", 4000)
    await till.buy("b", 6000)
    await till.buy("c", 1000)
    assert await till.figures("point") == (600, 0)
    said = await till.give_back("r", "c", amount=400)
    assert (said["type"], said["reversals"]) == ("points.clawed_back.v1", [])
    await till.give_back("s", "a", amount=100)
    # One of the six that are left of what was refused to "c" takes its place, so the bonus stays.
    assert await till.figures("point") == (600, 0)
    assert await findings(database_urls) == []


async def test_a_bonus_that_was_corrected_is_not_taken_again_beside_what_was_refused(
    database: Database, database_urls: DatabaseUrls
) -> None:
    caps = [{"cap": "month", "unit": "point", "window": "month", "limit": 600}]
    extra = {"rule": "extra", "rate": {"points": 1, "per": 100}}
    till = await shop(database, BASE, BONUS, extra, caps=caps, returns={"refill_on_return": True})
    await till.buy("a", 4000)
    said = await till.buy("b", 6000)
    assert {each["rule"]: each["amount"] for each in said["awards"]} == {"base": 60, "bonus": 460}
    await till.correct("c", "b", 60)
    assert await till.figures("point") == (140, 0)
    said = await till.give_back("r", "a", amount=3000)
    assert [(each["rule"], each["amount"]) for each in said["reversals"]] == [("base", 30), ("extra", 30)]
    assert [(each["activity"], each["rule"], each["amount"]) for each in said["awards"]] == [("b", "extra", 60)]
    assert await till.figures("point") == (140, 0)
    assert await findings(database_urls) == []


async def test_a_bonus_that_waits_goes_as_it_waits(database: Database, database_urls: DatabaseUrls) -> None:
    till = await shop(database, BASE, {**BONUS, "pending": {"days": 14}})
    await till.buy("a", 6000)
    await till.buy("b", 5000)
    await till.give_back("r", "a")
    till.pass_time(days=20)
    await till.run_due()
    assert await till.figures("point") == (50, 0)
    assert await findings(database_urls) == []


async def test_what_an_account_was_given_is_not_given_again_where_it_became_a_part(
    database: Database, database_urls: DatabaseUrls
) -> None:
    till = await shop(database)
    await till.send(enrolment("sample", "m-2"))
    await till.send(report("sample", "m-2", purchase("x", 4000, till.at), till.at))
    await till.buy("a", 6000)
    await till.buy("b", 5000)
    versions = {"program": 1, "partners": 1}
    common = {"at": till.at, "cause": {"kind": "merge", "id": "g"}, "merge": "g", "into": "m-2", "versions": versions}
    await till.send(note("member.merge_requested.v1", "sample", "m-1", **common))
    await till.send(report("sample", "m-2", purchase("y", 1000, till.at), till.at))
    async with database.connection() as connection:
        held = await connection.fetchval("select available from balances where member = 'm-2'")
    assert held == 40 + 60 + 50 + 500 + 10
    # What comes back of the account's past takes its bonus along.
    await till.send(back(till, "r", "a", amount=2000))
    async with database.connection() as connection:
        held = await connection.fetchval("select available from balances where member = 'm-2'")
        left = await connection.fetch("select remaining from lots where member = 'm-2' and rule = 'bonus'")
    assert held == 40 + 40 + 50 + 10
    # The 520 are paid by the two lots that they were given in, of 60 and 500, before any other.
    assert [row["remaining"] for row in left] == [40]
    assert await findings(database_urls) == []


async def test_the_auditor_sees_a_bonus_that_lies_nowhere(database: Database, database_urls: DatabaseUrls) -> None:
    till = await shop(database)
    await till.buy("a", 6000)
    await till.buy("b", 5000)
    owner = await asyncpg.connect(database_urls.owner)
    await owner.execute("update points.counters set given_in = 0")
    await owner.close()
    assert [each.where for each in await findings(database_urls)] == ["sample/m-1"]


async def test_the_version_that_gave_it_says_what_it_asks_for(database: Database, database_urls: DatabaseUrls) -> None:
    till = await shop(database)
    await till.buy("a", 6000)
    await till.buy("b", 5000)
    lower = {**BONUS, "threshold": {"of": "base", "reaches": 50, "window": "month"}}
    later = till.at.replace(hour=13).isoformat()
    till.programs.publish(load_program(a_document(BASE, lower, clock="wall", effective_from=later)))
    till.pass_time(hours=3)
    await till.give_back("r", "a")
    assert await till.figures("point") == (50, 0)
    said = await till.report(purchase("c", 100, till.at), version=2)
    assert [(each["rule"], each["amount"]) for each in said["awards"]] == [("base", 1), ("bonus", 500)]
    assert await findings(database_urls) == []


def test_the_sample_of_the_cases_is_this_form() -> None:
    assert document("spending").earning[3].threshold is not None


async def test_a_read_for_a_quote_knows_that_it_was_given(database: Database, database_urls: DatabaseUrls) -> None:
    till = await shop(database)
    await till.buy("a", 6000)
    await till.buy("b", 5000)
    wallet = await LedgerViews(database).wallet("sample", "m-1", [("threshold/bonus/month", till.at)])
    (counter,) = wallet.counters.values()
    assert (counter.counted, counter.given_in) == (110, 3)
    assert await findings(database_urls) == []
