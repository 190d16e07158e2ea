"""When a member's birthday comes next, by the attribute that a program names."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from zoneinfo import ZoneInfo

    from laurel.program.document import Birthdays

BIRTHDAY: Final = "birthday"
"""The type of activity that a birthday is."""


@dataclass(frozen=True, slots=True)
class CompiledBirthdays:
    """The attribute that says when a member was born, and when on the day it is celebrated."""

    attribute: str
    at: time
    zone: ZoneInfo

    @classmethod
    def from_document(cls, birthdays: Birthdays, zone: ZoneInfo) -> CompiledBirthdays:
        return cls(birthdays.attribute, time.fromisoformat(birthdays.at), zone)

    def next_after(self, attributes: Mapping[str, Any], after: datetime) -> datetime | None:
        """Return the first birthday after an instant; None where nobody knows the day."""
        born = _day(attributes.get(self.attribute))
        if born is None:
            return None
        year = after.astimezone(self.zone).year
        for candidate in (year, year + 1):
            at = datetime.combine(_in_year(born, candidate), self.at, self.zone).astimezone(UTC)
            if at > after:
                return at
        return None

    def is_on_day_of(self, attributes: Mapping[str, Any], at: datetime) -> bool:
        """Whether the day of an instant is the member's birthday."""
        born, day = _day(attributes.get(self.attribute)), at.astimezone(self.zone).date()
        return born is not None and _in_year(born, day.year) == day

    def next_in_or_after(self, year: int, attributes: Mapping[str, Any], after: datetime) -> datetime | None:
        """Return the first birthday after an instant that is not before a year; None where nobody knows the day."""
        start = datetime(year, 1, 1, tzinfo=self.zone).astimezone(UTC) - timedelta(microseconds=1)
        return self.next_after(attributes, max(after, start))


def _day(value: object) -> date | None:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _in_year(born: date, year: int) -> date:
    try:
        return born.replace(year=year)
    except ValueError:
        return date(year, 2, 28)


def faults_of(
    birthdays: Birthdays | None, member: Mapping[str, str] | None, budgeted: Mapping[int, bool]
) -> list[tuple[tuple[str | int, ...], str, str]]:
    """Return faults as (path, code, detail); `budgeted` are the rules that earn on birthdays, and whether to an end."""
    if birthdays is None:
        return []
    faults: list[tuple[tuple[str | int, ...], str, str]] = []
    if member is not None and member.get(birthdays.attribute) != "text":
        detail = f"{birthdays.attribute} is not declared as a text under attributes/member"
        faults.append((("birthdays", "attribute"), "unknown_reference", detail))
    faults += [
        (("earning", place, "budget"), "not_allowed", "birthdays come by themselves, and draw from no budget")
        for place, is_budgeted in budgeted.items()
        if is_budgeted
    ]
    return faults
