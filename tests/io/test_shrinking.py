"""A log that begins anew under the same broker has lost what it acknowledged: that is noticed, and published again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from aiokafka.admin import NewTopic

from laurel.io.database import Database
from laurel.io.health import Health
from laurel.io.kafka import admin, ensure_topics, start_producer
from laurel.io.lanes import Lanes, LogBeganAnewError
from laurel.io.outbox import Outbox, OutboxRow
from laurel.io.recovery import Recovery
from laurel.io.settings import KafkaSettings
from laurel.io.topics import Topics
from tests.io.conftest import all_published, everything_on, first_publications, make_service, running, say, until

pytestmark = [pytest.mark.anyio, pytest.mark.kafka]

EVENTS = 60
BODY = '"' + "x" * 1000 + '"'
"""So large that the events of a partition need several batches."""


class Broken(Lanes):
    """Lanes whose log is emptied behind them, once, when it was first written to."""

    def __init__(self, outbox: Outbox, topics: Topics, health: Health, kafka: KafkaSettings) -> None:
        super().__init__(outbox, topics, health)
        self.kafka = kafka
        self.parts = 1
        self.whole = True

    async def send_again(self, rows: Sequence[OutboxRow]) -> None:
        middle = len(rows) // 2 if self.parts == 2 else len(rows)
        await super().send_again(rows[:middle])
        if self.whole:
            self.whole = False
            await empty(self.kafka)
        await super().send_again(rows[middle:])


async def empty(kafka: KafkaSettings) -> None:
    name = f"{kafka.kafka_prefix}.speaker.v1"
    async with admin(kafka) as client:
        await client.delete_topics([name])
        await client.create_topics([NewTopic(name, kafka.kafka_partitions, 1)])


@asynccontextmanager
async def said(database: Database, kafka: KafkaSettings) -> AsyncIterator[tuple[Broken, Recovery]]:
    """Let everything be published once, and give what would publish it again."""
    speaker = make_service(database, kafka, "speaker")
    async with running(speaker.relay):
        await speaker.say(*(say("a", BODY) for _ in range(EVENTS)))
        await until(lambda: all_published(database))
    topics = Topics("speaker", prefix=kafka.kafka_prefix, partitions=kafka.kafka_partitions)
    await ensure_topics(kafka, topics.all())
    lanes = Broken(await Outbox.load("speaker", database), topics, Health(), kafka)
    producer = await start_producer(kafka)
    lanes.begin(producer)
    try:
        yield lanes, Recovery(database, kafka, topics)
    finally:
        await producer.stop()


async def published(kafka: KafkaSettings) -> dict[str, list[int]]:
    found = first_publications(await everything_on(kafka, f"{kafka.kafka_prefix}.speaker.v1"))
    # What came before it was noticed may lie in front.
    return {key: sorted(numbers) for key, numbers in found.items()}


@pytest.mark.parametrize("parts", [1, 2])
async def test_what_is_lost_while_it_is_published_again_is_published_once_more(
    speaker_database: Database, kafka: KafkaSettings, parts: int
) -> None:
    async with said(speaker_database, kafka) as (lanes, recovery):
        lanes.parts = parts
        with pytest.raises(LogBeganAnewError):
            await recovery.settle("another", lanes)
        assert await recovery.settle("another", lanes)
        assert await published(kafka) == {"grocery:a": list(range(1, EVENTS + 1))}


async def test_a_log_that_began_anew_and_grew_beyond_its_old_end_has_lost_something(
    speaker_database: Database, kafka: KafkaSettings
) -> None:
    async with said(speaker_database, kafka) as (lanes, recovery):
        lanes.whole = False
        await empty(kafka)
        assert await recovery.settle("another", lanes, shrunk=True)
        assert await published(kafka) == {"grocery:a": list(range(1, EVENTS + 1))}
