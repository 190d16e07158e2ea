"""A connection that is lost between two requests is a broker's trouble, and ends nobody."""

from __future__ import annotations

import asyncio

import pytest
import uvloop
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from laurel.io.kafka import admin
from laurel.io.settings import KafkaSettings


def test_what_is_sent_into_a_closed_connection_finds_no_broker(kafka: KafkaSettings) -> None:
    """By the loop of the services: it says RuntimeError, for which aiokafka does not look."""
    uvloop.run(_send_into_a_closed_connection(kafka))


async def _send_into_a_closed_connection(kafka: KafkaSettings) -> None:
    async with admin(kafka) as client:
        await client.list_topics()
        (connection,) = client._client._conns.values()
        # As when the broker dies: the loop has closed it, and aiokafka has yet to hear of it.
        connection._writer.transport.abort()
        await asyncio.sleep(0)
        with pytest.raises(KafkaConnectionError):
            await connection.send(MetadataRequest([]))
