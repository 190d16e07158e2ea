"""Points that last for a month from each purchase, and the days by which they are bought."""

from __future__ import annotations

from datetime import datetime, timedelta

from tests.points.till import START

A_MONTH = {"kind": "inactivity", "months": 1, "kept_by": ["purchase"]}


def day(number: int) -> datetime:
    return START + timedelta(days=number)
