"""A handful of journals goes in by one statement: COPY, and a statement a table, pay for hundreds of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import asyncpg

from services.points.store.columns import ACTIVITIES, BALANCES, ENTRIES, JOURNALS, LOTS, WALLETS, Written

Rows = Sequence[Sequence[Any]]
"""Rows of one table, each with its columns in their order."""

FEW: Final = 24
"""Up to so many journals the one statement is quicker."""

_TABLES: Final = (JOURNALS, ENTRIES, ACTIVITIES, LOTS, WALLETS, BALANCES)


def _in_one(tables: Sequence[Written]) -> str:
    """Return one statement that writes to all these tables.

    Its parts see the tables as they were before it, which is right: each writes to a table of its own, and what is
    written was decided before.
    """
    texts: list[str] = []
    start = 1
    for table in tables:
        texts.append(table.insert(start))
        start += len(table.columns)
    parts = ", ".join(f"{table.name}_written as ({text})" for table, text in zip(tables, texts[:-1], strict=False))
    return f"with {parts} {texts[-1]}"


_WRITE: Final = _in_one(_TABLES)


async def write_few(connection: asyncpg.Connection[Any], *rows: Rows) -> None:
    """Add rows to journals, entries, activities and lots, and set those of wallets and balances: in this order."""
    parameters: list[Any] = []
    for each, table in zip(rows, _TABLES, strict=True):
        parameters += table.parameters(each)
    await connection.execute(_WRITE, *parameters)
