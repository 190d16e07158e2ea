"""Works are closed together: nobody waits for it, but who does is not kept waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from laurel.io.database import Database
from laurel.io.marking import Marker
from laurel.io.outbox import Outbox, OutboxRow
from laurel.io.settings import KafkaSettings
from tests.io.conftest import all_published, make_service, running, say, until, value

pytestmark = pytest.mark.anyio

LONG = 60.0


async def _said(database: Database, works: int) -> list[list[OutboxRow]]:
    """Say something in so many works."""
    outbox = Outbox("speaker", 1)
    async with database.transaction() as connection:
        return [(await outbox.add(connection, [say(f"m{number}")])).rows for number in range(works)]


def _publish(marker: Marker, said: Iterable[list[OutboxRow]]) -> None:
    for rows in said:
        assert rows[0].work is not None
        marker.take(rows[0].work, len(rows))
        marker.published(rows)


async def _open(database: Database) -> int:
    return int(await value(database, "select count(*) from outbox_open"))


async def test_works_that_end_one_after_the_other_are_closed_together(speaker_database: Database) -> None:
    marker = Marker(speaker_database, gather_seconds=0.5)
    async with running(marker):
        for each in await _said(speaker_database, 3):
            _publish(marker, [each])
            await asyncio.sleep(0.05)
        assert await _open(speaker_database) == 3
        await until(lambda: all_published(speaker_database))


async def test_many_are_closed_at_once(speaker_database: Database) -> None:
    marker = Marker(speaker_database, gather_seconds=LONG)
    async with running(marker):
        _publish(marker, await _said(speaker_database, 250))
        await until(lambda: all_published(speaker_database))


async def test_where_others_go_on_they_are_closed_at_once(speaker_database: Database) -> None:
    marker = Marker(speaker_database, gather_seconds=LONG)
    async with running(marker):
        first, second = await _said(speaker_database, 2)
        _publish(marker, [first])
        await asyncio.sleep(0.1)
        assert await _open(speaker_database) == 2
        marker.hurry()
        await until(lambda: _is_open(speaker_database, 1))
        _publish(marker, [second])
        await asyncio.sleep(0.2)
        assert await _open(speaker_database) == 1


async def _is_open(database: Database, works: int) -> bool:
    return await _open(database) == works


async def test_where_another_relay_is_seen_works_are_closed_sooner(
    speaker_database: Database, kafka: KafkaSettings
) -> None:
    """It may wait for what we have published, as ours has waited for it."""
    one = make_service(speaker_database, kafka, "speaker", mark_seconds=0.05, sweep_seconds=LONG)
    two = make_service(speaker_database, kafka, "speaker", mark_seconds=LONG, sweep_seconds=LONG)
    async with running(one.relay, two.relay):
        await until(lambda: one.health.is_ready and two.health.is_ready)
        await one.say(say("a"))
        await two.say(say("a"))
        await until(lambda: all_published(speaker_database))
        for _ in range(2):
            await two.say(say("a"))
            await until(lambda: all_published(speaker_database))


async def test_a_relay_that_lets_go_closes_what_it_has_published(
    speaker_database: Database, kafka: KafkaSettings
) -> None:
    speaker = make_service(speaker_database, kafka, "speaker", mark_seconds=LONG)
    async with running(speaker.relay):
        await until(lambda: speaker.health.is_ready)
        await speaker.say(say("a"))
        assert await speaker.relay.drain(5)
        await until(lambda: all_published(speaker_database))
