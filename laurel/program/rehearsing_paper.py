"""What a case leaves on paper: lots, activities as they were posted, and what a step brought about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from laurel.contracts.activity import Activity
from laurel.program.returning import NOTHING_RETURNED, Returned
from laurel.program.standing import QualifyingCounted

if TYPE_CHECKING:
    from laurel.program.caps import CompiledCap
    from laurel.program.compiled import CompiledRule
    from laurel.program.rehearsing_stage import Stage

FOR_EVER: Final = datetime.max.replace(tzinfo=UTC)
"""When ends what has no end, where ends are compared."""


@dataclass(slots=True, eq=False)
class PaperLot:
    """Points of one award."""

    rule: CompiledRule
    granted: int
    remaining: int
    earned_at: datetime
    expires_at: datetime | None
    expired: int = 0
    pending: int = 0
    available_at: datetime | None = None
    awaits: str = ""
    ended_at: datetime | None = None


@dataclass(slots=True)
class Posted:
    """An activity as it was posted, with what its returns, and what lies with it, are judged by."""

    activity: Activity
    granted: dict[str, int] = field(default_factory=dict)
    lots: dict[str, list[PaperLot]] = field(default_factory=dict)
    refused: dict[str, tuple[CompiledCap, int]] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    """The rules whose limit it counts towards."""
    returned: Returned = NOTHING_RETURNED
    member: Mapping[str, Any] = field(default_factory=dict)
    counted: dict[str, QualifyingCounted] = field(default_factory=dict)
    counted_in: int = 0
    shares: list[tuple[str, Stage]] = field(default_factory=list)
    within: dict[str, int] = field(default_factory=dict)
    """What the caps of a transaction leave of each rule's award, whatever other caps leave of it."""

    def counted_by(self, rule: str, amount: int) -> list[tuple[QualifyingCounted, int]]:
        """Return what comes back of what a rule counted towards tiers, if it did."""
        return [(self.counted[rule], amount)] if rule in self.counted else []


@dataclass(slots=True)
class Seen:
    """What a step brought about, in the words of `Expected`."""

    awards: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    reversals: dict[str, dict[str, int]] = field(default_factory=dict)
    good_through: dict[str, Any] = field(default_factory=dict)
    balances: dict[str, dict[str, int]] = field(default_factory=dict)
    billed: dict[str, int] = field(default_factory=dict)
    capped: dict[str, dict[str, int]] = field(default_factory=dict)
    counted: dict[str, int] = field(default_factory=dict)
    tier: dict[str, Any] = field(default_factory=dict)
    vouchers: list[dict[str, Any]] = field(default_factory=list)
    segments: dict[str, bool] = field(default_factory=dict)
    others: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    refused: str | None = None
