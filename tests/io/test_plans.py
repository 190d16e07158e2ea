"""Hot statements reach their rows by an index: on empty tables, on young ones that nobody counted, and on full ones."""

from __future__ import annotations

import re

import pytest

from laurel.io import inbox, marking, outbox, pruning, recovery, relay
from laurel.io.database import Database
from laurel.io.together import joined

pytestmark = pytest.mark.anyio

STATEMENTS = {
    "lock": inbox._LOCK,
    "parked": inbox._PARKED,
    "any parked": inbox._ANY_PARKED,
    "close": marking.CLOSE,
    "sweep": relay._SWEEP,
    "swept": relay._SWEPT,
    "open before": relay._OPEN_BEFORE,
    "first unpublished": relay._FIRST_UNPUBLISHED,
    "republish": recovery._PAGE,
    "delete": pruning._DELETE,
}
BY_KEY = {"lock", "parked", "open before", "first unpublished", "close", "delete"}
FILL = """
insert into outbox (program, member, stream, number, aggregatetype, aggregateid, type, payload, at, work)
select 'g', 'm' || (i % 2500), '', i / 2500 + 1, 'a', 'a', 't', 'x', now(), md5((i / 10)::text)::uuid
from generate_series(0, 19999) i;
insert into outbox_open (work, events) select md5(i::text)::uuid, 10 from generate_series(1900, 1999) i;
insert into inbox select 'g', 'm' || i, 's', 1 from generate_series(0, 9999) i;
"""


async def _plan(database: Database, statement: str) -> str:
    """Return the plan that a connection of ours keeps for a statement."""
    nulls = ", ".join(["null"] * len(set(re.findall(r"\$\d+", statement))))
    async with database.connection() as connection:
        await connection.execute(f"prepare planned as {statement}")
        rows = await connection.fetch(f"explain (costs off) execute planned{f'({nulls})' if nulls else ''}")
    return "\n".join(row[0] for row in rows)


@pytest.mark.parametrize("name", STATEMENTS)
@pytest.mark.parametrize("state", ["empty", "young", "full"])
async def test_no_hot_statement_walks_a_table(listener_database: Database, name: str, state: str) -> None:
    async with listener_database.connection() as connection:
        if state != "empty":
            await connection.execute(FILL)
        if state == "full":
            await connection.execute("analyze outbox, outbox_open, inbox, parked")
    plan = await _plan(listener_database, STATEMENTS[name])
    assert "Seq Scan" not in plan
    assert "Hash Join" not in plan
    if name in BY_KEY:
        scans = plan.count("Index Scan") + plan.count("Index Only Scan")
        assert scans == plan.count("Index Cond"), plan


# A message ends with one of these, and what its handler left for last before it.
NUMBERED = joined((inbox._MOVE, outbox._NUMBER_AND_INSERT))
MOVED = joined((inbox._MOVE, outbox._ANY_PARKED))


@pytest.mark.parametrize("statement", [outbox._TAKE_NUMBERS, inbox._MOVE, inbox._BEGIN, NUMBERED, MOVED])
async def test_counters_meet_their_rows_by_the_primary_key(listener_database: Database, statement: str) -> None:
    plan = await _plan(listener_database, statement)
    assert "Conflict Arbiter Indexes" in plan
    assert "Scan on inbox" not in plan
    assert "Scan on outbox" not in plan
    assert "Seq Scan" not in plan
    assert "Hash Join" not in plan
