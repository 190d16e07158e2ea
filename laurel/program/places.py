"""Where and when an activity happened, as a program sees it: the type of the store, and the part of the day there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

import msgspec

from laurel.calendars import zone_named

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from laurel.program.bases import Basis
    from laurel.program.document import DayPart, ProgramDocument

_ONE_DAY = timedelta(days=1)
MINUTES_A_DAY = 1_440


def minutes_of(part: DayPart) -> tuple[int, int]:
    """Return the first and the last minute of a part, counted from midnight; the last is before it where it crosses."""
    return _minute(part.from_), _minute(part.to)


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    first: int
    last: int


class Places:
    """The stores and day parts of a program."""

    __slots__ = ("_by_minute", "_types", "_zone", "_zones")

    def __init__(self, document: ProgramDocument) -> None:
        self._zone = zone_named(document.time_zone)
        self._types = {store: known.type for store, known in document.stores.items()}
        self._zones = {
            store: zone_named(known.time_zone) for store, known in document.stores.items() if known.time_zone
        }
        self._by_minute: list[_Part | None] = [None] * MINUTES_A_DAY
        for name, written in document.day_parts.items():
            part = _Part(name, *minutes_of(written))
            for minute in _minutes(part.first, part.last):
                self._by_minute[minute] = part

    def located(self, basis: Basis) -> Basis:
        """Return a basis with its part of the day and the type of its store."""
        part = None
        if basis.occurred_at is not None:
            part, _ = self._part(basis.occurred_at.astimezone(self.zone_of(basis.store)))
        return msgspec.structs.replace(
            basis,
            day_part=part.name if part is not None else None,
            store_type=self._types.get(basis.store) if basis.store is not None else None,
        )

    def zone_of(self, store: str | None) -> ZoneInfo:
        """Return the time zone of a store: its own, else the program's."""
        return self._zones.get(store, self._zone) if store is not None else self._zone

    def day_part(self, occurred_at: datetime, store: str | None) -> tuple[datetime, datetime] | None:
        """Return when the part of the day that an instant lies in starts and ends; None between parts."""
        zone = self.zone_of(store)
        part, day = self._part(occurred_at.astimezone(zone))
        if part is None:
            return None
        last_day = day if part.first <= part.last else day + _ONE_DAY
        return _instant(day, part.first, zone), _instant(last_day, part.last + 1, zone)

    def _part(self, local: datetime) -> tuple[_Part | None, date]:
        """Return the part of a local time, and the day on which it started."""
        minute = local.hour * 60 + local.minute
        part = self._by_minute[minute]
        crossed = part is not None and part.first > part.last and minute <= part.last
        return part, local.date() - _ONE_DAY if crossed else local.date()


def overlapping(parts: dict[str, DayPart]) -> list[tuple[str, str]]:
    """Return pairs of parts that share a minute, each later part once, with the first that it overlaps."""
    taken: dict[int, str] = {}
    found: dict[str, str] = {}
    for name, part in parts.items():
        for minute in _minutes(*minutes_of(part)):
            other = taken.setdefault(minute, name)
            if other != name:
                found.setdefault(name, other)
    return list(found.items())


def _minutes(first: int, last: int) -> list[int]:
    if first <= last:
        return list(range(first, last + 1))
    return [*range(first, MINUTES_A_DAY), *range(last + 1)]


def _minute(written: str) -> int:
    hour, minute = written.split(":")
    return int(hour) * 60 + int(minute)


def _instant(day: date, minute: int, zone: ZoneInfo) -> datetime:
    if minute == MINUTES_A_DAY:
        day, minute = day + _ONE_DAY, 0
    return datetime.combine(day, time(minute // 60, minute % 60), zone).astimezone(UTC)
