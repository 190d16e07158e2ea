"""Rows that are only ever added: a few by one statement, many by COPY, which encodes them for a third of the price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from laurel.io.database import Connection, copy_rows
from laurel.io.together import Statement
from services.redemption.store.columns import of_rows

# COPY needs more round trips than a statement, and pays from about this many rows.
_COPY_ROWS_MIN: Final = 24


class Adding:
    """Adds rows to one table, whose columns are named with their types."""

    def __init__(self, table: str, types: Mapping[str, str]) -> None:
        self._table = table
        self.columns = tuple(types)
        arrays = ", ".join(f"${number}::{type_}[]" for number, type_ in enumerate(types.values(), 1))
        self._statement = f"insert into {table} ({', '.join(types)}) select * from unnest({arrays})"

    async def add(self, connection: Connection, rows: Sequence[Sequence[Any]]) -> list[Statement]:
        """Add many rows at once; return the statement that adds a few, for whoever has others to go with it."""
        if len(rows) < _COPY_ROWS_MIN:
            return of_rows(self._statement, rows)
        await copy_rows(connection, self._table, self.columns, rows)
        return []
