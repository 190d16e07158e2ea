"""Late reports against a real Postgres: what ended since is found again, and the books agree."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from laurel.io.database import Database
from laurel.io.migrating import DatabaseUrls
from tests.points.lapsing import INACTIVITY, day
from tests.points.pair import Pair, gifts
from tests.points.stored import StoredTill, findings
from tests.points.till import document, purchase, report

pytestmark = pytest.mark.anyio

UNITS = {"point": {"scale": 0, "validity": INACTIVITY}}
TOTALS = ("available", "owed", "earned", "spent", "expired", "reversed", "adjusted")


@pytest.fixture
async def database(database_urls: DatabaseUrls) -> AsyncIterator[Database]:
    found = await Database.connect(database_urls.points, schema="points", application="test", pool_max=10)
    yield found
    await found.close()


class StoredPair(StoredTill, Pair):
    """Two members whose ledger is the database."""


async def live(pair: Pair, chance: random.Random) -> None:
    """Shop, some of it known late or in files, spend, give and return."""
    await pair.enrol()
    known: list[tuple[int, int, str, int]] = []
    for _ in range(30):
        when = chance.randrange(0, 240)
        known.append((when + chance.choice((0, 0, 20, 45)), when, chance.choice(("m-1", "m-2")), chance.randint(0, 9)))
    for place, of_day in enumerate(sorted({each[0] for each in known})):
        pair.at = day(of_day)
        notes = [
            report(pair.program, member, purchase(f"b-{when}-{member}-{points}", points * 100, day(when)), pair.at)
            for at, when, member, points in dict.fromkeys(known)
            if at == of_day
        ]
        if chance.random() < 0.3:
            pair.member = chance.choice(("m-1", "m-2"))
            if (await pair.hold(f"h-{place}", chance.randint(1, 9)))[-1]["type"] == "points.held.v1":
                await pair.capture(f"h-{place}")
        if chance.random() < 0.2:
            await pair.give(f"g-{place}", chance.randint(1, 9))
        if chance.random() < 0.3:
            _, when, member, points = chance.choice(known)
            back: dict[str, Any] = {"id": f"r-{place}", "type": "return", "of": f"b-{when}-{member}-{points}"}
            back["occurred_at"] = pair.at.isoformat()
            notes.insert(chance.randrange(len(notes) + 1), report(pair.program, member, back, pair.at))
        await pair.send(*notes)


@pytest.mark.parametrize("seed", [0, 2, 3, 4, 5])
async def test_what_ended_since_is_found_again(database: Database, database_urls: DatabaseUrls, seed: int) -> None:
    program = document("clubcard", clock="wall", units=UNITS, **gifts())
    stored, remembered = StoredPair(program), Pair(program)
    stored.database = database
    for pair in (stored, remembered):
        await live(pair, random.Random(seed))
    async with database.connection() as connection:
        rows = await connection.fetch(f"select member, {', '.join(TOTALS)} from balances order by member")
        revived = await connection.fetchval(
            "select count(*) from journals where convert_from(facts, 'UTF8') like '%\"PointsRevived\"%'"
        )
    assert [tuple(row)[1:] for row in rows] == [
        tuple(getattr(remembered.points(row["member"]), total) for total in TOTALS) for row in rows
    ]
    assert revived, "a life in which nothing came back shows nothing"
    assert await findings(database_urls) == []


async def test_what_comes_back_is_to_end_again(database: Database, database_urls: DatabaseUrls) -> None:
    till = StoredTill(document("clubcard", clock="wall", units=UNITS))
    till.database = database
    await till.enrol()
    await till.buy("b-1", 1000)
    till.at = day(40)
    await till.run_due()
    assert (await till.totals()).expired == 10
    said = await till.send(report(till.program, till.member, purchase("b-2", 300, day(20)), till.at))
    assert [(one["type"], one.get("amount")) for one in said][-1] == ("points.revived.v1", 10)
    till.at = day(60)
    await till.run_due()
    totals = await till.totals()
    assert (totals.available, totals.expired, totals.earned) == (0, 13, 13)
    assert await findings(database_urls) == []
