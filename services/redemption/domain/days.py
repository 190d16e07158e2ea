"""The local days that a request is for, and ranges of days that come every year or once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from laurel.calendars import local_date, zone_named
from services.redemption.domain.heard import DayRange, Redeem, Terms
from services.redemption.domain.moment import Moment

_YEARLY = len("12-20")


def days_of(heard: Redeem, moment: Moment) -> tuple[date, ...]:
    """Return the days asked for, the first one first; without any it is today."""
    if heard.segments:
        return tuple(segment.on for segment in heard.segments)
    return (heard.on or today(moment),)


def leaves_day_open(terms: Terms, heard: Redeem) -> bool:
    """Say whether a wish has still to say which day it is for; where the reward is for no day, today is meant."""
    return (terms.segments or terms.resource is not None) and not heard.segments and heard.on is None


def today(moment: Moment) -> date:
    """Return the day of the decision in the program's zone."""
    return local_date(moment.at, zone_named(moment.program.zone))


def falls_in(day: date, ranges: Iterable[DayRange]) -> bool:
    """Say whether a day lies in any of the ranges, both ends included."""
    return any(_is_in(day, each) for each in ranges)


def _is_in(day: date, days: DayRange) -> bool:
    if len(days.from_) > _YEARLY:
        return days.from_ <= day.isoformat() <= days.until
    here = day.isoformat()[5:]
    if days.from_ <= days.until:
        return days.from_ <= here <= days.until
    return here >= days.from_ or here <= days.until
