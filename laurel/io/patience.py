"""Records that nobody is in a hurry for: they only move the inbox, so they may wait a moment and go together.

A service that listens to a busy topic for a few of its events would else pay a transaction for each of the others.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from aiokafka import TopicPartition

PATIENCE_SECONDS: Final = 0.3
"""How long records wait that are wanted for nothing but their number."""


class Patience:
    """What was fetched and is not worked off yet. `types` are those that may not wait; None: none may."""

    def __init__(self, types: Collection[str] | None, most: int, *, seconds: float = PATIENCE_SECONDS) -> None:
        self._types = frozenset(name.encode() for name in types) if types is not None else None
        self._most = most
        self._seconds = seconds
        self._records: dict[TopicPartition, list[Any]] = {}
        self._count = 0
        self._since = 0.0
        self._urgent = False

    def add(self, fetched: Mapping[TopicPartition, Sequence[Any]]) -> None:
        """Take records in the order in which they were fetched."""
        if not self._count:
            self._since = time.monotonic()
        for partition, records in fetched.items():
            self._records.setdefault(partition, []).extend(records)
            self._count += len(records)
            self._urgent = self._urgent or any(map(self._is_urgent, records))

    @property
    def is_over(self) -> bool:
        """Say whether what was taken should be worked off now."""
        if not self._count:
            return False
        return self._urgent or self._count >= self._most or time.monotonic() - self._since >= self._seconds

    def take(self) -> dict[TopicPartition, list[Any]]:
        """Hand over everything; nothing is left."""
        records, self._records = self._records, {}
        self._count = 0
        self._urgent = False
        return records

    def _is_urgent(self, record: Any) -> bool:  # noqa: ANN401 - aiokafka ships no types
        if self._types is None:
            return True
        # What does not say its type is no message, and is looked at at once.
        return next((value in self._types for name, value in record.headers if name == "ce_type"), True)
