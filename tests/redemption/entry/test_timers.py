"""The timer on a real database."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from laurel.io.health import Health
from services.redemption.entry.timers import WaitTimer
from services.redemption.store.loading import overdue
from services.redemption.store.store import PostgresStore
from services.redemption.testing import NOON, redemption_requested, reward_published

pytestmark = pytest.mark.anyio

AFTER = NOON + timedelta(hours=1)


def timer_of(counter: Any, health: Health, find: Any = overdue, *, hearing: bool = True) -> WaitTimer:
    return WaitTimer(
        counter.unit,
        counter.road,
        lambda connection: PostgresStore(connection, counter.vault),
        find,
        health,
        hearing=lambda: hearing,
        interval_seconds=0.01,
        batch_max=3,
        now=lambda: AFTER,
    )


async def test_all_that_is_due_ends_in_batches(counter: Any, auditor: asyncpg.Connection[Any]) -> None:
    await counter.hear(reward_published(stock=10), *[redemption_requested(f"m-{n}", f"r-{n}") for n in range(10)])
    timer = timer_of(counter, Health())
    assert await timer.run_once() == 10
    assert await timer.run_once() == 0
    rows = await auditor.fetch("select state, hold, code, at, count(*) from sagas group by 1, 2, 3, 4")
    ended = ("refused", "release_asked", "hold_expired", NOON + timedelta(minutes=15), 10)
    assert [tuple(row) for row in rows] == [ended]
    assert await auditor.fetchval("select reserved from stock") == 0


async def test_it_rests_while_no_messages_are_read(counter: Any, auditor: asyncpg.Connection[Any]) -> None:
    await counter.hear(reward_published(), redemption_requested("m-1", "r-1"))
    running = asyncio.create_task(timer_of(counter, Health(), hearing=False).run())
    await asyncio.sleep(0.1)
    running.cancel()
    assert await auditor.fetchval("select state from sagas") == "holding"


async def test_trouble_is_told_and_waited_out(counter: Any) -> None:
    health, failures = Health(), 2

    async def find(*arguments: Any) -> Any:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise OSError("the database is away")
        return await overdue(*arguments)

    running = asyncio.create_task(timer_of(counter, health, find).run())
    seen = set()
    for _ in range(200):
        await asyncio.sleep(0.005)
        seen.add(health.reason("timer"))
        if failures < 0 and health.is_ready:
            break
    running.cancel()
    assert seen >= {"OSError: the database is away", ""}
