"""An event that a reader has passed over comes again when somebody asks for it."""

from __future__ import annotations

import asyncio

import pytest

from laurel.io import republishing
from laurel.io.database import Database
from laurel.io.kafka import cluster_id, log_ends
from laurel.io.settings import KafkaSettings
from tests.io.conftest import (
    all_published,
    commit_as_a_stranger,
    effects_in_order,
    make_listener,
    make_service,
    rows,
    running,
    say,
    until,
    value,
)

pytestmark = [pytest.mark.anyio, pytest.mark.kafka]

EVENTS = 12


async def test_a_gap_closes_when_all_is_published_again(
    speaker_database: Database, listener_database: Database, kafka: KafkaSettings
) -> None:
    speaker = make_service(speaker_database, kafka, "speaker")
    listener = make_listener(listener_database, kafka)
    assert listener.consumer is not None
    group, topic = f"{kafka.kafka_prefix}-listener", f"{kafka.kafka_prefix}.speaker.v1"
    async with running(speaker.relay):
        await speaker.say(*(say("a") for _ in range(EVENTS)))
        await until(lambda: all_published(speaker_database))
        # The group has passed over the first half, and believes that it has read it.
        ends = await log_ends(kafka, [topic])
        await commit_as_a_stranger(kafka, group, {place: end // 2 for place, end in ends.items()})
        cluster = await cluster_id(kafka)
        async with listener_database.connection() as connection:
            await connection.executemany(
                "insert into consumer_logs (consumer, topic, partition, cluster_id) values ($1, $2, $3, $4)",
                [(group, topic, partition, cluster) for _, partition in ends],
            )
        async with running(listener.consumer, listener.relay):
            await until(lambda: _waiting(listener_database))
            await asyncio.sleep(0.5)
            assert await _waiting(listener_database)
            async with speaker_database.connection() as connection:
                assert await republishing.ask(connection)
            await until(lambda: listener.handler.committed == EVENTS)
            assert await effects_in_order(listener_database) == {"a": list(range(1, EVENTS + 1))}
            assert not await _waiting(listener_database)
            await until(lambda: _is_done(speaker_database, cluster))
            ends = await log_ends(kafka, [topic])
        await asyncio.sleep(2.5)
        assert await log_ends(kafka, [topic]) == ends, "asked once, it is done once"
        assert sum(ends.values()) == 2 * EVENTS


async def test_who_has_never_met_a_broker_has_nothing_to_publish_again(speaker_database: Database) -> None:
    async with speaker_database.connection() as connection:
        assert not await republishing.ask(connection)
        assert not await republishing.is_asked(connection)


async def _waiting(database: Database) -> int:
    return int(await value(database, "select count(*) from parked where reason = 'gap'"))


async def _is_done(database: Database, cluster: str) -> bool:
    return await rows(database, "select cluster_id from broker_state") == [(cluster,)]
