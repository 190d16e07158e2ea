"""What a turn of a program's clock brought about, counted from the facts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from services.points.domain.facts import (
    AnyFact,
    LotsExpired,
    PendingGivenUp,
    PendingReleased,
    PointsConverted,
    PointsReleased,
    TierChanged,
)


@dataclass(frozen=True, slots=True)
class Counts:
    """How often each thing happened."""

    released: int = 0
    holds_timed_out: int = 0
    lots_expired: int = 0
    tiers_changed: int = 0
    converted: int = 0


class _Counted(NamedTuple):
    name: str
    of: Callable[[Any], int]


_COUNTED: dict[type, _Counted] = {
    PendingReleased: _Counted("released", lambda fact: len(fact.parts)),
    PointsReleased: _Counted("holds_timed_out", lambda fact: int(fact.state == "expired")),
    LotsExpired: _Counted("lots_expired", lambda fact: len(fact.parts)),
    # By time alone a pending lot is given up only where its end has come.
    PendingGivenUp: _Counted("lots_expired", lambda _fact: 1),
    PointsConverted: _Counted("converted", lambda _fact: 1),
    TierChanged: _Counted("tiers_changed", lambda _fact: 1),
}
"""Which facts are counted, under which name of `Counts`; a new kind of due work adds its line."""


def count(facts: Iterable[AnyFact]) -> Counts:
    """Count what the facts of some due work say."""
    sums: dict[str, int] = {}
    for fact in facts:
        counted = _COUNTED.get(type(fact))
        if counted is not None:
            sums[counted.name] = sums.get(counted.name, 0) + counted.of(fact)
    return Counts(**sums)
