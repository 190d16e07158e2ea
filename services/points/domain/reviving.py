"""What ended by inactivity only because a purchase was not known yet is good again once it is reported (S9)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from laurel.contracts.activity import ReportedActivity
from services.points.domain.facts import AnyFact, DebtPaid, LotName, LotPart, PointsRevived
from services.points.domain.late import Late
from services.points.domain.releasing import first
from services.points.domain.state import Wallet


def revive(
    wallet: Wallet,
    activity: ReportedActivity,
    partner: str,
    keeps: Mapping[str, datetime],
    owed: Mapping[str, int],
    at: datetime,
) -> list[AnyFact]:
    """Give back what would not have ended had the activity, which `keeps` points until then, been known in time.

    It pays first what is `owed`. What a return has excused since is not there any more, and what would have ended again
    by now stays ended.
    """
    if wallet.late is None:
        return []
    found: list[AnyFact] = []
    for unit, until in keeps.items():
        kept = [*wallet.late.kept.get(unit, ()), (activity.occurred_at, until)]
        parts = tuple(_good_again(wallet, wallet.late, unit, kept, at))
        if parts:
            found.append(PointsRevived(unit=unit, parts=parts, activity=activity.id, partner=partner))
            debt = first(parts, owed.get(unit, 0))
            if debt:
                found.append(DebtPaid(unit=unit, parts=debt))
    return found


def _good_again(
    wallet: Wallet, late: Late, unit: str, kept: Iterable[tuple[datetime, datetime]], at: datetime
) -> Iterable[LotPart]:
    sums: dict[LotName, int] = {}
    spans = sorted(kept)
    for lapse in late.lapses:
        if lapse.unit == unit and _reaches(spans, lapse.at, at):
            for part in lapse.parts:
                sums[part.name] = sums.get(part.name, 0) + part.amount
    for name, amount in sorted(sums.items()):
        lot = wallet.lots.get(name)
        if lot is not None and lot.expires_at is None and (back := min(amount, lot.expired)) > 0:
            yield LotPart(name, back)


def _reaches(spans: Iterable[tuple[datetime, datetime]], since: datetime, at: datetime) -> bool:
    """Say whether what ended at an instant was kept alive then, and from then on without a break up to now."""
    reach = since
    for start, end in spans:
        if start < reach < end:
            reach = end
    return reach > at


def ended_at(kind: str, at: datetime, occurred_at: datetime) -> datetime:
    """Return when that ended of which a journal says so: when it was due, whenever that was found."""
    return at if kind in _OF_ACTIVITIES else occurred_at


_OF_ACTIVITIES = frozenset({"activity", "return", "share"})
"""Kinds of journals that happened when their activity did."""
