"""Topics and their partitions."""

from __future__ import annotations

import pytest
from aiokafka.partitioner import murmur2 as reference
from hypothesis import given
from hypothesis import strategies as st

from laurel.io.kafka import WrongPartitionsError, admin, ensure_topics, start_producer
from laurel.io.settings import KafkaSettings
from laurel.io.topics import Topic, Topics, murmur2, partition_of, topic_named


@given(st.binary(max_size=300))
def test_keys_hash_as_in_kafkas_own_clients(key: bytes) -> None:
    assert murmur2(key) & 0x7FFFFFFF == reference(key) & 0x7FFFFFFF


def test_a_key_has_one_partition() -> None:
    assert {partition_of(f"grocery:m{number}", 8) for number in range(200)} == set(range(8))
    assert partition_of("grocery:m1", 8) == partition_of("grocery:m1", 8)
    assert partition_of("grocery:m1", 1) == 0


def test_streams_have_their_topics() -> None:
    topics = Topics("points", prefix="x", partitions=4)
    assert topics.of("") == Topic("x.points.v1", 4)
    assert topics.of("dead") == Topic("x.points.dead.v1", 1)
    assert topics.of("programs") == Topic("x.programs.v1", 1, compacted=True)
    assert [topic_named(topic.name, 4) for topic in topics.all()] == topics.all()


@pytest.mark.anyio
async def test_missing_topics_are_made_once_and_nobody_else_makes_them(kafka: KafkaSettings) -> None:
    topics = Topics("points", prefix=kafka.kafka_prefix)
    await ensure_topics(kafka, topics.all())
    await ensure_topics(kafka, topics.all())
    producer = await start_producer(kafka)
    try:
        await producer.client.fetch_all_metadata()
        await producer.client._metadata_update(producer.client.cluster, [f"{kafka.kafka_prefix}.unheard.v1"])
    finally:
        await producer.stop()
    async with admin(kafka) as client:
        found = await client.describe_topics([topic.name for topic in topics.all()])
        assert {each["topic"]: len(each["partitions"]) for each in found} == {
            topic.name: topic.partitions for topic in topics.all()
        }
        assert f"{kafka.kafka_prefix}.unheard.v1" not in await client.list_topics()
    with pytest.raises(WrongPartitionsError, match="has 8 partitions and should have 9"):
        await ensure_topics(kafka, Topics("points", prefix=kafka.kafka_prefix, partitions=9).all())
