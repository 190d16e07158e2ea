"""What a replay has done so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

_COUNTS = ("posted", "refused", "pending", "rejected", "duplicate")


@dataclass(slots=True)
class ReplaySummary:
    """Counts of baskets by what became of them, and the points they earned."""

    sent: int = 0
    enrolled: int = 0
    posted: int = 0
    refused: int = 0
    pending: int = 0
    rejected: int = 0
    duplicate: int = 0
    awarded: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    """Why baskets were refused or rejected."""
    seconds: float = 0.0

    @property
    def answered(self) -> int:
        """How many baskets have an outcome."""
        return self.posted + self.refused + self.pending + self.rejected + self.duplicate

    @property
    def clean(self) -> bool:
        """Whether every basket was taken, now or before."""
        return not (self.refused or self.rejected or self.pending)

    def add_batch(self, batch: Mapping[str, Any]) -> None:
        """Count what `GET …/batches/{id}` shows."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + int(batch.get(name, 0)))
        for award in batch.get("awarded", ()):
            self.awarded[award["unit"]] += award["amount"]

    def with_batch(self, batch: Mapping[str, Any]) -> ReplaySummary:
        """Return a copy that also counts a batch that is still under way."""
        copy = replace(self, awarded=self.awarded.copy(), codes=self.codes.copy())
        copy.add_batch({**batch, "pending": 0})
        return copy

    def document(self) -> dict[str, Any]:
        """Say it as plain values."""
        counts = {name: getattr(self, name) for name in ("sent", "enrolled", *_COUNTS)}
        awarded = [{"unit": unit, "amount": amount} for unit, amount in sorted(self.awarded.items())]
        return {**counts, "awarded": awarded, "codes": dict(self.codes), "seconds": round(self.seconds, 3)}
