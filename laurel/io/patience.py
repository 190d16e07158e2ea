"""Records that nobody is in a hurry for may wait a moment and go together; others only while a batch is rested from.

A service that listens to a busy topic for a few of its events would else pay a transaction for each of the others, and
whoever listens to it one for each of its own. And where records come faster than one by one can be worked off cheaply,
each would pay for a transaction although the next one is about to come: so a small batch begins no sooner after the one
before than that one took.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from aiokafka import TopicPartition

PATIENCE_SECONDS: Final = 0.1
"""How long records wait for whose effect nobody waits."""

REST_SECONDS_MAX: Final = 0.02
"""How long it is rested from a batch at most, however long that took."""
REST_UNTIL: Final = 8
"""So many records make a batch that need not wait for more."""

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
        self._rested_at = 0.0

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
        now = time.monotonic()
        if self._urgent and (self._count >= REST_UNTIL or now >= self._rested_at):
            return True
        return self._count >= self._most or now - self._since >= self._seconds

    def rest_seconds(self, at_most: float) -> float:
        """How long records that somebody waits for still rest; `at_most` where there is none of these."""
        if not self._urgent:
            return at_most
        return max(0.0, min(at_most, self._rested_at - time.monotonic()))

    def rest_from(self, seconds: float) -> None:
        """Take note that a batch is worked off, and that it took so long."""
        self._rested_at = time.monotonic() + min(seconds, REST_SECONDS_MAX)

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
