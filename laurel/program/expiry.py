"""Until when points are good. The answer is always a local midnight: the last good day is the day before."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Final

from laurel.calendars import days_after, local_midnight, months_after, years_after
from laurel.program.document import EndOfPeriod, Inactivity, NeverExpires, Rolling

if TYPE_CHECKING:
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from laurel.program.document import Validity

_MONTHS: Final = {"month": 1, "quarter": 3, "year": 12}
_DAYS_MAX: Final = 10_000


def expires_on(validity: Validity, earned: date) -> date | None:
    """Return the first day on which points earned on a day are no longer good; None where no day is fixed.

    Under `inactivity` no day is fixed: the member's next activity would move it. See `lapses_on`.
    """
    match validity:
        case NeverExpires() | Inactivity():
            return None
        case Rolling():
            return _rolled(validity, earned)
        case EndOfPeriod():
            length = _MONTHS[validity.period]
            first = date(earned.year, (earned.month - 1) // length * length + 1, 1)
            return months_after(first, length * (validity.after + 1))


def lapses_on(validity: Validity, last_active: date) -> date | None:
    """Return the first day on which the points of a member who was last active on a day are lost by inactivity."""
    if isinstance(validity, Inactivity):
        return months_after(last_active, validity.months)
    return None


def _rolled(validity: Rolling, earned: date) -> date:
    if validity.years is not None:
        return years_after(earned, validity.years)
    if validity.months is not None:
        return months_after(earned, validity.months)
    assert validity.days is not None
    return days_after(earned, validity.days)


class Expiry:
    """A validity in a time zone, with the days it was asked for remembered: most lots of a batch share a few."""

    __slots__ = ("_known", "_validity", "_zone")

    def __init__(self, validity: Validity, zone: ZoneInfo) -> None:
        self._validity = validity
        self._zone = zone
        self._known: dict[date, datetime | None] = {}

    def of(self, earned: date) -> datetime | None:
        """Return the first moment at which points earned on a day are no longer good."""
        try:
            return self._known[earned]
        except KeyError:
            day = expires_on(self._validity, earned)
            expires_at = None if day is None else local_midnight(day, self._zone)
            if len(self._known) >= _DAYS_MAX:
                self._known.clear()
            self._known[earned] = expires_at
            return expires_at
