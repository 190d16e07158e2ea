"""What a partner pays for in advance: drawn to the last point, waited for in order, posted once (CO-4, CO-7)."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from laurel.io.database import Database
from laurel.io.migrating import DatabaseUrls
from services.points.ports import Announcement
from services.points.store.ledger import Ledger
from services.points.testing import note
from services.points.topping_up import topped_up
from tests.points.stored import StoredTill, findings
from tests.points.till import START, as_heard, document, enrolment, purchase, report

pytestmark = pytest.mark.anyio

MAY = datetime(2024, 5, 10, 17, tzinfo=UTC)
"""Noon in Chicago."""


class CoalitionTill(StoredTill):
    """A till of the shop, which pays in advance; a page of the queue holds `page` activities."""

    page = 50

    async def shop(self, id_: str, amount: int, member: str = "m-1", **fields: Any) -> dict[str, Any]:
        fields = {"partner": "shop", **fields}
        activity = purchase(id_, amount, fields.pop("occurred_at", START), currency="USD")
        said = await self.send(report("coalition", member, activity, self.at, **fields))
        return said[0]

    async def top_up(self, units: int, reference: str, partner: str = "shop") -> list[dict[str, Any]]:
        """Pay, then go through the queue page by page."""
        paid = {"unit": "mile", "units": units, "amount": 2 * units, "currency": "USD", "reference": reference}
        versions = {"program": 1, "partners": 1}
        await self.send(
            note("block.top_up_requested.v1", "coalition", "", at=self.at, partner=partner, versions=versions, **paid)
        )
        said: list[Announcement] = []
        while (more := await self.step()) is not None:
            said += more
        return as_heard(said)

    async def step(self) -> list[Announcement] | None:
        async with self.database.transaction() as connection:
            ledger = Ledger(connection)
            open_ = await ledger.open_payment()
            if open_ is None:
                return None
            queue = await ledger.queue_page(open_, self.page)
            said, block = await self.road.run_funding(ledger, open_.payment, queue)
            is_last = len(queue) < self.page
            await ledger.advance_payment(open_, queue[-1].number if queue else open_.after, done=is_last)
            return [*said, topped_up(open_.payment, block)] if is_last else said

    async def pending(self, member: str = "m-1") -> int:
        query = "select coalesce(sum(pending), 0) from balances where member = $1"
        async with self.database.connection() as connection:
            return int(await connection.fetchval(query, member))

    async def block(self, partner: str = "shop") -> tuple[int, int]:
        async with self.database.connection() as connection:
            row = await connection.fetchrow("select units, used from blocks where partner = $1", partner)
        return tuple(row) if row is not None else (0, 0)


async def till_of(database: Database) -> CoalitionTill:
    till = CoalitionTill(document("coalition"))
    till.database = database
    till.programs.say("coalition", "shop", "approved", billing="prepaid")
    await till.enrol()
    return till


async def test_a_purchase_beyond_the_block_waits_until_it_is_topped_up(
    database: Database, database_urls: DatabaseUrls
) -> None:
    """CO-4, to the mile: 100,000 paid, 99,950 used, 99 wanted, 10,000 more paid, 9,951 left."""
    till = await till_of(database)
    await till.top_up(100_000, "first")
    await till.shop("before", 9_995_000)
    assert await till.block() == (100_000, 99_950)

    said = await till.shop("a", 9_999)
    assert (said["type"], said["code"]) == ("activity.pending.v1", "pending_funding")
    assert [(award["amount"], award["state"]) for award in said["awards"]] == [(99, "pending")]
    assert (await till.figures("mile"), await till.pending()) == ((99_950, 0), 99)
    assert await findings(database_urls) == []

    told = await till.top_up(10_000, "second")
    assert [one["type"] for one in told] == ["points.awarded.v1", "points.available.v1", "block.topped_up.v1"]
    awarded = told[0]
    assert (awarded["activity"], awarded["awards"][0]["amount"], awarded["awards"][0]["state"]) == (
        "a",
        99,
        "available",
    )
    assert [judged["amount"] for judged in awarded["decision"] if judged["rule"] == "shop"] == [99]
    assert told[-1]["block"] == {"unit": "mile", "units": 110_000, "used": 100_049, "left": 9_951}
    assert (await till.figures("mile"), await till.pending()) == ((100_049, 0), 0)

    # The same payment again, and the same activity again, change nothing.
    await till.top_up(10_000, "second")
    again = await till.shop("a", 9_999)
    assert (again["type"], again["awards"][0]["state"]) == ("points.awarded.v1", "available")
    assert await till.block() == (110_000, 100_049)
    assert await findings(database_urls) == []


async def test_who_waits_is_told_so_again(database: Database) -> None:
    till = await till_of(database)
    await till.shop("a", 9_999)
    again = await till.shop("a", 9_999)
    assert (again["type"], again["code"]) == ("activity.pending.v1", "pending_funding")


async def test_the_queue_is_gone_through_in_order_page_by_page(database: Database, database_urls: DatabaseUrls) -> None:
    till = await till_of(database)
    till.page = 2
    await till.send(enrolment("coalition", "m-2"))
    for number, amount in enumerate((3_000, 5_000, 1_000, 4_000, 2_000)):
        await till.shop(f"p-{number}", amount, f"m-{1 + number % 2}")
    told = await till.top_up(65, "a")
    # 30 and 10 and 20 fit; 50 would not fit after 30, and 40 not after 40.
    assert [one["activity"] for one in told if one["type"] == "points.awarded.v1"] == ["p-0", "p-2", "p-4"]
    assert await till.block() == (65, 60)
    told = await till.top_up(90, "b")
    assert [one["activity"] for one in told if one["type"] == "points.awarded.v1"] == ["p-1", "p-3"]
    assert await till.block() == (155, 150)
    assert await findings(database_urls) == []


async def test_fifty_at_once_draw_what_there_is_and_no_more(database: Database, database_urls: DatabaseUrls) -> None:
    till = await till_of(database)
    await till.top_up(1_000, "a")
    await till.send(*(enrolment("coalition", f"w-{number}") for number in range(50)))
    said = await asyncio.gather(*(till.shop(f"p-{number}", 3_000, f"w-{number}") for number in range(50)))
    assert sum(one["type"] == "points.awarded.v1" for one in said) == 33
    assert await till.block() == (1_000, 990)
    assert await findings(database_urls) == []
    told = await till.top_up(500, "b")
    assert sum(one["type"] == "points.awarded.v1" for one in told) == 17
    assert await till.block() == (1_500, 1_500)
    assert await findings(database_urls) == []


async def test_two_payments_at_once_post_what_waits_once(database: Database, database_urls: DatabaseUrls) -> None:
    till = await till_of(database)
    for number in range(10):
        await till.shop(f"p-{number}", 1_000)
    await asyncio.gather(till.top_up(60, "a"), till.top_up(60, "b"))
    assert (await till.figures("mile"), await till.block()) == ((100, 0), (120, 100))
    assert await findings(database_urls) == []


async def test_what_comes_back_while_it_waits_is_not_drawn(database: Database, database_urls: DatabaseUrls) -> None:
    till = await till_of(database)
    await till.shop("a", 10_000)
    back = {"id": "r", "type": "return", "of": "a", "occurred_at": START.isoformat(), "amount": 4_000}
    said = await till.send(report("coalition", "m-1", {**back, "currency": "USD"}, till.at))
    assert [(one["taken"], one["owed"]) for one in said[0]["reversals"]] == [(40, 0)]
    assert await till.pending() == 60
    await till.top_up(100, "a")
    assert await till.block() == (100, 60)
    # What comes back later gives nothing back to the block.
    said = await till.send(
        report("coalition", "m-1", {**back, "id": "r-2", "amount": 6_000, "currency": "USD"}, till.at)
    )
    assert (await till.figures("mile"), await till.block()) == ((0, 0), (100, 60))
    assert await findings(database_urls) == []


async def test_what_others_fund_is_not_held_up(database: Database) -> None:
    till = await till_of(database)
    said = await till.send(
        report("coalition", "m-1", purchase("h", 32_000, START, currency="USD"), till.at, partner="hotel")
    )
    assert [(award["rule"], award["state"]) for award in said[0]["awards"]] == [("hotel", "available")]


async def test_a_purchase_made_before_the_suspension_still_posts(database: Database) -> None:
    """CO-7: suspended at noon; 11:59 posts, 12:00 does not, and its id stays free."""
    till = await till_of(database)
    till.at = datetime(2024, 5, 11, 12, tzinfo=UTC)
    till.programs.say("coalition", "restaurant", "suspended", MAY)
    before = datetime(2024, 5, 10, 16, 59, tzinfo=UTC)
    said = await till.shop("a", 4_550, partner="restaurant", occurred_at=before)
    assert [award["amount"] for award in said["awards"]] == [136]
    said = await till.shop("b", 4_550, partner="restaurant", occurred_at=MAY)
    assert (said["type"], said["code"]) == ("activity.refused.v1", "partner_not_active")
    till.programs.say("coalition", "restaurant", "approved", MAY)
    said = await till.shop("b", 4_550, partner="restaurant", occurred_at=MAY)
    assert [award["amount"] for award in said["awards"]] == [136]


async def test_what_was_bought_is_given_back_whoever_left(database: Database) -> None:
    till = await till_of(database)
    await till.shop("a", 4_550, partner="restaurant")
    till.programs.say("coalition", "restaurant", "terminated", START)
    back = {"id": "r", "type": "return", "of": "a", "occurred_at": MAY.isoformat()}
    said = await till.send(report("coalition", "m-1", back, MAY, partner="restaurant"))
    assert said[0]["reversals"][0]["amount"] == 136


async def test_a_refill_draws_from_the_block_whatever_the_version_of_now_says(
    database: Database, database_urls: DatabaseUrls
) -> None:
    """What a cap refused under a version that refills is granted by a return years after one that does not."""
    caps = [{"cap": "c", "unit": "mile", "window": "lifetime", "limit": 60, "rules": ["shop"]}]
    till = CoalitionTill(document("coalition", caps=caps, returns={"refill_on_return": True}))
    till.database = database
    till.programs.say("coalition", "shop", "approved", billing="prepaid")
    till.programs.publish(document("coalition", effective_from="2024-04-01T00:00:00+00:00"))
    await till.enrol()
    await till.top_up(1_000, "a")
    await till.shop("a", 6_000)
    await till.shop("b", 6_000)
    assert (await till.figures("mile"), await till.block()) == ((60, 0), (1_000, 60))
    till.pass_time(days=60)
    back = {"id": "r", "type": "return", "of": "a", "occurred_at": till.at.isoformat()}
    said = await till.send(report("coalition", "m-1", back, till.at, partner="shop", version=2))
    assert [(award["activity"], award["amount"]) for award in said[0]["awards"]] == [("b", 60)]
    assert (await till.figures("mile"), await till.block()) == ((60, 0), (1_000, 120))
    assert await findings(database_urls) == []


DAMAGES = [
    ("update points.blocks set used = used - 1", "tables are folds"),
    ("update points.blocks set units = units + 1", "blocks are what was paid"),
    ("update points.blocks set used = units + 1", "blocks are what was paid"),
    ("update points.funding_queue set number = number + 1", "tables are folds"),
    ("delete from points.funding_queue", "tables are folds"),
    ("update points.lots set unfunded = false where unfunded", "tables are folds"),
    ("update points.lots set pending = pending - 1 where pending > 0", "balances are what lots hold"),
    ("update points.balances set pending = pending + 1", "balances are the sums"),
]


@pytest.mark.parametrize(("damage", "proof"), DAMAGES)
async def test_auditor_finds_damage(database: Database, database_urls: DatabaseUrls, damage: str, proof: str) -> None:
    till = await till_of(database)
    await till.top_up(100, "a")
    await till.shop("a", 9_000)
    await till.shop("b", 9_000)
    owner = await asyncpg.connect(database_urls.owner)
    assert not (await owner.execute(damage)).endswith(" 0")
    await owner.close()
    assert any(finding.proof.startswith(proof) for finding in await findings(database_urls))
