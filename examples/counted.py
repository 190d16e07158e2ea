"""Balances in SQLite, made from Laurel's events: each event once, each member's in order.

All that is needed for that is the last sequence of each source and key, kept in the transaction of the effect.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

_TABLES = """
    create table if not exists seen (source text, key text, sequence integer, primary key (source, key));
    create table if not exists balances (key text, unit text, available integer, primary key (key, unit));
"""


class Balances:
    """What every member has available."""

    def __init__(self, path: str) -> None:
        self._database = sqlite3.connect(path)
        self._database.executescript(_TABLES)

    def apply(self, headers: Mapping[str, str], value: bytes) -> bool:
        """Apply an event as it came from the topic; False for one that was applied before."""
        source, key, sequence = headers["ce_source"], headers["ce_partitionkey"], int(headers["ce_sequence"])
        last = self.last(source, key)
        if sequence <= last:
            return False
        if sequence != last + 1:
            raise LookupError(f"{key} comes to {sequence} of {source} after {last}: an event is missing")
        self.put(source, key, sequence, json.loads(value).get("balances", ()))
        return True

    def put(self, source: str, key: str, sequence: int, balances: Any) -> None:  # noqa: ANN401 - JSON
        """Set what a key has, as of an event."""
        with self._database:
            self._database.executemany(
                "insert or replace into balances values (?, ?, ?)",
                [(key, each["unit"], each["available"]) for each in balances],
            )
            self._database.execute("insert or replace into seen values (?, ?, ?)", (source, key, sequence))

    def last(self, source: str, key: str) -> int:
        """Return the last sequence that was applied; 0 before the first."""
        found = self._database.execute("select sequence from seen where source = ? and key = ?", (source, key))
        return int((found.fetchone() or (0,))[0])

    def rows(self) -> Iterator[tuple[str, str, int]]:
        """Tell all balances."""
        yield from self._database.execute("select key, unit, available from balances order by key, unit")

    def close(self) -> None:
        self._database.close()
