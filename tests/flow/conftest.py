"""A database and topics that the tests of one module share."""

from __future__ import annotations

import uuid

import pytest

from laurel.io.migrating import DatabaseUrls
from laurel.io.settings import KafkaSettings


@pytest.fixture(scope="module")
def town_urls(module_urls: DatabaseUrls) -> DatabaseUrls:
    """A migrated database of the module's own."""
    return module_urls


@pytest.fixture(scope="module")
def town_kafka(broker: str, kafka_idempotence: bool, fetch_max_wait_ms: int) -> KafkaSettings:
    """The shared broker, with topics of the module's own."""
    return kafka_settings(broker, idempotence=kafka_idempotence, fetch_max_wait_ms=fetch_max_wait_ms)


def kafka_settings(bootstrap: str, *, idempotence: bool, fetch_max_wait_ms: int, partitions: int = 4) -> KafkaSettings:
    return KafkaSettings(
        kafka_bootstrap=bootstrap,
        kafka_prefix=f"f{uuid.uuid4().hex[:8]}",
        kafka_partitions=partitions,
        kafka_idempotence=idempotence,
        fetch_max_wait_ms=fetch_max_wait_ms,
        # A real broker takes nothing below six seconds.
        kafka_session_timeout_ms=6000 if idempotence else 1000,
    )
