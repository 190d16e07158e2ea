"""Redemption on a real database: the road without a broker, and whole workers beside a broker."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from laurel.io.database import Database
from laurel.io.migrating import DatabaseUrls
from laurel.io.outbox import Outbox
from laurel.io.unit import UnitOfWork
from services.redemption.ports import Announcement
from services.redemption.road import Road
from services.redemption.settings import RedemptionSettings
from services.redemption.store.store import PostgresStore
from services.redemption.store.vault import Vault
from services.redemption.testing import FixedPrograms, Told
from tests.redemption.stage import Stage

SECRET = "s" * 48


@pytest.fixture
def vault() -> Vault:
    return Vault(SECRET.encode())


@pytest.fixture
async def database(database_urls: DatabaseUrls) -> AsyncIterator[Database]:
    database = await Database.connect(database_urls.redemption, schema="redemption", application="test")
    yield database
    await database.close()


@pytest.fixture
async def auditor(database_urls: DatabaseUrls) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(database_urls.auditor, server_settings={"search_path": "redemption"})
    yield connection
    await connection.close()


class Counter:
    """The road on Postgres, without inbox and broker: each call is one committed batch."""

    def __init__(self, unit: UnitOfWork, vault: Vault) -> None:
        self.unit = unit
        self.vault = vault
        self.road = Road(FixedPrograms())

    async def hear(self, *told: Told) -> list[Announcement]:
        async with self.unit.begin() as work:
            return await self.road.run(PostgresStore(work.connection, self.vault), told)

    async def time_is_up(self, due: Sequence[Any]) -> list[Announcement]:
        async with self.unit.begin() as work:
            return await self.road.run_due(PostgresStore(work.connection, self.vault), due)


@pytest.fixture
async def counter(database: Database, vault: Vault) -> Counter:
    return Counter(UnitOfWork(database, await Outbox.load("redemption", database)), vault)


@pytest.fixture
def settings(database_urls: DatabaseUrls, broker: str, session_timeout_ms: int) -> RedemptionSettings:
    """A worker's settings: the shared broker, with topics of the test's own."""
    return RedemptionSettings(
        secret=SecretStr(SECRET),
        database_url=SecretStr(database_urls.redemption),
        kafka_bootstrap=broker,
        kafka_prefix=f"t{uuid.uuid4().hex[:8]}",
        kafka_session_timeout_ms=session_timeout_ms,
        wait_timer_seconds=0.1,
    )


@pytest.fixture
async def stage(settings: RedemptionSettings, auditor: asyncpg.Connection[Any]) -> AsyncIterator[Stage]:
    async with Stage(settings, auditor).open() as stage:
        yield stage
