"""Points become vouchers at certain dates: which instants those are, and how many points make which value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from laurel.calendars import local_date, local_midnight
from laurel.program.expiry import Expiry
from laurel.values import AMOUNT_MAX

if TYPE_CHECKING:
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from laurel.program.document import Conversion

_ONE_DAY = timedelta(days=1)


class Converted(NamedTuple):
    """So many points become a voucher of that value."""

    amount: int
    value: int


@dataclass(frozen=True, slots=True, eq=False)
class CompiledConversion:
    """One conversion, ready to be asked when it is due and what it makes of points."""

    name: str
    unit: str
    months: tuple[int, ...]
    day: int
    least: int
    step: int
    per_step: int
    currency: str
    not_above_basket: bool
    expiry: Expiry
    zone: ZoneInfo

    @classmethod
    def from_document(cls, conversion: Conversion, zone: ZoneInfo) -> CompiledConversion:
        """Compile a conversion of a document that load_program gave."""
        terms = conversion.voucher
        return cls(
            name=conversion.conversion,
            unit=conversion.unit,
            months=tuple(sorted(conversion.on.months)),
            day=conversion.on.day,
            least=conversion.from_,
            step=conversion.step,
            per_step=terms.per_step.amount,
            currency=terms.per_step.currency,
            not_above_basket=terms.not_above_basket,
            expiry=Expiry(terms.validity, zone),
            zone=zone,
        )

    def next_from(self, instant: datetime) -> datetime | None:
        """Return the first moment at which it is due, that instant included; None beyond the calendar."""
        return _first_due(self.months, self.day, instant.astimezone(UTC), self.zone)

    def next_after(self, instant: datetime) -> datetime | None:
        """Return the first moment after an instant at which it is due."""
        return self.next_from(instant + timedelta(microseconds=1))

    def is_due_at(self, instant: datetime) -> bool:
        """Say whether it is due at that very moment."""
        return self.next_from(instant) == instant

    def of(self, available: int) -> Converted | None:
        """Return what becomes of the points there are; None where they are too few. The rest is carried."""
        if available < self.least:
            return None
        steps = min(available // self.step, AMOUNT_MAX // self.per_step)
        return Converted(steps * self.step, steps * self.per_step) if steps else None

    def expires_at(self, due_at: datetime) -> datetime | None:
        """Return the first moment at which a voucher made at an instant is no longer good."""
        return self.expiry.of(local_date(due_at, self.zone))


# A statement asks of all its members about the same instant.
@lru_cache(maxsize=4096)
def _first_due(months: tuple[int, ...], day: int, instant: datetime, zone: ZoneInfo) -> datetime | None:
    """Return the first due midnight at or after an instant."""
    today = local_date(instant, zone)
    found = _first_midnight(months, day, today, zone)
    # The midnight with which today began has passed, unless this is it.
    return found if found is None or found >= instant else _first_midnight(months, day, today + _ONE_DAY, zone)


@lru_cache(maxsize=4096)
def _first_midnight(months: tuple[int, ...], day: int, since: date, zone: ZoneInfo) -> datetime | None:
    for year in (since.year, since.year + 1):
        for month in months if year <= date.max.year else ():
            due = date(year, month, day)
            if due >= since:
                return local_midnight(due, zone)
    return None
