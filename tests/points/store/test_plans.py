"""Hot statements reach their rows by key, on tables that are new and on tables that are full."""

import re

import asyncpg
import pytest

from laurel.io.database import KEYED_PLANS, Database
from laurel.io.inbox import _LOCK as INBOX_LOCK
from laurel.io.inbox import _MOVE as INBOX_MOVE
from laurel.io.migrating import DatabaseUrls
from laurel.io.outbox import _ANY_PARKED, _TAKE_NUMBERS
from laurel.io.together import joined
from services.points.road import Road
from services.points.store import (
    budgeting,
    counting,
    crediting,
    joining,
    judging,
    limiting,
    loading,
    pending,
    reviving,
    segmenting,
    tiering,
    turning,
    views,
    writing,
)
from services.points.store.columns import (
    ACTIVITIES,
    ADJUSTMENTS,
    BALANCES,
    ENTRIES,
    HOLDS,
    JOURNALS,
    LOTS,
    LOTS_MOVED,
    RETURNS,
    WALLETS,
)
from services.points.store.ledger import Ledger
from services.points.testing import FixedPrograms
from tests.points.till import START, document, enrolment, purchase, report

pytestmark = pytest.mark.anyio

FEW = (JOURNALS, ENTRIES, ACTIVITIES, RETURNS, LOTS, LOTS_MOVED, HOLDS, ADJUSTMENTS, WALLETS, BALANCES)
HOT = {
    "lock wallets": loading._LOCK,
    "read balances": loading._BALANCES,
    "known activities": loading._KNOWN,
    "originals": loading._JOURNALS,
    "returns": loading._RETURNS,
    "lots of journals": loading._LOTS_OF_JOURNALS,
    "spendable lots": loading._LOTS_SPENDABLE,
    "lots that end": loading._LOTS_DUE,
    "what happened since a late report": reviving._SINCE,
    "what ended since": reviving._ENDED,
    "where lots of merged accounts went": joining._WENT_ON,
    "lots there": joining._LOTS_OF,
    "what ends while it is pending": pending._ENDED,
    "pending lots that time moves": pending._NEXT_RELEASE,
    "holds": loading._HOLDS,
    "holds due": loading._HOLDS_DUE,
    "next timeout": writing._NEXT_TIMEOUT,
    "adjustments": loading._ADJUSTMENTS,
    "members of a turn": turning._PAGE,
    "members moved": turning._MOVED,
    "counters": counting._COUNTERS,
    "refusals of journals": counting._REFUSALS_OF_JOURNALS,
    "refusals of windows": counting._REFUSALS,
    "set counters": counting._SET_COUNTERS,
    "set refusals": counting._SET_REFUSALS,
    "lock budgets": budgeting._LOCK,
    "draw budgets": budgeting._DRAW,
    "lock exclusive keys": crediting._LOCK,
    "take exclusive keys": crediting._TAKE,
    "set wallets": WALLETS.insert,
    "set balances": BALANCES.insert,
    "move lots": LOTS_MOVED.insert,
    "set holds": HOLDS.insert,
    "set adjustments": ADJUSTMENTS.insert,
    "write a few": joined(tuple(table.insert for table in FEW)),
    "end with totals": joined((*(table.insert for table in FEW), INBOX_MOVE, _ANY_PARKED)),
    "read standings": tiering._STANDINGS,
    "read counts": tiering._COUNTS,
    "set standings": tiering._SET_STANDINGS,
    "add counts": tiering._ADD_COUNTS,
    "begin counting anew": tiering._BEGIN_ANEW,
    "read segments": segmenting._READ,
    "set segments": segmenting._SET,
    "members to judge": judging._MEMBERS,
    "measure members": judging._MEASURE,
    "take measures": judging._TAKE,
    "who belongs": judging._BELONGING,
    "lock persons": limiting._LOCK,
    "count persons": limiting._COUNT,
    "lock inbox": INBOX_LOCK,
    "move inbox": INBOX_MOVE,
    "take numbers": _TAKE_NUMBERS,
}


async def fill(database: Database) -> None:
    await fill_tiers(database)
    road = Road(FixedPrograms(document("clubcard")))
    members = [f"m-{n}" for n in range(300)]
    async with database.transaction() as connection:
        await road.run(Ledger(connection), [enrolment("clubcard", member) for member in members])
    async with database.transaction() as connection:
        notes = [report("clubcard", member, purchase(f"b-{member}", 1000), START) for member in members]
        await road.run(Ledger(connection), notes)


async def fill_tiers(database: Database) -> None:
    road = Road(FixedPrograms(document("hanting")))
    members = [f"m-{n}" for n in range(300)]
    async with database.transaction() as connection:
        await road.run(Ledger(connection), [enrolment("hanting", member) for member in members])
    async with database.transaction() as connection:
        stays = [
            {
                "id": f"s-{member}",
                "type": "stay",
                "occurred_at": START.isoformat(),
                "currency": "CNY",
                "amount": 100,
                "attributes": {"nights": 1 + number % 4},
            }
            for number, member in enumerate(members)
        ]
        notes = [report("hanting", member, one, START) for member, one in zip(members, stays, strict=True)]
        await road.run(Ledger(connection), notes)


@pytest.mark.parametrize("full", [False, True], ids=["new", "full"])
async def test_hot_statements_go_by_key(database: Database, database_urls: DatabaseUrls, full: bool) -> None:
    if full:
        await fill(database)
        owner = await asyncpg.connect(database_urls.owner)
        await owner.execute("analyze")
        await owner.close()
    async with database.connection() as connection:
        assert await connection.fetchval("select current_setting('enable_hashjoin')") == KEYED_PLANS["enable_hashjoin"]
        for name, statement in HOT.items():
            nulls = ", ".join(["null"] * len(set(re.findall(r"\$\d+", statement))))
            await connection.execute(f"prepare hot as {statement}")
            rows = await connection.fetch(f"explain execute hot ({nulls})")
            await connection.execute("deallocate hot")
            plan = "\n".join(row[0] for row in rows)
            filters = [line for line in plan.splitlines() if "Join Filter" in line and "tableoid" not in line]
            assert not filters, f"{name} compares every row with every key:\n{plan}"
            assert "Seq Scan on" not in plan, f"{name} reads a whole table:\n{plan}"
            assert "Hash Join" not in plan, f"{name} hashes a whole table:\n{plan}"


PAGES = {
    "lots": (views._LOTS, ("clubcard", "m-1", 0, 0, 10, None)),
    "statement": (views._STATEMENT, ("clubcard", "m-1", 2**62, 10, None)),
    "decisions": (views._DECISIONS, ("clubcard", "m-1", 2**62, 10, None)),
}


@pytest.mark.parametrize("analysed", [False, True], ids=["young", "analysed"])
async def test_a_page_is_read_from_its_end_and_no_further(
    database: Database, database_urls: DatabaseUrls, analysed: bool
) -> None:
    """Whoever has 10,000 lots waits for a page no longer than who has 10: nothing of the rest is read or sorted."""
    await fill(database)
    road = Road(FixedPrograms(document("clubcard")))
    for part in range(4):
        async with database.transaction() as connection:
            bought = [purchase(f"more-{part}-{number}", 1000) for number in range(250)]
            await road.run(Ledger(connection), [report("clubcard", "m-1", each, START) for each in bought])
    if analysed:
        owner = await asyncpg.connect(database_urls.owner)
        await owner.execute("analyze")
        await owner.close()
    async with database.reading() as connection:
        for name, (statement, arguments) in PAGES.items():
            # The plan of a statement that has been asked often, as those of readers are.
            prepared = await connection.prepare(f"explain (analyze, timing off) {statement}")
            for _ in range(7):
                plan = "\n".join(row[0] for row in await prepared.fetch(*arguments))
            assert "Sort" not in plan, f"{name} sorts all that a member has:\n{plan}"
            assert "Seq Scan on" not in plan, f"{name} reads a whole table:\n{plan}"
            assert "Join Filter" not in plan, f"{name} compares every row with every other:\n{plan}"
            most = max(float(rows) for rows in re.findall(r"actual rows=([\d.]+)", plan))
            assert most <= 20, f"{name} reads more than its page:\n{plan}"
