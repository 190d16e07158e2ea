"""What many events say alike: lots, and last days."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from laurel.calendars import local_date
from laurel.contracts import points as said
from laurel.shapes import struct_of
from services.points.domain import facts as f
from services.points.ports import Decided

_LotAmount: Any = struct_of(said.LotAmount)
_ONE_DAY = timedelta(days=1)


@lru_cache(maxsize=8192)
def last_good_day(expires_at: datetime, zone: ZoneInfo) -> date:
    """Return the day before the local midnight at which something ends (S3)."""
    return local_date(expires_at, zone) - _ONE_DAY


def lot_id(name: f.LotName) -> str:
    """Return a lot's name within its member, as callers see it."""
    return str(name)


def lots_said(parts: Iterable[f.LotPart]) -> list[Any]:
    """Say parts of lots, each with how many of its points."""
    return [_LotAmount(lot=lot_id(part.name), amount=part.amount) for part in parts]


def lots_made(decided: Decided, kind: type[f.LotRenewed | f.LotAdjusted | f.LotReceived]) -> list[Any]:
    """Say the lots that a decision made by facts of one kind."""
    number = decided.journal.number
    return [
        _LotAmount(lot=lot_id(f.LotName(number, fact.lot)), amount=fact.amount)
        for fact in decided.journal.facts
        if isinstance(fact, kind)
    ]
