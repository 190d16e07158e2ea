"""What the rules of a program make of an activity: an outcome for each, of which most find nothing.

What a rule says that finds nothing follows from the rule, the type of the activity and its instant alone. So these
outcomes are made once, shared by all activities of a type within the same dates, and need neither be walked through
nor kept again and again: `told` are the places of the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from laurel.program.rules import (
    CONDITION_FALSE,
    NO_LINE_MATCHES,
    OUTSIDE_DATES,
    TYPE_NOT_COVERED,
    RuleOutcome,
)

TOLD_WHOLE_MAX: Final = 24
"""Up to so many rules a program's decisions name each of them; beyond that, those that are not silent."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Dated(Protocol):
    """What a rule must show for its silence: the document's does, and the compiled one."""

    @property
    def on(self) -> Iterable[str]: ...
    @property
    def lines(self) -> object | None: ...
    @property
    def starts_at(self) -> datetime | None: ...
    @property
    def ends_at(self) -> datetime | None: ...


def why_silent(rule: Dated, activity_type: str, occurred_at: datetime | None) -> str:
    """Say why a rule does not fire where nothing of an activity leads to it. No instant lies within all dates."""
    if activity_type not in rule.on:
        return TYPE_NOT_COVERED
    if occurred_at is not None and not runs_at(rule, occurred_at):
        return OUTSIDE_DATES
    return NO_LINE_MATCHES if rule.lines is not None else CONDITION_FALSE


def runs_at(rule: Dated, occurred_at: datetime) -> bool:
    """Whether an instant lies within a rule's dates."""
    if rule.starts_at is not None and occurred_at < rule.starts_at:
        return False
    return rule.ends_at is None or occurred_at < rule.ends_at


def tick_of(instant: datetime) -> int:
    """Count an instant in microseconds: numbers are compared far quicker than times with their zones."""
    return (instant - _EPOCH) // _MICROSECOND


class Silent:
    """The outcomes of rules that find nothing. `derived` is for what others make of these, once."""

    __slots__ = ("derived", "outcomes")

    def __init__(self, outcomes: list[RuleOutcome]) -> None:
        self.outcomes = outcomes
        self.derived: list[Any] = []


class Outcomes(Sequence[RuleOutcome]):
    """An outcome for each rule, in their order. Do not change them: what is silent is shared."""

    __slots__ = ("_all", "silent", "told")

    def __init__(self, outcomes: Sequence[RuleOutcome], silent: Silent, told: Sequence[int]) -> None:
        self._all = outcomes
        self.silent = silent
        self.told = told
        """The places of those that do not say what their rule's silence would."""

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, place: Any) -> Any:  # noqa: ANN401 (a place or a slice, as of any sequence)
        return self._all[place]

    def __iter__(self) -> Iterator[RuleOutcome]:
        return iter(self._all)

    def spoken(self) -> list[RuleOutcome]:
        """Return those that are not silent; all that fired are among them."""
        return [self._all[place] for place in self.told]
