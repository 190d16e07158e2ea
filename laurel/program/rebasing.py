"""Counts towards tiers as facts move them, and what one account has counted as another counts it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date

from laurel.calendars import account_year
from laurel.program.standing import Bucket, QualifyingCounted, QualifyingJoined, QualifyingReturned, TierBook


def buckets_of(facts: Iterable[object]) -> Iterator[tuple[Bucket, int]]:
    """Return by how much each bucket moves, by those of the facts that count towards tiers."""
    for fact in facts:
        if isinstance(fact, QualifyingCounted):
            yield from ((bucket, fact.amount) for bucket in fact.buckets)
        elif isinstance(fact, QualifyingReturned):
            yield from ((bucket, -fact.amount) for bucket in fact.buckets)
        elif isinstance(fact, QualifyingJoined):
            yield from fact.counts


def joined_counts(book: TierBook, enrolled: date, *, sign: int = 1) -> tuple[tuple[Bucket, int], ...]:
    """Return what one account has counted as another counts it, who was enrolled on another day.

    An account year is counted where it began. What was counted since a tier was reached went towards the next one of
    that account, and is nobody else's.
    """
    return rebased(
        (
            (Bucket(unit, grain, day), sign * amount)
            for (unit, grain), days in book.counts.items()
            for day, amount in days.items()
        ),
        enrolled,
    )


def rebased(counts: Iterable[tuple[Bucket, int]], enrolled: date) -> tuple[tuple[Bucket, int], ...]:
    """Return counts of one account as another, enrolled on another day, counts them."""
    sums: dict[Bucket, int] = {}
    for bucket, amount in counts:
        if bucket.grain == "tier":
            continue
        day = account_year(enrolled, bucket.day)[0] if bucket.grain == "account_year" else bucket.day
        moved = Bucket(bucket.unit, bucket.grain, day)
        sums[moved] = sums.get(moved, 0) + amount
    return tuple((bucket, amount) for bucket, amount in sums.items() if amount)
