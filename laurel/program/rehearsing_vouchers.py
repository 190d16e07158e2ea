"""Points that become vouchers, played on paper: when, of which lots, and what becomes of each voucher."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from laurel.calendars import local_date
from laurel.errors import Refused

if TYPE_CHECKING:
    from laurel.program.cases import VoucherSeen
    from laurel.program.compiled import CompiledProgram


class PaperLot(Protocol):
    """A lot, as far as a conversion takes of it."""

    remaining: int


@dataclass(slots=True)
class _Voucher:
    value: int
    expires_at: datetime | None
    not_above_basket: bool
    is_spent: bool = False

    def state(self, at: datetime) -> str:
        if self.is_spent:
            return "spent"
        return "expired" if self.expires_at is not None and self.expires_at <= at else "issued"


class Vouchers:
    """All vouchers of one member; `passed` is up to when time has taken its due."""

    def __init__(self, program: CompiledProgram, passed: datetime) -> None:
        self._program = program
        self._passed = passed
        self._made: list[_Voucher] = []

    def dates(self, until: datetime) -> Iterator[datetime]:
        """Yield the instants of conversion that come, one by one, up to and including `until`."""
        while True:
            found = [conversion.next_after(self._passed) for conversion in self._program.conversions]
            first = min((each for each in found if each is not None), default=None)
            if first is None or first > until:
                self._passed = max(self._passed, until)
                return
            self._passed = first
            yield first

    def convert(self, unit: str, lots: Iterable[PaperLot], at: datetime) -> None:
        """Take what the conversions of a unit that are due take, from lots in spending order."""
        lots = list(lots)
        for conversion in self._program.conversions:
            made = conversion.of(sum(lot.remaining for lot in lots))
            if conversion.unit != unit or not conversion.is_due_at(at) or made is None:
                continue
            missing = made.amount
            for lot in lots:
                part = min(lot.remaining, missing)
                lot.remaining -= part
                missing -= part
            self._made.append(_Voucher(made.value, conversion.expires_at(at), conversion.not_above_basket))

    def use(self, number: int, basket: int, at: datetime) -> None:
        """Pay with a voucher, which is counted from 1."""
        if number > len(self._made):
            raise Refused("voucher_unknown")
        voucher = self._made[number - 1]
        state = voucher.state(at)
        if state != "issued":
            raise Refused(f"voucher_{state}")
        if voucher.not_above_basket and voucher.value > basket:
            raise Refused("voucher_exceeds_basket")
        voucher.is_spent = True

    def seen(self, at: datetime) -> list[dict[str, Any]]:
        """Return them as a case shows them."""
        zone = self._program.zone
        return [
            {
                "value": voucher.value,
                "state": voucher.state(at),
                "good_through": None
                if voucher.expires_at is None
                else local_date(voucher.expires_at, zone) - timedelta(days=1),
            }
            for voucher in self._made
        ]


def voucher_differences(seen: Sequence[Mapping[str, Any]], expected: Sequence[VoucherSeen]) -> Iterator[str]:
    """Say where vouchers are other than expected; what is not mentioned of one is not checked."""
    wanted = [voucher.model_dump(exclude_unset=True) for voucher in expected]
    found = [
        {name: each.get(name) for name in (wanted[place] if place < len(wanted) else each)}
        for place, each in enumerate(seen)
    ]
    if found != wanted:
        yield f"vouchers {found}, expected {wanted}"
