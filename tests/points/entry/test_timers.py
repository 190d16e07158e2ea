"""The timer on a real database."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from laurel.io.database import Connection, Database
from laurel.io.health import Health
from laurel.io.migrating import DatabaseUrls
from laurel.io.outbox import Outbox
from laurel.io.unit import UnitOfWork
from services.points.entry.timers import PART, ExpiryTimer
from services.points.road import Road
from services.points.store.ledger import Ledger
from services.points.testing import FixedPrograms
from tests.points.till import START, document, enrolment, purchase, report

pytestmark = pytest.mark.anyio

SHORT = document("clubcard", clock="wall", units={"point": {"scale": 0, "validity": {"kind": "rolling", "days": 10}}})
AFTER = START + timedelta(days=30)


class Clocked(FixedPrograms):
    def on_wall_clocks(self) -> list[str]:
        return ["clubcard"]


@pytest.fixture
async def unit(database: Database) -> UnitOfWork:
    """Five members with ten points each, which are over by AFTER."""
    unit = UnitOfWork(database, await Outbox.load("points", database))
    notes = [enrolment("clubcard", f"m-{n}") for n in range(5)]
    notes += [report("clubcard", f"m-{n}", purchase(f"b-{n}", 1000), START) for n in range(5)]
    async with unit.begin() as work:
        await Road(FixedPrograms(SHORT)).run(Ledger(work.connection), notes)
    return unit


def timer_of(unit: UnitOfWork, health: Health, ledger: Any = Ledger) -> ExpiryTimer:
    programs = Clocked(SHORT)
    return ExpiryTimer(
        unit, Road(programs), programs, ledger, health, interval_seconds=0.01, batch_max=3, now=lambda: AFTER
    )


async def expired(auditor: asyncpg.Connection[Any]) -> int:
    total = await auditor.fetchval("select coalesce(sum(expired), 0) from points.balances")
    return int(total)


async def test_all_that_is_due_expires_in_batches(unit: UnitOfWork, auditor: asyncpg.Connection[Any]) -> None:
    timer = timer_of(unit, Health())
    assert await timer.run_once() == 5
    assert await timer.run_once() == 0
    assert await expired(auditor) == 50


async def test_who_is_with_somebody_else_is_left_to_that_one(
    unit: UnitOfWork, database: Database, auditor: asyncpg.Connection[Any]
) -> None:
    """Two timers share what is due: neither waits for the other, nor does the same."""
    timer = timer_of(unit, Health())
    async with database.transaction() as connection:
        held = await Ledger(connection).take_due(["clubcard"], AFTER, 3)
        assert await asyncio.wait_for(timer.run_once(), 10) == 2
        assert await expired(auditor) == 20
        assert len(held) == 3
    first, second = await asyncio.gather(timer.run_once(), timer_of(unit, Health()).run_once())
    assert first + second == 3
    assert await expired(auditor) == 50


async def test_trouble_is_told_and_waited_out(unit: UnitOfWork, auditor: asyncpg.Connection[Any]) -> None:
    health, failures = Health(), 2

    def ledger(connection: Connection) -> Ledger:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise OSError("the database is away")
        return Ledger(connection)

    running = asyncio.create_task(timer_of(unit, health, ledger).run())
    seen = set()
    for _ in range(400):
        await asyncio.sleep(0.005)
        assert not running.done()
        seen.add(health.reason(PART))
        if failures < 0 and health.is_ready:
            break
    running.cancel()
    assert seen >= {"OSError: the database is away", ""}
    assert await expired(auditor) == 50


async def test_it_outlives_a_connection_that_is_cut(
    unit: UnitOfWork, database_urls: DatabaseUrls, auditor: asyncpg.Connection[Any]
) -> None:
    owner = await asyncpg.connect(database_urls.points)
    cut = False

    class Cut(Ledger):
        async def due(self, *arguments: Any) -> Any:
            nonlocal cut
            if not cut:
                cut = True
                mine = await self._lent.fetchval("select pg_backend_pid()")
                await owner.execute("select pg_terminate_backend($1)", mine)
            return await super().due(*arguments)

    running = asyncio.create_task(timer_of(unit, Health(), Cut).run())
    for _ in range(400):
        await asyncio.sleep(0.01)
        assert not running.done()
        if await expired(auditor) == 50:
            break
    running.cancel()
    await owner.close()
    assert cut
    assert await expired(auditor) == 50
