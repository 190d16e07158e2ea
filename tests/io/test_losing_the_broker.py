"""The broker goes away, and comes back having forgotten everything."""

from __future__ import annotations

import asyncio
from typing import Protocol

import pytest

from laurel.io.database import Database
from laurel.io.kafka import ClusterWatch
from laurel.io.message import Message
from laurel.io.published import PublishedTopic
from laurel.io.saying import PROGRAMS, Saying
from laurel.io.settings import KafkaSettings
from laurel.io.tail import Tail
from tests.io.conftest import (
    NOON,
    Recorder,
    Service,
    all_published,
    effects_in_order,
    everything_on,
    first_publications,
    kafka_settings,
    make_listener,
    make_service,
    rows,
    running,
    say,
    until,
    value,
)

pytestmark = [pytest.mark.anyio, pytest.mark.crash, pytest.mark.kafka]


class Broker(Protocol):
    @property
    def bootstrap(self) -> str: ...
    def start(self) -> object: ...
    def stop(self) -> None: ...
    def restart_empty(self) -> None: ...


@pytest.fixture
def own_kafka(fresh_broker: Broker, session_timeout_ms: int) -> KafkaSettings:
    return kafka_settings(fresh_broker.bootstrap, session_timeout_ms)


async def _expect(speaker: Service, listener: Service, members: int, sequences: int) -> None:
    """Wait until the listener has heard so much, each member's in order; fails with how far it is, and how both are."""
    heard, wanted = 0, members * sequences

    async def is_heard() -> bool:
        nonlocal heard
        heard = int(await value(listener.database, "select count(*) from effects"))
        return heard >= wanted

    def told() -> str:
        return "\n".join([f"{heard} of {wanted} heard", *(str(each.health.report()) for each in (speaker, listener))])

    await until(is_heard, 30, told)
    found = await effects_in_order(listener.database)
    assert found == {f"m{number}": list(range(1, sequences + 1)) for number in range(members)}


async def _noted(database: Database, cluster: str, partitions: int) -> bool:
    noted = await rows(database, "select cluster_id, count(*) from consumer_logs group by cluster_id")
    return noted == [(cluster, partitions)]


async def test_a_broker_that_forgot_everything_is_told_again_and_nothing_is_lost_or_doubled(
    fresh_broker: Broker, own_kafka: KafkaSettings, speaker_database: Database, listener_database: Database
) -> None:
    speaker = make_service(speaker_database, own_kafka, "speaker")
    listener = make_listener(listener_database, own_kafka)
    programs: list[int] = []
    tailed: list[int] = []
    published = PublishedTopic(
        f"{own_kafka.kafka_prefix}.programs.v1", own_kafka, lambda each: programs.append(each.sequence)
    )

    def hear(each: Message) -> None:
        tailed.append(each.sequence)

    tail = Tail(
        [f"{own_kafka.kafka_prefix}.speaker.v1"],
        lambda headers: headers["ce_subject"] == b"m0",
        hear,
        own_kafka,
        health=speaker.health,
    )
    async with running(listener.consumer, speaker.relay, listener.relay, published, tail):
        await asyncio.wait_for(tail.started.wait(), 10)
        await speaker.say(Saying(PROGRAMS, "grocery", "", "program.published.v1", b"{}", NOON, key="grocery:1"))
        await published.until(lambda: programs == [1], 10)
        for _ in range(4):
            await speaker.say(*(say(f"m{number}") for number in range(50)))
        await _expect(speaker, listener, 50, 4)

        await asyncio.to_thread(fresh_broker.stop)
        await until(lambda: speaker.health.reason("relay"))
        for _ in range(2):
            await speaker.say(*(say(f"m{number}") for number in range(50)))
        await until(lambda: listener.health.reason(listener.consumer.part) if listener.consumer else "")
        await asyncio.to_thread(fresh_broker.start)

        await _expect(speaker, listener, 50, 6)
        await until(lambda: all_published(speaker_database))
        await until(lambda: all_published(listener_database))
        await until(lambda: speaker.health.is_ready and listener.health.is_ready)
        await until(lambda: len(programs) > 1 and set(programs) == {1})
        await until(lambda: set(tailed) == {1, 2, 3, 4, 5, 6})
    # A group that begins now finds everything, in order.
    for topic, count in (("speaker", 6), ("listener", 6)):
        found = first_publications(await everything_on(own_kafka, f"{own_kafka.kafka_prefix}.{topic}.v1"))
        assert {key: sorted(numbers) for key, numbers in found.items()} == {
            f"grocery:m{number}": list(range(1, count + 1)) for number in range(50)
        }
    assert await rows(listener_database, "select * from parked") == []


async def test_the_new_log_may_be_longer_than_the_old_position_before_anybody_notices(
    fresh_broker: Broker, own_kafka: KafkaSettings, speaker_database: Database, listener_database: Database
) -> None:
    """Consumers sit at old offsets that are good in the new log, too, and must not go on there."""
    speaker = make_service(speaker_database, own_kafka, "speaker")
    listener = make_listener(listener_database, own_kafka, Recorder())
    async with running(listener.consumer, speaker.relay, listener.relay):
        for _ in range(3):
            await speaker.say(*(say(f"m{number}") for number in range(40)))
        await _expect(speaker, listener, 40, 3)
        await asyncio.to_thread(fresh_broker.restart_empty)
        for _ in range(20):
            await speaker.say(*(say(f"m{number}") for number in range(40)))
        await _expect(speaker, listener, 40, 23)
        await until(lambda: all_published(speaker_database))
        watch = ClusterWatch(own_kafka)
        cluster = await watch.ask()
        await watch.close()
        # Noted with the commit, which follows what was applied by a moment.
        await until(lambda: _noted(listener_database, cluster, 8))
    assert await rows(listener_database, "select * from parked") == []


async def test_while_everything_was_down_the_broker_forgot(
    fresh_broker: Broker, own_kafka: KafkaSettings, speaker_database: Database, listener_database: Database
) -> None:
    speaker = make_service(speaker_database, own_kafka, "speaker")
    async with running(speaker.relay):
        await speaker.say(*(say(f"m{number}") for number in range(30)))
        await until(lambda: all_published(speaker_database))
    await asyncio.to_thread(fresh_broker.restart_empty)
    again = make_service(speaker_database, own_kafka, "speaker")
    listener = make_listener(listener_database, own_kafka)
    async with running(listener.consumer, again.relay, listener.relay):
        await _expect(again, listener, 30, 1)
