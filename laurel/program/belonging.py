"""Which segments a member belongs to, and did before: the fact that moves it, and the book that folds it.

The points service keeps the fact in its journals, and a case on paper plays it too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

PAST_MAX: Final = 48
"""How many memberships that are over are remembered, for activities that are reported late."""


class Belonging(msgspec.Struct, frozen=True, omit_defaults=True):
    """A member belongs to a segment since an instant; with an end it is over then by itself.

    Of several clubs `primary` is the one whose threshold the member exceeds most.
    """

    segment: str
    since_at: datetime
    until_at: datetime | None = None
    primary: bool = False


class Belonged(msgspec.Struct, frozen=True, array_like=True):
    """A membership that is over."""

    segment: str
    since_at: datetime
    until_at: datetime


class SegmentsChanged(msgspec.Struct, frozen=True, tag_field="fact", tag=True, omit_defaults=True):
    """The member belongs to other segments from `at` on: judged, ended or joined. `held` are all of them.

    Without anything `entered` or `left`, another club is the primary one.
    """

    at: datetime
    reason: str
    held: tuple[Belonging, ...]
    entered: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


@dataclass(slots=True)
class SegmentBook:
    """The segments of a member; moves by `apply` alone, so that folding the facts gives it again."""

    held: tuple[Belonging, ...] = ()
    past: tuple[Belonged, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(each.segment for each in self.held))

    @property
    def ends_at(self) -> datetime | None:
        """Return when the first membership is over by itself."""
        if not self.held:
            return None
        return min((each.until_at for each in self.held if each.until_at is not None), default=None)

    def at(self, instant: datetime) -> tuple[str, ...]:
        """Return the segments that the member belonged to at an instant, in the order of their names (S9)."""
        now = {each.segment for each in self.held if _covers(each.since_at, each.until_at, instant)}
        then = {each.segment for each in self.past if _covers(each.since_at, each.until_at, instant)}
        return tuple(sorted(now | then))

    def apply(self, fact: SegmentsChanged) -> None:
        """Move by one fact."""
        since = {each.segment: each.since_at for each in self.held}
        gone = [Belonged(name, since[name], fact.at) for name in fact.left if name in since]
        self.past = (*self.past, *gone)[-PAST_MAX:]
        self.held = fact.held


def _covers(since_at: datetime, until_at: datetime | None, instant: datetime) -> bool:
    return since_at <= instant and (until_at is None or instant < until_at)
