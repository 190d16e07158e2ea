"""Consumers come and go under load."""

from __future__ import annotations

import asyncio

import pytest

from laurel.io.database import Database
from laurel.io.settings import KafkaSettings
from tests.io.conftest import (
    Recorder,
    all_published,
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

pytestmark = pytest.mark.anyio

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


async def _applied(database: Database) -> bool:
    return bool(await value(database, "select count(*) from effects") >= MEMBERS * ROUNDS)
