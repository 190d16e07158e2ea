"""What is asked of a database, statement by statement: each is a round trip."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from laurel.io.database import Database


@asynccontextmanager
async def asked(database: Database) -> AsyncIterator[list[str]]:
    """Return what is asked meanwhile, by whoever has the connection that was given back last."""
    statements: list[str] = []

    def note(query: Any) -> None:
        statements.append(" ".join(query.query.split()))

    async with database.connection() as connection:
        connection.add_query_logger(note)
    try:
        yield statements
    finally:
        async with database.connection() as connection:
            connection.remove_query_logger(note)
