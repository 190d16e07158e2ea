"""Clients are stopped whatever becomes of their broker, and without taking their owner with them."""

from __future__ import annotations

import asyncio

import pytest

from laurel.io.kafka import BROKER_ERRORS, ensure_topics, new_consumer, start_client, stop_quietly
from laurel.io.settings import KafkaSettings
from laurel.io.topics import Topics

pytestmark = pytest.mark.anyio


async def test_what_a_client_cancels_of_itself_does_not_cancel_its_owner(kafka: KafkaSettings) -> None:
    await ensure_topics(kafka, Topics("speaker", prefix=kafka.kafka_prefix).all())
    consumer = new_consumer(kafka, None)
    await start_client(consumer)
    # A fetch that was begun in the very moment of the stop: aiokafka cancels it and lets the cancellation out.
    consumer._fetcher._pending_tasks.add(asyncio.create_task(asyncio.sleep(60)))
    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(consumer._fetcher.close())
    await stop_quietly(consumer)
    assert not any(connection.connected() for connection in consumer._client._conns.values())


async def test_a_broker_that_is_not_there_is_told_as_trouble_with_the_broker(kafka: KafkaSettings) -> None:
    nowhere = kafka.model_copy(update={"kafka_bootstrap": "127.0.0.1:9"})
    consumer = new_consumer(nowhere, None)
    with pytest.raises(BROKER_ERRORS, match="Unable to bootstrap"):
        await start_client(consumer, 5)
    await stop_quietly(consumer)
