"""The database drops every connection, again and again, while messages flow."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from laurel.io.database import Database
from laurel.io.settings import KafkaSettings
from tests.io.conftest import (
    all_published,
    effects_in_order,
    make_listener,
    make_service,
    rows,
    running,
    say,
    until,
    value,
)

pytestmark = pytest.mark.anyio

_DROP_ALL = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and application_name in ('speaker', 'listener')
"""


async def test_dropped_connections_lose_nothing_double_nothing_and_park_nothing(
    url: str, speaker_database: Database, listener_database: Database, kafka: KafkaSettings
) -> None:
    speaker = make_service(speaker_database, kafka, "speaker")
    listener = make_listener(listener_database, kafka, batch_max=10)
    for _ in range(20):
        await speaker.say(*(say(f"m{number}") for number in range(20)))
    admin = await asyncpg.connect(url)
    try:
        async with running(listener.consumer, speaker.relay, listener.relay):
            await until(lambda: listener.handler.committed > 20)
            for _ in range(5):
                await admin.execute(_DROP_ALL)
                await asyncio.sleep(0.05)
            await until(lambda: _applied(listener_database))
            await until(lambda: all_published(speaker_database))
            await until(lambda: all_published(listener_database))
            await until(lambda: listener.health.is_ready and speaker.health.is_ready)
    finally:
        await admin.close()
    assert await effects_in_order(listener_database) == {f"m{number}": list(range(1, 21)) for number in range(20)}
    assert await rows(listener_database, "select * from parked") == []


async def _applied(database: Database) -> bool:
    return bool(await value(database, "select count(*) from effects") == 400)
