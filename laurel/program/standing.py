"""Where a member stands among the tiers, what it has counted towards them, and the facts that move both.

`TierBook` moves by `apply` alone, so that folding the facts gives it again. The points service keeps these facts in
its journals, and a case on paper plays them too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Final, Literal

import msgspec

Grain = Literal["day", "tier", "calendar_year", "account_year", "ever"]
"""How finely a unit is counted: by day, by day since the present tier, by year, or in one sum."""
EVER: Final = date(1970, 1, 1)
"""The day under which a sum without a window is kept."""
STOOD_MAX: Final = 48
"""How many former standings are remembered, for activities that are reported late."""
BEGINNING: Final = datetime(1900, 1, 1, tzinfo=UTC)


class Bucket(msgspec.Struct, frozen=True, array_like=True):
    """One sum of a unit: that of a day, of a year that starts then, or of all time."""

    unit: str
    grain: Grain
    day: date


class Held(msgspec.Struct, frozen=True, omit_defaults=True):
    """A tier from one instant to another; without an end it lasts until something ends it."""

    tier: str
    since_at: datetime
    until_at: datetime | None = None


class Matched(msgspec.Struct, frozen=True, omit_defaults=True):
    """A rival's tier that was matched, on whose proof of which day: kept once `done` reaches `needs`.

    `over`: it ended, but a late report still counts. `kept`: it has become the tier that was earned, over what lay
    `beneath`, to which a return of what kept it leads back.
    """

    tier: str
    since_at: datetime
    until_at: datetime
    counter: str
    unit: str
    needs: int
    done: int = 0
    over: bool = False
    kept: bool = False
    beneath: Held | None = None
    issuer: str = ""
    dated: date | None = None


class Standing(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a member stands: `tier` is the higher of what it earned and what was matched.

    `before` is what it held before it climbed, or kept its tier, by what was counted in `season`: a return of that
    leads back to it. `elite_from` is since when it has been above the first tier without a break, matched time only
    once kept. `review_at` is when the earned tier is looked at again.
    """

    tier: str
    since_at: datetime
    until_at: datetime | None = None
    earned: Held | None = None
    before: Held | None = None
    season: date | None = None
    matched: Matched | None = None
    matched_on: date | None = None
    elite_from: datetime | None = None
    review_at: datetime | None = None

    @property
    def due_at(self) -> datetime | None:
        """Return when time alone next looks at it."""
        matched = self.matched
        if matched is None or matched.over or matched.kept:
            return self.review_at
        return matched.until_at if self.review_at is None else min(matched.until_at, self.review_at)


class Stood(msgspec.Struct, frozen=True, array_like=True):
    """From when on a member stood somewhere."""

    at: datetime
    tier: str
    elite_from: datetime | None


class TierFact(msgspec.Struct, frozen=True, tag_field="fact", omit_defaults=True):
    """The root of the facts about tiers."""


class QualifyingCounted(TierFact, frozen=True, tag=True):
    """A rule counted an activity towards tiers. `challenge`: so much of it counts towards keeping a match."""

    unit: str
    rule: str
    amount: int
    activity: str
    partner: str
    occurred_at: datetime
    buckets: tuple[Bucket, ...]
    challenge: int = 0


class QualifyingReturned(TierFact, frozen=True, tag=True):
    """A return took back what `rule` had counted of the activity `of`."""

    unit: str
    rule: str
    amount: int
    of: str
    partner: str
    buckets: tuple[Bucket, ...]
    challenge: int = 0


class QualifyingJoined(TierFact, frozen=True, tag=True):
    """What another account had counted is counted here, too; below zero it is not any more."""

    counts: tuple[tuple[Bucket, int], ...]


class TierChanged(TierFact, frozen=True, tag=True):
    """The member stands elsewhere from `at` on: reached, reviewed, returned, matched or match_failed."""

    before: str
    after: str
    at: datetime
    reason: str
    standing: Standing


class TierKept(TierFact, frozen=True, tag=True):
    """The member stands where it stood, but something about that moved: its end, its next review, what lies beneath."""

    at: datetime
    reason: str
    standing: Standing


AnyTierFact = QualifyingCounted | QualifyingReturned | QualifyingJoined | TierChanged | TierKept


@dataclass(slots=True)
class TierBook:
    """A member's standing, where it stood before, and its counts by unit and grain, then day.

    `journal` is the one by which it came to its present tier; counts of the grain `tier` begin anew there.
    """

    standing: Standing | None = None
    stood: tuple[Stood, ...] = ()
    journal: int = 0
    counts: dict[tuple[str, Grain], dict[date, int]] = field(default_factory=dict)
    seen: dict[object, int] = field(default_factory=dict, compare=False, repr=False)
    """What counters showed, remembered until something is counted again."""

    def copy(self) -> TierBook:
        """Return a book on which to try what facts would lead to."""
        return TierBook(
            self.standing, self.stood, self.journal, {name: dict(days) for name, days in self.counts.items()}
        )

    def stood_at(self, instant: datetime) -> Stood | None:
        """Return where the member stood at an instant; None where it was still at the beginning."""
        for stood in reversed(self.stood):
            if stood.at <= instant:
                return stood
        return None

    def apply(self, journal: int, fact: AnyTierFact) -> None:
        """Move by one fact."""
        if isinstance(fact, QualifyingCounted):
            self._count(fact.buckets, fact.amount, fact.challenge)
        elif isinstance(fact, QualifyingReturned):
            self._count(fact.buckets, -fact.amount, -fact.challenge)
        elif isinstance(fact, QualifyingJoined):
            for bucket, amount in fact.counts:
                self._count((bucket,), amount, 0)
        else:
            self._stand(journal, fact)

    def _count(self, buckets: tuple[Bucket, ...], amount: int, challenge: int) -> None:
        self.seen.clear()
        for bucket in buckets:
            days = self.counts.setdefault((bucket.unit, bucket.grain), {})
            days[bucket.day] = days.get(bucket.day, 0) + amount
        standing = self.standing
        if challenge and standing is not None and standing.matched is not None:
            matched = msgspec.structs.replace(standing.matched, done=standing.matched.done + challenge)
            self.standing = msgspec.structs.replace(standing, matched=matched)

    def _stand(self, journal: int, fact: TierChanged | TierKept) -> None:
        standing = self.standing = fact.standing
        if isinstance(fact, TierChanged):
            self.journal = journal
            self.seen.clear()
            for (_, grain), days in self.counts.items():
                if grain == "tier":
                    days.clear()
        last = self.stood[-1] if self.stood else None
        if last is None or (last.tier, last.elite_from) != (standing.tier, standing.elite_from):
            self.stood = (*self.stood[-STOOD_MAX + 1 :], Stood(fact.at, standing.tier, standing.elite_from))
