"""Readers that sleep while nothing comes: they are rung, and miss nothing if they are not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from laurel.io import bells
from laurel.io.bells import Bells, Ear
from laurel.io.database import Database
from laurel.io.kafka import new_consumer, partitions_of, start_client, stop_quietly
from laurel.io.message import Message
from laurel.io.settings import KafkaSettings
from laurel.io.tail import Tail
from tests.io.conftest import Service, all_published, make_listener, make_service, running, say, until, value

pytestmark = pytest.mark.anyio


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the sleepers of a test are; they fall asleep soon, and look at nothing until they are rung."""
    monkeypatch.setattr(bells, "QUIET_SECONDS", 0.1)
    monkeypatch.setattr(bells, "LOOK_SECONDS", 600.0)
    return tmp_path / "bells"


@pytest.fixture
def rung(kafka: KafkaSettings, place: Path) -> KafkaSettings:
    return kafka.model_copy(update={"bells": place})


@pytest.fixture
def speaker(speaker_database: Database, rung: KafkaSettings) -> Service:
    return make_service(speaker_database, rung, "speaker")


@pytest.fixture
def listener(listener_database: Database, rung: KafkaSettings) -> Service:
    return make_listener(listener_database, rung)


def sleepers(place: Path) -> int:
    """Count who sleeps: a file for each and topic."""
    return sum(1 for _ in place.glob("*/*"))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[AIOKafkaConsumer]:
    """Every time a client was asked for what has come."""
    calls: list[AIOKafkaConsumer] = []
    getmany = AIOKafkaConsumer.getmany

    async def noting(self: AIOKafkaConsumer, **named: Any) -> Any:
        calls.append(self)
        return await getmany(self, **named)

    monkeypatch.setattr(AIOKafkaConsumer, "getmany", noting)
    return calls


async def heard(listener: Service, count: int) -> bool:
    return bool(await value(listener.database, "select count(*) from effects") == count)


async def test_a_sleeper_is_rung_again_and_again(
    speaker: Service, listener: Service, rung: KafkaSettings, place: Path
) -> None:
    tail_heard: list[Message] = []
    tail = Tail([f"{rung.kafka_prefix}.speaker.v1"], lambda _: True, tail_heard.append, rung)
    async with running(speaker.relay, listener.relay, listener.consumer, tail):
        for count in (1, 2, 3):
            await until(lambda: sleepers(place) == 2)
            await speaker.say(say(f"member-{count}"))
            await until(partial(heard, listener, count))
            await until(partial(_has, tail_heard, count))
    assert sleepers(place) == 0


def _has(heard: Sequence[Message], count: int) -> bool:
    return len(heard) == count


async def test_who_sleeps_asks_the_broker_for_nothing(
    listener: Service, place: Path, asked: list[AIOKafkaConsumer]
) -> None:
    assert listener.consumer is not None
    async with running(listener.relay, listener.consumer):
        await until(lambda: sleepers(place) == 1)
        # It looks once more after it has asked to be rung.
        await asyncio.sleep(0.3)
        asked.clear()
        await asyncio.sleep(0.5)
        assert not asked
        consumer = listener.consumer._consumer
        assert consumer is not None
        assert consumer.paused() == consumer.assignment() != set()


async def test_a_ring_that_is_lost_costs_a_moment(
    speaker_database: Database, listener: Service, kafka: KafkaSettings, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who publishes without knowing the directory rings nobody."""
    monkeypatch.setattr(bells, "LOOK_SECONDS", 0.5)
    speaker = make_service(speaker_database, kafka, "speaker")
    async with running(speaker.relay, listener.relay, listener.consumer):
        await until(lambda: sleepers(place) == 1)
        await speaker.say(say("a"))
        await until(lambda: heard(listener, 1))


async def test_whoever_falls_asleep_looks_once_more(
    speaker_database: Database, kafka: KafkaSettings, place: Path
) -> None:
    """What is published just before it asks to be rung rings nobody: here, by who does not know where to ring."""
    speaker = make_service(speaker_database, kafka, "speaker")
    topic = f"{kafka.kafka_prefix}.speaker.v1"
    consumer = new_consumer(kafka, None)
    async with running(speaker.relay):
        await speaker.say(say("a"))
        await until(lambda: all_published(speaker_database))
        await start_client(consumer)
        try:
            consumer.assign([TopicPartition(topic, number) for number in await partitions_of(consumer, topic)])
            await consumer.seek_to_beginning()
            async with Ear(consumer, [topic], place) as ear:
                came = 0
                while not sleepers(place):
                    came += len(await ear.fetch(0.05))
                assert came == 1
                await speaker.say(say("a"))
                await until(lambda: all_published(speaker_database))
                assert sleepers(place)
                # The fetch that is under way when it is asked may have looked before.
                fetched = [await ear.fetch(0.05) for _ in range(2)]
                assert sum(map(len, fetched)) == 1
                assert not sleepers(place)
        finally:
            await stop_quietly(consumer)


async def test_partitions_that_are_handed_to_a_sleeper_are_read(
    speaker: Service, listener_database: Database, rung: KafkaSettings, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies in them was published while another one had them, who is gone and did not read it."""
    one, other = (make_listener(listener_database, rung) for _ in range(2))
    assert other.consumer is not None
    async with running(speaker.relay, one.relay, one.consumer):
        async with running(other.relay, other.consumer):
            await until(lambda: sleepers(place) == 2)
            # It hears the ring, and does nothing about it.
            monkeypatch.setattr(other.consumer, "work_off", _nothing)
            for number in range(20):
                await speaker.say(say(f"member-{number}"))
            await asyncio.sleep(0.5)
            assert not await heard(one, 20)
        await until(lambda: heard(one, 20), 30)


async def _nothing(_: object) -> bool:
    return False


async def test_files_of_the_dead_disturb_nobody(
    speaker: Service, listener: Service, rung: KafkaSettings, place: Path
) -> None:
    topic = place / f"{rung.kafka_prefix}.speaker.v1"
    topic.mkdir(parents=True)
    (topic / "1").touch()
    (topic / "70000").touch()
    (topic / "what is this").touch()
    async with running(speaker.relay, listener.relay, listener.consumer):
        await until(lambda: sleepers(place) == 4)
        await speaker.say(say("a"))
        await until(lambda: heard(listener, 1))


def test_ringing_nobody_costs_little(tmp_path: Path) -> None:
    """It is done for every batch that is published."""
    (tmp_path / "topic").mkdir()
    ringer = Bells(tmp_path)
    before = os.times()
    for _ in range(1000):
        ringer.ring("topic")
        ringer.ring("a topic that nobody reads")
    after = os.times()
    assert after.user + after.system - before.user - before.system < 0.5
    assert ringer._socket is None
