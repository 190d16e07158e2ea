"""Readers that sleep while nothing comes: they are rung, and miss nothing if they are not."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer

from laurel.io import bells
from laurel.io.bells import Bells
from laurel.io.database import Database
from laurel.io.message import Message
from laurel.io.settings import KafkaSettings
from laurel.io.tail import Tail
from tests.io.conftest import Service, make_listener, make_service, running, say, until, value

pytestmark = pytest.mark.anyio

NEVER = 600.0


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the sleepers of a test are; they fall asleep soon."""
    monkeypatch.setattr(bells, "QUIET_SECONDS", 0.1)
    return tmp_path / "bells"


@pytest.fixture
def rung(kafka: KafkaSettings, place: Path) -> KafkaSettings:
    return kafka.model_copy(update={"bells": place})


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
    speaker_database: Database,
    listener_database: Database,
    rung: KafkaSettings,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bells, "LOOK_SECONDS", NEVER)
    speaker = make_service(speaker_database, rung, "speaker")
    listener = make_listener(listener_database, rung)
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
    listener_database: Database,
    rung: KafkaSettings,
    place: Path,
    asked: list[AIOKafkaConsumer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bells, "LOOK_SECONDS", NEVER)
    listener = make_listener(listener_database, rung)
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
    speaker_database: Database,
    listener_database: Database,
    kafka: KafkaSettings,
    rung: KafkaSettings,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who publishes without knowing the directory rings nobody."""
    monkeypatch.setattr(bells, "LOOK_SECONDS", 0.5)
    speaker = make_service(speaker_database, kafka, "speaker")
    listener = make_listener(listener_database, rung)
    async with running(speaker.relay, listener.relay, listener.consumer):
        await until(lambda: sleepers(place) == 1)
        await speaker.say(say("a"))
        await until(lambda: heard(listener, 1))


async def test_what_is_published_while_somebody_falls_asleep_is_heard(
    speaker_database: Database,
    listener_database: Database,
    rung: KafkaSettings,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After it has asked to be rung it looks once more: what came before rang nobody."""
    monkeypatch.setattr(bells, "LOOK_SECONDS", NEVER)
    speaker = make_service(speaker_database, rung, "speaker")
    listener = make_listener(listener_database, rung)
    said = 0
    async with running(speaker.relay, listener.relay, listener.consumer):
        await until(lambda: sleepers(place) == 1)
        for pause_ms in range(80, 260, 10):
            await speaker.say(say(f"member-{pause_ms}"))
            said += 1
            await until(partial(heard, listener, said))
            await asyncio.sleep(pause_ms / 1000)


async def test_partitions_that_are_handed_to_a_sleeper_are_read(
    speaker_database: Database,
    listener_database: Database,
    rung: KafkaSettings,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What lies in them was published while another one had them, who is gone and did not read it."""
    monkeypatch.setattr(bells, "LOOK_SECONDS", NEVER)
    speaker = make_service(speaker_database, rung, "speaker")
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
    speaker_database: Database,
    listener_database: Database,
    rung: KafkaSettings,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bells, "LOOK_SECONDS", NEVER)
    topic = place / f"{rung.kafka_prefix}.speaker.v1"
    topic.mkdir(parents=True)
    (topic / "1").touch()
    (topic / "70000").touch()
    (topic / "what is this").touch()
    speaker = make_service(speaker_database, rung, "speaker")
    listener = make_listener(listener_database, rung)
    async with running(speaker.relay, listener.relay, listener.consumer):
        await until(lambda: sleepers(place) == 4)
        await speaker.say(say("a"))
        await until(lambda: heard(listener, 1))


def test_ringing_nobody_costs_little(tmp_path: Path) -> None:
    """It is done for every batch that is published."""
    (tmp_path / "topic").mkdir()
    ringer = Bells(tmp_path)
    before, began = os.times(), time.perf_counter()
    for _ in range(1000):
        ringer.ring("topic")
        ringer.ring("a topic that nobody reads")
    after = os.times()
    assert after.user + after.system - before.user - before.system < 0.5, time.perf_counter() - began
    assert ringer._socket is None
