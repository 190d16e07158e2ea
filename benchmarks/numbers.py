"""Percentiles and rates, from what was counted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value that `share` of all values do not exceed (nearest rank), of values in order."""
    if not ordered:
        return math.nan
    rank = max(1, math.ceil(share * len(ordered)))
    return ordered[rank - 1]


@dataclass(frozen=True, slots=True)
class Counted:
    """How many were done at a moment."""

    seconds: float
    count: int


@dataclass(frozen=True, slots=True)
class Rates:
    """The rate of a run, and of its first and last window, from the first thing done to the last."""

    count: int
    seconds: float
    mean: float
    first: float
    last: float


def rates(samples: Sequence[Counted], window_seconds: float) -> Rates:
    """Return the rates between the first sample that shows anything done and the first that shows all of it.

    What was done before that first sample is not counted, so that the time to get going is not either.
    """
    begun = [sample for sample in samples if sample.count > 0]
    if len(begun) < 2:
        return Rates(0, 0.0, 0.0, 0.0, 0.0)
    start, all_done = begun[0], begun[-1].count
    end = next(sample for sample in begun if sample.count == all_done)
    seconds = end.seconds - start.seconds
    if seconds <= 0:
        return Rates(0, 0.0, 0.0, 0.0, 0.0)
    window = min(window_seconds, seconds)
    return Rates(
        count=end.count - start.count,
        seconds=seconds,
        mean=(end.count - start.count) / seconds,
        first=(count_at(begun, start.seconds + window) - start.count) / window,
        last=(end.count - count_at(begun, end.seconds - window)) / window,
    )


def stretches(samples: Sequence[Counted], seconds: float) -> list[float]:
    """Return the rate of each whole stretch of so many seconds, from the first sample on."""
    if not samples:
        return []
    counts = [count_at(samples, end * seconds) for end in range(int(samples[-1].seconds // seconds) + 1)]
    return [(after - before) / seconds for before, after in pairwise(counts)]


def count_at(samples: Sequence[Counted], seconds: float) -> float:
    """Return how many were done at a moment, taking the pace between two samples as even."""
    if seconds < samples[0].seconds:
        return float(samples[0].count)
    for before, after in pairwise(samples):
        if before.seconds <= seconds <= after.seconds:
            span = after.seconds - before.seconds
            share = (seconds - before.seconds) / span if span else 1.0
            return before.count + (after.count - before.count) * share
    return float(samples[-1].count)
