"""A database, topics and a running town that the tests of one module share."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest

from laurel.io.migrating import DatabaseUrls
from laurel.io.settings import KafkaSettings
from tests.flow.nursery import Nursery
from tests.flow.stage import ONE_OF_EACH, Door, Town


@pytest.fixture(scope="module")
def town_urls(module_urls: DatabaseUrls) -> DatabaseUrls:
    """A migrated database of the module's own."""
    return module_urls


@pytest.fixture(scope="module")
def town_kafka(broker: str, session_timeout_ms: int) -> KafkaSettings:
    """The shared broker, with topics of the module's own."""
    return kafka_settings(broker, session_timeout_ms)


@pytest.fixture(scope="module")
def town_parts() -> dict[str, str]:
    """The processes of the module's town, each with its part; a module that wants others says so itself."""
    return ONE_OF_EACH


@pytest.fixture(scope="module")
async def town(
    town_urls: DatabaseUrls,
    town_kafka: KafkaSettings,
    town_parts: dict[str, str],
    forks: Nursery | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Town]:
    """A town for the module's tests; a module that wants a program in it has a `town` of its own upon this one."""
    async with Town(tmp_path_factory.mktemp("town"), town_urls, town_kafka, town_parts, forks).open() as town:
        yield town


@pytest.fixture
async def door(town: Town) -> Door:
    """The admin's door."""
    return town.door()


def kafka_settings(bootstrap: str, session_timeout_ms: int, *, partitions: int = 4) -> KafkaSettings:
    return KafkaSettings(
        kafka_bootstrap=bootstrap,
        kafka_prefix=f"f{uuid.uuid4().hex[:8]}",
        kafka_partitions=partitions,
        kafka_session_timeout_ms=session_timeout_ms,
    )
