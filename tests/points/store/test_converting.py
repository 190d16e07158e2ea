"""Conversions against a real Postgres: what is loaded is enough, what is written is what was decided."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import msgspec
import pytest

from laurel.io.database import Database
from laurel.io.migrating import DatabaseUrls
from laurel.program import dump_program
from services.points.ports import WalletKey
from services.points.store.converting import look_from
from services.points.store.ledger import Ledger
from tests.points.stored import StoredTill, findings
from tests.points.till import START, document, enrolment, purchase, report

pytestmark = pytest.mark.anyio

MAY = datetime(2024, 4, 30, 23, tzinfo=UTC)
WALL = document("clubcard", clock="wall")


@pytest.fixture
async def till(database: Database) -> StoredTill:
    found = StoredTill(WALL)
    found.database = database
    await found.enrol()
    return found


async def run_due(till: StoredTill, until: datetime) -> list[WalletKey]:
    async with till.database.transaction() as connection:
        ledger = Ledger(connection)
        due = await ledger.due([till.program], until, 100)
        await till.road.run_due(ledger, due, until)
    return due


async def rows(till: StoredTill, query: str) -> list[tuple[Any, ...]]:
    async with till.database.connection() as connection:
        return [tuple(row) for row in await connection.fetch(query)]


async def test_a_member_with_many_lots_is_converted_whole(till: StoredTill, database_urls: DatabaseUrls) -> None:
    for number in range(70):
        await till.buy(f"b-{number}", 400)
    await till.hold("h-1", 30)
    assert await run_due(till, MAY - timedelta(seconds=1)) == []
    assert len(await run_due(till, MAY)) == 1
    totals = await till.totals()
    assert (totals.available, totals.held, totals.spent) == (0, 30, 250)
    assert await run_due(till, MAY) == []
    assert await rows(till, "select kind, count(*) from journals where kind = 'conversion' group by kind") == [
        ("conversion", 1)
    ]
    assert await rows(till, "select account, amount from entries where account = 'redeemed'") == [("redeemed", 250)]
    assert await findings(database_urls) == []


async def test_a_message_after_the_date_converts_first_from_all_lots(till: StoredTill) -> None:
    for number in range(40):
        await till.buy(f"b-{number}", 500)
    till.at = MAY + timedelta(days=1)
    await till.buy("after", 500)
    assert (await till.totals()).available == 5


async def test_a_batch_over_the_date_converts_what_was_too_little_before(till: StoredTill) -> None:
    """The first message makes it enough, the second comes after the date: earlier lots are loaded all the same."""
    await till.buy("b-1", 10000)
    before, after = MAY - timedelta(seconds=1), MAY + timedelta(seconds=1)
    await till.send(
        report(till.program, till.member, purchase("b-2", 10000, before), before),
        report(till.program, till.member, purchase("b-3", 10000, after), after),
    )
    totals = await till.totals()
    assert (totals.available, totals.spent) == (100, 200)


async def test_what_a_hold_gives_back_makes_it_enough(till: StoredTill, database_urls: DatabaseUrls) -> None:
    for number in range(40):
        await till.buy(f"b-{number}", 500)
    till.at = MAY - timedelta(seconds=60)
    await till.timed("requested", "h-1", amount=100, ttl_seconds=60)
    assert len(await run_due(till, MAY)) == 1
    totals = await till.totals()
    assert (totals.available, totals.held, totals.spent) == (0, 0, 200)
    assert await findings(database_urls) == []


async def test_a_new_version_finds_those_who_do_not_move(database: Database, database_urls: DatabaseUrls) -> None:
    till = StoredTill(document("clubcard", clock="wall", conversions=[]))
    till.database = database
    others = [f"m-{number}" for number in range(2, 6)]
    await till.enrol()
    await till.send(*(enrolment(till.program, member) for member in others))
    await till.buy("b-1", 20000)
    await till.send(
        *(report(till.program, member, purchase(f"b-{member}", 14900), START) for member in others[:2]),
        *(report(till.program, member, purchase(f"b-{member}", 15000), START) for member in others[2:]),
    )
    till.programs.publish(document("clubcard", clock="wall", effective_from="2024-04-01T00:00:00+00:00"))
    version = till.programs.version(till.program, 2)
    assert version is not None
    async with database.transaction() as connection:
        await look_from(connection, till.program, version.conversions, version.effective_from)
    due = await run_due(till, datetime(2024, 4, 2, tzinfo=UTC))
    assert [key.member for key in due] == ["m-1", "m-4", "m-5"]
    assert await rows(till, "select count(*) from journals where kind = 'conversion'") == [(0,)]
    assert [key.member for key in await run_due(till, MAY)] == ["m-1", "m-4", "m-5"]
    assert await rows(till, "select count(*) from journals where kind = 'conversion'") == [(3,)]
    assert await findings(database_urls) == []


async def test_the_auditor_misses_nobody(till: StoredTill, database_urls: DatabaseUrls) -> None:
    await till.buy("b-1", 20000)
    owner = await asyncpg.connect(database_urls.owner)
    await owner.execute(
        "insert into points.programs (program, version, document, effective_from, published_at) "
        "values ($1, 1, $2, now(), now())",
        till.program,
        msgspec.json.encode(dump_program(WALL)),
    )
    assert await findings(database_urls) == []
    await owner.execute("update points.wallets set converts_at = null")
    await owner.close()
    assert [found.proof for found in await findings(database_urls)] == [
        "who has points enough for a voucher is looked at when it is due"
    ]
