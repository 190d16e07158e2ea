"""Consumers come and go under load."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Any

import pytest
from aiokafka import TopicPartition

from laurel.io.consumer import Handled
from laurel.io.database import Connection, Database
from laurel.io.kafka import committed_offsets, log_ends
from laurel.io.message import Message
from laurel.io.settings import KafkaSettings
from tests.io.conftest import (
    Recorder,
    all_published,
    commit_as_a_stranger,
    effects_in_order,
    everything_on,
    first_publications,
    make_listener,
    make_service,
    rows,
    running,
    say,
    until,
    value,
)

pytestmark = [pytest.mark.anyio, pytest.mark.kafka]

MEMBERS = 40
ROUNDS = 120


async def test_every_message_has_its_effect_once_and_in_order_whoever_applies_it(
    speaker_database: Database, listener_database: Database, kafka: KafkaSettings
) -> None:
    speaker = make_service(speaker_database, kafka, "speaker")
    first = make_listener(listener_database, kafka, Recorder("first"), batch_max=25)
    second = make_listener(listener_database, kafka, Recorder("second"), batch_max=25)
    assert first.consumer is not None
    assert second.consumer is not None

    async def talk() -> None:
        for _ in range(ROUNDS):
            await speaker.say(*(say(f"m{number}") for number in range(MEMBERS)))
            await asyncio.sleep(0.04)

    async with running(first.consumer, speaker.relay, first.relay, second.relay):
        await until(lambda: first.health.is_ready)
        talking = asyncio.create_task(talk())
        await until(lambda: first.handler.committed > 0)
        async with running(second.consumer):
            await until(lambda: second.handler.committed > 200)
            handed_back = first.handler.committed
        await until(lambda: first.handler.committed > handed_back + 100)
        await talking
        await until(lambda: _applied(listener_database), 60)
        await until(lambda: all_published(listener_database))
    everything = {f"m{number}": list(range(1, ROUNDS + 1)) for number in range(MEMBERS)}
    assert await effects_in_order(listener_database) == everything
    assert {row[0] for row in await rows(listener_database, "select distinct by from effects")} == {"first", "second"}
    assert await value(listener_database, "select count(*) from parked") == 0
    published = first_publications(await everything_on(kafka, f"{kafka.kafka_prefix}.listener.v1"))
    assert published == {f"grocery:{member}": numbers for member, numbers in everything.items()}


class Slow(Recorder):
    """Has a batch in hand until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = asyncio.Event()
        self.go_on = asyncio.Event()

    async def handle(self, connection: Connection, messages: list[Message]) -> Handled:
        self.entered.set()
        await self.go_on.wait()
        return await super().handle(connection, messages)


async def test_partitions_are_let_go_when_the_batch_in_hand_is_committed(
    speaker_database: Database,
    listener_database: Database,
    kafka: KafkaSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    speaker = make_service(speaker_database, kafka, "speaker")
    handler = Slow()
    listener = make_listener(listener_database, kafka, handler)
    other = make_listener(listener_database, kafka, Recorder("other"))
    assert listener.consumer is not None
    assert other.consumer is not None
    let_go: list[tuple[int, bool]] = []
    revoked = listener.consumer.revoked

    async def look(partitions: Collection[TopicPartition]) -> None:
        """Note what is applied, and whether some of it is not committed, when partitions are let go."""
        await revoked(partitions)
        if partitions:
            let_go.append((handler.committed, bool(consumer._offsets)))

    consumer = listener.consumer
    monkeypatch.setattr(consumer, "revoked", look)
    topic = f"{kafka.kafka_prefix}.speaker.v1"
    async with running(consumer, speaker.relay, listener.relay, other.relay):
        await until(lambda: listener.health.is_ready)
        await speaker.say(*(say(f"m{number}") for number in range(MEMBERS)))
        await asyncio.wait_for(handler.entered.wait(), 15)
        async with running(other.consumer):
            await asyncio.sleep(1.0)
            assert not let_go, "let go with a batch in hand"
            assert not other.health.is_ready
            assert await value(listener_database, "select count(*) from effects") == 0
            handler.go_on.set()
            await until(lambda: other.health.is_ready)
            applied, offsets_left = let_go[0]
            assert (applied > 0, offsets_left) == (True, False)
            # What is committed to Kafka is what is committed to the database, to the message.
            await until(lambda: handler.committed + other.handler.committed == MEMBERS)
            ends = await log_ends(kafka, [topic])
            assert sum(ends.values()) == MEMBERS
            await until(lambda: _committed(kafka, ends))


async def test_a_log_of_another_broker_is_read_from_its_begin_whatever_is_committed_there(
    speaker_database: Database, listener_database: Database, kafka: KafkaSettings
) -> None:
    """Offsets of one broker come to be committed on the next: by a member that it does not know, in an empty group.

    What is fetched from there while the database is asked where to begin may not be taken for what comes first.
    """
    speaker = make_service(speaker_database, kafka, "speaker")
    listener = make_listener(listener_database, kafka, Recorder())
    consumer = listener.consumer
    assert consumer is not None
    group = f"{kafka.kafka_prefix}-listener"
    topic = f"{kafka.kafka_prefix}.speaker.v1"
    async with running(speaker.relay):
        await speaker.say(*(say(f"m{number}") for number in range(MEMBERS) for _ in range(3)))
        await until(lambda: all_published(speaker_database))
    ends = await log_ends(kafka, [topic])
    await commit_as_a_stranger(kafka, group, {place: end // 2 for place, end in ends.items()})
    batches: list[dict[int, int]] = []
    work_off = consumer.work_off

    async def look(records: Sequence[Any]) -> bool:
        batches.append({record.partition: record.offset for record in reversed(records)})
        return await work_off(records)

    consumer.work_off = look  # type: ignore[method-assign]
    async with listener_database.transaction() as connection:
        await connection.execute("lock table consumer_logs in access exclusive mode")
        joining = asyncio.create_task(consumer.run())
        await asyncio.sleep(1.5)
        assert not batches
    try:
        await until(lambda: listener.handler.committed == 3 * MEMBERS)
    finally:
        joining.cancel()
        await asyncio.gather(joining, return_exceptions=True)
    first = {partition: offset for batch in reversed(batches) for partition, offset in batch.items()}
    assert first == dict.fromkeys((partition for (_, partition), end in ends.items() if end), 0)


async def _committed(kafka: KafkaSettings, ends: dict[tuple[str, int], int]) -> bool:
    offsets = await committed_offsets(kafka, f"{kafka.kafka_prefix}-listener", list(ends))
    return {place: offset for place, offset in offsets.items() if offset > 0} == {
        place: end for place, end in ends.items() if end > 0
    }


async def _applied(database: Database) -> bool:
    return bool(await value(database, "select count(*) from effects") >= MEMBERS * ROUNDS)
