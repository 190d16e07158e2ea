"""A database of the test's own that is not there yet."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager

import asyncpg
import pytest
from alembic import command
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from laurel.embedded.postgres import EmbeddedPostgres
from laurel.io.migrating import DatabaseUrls, alembic_config, for_sqlalchemy
from migrations.partitions import PARTITIONS


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def migrate_up_to(urls: DatabaseUrls, revisions: Mapping[str, str], *, partitions: int = PARTITIONS) -> None:
    """Migrate schemas up to these revisions, as an installation stands that has waited with the others."""

    def upgrade(connection: Connection, schema: str, revision: str) -> None:
        config = alembic_config(schema)
        config.attributes |= {"connection": connection, "partitions": partitions}
        command.upgrade(config, revision)

    engine = create_async_engine(for_sqlalchemy(urls.owner))
    async with engine.connect() as connection:
        for schema, revision in revisions.items():
            await connection.run_sync(upgrade, schema, revision)
    await engine.dispose()


@pytest.fixture
def name(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A database that is not there yet."""
    name = f"new_{uuid.uuid4().hex[:8]}"
    yield name

    async def drop() -> None:
        async with connected(postgres.url("admin", "postgres")) as admin:
            await admin.execute(f"drop database if exists {name} with (force)")

    asyncio.run(drop())
