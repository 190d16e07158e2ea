"""Points that end by inactivity, a month after the last purchase, and the days by which they are bought."""

from __future__ import annotations

from datetime import datetime, timedelta

from tests.points.till import START

INACTIVITY = {"kind": "inactivity", "months": 1, "kept_by": ["purchase"]}


def day(number: int) -> datetime:
    return START + timedelta(days=number)
