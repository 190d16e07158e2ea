"""A worker drops what it said once that is old enough and everybody has read it."""

from __future__ import annotations

import httpx
import pytest
from aiokafka import TopicPartition

from laurel.io.database import Database
from laurel.io.kafka import log_ends, new_consumer, stop_quietly
from laurel.io.topics import main_topic
from services.gateway.settings import GatewaySettings
from tests.gateway.stage import gateway, until

pytestmark = pytest.mark.anyio


async def test_what_everybody_has_read_is_dropped(
    settings: GatewaySettings, http: httpx.AsyncClient, member: str, database: Database
) -> None:
    async def streams() -> list[str]:
        async with database.connection() as connection:
            return [row[0] for row in await connection.fetch("select distinct stream from outbox order by stream")]

    async def only_programs() -> bool:
        return await streams() == ["programs"]

    assert await streams() == ["", "programs"]
    group = f"{settings.kafka_prefix}-points"
    consumer = new_consumer(settings, group)
    await consumer.start()
    try:
        ends = await log_ends(settings, [main_topic("gateway", settings.kafka_prefix)])
        consumer.assign([TopicPartition(*place) for place in ends])
        await consumer.commit({TopicPartition(*place): end for place, end in ends.items()})
    finally:
        await stop_quietly(consumer)
    changes = {"outbox_groups": group, "outbox_retention_hours": 0.0, "outbox_prune_seconds": 0.1}
    async with gateway(settings.model_copy(update=changes), "worker"):
        await until(only_programs)
