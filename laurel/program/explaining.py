"""A decision that names only the rules which are not silent is made whole again for those who read it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from laurel.program.outcomes import Dated, why_silent


class Named(Dated, Protocol):
    """A rule as far as its silence needs it."""

    @property
    def id(self) -> str: ...


def whole_decision(
    rules: Iterable[Named], activity_type: str, occurred_at: datetime, told: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Return what each rule of a version said of an activity, in their order, from what is told of some."""
    known = {each["rule"]: each for each in told}
    return [
        known.get(rule.id)
        or {
            "rule": rule.id,
            "fired": False,
            "reason": why_silent(rule, activity_type, occurred_at),
            "computed": 0,
            "amount": 0,
            "capped_by": [],
        }
        for rule in rules
    ]
