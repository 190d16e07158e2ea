"""What we rely on of a broker, whichever it is; the embedded one is held to it like a real one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import confluent_kafka
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from laurel.io.kafka import (
    committed_offsets,
    ensure_topics,
    log_ends,
    new_consumer,
    start_client,
    start_producer,
    stop_quietly,
)
from laurel.io.settings import KafkaSettings
from laurel.io.topics import Topic
from tests.io.conftest import until

pytestmark = [pytest.mark.anyio, pytest.mark.kafka]


@pytest.fixture
async def topic(kafka: KafkaSettings) -> str:
    made = Topic(f"{kafka.kafka_prefix}.promises", 2)
    await ensure_topics(kafka, [made])
    return made.name


@pytest.fixture
async def producer(kafka: KafkaSettings) -> AsyncIterator[AIOKafkaProducer]:
    started = await start_producer(kafka)
    yield started
    await stop_quietly(started)


async def send(producer: AIOKafkaProducer, topic: str, *values: bytes, partition: int = 0) -> None:
    """Each a batch of its own."""
    for value in values:
        await producer.send_and_wait(topic, value, partition=partition)


async def test_a_fetch_that_waits_hears_at_once(kafka: KafkaSettings, topic: str, producer: AIOKafkaProducer) -> None:
    patient = kafka.model_copy(update={"fetch_max_wait_ms": 5_000})
    consumer = new_consumer(patient, None)
    await start_client(consumer)
    try:
        places = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        assert await consumer.getmany(timeout_ms=300) == {}
        began = time.monotonic()
        await send(producer, topic, b"now", partition=1)
        assert (await asyncio.wait_for(consumer.getone(), 10)).value == b"now"
        assert time.monotonic() - began < 2
    finally:
        await stop_quietly(consumer)


async def test_the_ends_of_logs_are_told_whatever_batches_were_sent(
    kafka: KafkaSettings, topic: str, producer: AIOKafkaProducer
) -> None:
    await send(producer, topic, b"a", b"b")
    batch = producer.create_batch()
    for value in (b"c", b"d", b"e"):
        assert batch.append(key=None, value=value, timestamp=None) is not None
    await (await producer.send_batch(batch, topic, partition=0))
    assert await log_ends(kafka, [topic, "there-is-none"]) == {(topic, 0): 5, (topic, 1): 0}


async def test_asking_for_a_topic_does_not_make_it(kafka: KafkaSettings) -> None:
    name = f"{kafka.kafka_prefix}.nobody-made-it"
    assert await log_ends(kafka, [name]) == {}
    assert await log_ends(kafka, [name]) == {}


async def test_offsets_are_kept_for_a_group(kafka: KafkaSettings, topic: str, producer: AIOKafkaProducer) -> None:
    group = f"{kafka.kafka_prefix}-group"
    await send(producer, topic, b"a", b"b", b"c")
    for expected in (b"a", b"b"):
        consumer = new_consumer(kafka, group)
        consumer.subscribe([topic])
        await start_client(consumer)
        try:
            record = await asyncio.wait_for(consumer.getone(), 30)
            assert record.value == expected
            await consumer.commit({TopicPartition(topic, 0): record.offset + 1})
        finally:
            await stop_quietly(consumer)
    assert await committed_offsets(kafka, group, [(topic, 0), (topic, 1)]) == {(topic, 0): 2, (topic, 1): -1}


async def test_a_group_shares_partitions_and_takes_over_from_who_dies(
    kafka: KafkaSettings, topic: str, producer: AIOKafkaProducer
) -> None:
    members: list[AIOKafkaConsumer] = []
    try:
        for _ in range(2):
            member = new_consumer(kafka, f"{kafka.kafka_prefix}-shared")
            member.subscribe([topic])
            await start_client(member)
            members.append(member)
        await until(lambda: [len(member.assignment()) for member in members] == [1, 1], 30)
        # Dead without a word: its connections are gone and nothing of it runs.
        dead = members.pop()
        dead._coordinator._heartbeat_task.cancel()
        await dead._client.close()
        await until(lambda: len(members[0].assignment()) == 2, 60)
        for partition in (0, 1):
            await send(producer, topic, b"x", partition=partition)
        found = [await asyncio.wait_for(members[0].getone(), 10) for _ in range(2)]
        assert sorted(record.partition for record in found) == [0, 1]
        await stop_quietly(dead)
    finally:
        for member in members:
            await stop_quietly(member)


async def test_who_reads_beyond_the_end_begins_again_at_the_first(
    kafka: KafkaSettings, topic: str, producer: AIOKafkaProducer
) -> None:
    await send(producer, topic, b"first")
    consumer = new_consumer(kafka, None)
    await start_client(consumer)
    try:
        place = TopicPartition(topic, 0)
        consumer.assign([place])
        consumer.seek(place, 1_000)
        assert (await asyncio.wait_for(consumer.getone(), 10)).value == b"first"
    finally:
        await stop_quietly(consumer)


async def test_the_other_client_library_sends_and_reads(kafka: KafkaSettings, topic: str) -> None:
    """As an integrator's program would, with what it does by itself: compression, idempotence, automatic commits."""

    def there_and_back() -> list[bytes | None]:
        told = {"bootstrap.servers": kafka.kafka_bootstrap}
        sender = confluent_kafka.Producer({**told, "enable.idempotence": True, "compression.type": "gzip"})
        for number in range(100):
            sender.produce(topic, b"value-%d" % number, key=b"key", partition=0)
        assert sender.flush(20) == 0
        reader = confluent_kafka.Consumer({**told, "group.id": str(uuid4()), "auto.offset.reset": "earliest"})
        reader.subscribe([topic])
        found: list[bytes | None] = []
        until = time.monotonic() + 30
        while len(found) < 100 and time.monotonic() < until:
            message = reader.poll(0.5)
            if message is not None and message.error() is None:
                found.append(message.value())
        reader.close()
        return found

    found = await asyncio.to_thread(there_and_back)
    assert found == [b"value-%d" % number for number in range(100)]


async def test_a_large_event_comes_through(kafka: KafkaSettings, topic: str, producer: AIOKafkaProducer) -> None:
    large = b"x" * 3_000_000
    await send(producer, topic, b"before", large, b"behind")
    consumer = new_consumer(kafka, None)
    await start_client(consumer)
    try:
        place = TopicPartition(topic, 0)
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        found = [(await asyncio.wait_for(consumer.getone(), 10)).value for _ in range(3)]
    finally:
        await stop_quietly(consumer)
    assert found == [b"before", large, b"behind"]
