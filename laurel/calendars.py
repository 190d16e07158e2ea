"""Days, months, years and midnights of a program's time zone. Instants come back in UTC."""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo


@lru_cache(maxsize=1024)
def zone_named(name: str) -> ZoneInfo:
    """Return the zone of that IANA name; ValueError where there is none."""
    try:
        return ZoneInfo(name)
    except (OSError, KeyError, ValueError):
        raise ValueError(f"there is no time zone {name!r}") from None


def local_date(instant: datetime, zone: ZoneInfo) -> date:
    """Return the day on which an instant falls in the zone."""
    return instant.astimezone(zone).date()


@lru_cache(maxsize=16384)
def local_midnight(day: date, zone: ZoneInfo) -> datetime:
    """Return the first moment of a day in the zone.

    Where clocks skip midnight, the day begins when the skipped time ends.
    """
    return datetime.combine(day, time.min, zone).astimezone(UTC)


def next_local_midnight(instant: datetime, zone: ZoneInfo) -> datetime:
    """Return the first local midnight after an instant; one that falls on a midnight gets the next."""
    return local_midnight(local_date(instant, zone) + timedelta(days=1), zone)


def years_after(day: date, years: int) -> date:
    """Return the same month and day some years later; 29 February becomes 28 February."""
    return months_after(day, 12 * years)


def months_after(day: date, months: int) -> date:
    """Return the same day some months later, or the last day of a month that is shorter."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def days_after(day: date, days: int) -> date:
    """Return the day some days later."""
    return day + timedelta(days=days)


def calendar_year(day: date) -> tuple[date, date]:
    """Return the first day of a day's year and of the year after."""
    return date(day.year, 1, 1), date(day.year + 1, 1, 1)


def account_year(enrolled: date, day: date) -> tuple[date, date]:
    """Return the anniversary of enrolment on or before a day and the one after it.

    Anniversaries are counted from the day of enrolment itself: 29 February comes back in leap years.
    """
    years = day.year - enrolled.year
    if years_after(enrolled, years) > day:
        years -= 1
    return years_after(enrolled, years), years_after(enrolled, years + 1)
