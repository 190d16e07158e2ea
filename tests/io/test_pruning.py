"""Old events are dropped only when every group is known to have read them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from laurel.io.database import Database
from laurel.io.pruning import prune
from laurel.io.saying import PROGRAMS, Saying
from laurel.io.settings import KafkaSettings
from tests.io.conftest import (
    NOON,
    all_published,
    make_listener,
    make_service,
    rows,
    running,
    say,
    until,
    value,
)

pytestmark = pytest.mark.anyio


async def test_events_are_kept_until_they_are_old_and_every_group_has_read_them(
    speaker_database: Database, listener_database: Database, kafka: KafkaSettings
) -> None:
    speaker = make_service(speaker_database, kafka, "speaker")
    listener = make_listener(listener_database, kafka, batch_max=7)
    assert listener.consumer is not None
    readers = {f"{kafka.kafka_prefix}.speaker.v1": [listener.consumer.group]}
    async with running(speaker.relay):
        await speaker.say(Saying(PROGRAMS, "grocery", "", "program.published.v1", b"{}", NOON, key="grocery:1"))
        for _ in range(12):
            await speaker.say(*(say(f"m{number}") for number in range(40)))
        await until(lambda: all_published(speaker_database))
        nothing_old = await prune(speaker_database, kafka, readers, timedelta(0), caught_up_seconds=0)
        assert nothing_old == 0, "the group has read nothing yet"
        async with running(listener.consumer, listener.relay):
            await until(lambda: listener.handler.committed == 480)
            await speaker.say(say("late"))
            assert await prune(speaker_database, kafka, readers, timedelta(hours=1), caught_up_seconds=10) == 0
            assert await prune(speaker_database, kafka, readers, timedelta(0), caught_up_seconds=10) >= 480
    left = await rows(speaker_database, "select member, stream from outbox where member <> 'late'")
    assert left == [("", "programs")]
    assert await value(speaker_database, "select number from outbox_keys where member = 'm0'") == 12


async def test_a_group_that_lags_in_the_middle_of_a_batch_keeps_everything(
    speaker_database: Database, kafka: KafkaSettings
) -> None:
    """The end of a log is that of its last record, not the begin of its last batch."""
    from aiokafka import TopicPartition

    from laurel.io.kafka import new_consumer, stop_quietly
    from laurel.io.topics import partition_of

    speaker = make_service(speaker_database, kafka, "speaker")
    await speaker.say(*(say("a") for _ in range(10)))
    async with running(speaker.relay):
        await until(lambda: all_published(speaker_database))
    topic = f"{kafka.kafka_prefix}.speaker.v1"
    readers = {topic: ["lagging"]}
    place = TopicPartition(topic, partition_of("grocery:a", 8))
    consumer = new_consumer(kafka, "lagging")
    consumer.assign([place])
    await consumer.start()
    try:
        await consumer.commit({place: 9})
        assert await prune(speaker_database, kafka, readers, timedelta(0), caught_up_seconds=0) == 0
        await consumer.commit({place: 10})
        assert await prune(speaker_database, kafka, readers, timedelta(0), caught_up_seconds=0) == 10
    finally:
        await stop_quietly(consumer)


async def test_a_log_that_was_lost_has_been_read_by_nobody(speaker_database: Database, kafka: KafkaSettings) -> None:
    """On the broker that took its place nothing is unread, and nothing was told again yet."""
    speaker = make_service(speaker_database, kafka, "speaker")
    async with running(speaker.relay):
        await speaker.say(say("a"))
        await until(lambda: all_published(speaker_database))
    topic = f"{kafka.kafka_prefix}.speaker.v1"
    async with speaker_database.connection() as connection:
        await connection.execute(
            "insert into relay_positions (topic, partition, next_offset) values ($1, 0, 1000000) "
            "on conflict (topic, partition) do update set next_offset = excluded.next_offset",
            topic,
        )
    assert await prune(speaker_database, kafka, {topic: ["any"]}, timedelta(0), caught_up_seconds=0) == 0
    empty = f"{kafka.kafka_prefix}.lost.v1"
    async with speaker_database.connection() as connection:
        await connection.execute("update relay_positions set topic = $1", empty)
    assert await prune(speaker_database, kafka, {empty: ["any"]}, timedelta(0), caught_up_seconds=0) == 0


async def test_a_key_never_shows_a_hole(speaker_database: Database, kafka: KafkaSettings) -> None:
    """Whoever began first may have taken the later number, and then looks older than the one before."""
    speaker = make_service(speaker_database, kafka, "speaker")
    await speaker.say(*(say("a") for _ in range(3)))
    async with speaker_database.connection() as connection:
        await connection.execute("delete from outbox_open")
        await connection.execute("update outbox set created_at = now() - interval '3 hours'")
        await connection.execute("update outbox set created_at = now() where number = 2")
    await prune(speaker_database, kafka, {}, timedelta(hours=1))
    assert await rows(speaker_database, "select number from outbox order by number") == [(2,), (3,)]
