"""What one member of a case has on paper: lots, what it owes, until when they last, and what funders are billed for."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from laurel.errors import Refused
from laurel.program.rehearsing_paper import FOR_EVER, PaperLot
from laurel.rounding import scaled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from laurel.contracts.activity import Activity
    from laurel.program.compiled import CompiledProgram, CompiledRule


class Purse:
    """The lots of one member, and what it owes of each unit."""

    def __init__(self, program: CompiledProgram) -> None:
        self._program = program
        self._lots: list[PaperLot] = []
        self.owed: dict[str, int] = dict.fromkeys(program.units, 0)
        self.lapse_at: dict[str, datetime] = {}
        """Until when points of a unit last that end by inactivity."""
        self._spans: dict[str, list[tuple[datetime, datetime]]] = {}
        self._funded: dict[CompiledRule, int] = {}

    # What there is. -------------------------------------------------------------------------------------------

    def available(self, unit: str) -> int:
        return sum(lot.remaining for lot in self._lots if lot.rule.unit == unit)

    def in_order(self, unit: str) -> Sequence[PaperLot]:
        """Return the lots of a unit in the order in which they are spent."""
        lots = [lot for lot in self._lots if lot.rule.unit == unit and lot.remaining]
        return sorted(lots, key=lambda lot: (lot.expires_at or FOR_EVER, lot.earned_at))

    def waits(self) -> bool:
        """Say whether any points are pending."""
        return any(lot.pending for lot in self._lots)

    def balances(self) -> dict[str, dict[str, int]]:
        """Return what the member has of each unit."""
        return {
            unit: {
                "available": self.available(unit),
                "owed": self.owed[unit],
                "pending": sum(lot.pending for lot in self._lots if lot.rule.unit == unit),
            }
            for unit in self._program.units
        }

    def billed(self) -> dict[str, int]:
        """Return what each funder owes for what it granted and was not taken back, rounded once."""
        owed: dict[str, Fraction] = {}
        for rule, points in self._funded.items():
            if rule.price is not None:
                owed[rule.funder] = owed.get(rule.funder, Fraction(0)) + rule.price * points
        return {funder: scaled(1, sum_.numerator, sum_.denominator, "half_up") for funder, sum_ in owed.items()}

    # What comes. ----------------------------------------------------------------------------------------------

    def grant(self, rule: CompiledRule, amount: int, earned_at: datetime, *, waits: bool) -> PaperLot:
        """Put a new lot in, which pays what is owed; where it waits, it counts for nothing yet."""
        lot = PaperLot(rule, amount, amount, earned_at, self._program.expires_at(rule, earned_at))
        if waits:
            assert rule.pending is not None
            lot.pending, lot.remaining, lot.awaits = amount, 0, rule.pending.awaits
            lot.available_at = self._program.available_at(rule, earned_at)
        self._lots.append(lot)
        self._funded[rule] = self._funded.get(rule, 0) + amount
        self._pay(lot)
        return lot

    def take_in(self, unit: str, lots: Sequence[PaperLot], lapse_at: datetime | None, at: datetime) -> None:
        """Have lots of another, which last here as long as they did there, and pay what is owed."""
        self._lots += lots
        if lots and lapse_at is not None:
            self._keep(unit, at, lapse_at)
        for lot in lots:
            self._pay(lot)

    def release(self, ripe: Callable[[PaperLot], bool]) -> None:
        """Let pending points count, which pays what is owed first."""
        for lot in self._lots:
            if lot.pending and ripe(lot):
                lot.remaining, lot.pending = lot.remaining + lot.pending, 0
                self._pay(lot)

    def _pay(self, lot: PaperLot) -> None:
        paid = min(self.owed[lot.rule.unit], lot.remaining)
        lot.remaining -= paid
        self.owed[lot.rule.unit] -= paid

    # What goes. -----------------------------------------------------------------------------------------------

    def spend(self, unit: str, amount: int) -> None:
        """Pay with what ends first; refused where there is not enough."""
        if amount > self.available(unit):
            raise Refused("insufficient_points")
        for lot in self.in_order(unit):
            part = min(lot.remaining, amount)
            lot.remaining -= part
            amount -= part

    def let_go(self, lots: Sequence[PaperLot]) -> None:
        """Have these lots no more."""
        self._lots = [lot for lot in self._lots if lot not in lots]

    def give_up(self, lot: PaperLot) -> int:
        """Let nothing be left of what a lot has pending, and nobody be billed for it; return how much it was."""
        amount, lot.pending = lot.pending, 0
        self._funded[lot.rule] -= amount
        return amount

    def take_back(self, rule: CompiledRule, own: Sequence[PaperLot], amount: int) -> dict[str, int]:
        """Take what a rule gave: from its own lots first, then as if it was spent; what is missing is owed (S11)."""
        self._funded[rule] -= amount
        unit = own[0].rule.unit
        missing, expired = amount, 0
        for source in own:
            part = min(source.pending, missing)
            source.pending -= part
            missing -= part
        for source in own:
            part = min(source.remaining, missing)
            source.remaining -= part
            missing -= part
        for source in own:
            part = min(source.expired, missing)
            source.expired -= part
            expired += part
            missing -= part
        for source in self.in_order(unit):
            part = min(source.remaining, missing)
            source.remaining -= part
            missing -= part
        self.owed[unit] += missing
        return {"amount": amount, "taken": amount - expired - missing, "expired": expired, "owed": missing}

    # Time. ----------------------------------------------------------------------------------------------------

    def keep_alive(self, activity: Activity, at: datetime) -> None:
        """Let points last after an activity; what ended only because nobody knew of it is there again."""
        for unit in self._program.units:
            if self._program.keeps_alive(unit, activity.type):
                lapse_at = self._program.lapses_at(unit, activity.occurred_at)
                assert lapse_at is not None
                self._keep(unit, activity.occurred_at, lapse_at)
                for lot in self._lots:
                    if lot.rule.unit == unit and lot.expires_at is None and lot.expired and self._lasts(lot, at):
                        lot.remaining, lot.expired = lot.remaining + lot.expired, 0
                        self._pay(lot)

    def _keep(self, unit: str, since: datetime, lapse_at: datetime) -> None:
        """Let points of a unit last until then, from an instant on."""
        self.lapse_at[unit] = max(lapse_at, self.lapse_at.get(unit, lapse_at))
        self._spans.setdefault(unit, []).append((since, lapse_at))

    def _lasts(self, lot: PaperLot, at: datetime) -> bool:
        """Say whether something kept a lot alive when it ended, and from then on up to an instant."""
        reach = lot.ended_at
        for since, until in sorted(self._spans[lot.rule.unit]):
            if reach is not None and since < reach < until:
                reach = until
        return reach is not None and reach > at

    def end_of(self, lot: PaperLot) -> datetime | None:
        """Return when a lot ends: by its own date, or by the member's inactivity."""
        return lot.expires_at or self.lapse_at.get(lot.rule.unit)

    def come_and_go(self, at: datetime) -> Iterator[Sequence[PaperLot]]:
        """Let points come and go up to now; yield what ends while it waits, whose room others may take then."""
        while ended := [lot for lot in self._lots if lot.pending and self._ends_waiting(lot) <= at]:
            first = min(self._ends_waiting(lot) for lot in ended)
            self._pass(first)
            yield [lot for lot in ended if self._ends_waiting(lot) == first]
        self._pass(at)

    def _ends_waiting(self, lot: PaperLot) -> datetime:
        return FOR_EVER if lot.awaits == "date" else self.end_of(lot) or FOR_EVER

    def _pass(self, at: datetime) -> None:
        self.release(lambda lot: lot.awaits == "date" and lot.available_at is not None and lot.available_at <= at)
        for lot in self._lots:
            gone_at = self.end_of(lot)
            if gone_at is not None and gone_at <= at and lot.remaining:
                lot.ended_at = gone_at
                lot.expired += lot.remaining
                lot.remaining = 0
