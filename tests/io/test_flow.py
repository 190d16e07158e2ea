"""From a saying to its effect and the answer to it."""

from __future__ import annotations

import pytest

from laurel.io.database import Database
from laurel.io.settings import KafkaSettings
from tests.io.conftest import all_published, effects_in_order, make_listener, make_service, running, say, until, value

pytestmark = pytest.mark.anyio


async def test_what_is_said_is_applied_once_and_answered(
    speaker_database: Database, listener_database: Database, kafka: KafkaSettings
) -> None:
    speaker = make_service(speaker_database, kafka, "speaker")
    listener = make_listener(listener_database, kafka)
    async with running(listener.consumer, speaker.relay, listener.relay):
        for round_ in range(5):
            await speaker.say(*(say(f"m{number}", round_) for number in range(100)))
        await until(lambda: listener.handler.committed >= 500)
        await listener.relay.drain()
        await until(lambda: all_published(listener_database))
        await until(lambda: all_published(speaker_database))
    found = await effects_in_order(listener_database)
    assert found == {f"m{number}": [1, 2, 3, 4, 5] for number in range(100)}
    assert await value(listener_database, "select count(*) from outbox") == 500
