"""A database of the test's own that is not there yet."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from laurel.embedded.postgres import EmbeddedPostgres


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
def name(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A database that is not there yet."""
    name = f"new_{uuid.uuid4().hex[:8]}"
    yield name

    async def drop() -> None:
        async with connected(postgres.url("admin", "postgres")) as admin:
            await admin.execute(f"drop database if exists {name} with (force)")

    asyncio.run(drop())
