"""The time that a cap or a limit counts over. A transaction belongs to the window of its own time (S7)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from laurel.calendars import account_year, local_date, local_midnight, months_after

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from laurel.program.places import Places

WindowKind = Literal["day_part", "day", "month", "quarter", "calendar_year", "account_year", "lifetime"]

ALWAYS: Final = datetime(1900, 1, 1, tzinfo=UTC)
"""When the window of a lifetime starts."""

_MONTHS: Final = {"month": 1, "quarter": 3, "calendar_year": 12}


class Window(NamedTuple):
    """From an instant to just before another; without an end it goes on for ever."""

    start: datetime
    end: datetime | None


class WindowFinder:
    """Finds the window of an instant, in a program's time zone and with its day parts."""

    __slots__ = ("_places", "_zone")

    def __init__(self, zone: ZoneInfo, places: Places | None) -> None:
        self._zone = zone
        self._places = places

    def of(
        self, kind: WindowKind, occurred_at: datetime, *, enrolled_at: datetime | None = None, store: str | None = None
    ) -> Window:
        """Return the window that an instant lies in. Account years need to know when the member was enrolled.

        Days and parts of a day are those of the store; between parts of the day, the whole day stands for one.
        """
        if kind == "lifetime":
            return Window(ALWAYS, None)
        if kind in {"day", "day_part"}:
            return self._day(kind, occurred_at, store)
        day = local_date(occurred_at, self._zone)
        if kind == "account_year":
            first, after = account_year(local_date(enrolled_at or occurred_at, self._zone), day)
        else:
            length = _MONTHS[kind]
            first = date(day.year, (day.month - 1) // length * length + 1, 1)
            after = months_after(first, length)
        return Window(local_midnight(first, self._zone), local_midnight(after, self._zone))

    def _day(self, kind: WindowKind, occurred_at: datetime, store: str | None) -> Window:
        zone = self._zone
        if self._places is not None:
            zone = self._places.zone_of(store)
            part = self._places.day_part(occurred_at, store) if kind == "day_part" else None
            if part is not None:
                return Window(*part)
        day = local_date(occurred_at, zone)
        return Window(local_midnight(day, zone), local_midnight(day + timedelta(days=1), zone))
