"""Topics read without a group."""

from __future__ import annotations

import asyncio

import pytest

from laurel.io.database import Database
from laurel.io.health import Health
from laurel.io.kafka import start_producer
from laurel.io.message import Message
from laurel.io.published import PublishedTopic
from laurel.io.saying import PROGRAMS, Saying
from laurel.io.settings import KafkaSettings
from laurel.io.tail import Tail
from tests.io.conftest import NOON, make_service, running, say, until

pytestmark = pytest.mark.anyio


def _program(version: int) -> Saying:
    body = str(version).encode()
    return Saying(PROGRAMS, "grocery", "", "program.published.v1", body, NOON, key=f"grocery:{version}")


async def test_a_published_topic_is_read_whole_and_then_followed(
    speaker_database: Database, kafka: KafkaSettings
) -> None:
    speaker = make_service(speaker_database, kafka, "speaker")
    health = Health()
    versions: list[int] = []

    async def take(message: Message) -> None:
        assert message.program == "grocery"
        versions.append(int(message.body))

    published = PublishedTopic(f"{kafka.kafka_prefix}.programs.v1", kafka, take, health=health)
    assert health.reason(f"topic:{published.topic}")
    async with running(speaker.relay):
        await speaker.say(_program(1), _program(2))
        assert await speaker.relay.drain()
        async with running(published):
            await asyncio.wait_for(published.caught_up.wait(), 10)
            assert versions == [1, 2]
            assert health.is_ready
            waiting = asyncio.create_task(published.until(lambda: 3 in versions, 10))
            await speaker.say(_program(3))
            await waiting
            await published.until(lambda: 3 in versions, 0.1)
            with pytest.raises(TimeoutError):
                await published.until(lambda: 4 in versions, 0.1)


async def test_an_empty_topic_that_nobody_has_made_yet_is_caught_up_at_once(kafka: KafkaSettings) -> None:
    published = PublishedTopic(f"{kafka.kafka_prefix}.programs.v1", kafka, lambda _: None)
    async with running(published):
        await asyncio.wait_for(published.caught_up.wait(), 10)


async def test_a_record_that_does_not_decode_stops_nothing(speaker_database: Database, kafka: KafkaSettings) -> None:
    speaker = make_service(speaker_database, kafka, "speaker")
    seen: list[int] = []
    published = PublishedTopic(
        f"{kafka.kafka_prefix}.programs.v1", kafka, lambda message: seen.append(message.sequence)
    )
    async with running(published, speaker.relay):
        await asyncio.wait_for(published.caught_up.wait(), 10)
        producer = await start_producer(kafka)
        try:
            await producer.send_and_wait(published.topic, b"noise", key=b"noise")
        finally:
            await producer.stop()
        await speaker.say(_program(1))
        await until(lambda: seen == [1])


async def test_a_tail_hears_what_it_wants_from_now_on(speaker_database: Database, kafka: KafkaSettings) -> None:
    speaker = make_service(speaker_database, kafka, "speaker")
    heard: list[tuple[str, str]] = []
    tail = Tail(
        [f"{kafka.kafka_prefix}.speaker.v1"],
        lambda headers: headers.get("ce_correlationid", b"").startswith(b"mine"),
        lambda message: heard.append((message.member, message.correlation)),
        kafka,
    )
    async with running(speaker.relay):
        await speaker.say(say("before", correlation="mine-0"))
        assert await speaker.relay.drain()
        async with running(tail):
            await asyncio.wait_for(tail.started.wait(), 10)
            await speaker.say(say("a", correlation="mine-1"), say("b", correlation="other"), say("c"))
            await speaker.say(say("d", correlation="mine-2"))
            await until(lambda: ("d", "mine-2") in heard)
    assert {member for member, _ in heard} - {"before"} == {"a", "d"}


async def test_what_is_not_taken_is_handed_on_again_and_nothing_overtakes_it(
    speaker_database: Database, kafka: KafkaSettings
) -> None:
    speaker = make_service(speaker_database, kafka, "speaker")
    health = Health()
    taken: list[int] = []
    troubles = 2

    def take(message: Message) -> None:
        nonlocal troubles
        if message.sequence == 2 and troubles:
            troubles -= 1
            raise ConnectionResetError("the database is away")
        taken.append(message.sequence)

    published = PublishedTopic(f"{kafka.kafka_prefix}.programs.v1", kafka, take, health=health)
    async with running(speaker.relay, published):
        await speaker.say(_program(1), _program(2), _program(3))
        await until(lambda: 3 in taken)
        await until(lambda: not health.reason(f"topic:{published.topic}"))
    assert [each for index, each in enumerate(taken) if each not in taken[:index]] == [1, 2, 3]


async def test_a_tail_that_fails_on_one_message_hears_the_next(
    speaker_database: Database, kafka: KafkaSettings
) -> None:
    speaker = make_service(speaker_database, kafka, "speaker")
    heard: list[int] = []

    def hear(message: Message) -> None:
        if message.sequence == 1:
            raise KeyError("nobody waits")
        heard.append(message.sequence)

    tail = Tail([f"{kafka.kafka_prefix}.speaker.v1"], lambda _: True, hear, kafka)
    async with running(speaker.relay, tail):
        await asyncio.wait_for(tail.started.wait(), 10)
        await speaker.say(say("a"), say("a"))
        await until(lambda: heard == [2])
