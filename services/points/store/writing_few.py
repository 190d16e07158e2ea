"""A handful of journals goes in by one statement: COPY, and a statement a table, pay for hundreds of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import asyncpg

from laurel.io.together import Statement, execute_together
from services.points.store.columns import Written

Rows = Sequence[Sequence[Any]]
"""Rows of one table, each with its columns in their order."""

FEW: Final = 24
"""Up to so many journals the one statement is quicker."""


async def write_few(connection: asyncpg.Connection[Any], parts: Iterable[tuple[Written, Rows]]) -> None:
    """Add the rows of each table, or set them where they are there and it has totals."""
    await execute_together(connection, few(parts))


def few(parts: Iterable[tuple[Written, Rows]]) -> list[Statement]:
    """Return what does that."""
    return [Statement(table.insert, table.parameters(rows)) for table, rows in parts if rows]
