"""A program that gives a point for each mile flown."""

from __future__ import annotations

from typing import Any

from laurel.program import ProgramDocument
from tests.points.till import document


def miles(**changes: Any) -> ProgramDocument:
    """A point for each mile flown, good to the end of the third calendar year after the flight, in Chicago."""
    rate = {"points": 1, "per": 100}
    whole = {
        "effective_from": "2019-01-01T00:00:00Z",
        "time_zone": "America/Chicago",
        "currency": "USD",
        "clock": "manual",
        "units": {"point": {"scale": 0, "validity": {"kind": "end_of_period", "period": "year", "after": 3}}},
        "attributes": {},
        "earning": [{"rule": "base", "on": ["flight"], "unit": "point", "rate": rate, "funding": {"funder": "aa"}}],
        **changes,
    }
    return document("grocery", **whole)
