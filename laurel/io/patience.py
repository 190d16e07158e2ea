"""Records that nobody is in a hurry for: they may wait a moment and go together.

A service that listens to a busy topic for a few of its events would else pay a transaction for each of the others, and
whoever listens to it one for each of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from aiokafka import TopicPartition

PATIENCE_SECONDS: Final = 0.1
"""How long records wait for whose effect nobody waits."""

_TYPES_MAX: Final = 1000


class Patience:
    """What was fetched and is not worked off yet. `may_wait` says of which types; None: none may."""

    def __init__(self, may_wait: Callable[[str], bool] | None, most: int, *, seconds: float = PATIENCE_SECONDS) -> None:
        self._may_wait = may_wait
        self._known: dict[bytes, bool] = {}
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
        if self._may_wait is None:
            return True
        # What does not say its type is no message, and is looked at at once.
        name = next((value for name, value in record.headers if name == "ce_type"), None)
        if name is None:
            return True
        urgent = self._known.get(name)
        if urgent is None:
            urgent = not self._may_wait(name.decode(errors="replace"))
            if len(self._known) < _TYPES_MAX:
                self._known[name] = urgent
        return urgent
