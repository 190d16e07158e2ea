"""Clients whose background work has ended by itself, while broker and connections are well, are replaced."""

from __future__ import annotations

import asyncio
from typing import Any, Never

import pytest
from aiokafka import AIOKafkaConsumer

from laurel.io.database import Database
from laurel.io.kafka import BROKER_ERRORS, acknowledged, admin, deliver, ensure_topics, start_producer, stop_quietly
from laurel.io.message import Message
from laurel.io.settings import KafkaSettings
from laurel.io.tail import Tail
from laurel.io.topics import Topic
from tests.io.conftest import all_published, make_listener, make_service, running, say, until, value

pytestmark = pytest.mark.anyio


def _end(*_: Any, **__: Any) -> Never:
    raise RuntimeError("what nobody expected")


def _end_fetching(consumer: AIOKafkaConsumer) -> None:
    consumer._fetcher._get_actions_per_node = _end


async def test_a_producer_whose_sender_has_ended_is_replaced(speaker_database: Database, kafka: KafkaSettings) -> None:
    """It would fail every send until the broker is another one."""
    # aiokafka's own farewell to an idempotent producer that knows no transactions fails; only the loop is told.
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    speaker = make_service(speaker_database, kafka, "speaker")
    async with running(speaker.relay):
        await speaker.say(say("a"))
        await until(lambda: all_published(speaker_database))
        first: Any = speaker.relay._lanes.producer
        first._sender._message_accumulator.drain_by_nodes = _end
        await speaker.say(say("a"), say("b"))
        await until(lambda: all_published(speaker_database))
        assert speaker.relay._lanes.producer is not first


async def test_a_consumer_whose_fetching_has_ended_begins_anew(
    speaker_database: Database, listener_database: Database, kafka: KafkaSettings
) -> None:
    """It would keep its partitions and hear nothing."""
    speaker = make_service(speaker_database, kafka, "speaker")
    listener = make_listener(listener_database, kafka)
    assert listener.consumer is not None
    async with running(speaker.relay, listener.relay, listener.consumer):
        await speaker.say(say("a"))
        await until(lambda: _heard(listener_database, 1))
        _end_fetching(listener.consumer._consumer)
        await speaker.say(say("a"), say("b"))
        await until(lambda: _heard(listener_database, 3))


async def test_a_consumer_whose_part_in_its_group_has_ended_begins_anew(
    speaker_database: Database, listener_database: Database, kafka: KafkaSettings
) -> None:
    """It would wait for its partitions for ever, where nobody asked it for something at that moment."""
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    speaker = make_service(speaker_database, kafka, "speaker")
    listener = make_listener(listener_database, kafka)
    assert listener.consumer is not None
    async with running(speaker.relay, listener.relay, listener.consumer):
        await speaker.say(say("a"))
        await until(lambda: _heard(listener_database, 1))
        first: Any = listener.consumer._consumer
        first.getmany = lambda **_: asyncio.Event().wait()
        await asyncio.sleep(0.5)
        first._coordinator._do_rejoin_group = _end
        first._coordinator.request_rejoin()
        await speaker.say(say("a"), say("b"))
        await until(lambda: _heard(listener_database, 3))
        assert listener.consumer._consumer is not first


async def _heard(database: Database, count: int) -> bool:
    return bool(await value(database, "select count(*) from effects") == count)


async def test_a_tail_whose_fetching_has_ended_begins_anew(
    speaker_database: Database, kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[AIOKafkaConsumer] = []
    start = AIOKafkaConsumer.start

    async def noting(self: AIOKafkaConsumer) -> None:
        started.append(self)
        await start(self)

    monkeypatch.setattr(AIOKafkaConsumer, "start", noting)
    heard: list[Message] = []
    tail = Tail([f"{kafka.kafka_prefix}.speaker.v1"], lambda _: True, heard.append, kafka)
    speaker = make_service(speaker_database, kafka, "speaker")
    async with running(speaker.relay, tail):
        await asyncio.wait_for(tail.started.wait(), 10)
        _end_fetching(started[-1])
        await speaker.say(say("a"))
        await until(lambda: len(heard) == 1)


async def test_nobody_waits_for_a_batch_of_a_producer_that_has_ended(kafka: KafkaSettings) -> None:
    """Recovery did, for ever, when a broker died while all events were published again, and looked after nothing."""
    producer = await start_producer(kafka)
    try:
        sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = asyncio.create_task(acknowledged(producer, sent))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        producer._sender.sender_task.cancel()
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(waiting, 10)
    finally:
        await stop_quietly(producer)


async def test_nobody_waits_for_ever_for_what_a_producer_tries_again_and_again(
    kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An idempotent one did, when another broker had come at the same address and nobody had made its topic there."""
    monkeypatch.setattr("laurel.io.kafka.ACKNOWLEDGED_SECONDS", 1.0)
    topic = Topic(f"{kafka.kafka_prefix}.vanishing", 1)
    await ensure_topics(kafka, [topic])
    producer = await start_producer(kafka)
    try:
        await acknowledged(producer, await producer.send(topic.name, b"before", partition=0))
        async with admin(kafka) as client:
            await client.delete_topics([topic.name])
        sent = await producer.send(topic.name, b"behind", partition=0)
        with pytest.raises(TimeoutError):
            await acknowledged(producer, sent)
    finally:
        await stop_quietly(producer)


async def test_nobody_waits_for_ever_for_a_topic_of_a_producer_that_is_stopped(kafka: KafkaSettings) -> None:
    """Its lane did, and so did all that was to be published again by the next producer."""
    producer = await start_producer(kafka)
    batch = producer.create_batch()
    batch.append(key=None, value=b"x", timestamp=None)
    waiting = asyncio.create_task(deliver(producer, batch, f"{kafka.kafka_prefix}.nobody-made-it", 0))
    await asyncio.sleep(0.2)
    await stop_quietly(producer)
    with pytest.raises(BROKER_ERRORS):
        await asyncio.wait_for(waiting, 5)
