"""What is known of a wallet's past for an activity that is reported late."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from services.points.domain import facts as f
from services.points.domain.facts import AnyFact, LotPart


class Lapse(NamedTuple):
    """What of a unit ended at an instant."""

    at: datetime
    unit: str
    parts: tuple[LotPart, ...]


@dataclass(slots=True)
class Late:
    """What an activity that is reported late may have to do with: what ended since it happened, and what kept points
    alive, by unit from when until when.
    """

    lapses: list[Lapse] = field(default_factory=list)
    kept: dict[str, list[tuple[datetime, datetime]]] = field(default_factory=dict)

    def note(self, facts: Iterable[AnyFact], at: datetime, ended_at: datetime) -> None:
        """Take what facts of a journal of `at` say of that; what ended did so at `ended_at`."""
        for fact in facts:
            if isinstance(fact, f.LotsExpired):
                self.lapses.append(Lapse(ended_at, fact.unit, fact.parts))
            elif isinstance(fact, f.ActivityPosted):
                for unit, until in fact.active_until.items():
                    self.kept.setdefault(unit, []).append((fact.occurred_at, until))
            elif isinstance(fact, f.PointsReceived) and fact.active_until is not None:
                self.kept.setdefault(fact.unit, []).append((at, fact.active_until))
