"""Whole workers of points beside a real broker and database."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from laurel.io.migrating import DatabaseUrls
from services.points.settings import PointsSettings
from tests.points.stage import Stage


@pytest.fixture
async def auditor(database_urls: DatabaseUrls) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(database_urls.auditor)
    yield connection
    await connection.close()


@pytest.fixture
async def another(database_urls: DatabaseUrls) -> AsyncIterator[asyncpg.Connection[Any]]:
    """A second connection of the auditor, for whoever looks at the same time."""
    connection = await asyncpg.connect(database_urls.auditor)
    yield connection
    await connection.close()


@pytest.fixture
def settings(database_urls: DatabaseUrls, broker: str, session_timeout_ms: int) -> PointsSettings:
    """A worker's settings: the shared broker, with topics of the test's own."""
    return PointsSettings(
        database_url=SecretStr(database_urls.points),
        kafka_bootstrap=broker,
        kafka_prefix=f"t{uuid.uuid4().hex[:8]}",
        kafka_session_timeout_ms=session_timeout_ms,
        expiry_interval_seconds=0.1,
    )


@pytest.fixture
async def stage(settings: PointsSettings, auditor: asyncpg.Connection[Any]) -> AsyncIterator[Stage]:
    async with Stage(settings, auditor).open() as stage:
        yield stage
