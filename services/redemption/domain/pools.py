"""Codes that a partner has given us for a reward: handed out once each, those that end first before all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

NEVER: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""The end of codes that have none, so that they come last; a moment that every row and message can hold."""


@dataclass(slots=True)
class CodeLot:
    """Codes of one pool that end at one moment: so many were given to us, so many of them are handed out."""

    expires_at: datetime
    codes: int = 0
    handed: int = 0

    @property
    def free(self) -> int:
        """Return how many are not handed out."""
        return self.codes - self.handed

    def is_good(self, at: datetime | None) -> bool:
        """Say whether its codes can still be handed out then; before a manual clock was set nothing is over."""
        return at is None or self.expires_at > at
