"""Seats and rooms: how many of them there are on a day, and how many of these are for awards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from laurel.rounding import scaled
from services.redemption.domain.heard import ResourceTerms, Share

ResourceBook = Mapping[str, Sequence[ResourceTerms]]
"""By resource everything that was said of it, in the order in which it was said."""


def of_day(said: Sequence[ResourceTerms], day: date) -> ResourceTerms | None:
    """Return what counts for a day: what was said last of it."""
    for terms in reversed(said):
        if (terms.from_ is None or terms.from_ <= day) and (terms.until is None or day <= terms.until):
            return terms
    return None


def quota(said: Sequence[ResourceTerms], day: date, share: Share) -> int:
    """Return how many seats of a day are for awards; none where nothing was said of it."""
    terms = of_day(said, day)
    return 0 if terms is None else quota_of(terms.capacity, terms.share or share)


def quota_of(capacity: int, share: Share) -> int:
    """Return a share of a capacity, rounded down, then what may be sold beyond it, rounded down too."""
    offered = min(capacity, max(scaled(capacity, share.percent, 100, "down"), share.least))
    return offered + scaled(offered, share.overbook, 100, "down")
