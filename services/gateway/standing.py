"""Where a member stands, as reads show it: what points said last, looked at on the day of the reading.

Between two events only days pass: years of tenure grow, and years that are counted over end. What a rolling window
shows is said with its days, and stays as it was said.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from laurel.calendars import local_date
from laurel.program.climbing import Climber
from laurel.program.progress import progress_of
from laurel.program.standing import TierBook

if TYPE_CHECKING:
    from laurel.program.tiers import CompiledTiers

_NONE: dict[str, Any] = {"name": None, "since": None, "until": None, "years": 0, "benefits": [], "progress": []}


def tier_shown(said: bytes | None, tiers: CompiledTiers | None, enrolled_at: datetime, now: datetime | None) -> bytes:
    """Return a member's tier as the contract shows it; without a `now` no clock has been set, and no day passes."""
    if said is not None:
        return msgspec.json.encode(_told(msgspec.json.decode(said), tiers, enrolled_at, now))
    return msgspec.json.encode(_NONE if tiers is None else _at_the_beginning(tiers, enrolled_at, now))


def _at_the_beginning(tiers: CompiledTiers, enrolled_at: datetime, now: datetime | None) -> dict[str, Any]:
    """Nothing was counted yet: everybody has the first tier."""
    climber = Climber(tiers, TierBook(), enrolled_at, 0)
    return {
        **_NONE,
        "name": tiers.first,
        "since": climber.enrolled,
        "benefits": [{"name": each.name, "value": each.value} for each in tiers.levels[0].benefits],
        "progress": [
            {
                "counter": each.counter,
                "value": each.value,
                "from": each.first,
                "until": each.last,
                "next": None if each.tier is None else {"tier": each.tier, "needs": each.needs},
            }
            for each in progress_of(climber, now or enrolled_at)
        ],
    }


def _told(
    said: dict[str, Any], tiers: CompiledTiers | None, enrolled_at: datetime, now: datetime | None
) -> dict[str, Any]:
    shown = {name: said.get(name, otherwise) for name, otherwise in _NONE.items()}
    if tiers is None or now is None:
        return shown
    today = local_date(now, tiers.zone)
    if said.get("years_from") is not None:
        shown["years"] = max(shown["years"], today.year - said["years_from"])
    enrolled = local_date(enrolled_at, tiers.zone)
    shown["progress"] = [_on(each, tiers, today, enrolled) for each in shown["progress"]]
    return shown


def _on(said: dict[str, Any], tiers: CompiledTiers, today: date, enrolled: date) -> dict[str, Any]:
    """Return a counter on a day: of a year that is over nothing is left."""
    counter = tiers.counters.get(said["counter"])
    if counter is None or counter.window not in {"calendar_year", "account_year"}:
        return said
    first, last = counter.bounds(today, enrolled)
    if said["until"] is None or said["until"] >= first.isoformat():
        return said
    return {**said, "value": 0, "from": first, "until": last}
