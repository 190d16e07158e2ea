"""A case played on paper: one member, one program, no database and no broker.

It follows the shared rules as plainly as they are written (S2 to S5, S10, S11), so that a program can be tried while
it is written, and so that the points service has something independent to agree with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import msgspec

from laurel.calendars import local_date
from laurel.contracts.activity import Activity, check
from laurel.errors import Refused
from laurel.program.returning import NOTHING_RETURNED, Returned, basis_less_returns, plus_return
from laurel.rounding import scaled
from laurel.shapes import decoder_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from laurel.program.cases import Case, Expected, Step
    from laurel.program.compiled import CompiledProgram, CompiledRule, RuleOutcome

_decode = decoder_of(Activity).decode
_FOR_EVER = datetime.max.replace(tzinfo=UTC)


def rehearse(program: CompiledProgram, case: Case) -> list[str]:
    """Play a case; return where it came out otherwise than expected, a sentence each."""
    stage = _Stage(program, case.member.attributes)
    return [
        f"{case.case}, step {number}: {said}"
        for number, step in enumerate(case.steps, 1)
        for said in _differences(stage.play(step), step.expect)
    ]


@dataclass(slots=True)
class _Lot:
    rule: CompiledRule
    granted: int
    remaining: int
    earned_at: datetime
    expires_at: datetime | None
    expired: int = 0


@dataclass(slots=True)
class _Posted:
    activity: Activity
    granted: dict[str, int]
    lots: dict[str, _Lot]
    returned: Returned = NOTHING_RETURNED


@dataclass(slots=True)
class _Seen:
    """What a step brought about, in the words of `Expected`."""

    awards: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    reversals: dict[str, dict[str, int]] = field(default_factory=dict)
    good_through: dict[str, Any] = field(default_factory=dict)
    balances: dict[str, dict[str, int]] = field(default_factory=dict)
    billed: dict[str, int] = field(default_factory=dict)
    refused: str | None = None


class _Stage:
    """The member's lots and what it owes."""

    def __init__(self, program: CompiledProgram, attributes: Mapping[str, Any]) -> None:
        self._program = program
        self._attributes = attributes
        self._posted: dict[str, _Posted] = {}
        self._lots: list[_Lot] = []
        self._owed: dict[str, int] = dict.fromkeys(program.units, 0)
        self._lapse_at: dict[str, datetime] = {}
        self._funded: dict[CompiledRule, int] = {}

    def play(self, step: Step) -> _Seen:
        """Do what a step says; return what came of it."""
        seen = _Seen()
        try:
            if step.activity is not None:
                self._report(step.activity, step.reported_at, seen)
            elif step.spend is not None:
                self._expire(step.spend.at)
                self._spend(step.spend.unit, step.spend.amount)
            elif step.wait_until is not None:
                self._expire(step.wait_until)
        except Refused as refusal:
            seen.refused = refusal.code
        seen.balances = {
            unit: {"available": self._available(unit), "owed": self._owed[unit]} for unit in self._program.units
        }
        seen.billed = self._billed()
        return seen

    def _report(self, body: Mapping[str, Any], reported_at: datetime | None, seen: _Seen) -> None:
        activity = _decode(msgspec.json.encode(body))
        faults = check(activity)
        if faults:
            raise Refused(faults[0].code, faults[0].detail)
        at = reported_at or activity.occurred_at
        self._expire(at)
        if activity.type == "return":
            self._take_back(activity, seen)
        else:
            self._award(activity, at, seen)
            self._expire(at)

    def _award(self, activity: Activity, at: datetime, seen: _Seen) -> None:
        if activity.currency not in (None, self._program.currency):
            raise Refused("currency_not_accepted")
        if self._program.is_closed_at(activity.occurred_at):
            raise Refused("program_closed")
        if at >= self._program.claimable_until(activity.occurred_at):
            raise Refused("claim_too_late")
        outcomes = self._program.judge(activity, self._attributes)
        posted = _Posted(activity, {}, {})
        for outcome in outcomes:
            seen.reasons[outcome.rule.id] = outcome.reason
            if outcome.computed:
                self._grant(outcome, activity, posted, seen)
        self._posted[activity.id] = posted
        for unit in self._program.units:
            if self._program.keeps_alive(unit, activity.type):
                lapse_at = self._program.lapses_at(unit, activity.occurred_at)
                assert lapse_at is not None
                self._lapse_at[unit] = max(lapse_at, self._lapse_at.get(unit, lapse_at))

    def _grant(self, outcome: RuleOutcome, activity: Activity, posted: _Posted, seen: _Seen) -> None:
        rule, amount = outcome.rule, outcome.computed
        expires_at = self._program.expires_at(rule, activity.occurred_at)
        lot = _Lot(rule, amount, amount, activity.occurred_at, expires_at)
        self._lots.append(lot)
        posted.granted[rule.id], posted.lots[rule.id] = amount, lot
        seen.awards[rule.id] = amount
        zone = self._program.zone
        seen.good_through[rule.id] = None if expires_at is None else local_date(expires_at, zone) - timedelta(days=1)
        self._funded[rule] = self._funded.get(rule, 0) + amount
        paid = min(self._owed[rule.unit], amount)
        lot.remaining -= paid
        self._owed[rule.unit] -= paid

    def _take_back(self, back: Activity, seen: _Seen) -> None:
        posted = self._posted.get(back.of or "")
        if posted is None:
            raise Refused("activity_unknown")
        posted.returned = plus_return(posted.activity, posted.returned, back)
        basis = basis_less_returns(posted.activity, posted.returned)
        kept = self._program.evaluate(basis, self._attributes, stacked=False)
        for outcome in kept:
            rule = outcome.rule
            granted = posted.granted.get(rule.id, 0)
            amount = granted - min(granted, outcome.computed)
            if amount:
                posted.granted[rule.id] = granted - amount
                self._funded[rule] -= amount
                seen.reversals[rule.id] = self._claw_back(posted.lots[rule.id], amount)

    def _claw_back(self, lot: _Lot, amount: int) -> dict[str, int]:
        expired = min(lot.expired, amount)
        lot.expired -= expired
        missing = amount - expired
        for source in (lot, *self._in_order(lot.rule.unit)):
            part = min(source.remaining, missing)
            source.remaining -= part
            missing -= part
        self._owed[lot.rule.unit] += missing
        return {"amount": amount, "taken": amount - expired - missing, "expired": expired, "owed": missing}

    def _spend(self, unit: str, amount: int) -> None:
        if amount > self._available(unit):
            raise Refused("insufficient_points")
        for lot in self._in_order(unit):
            part = min(lot.remaining, amount)
            lot.remaining -= part
            amount -= part

    def _expire(self, at: datetime) -> None:
        for lot in self._lots:
            lapse_at = self._lapse_at.get(lot.rule.unit)
            gone_at = lot.expires_at if lapse_at is None else lapse_at
            if gone_at is not None and gone_at <= at:
                lot.expired += lot.remaining
                lot.remaining = 0

    def _in_order(self, unit: str) -> Sequence[_Lot]:
        lots = [lot for lot in self._lots if lot.rule.unit == unit and lot.remaining]
        return sorted(lots, key=lambda lot: (lot.expires_at or _FOR_EVER, lot.earned_at))

    def _available(self, unit: str) -> int:
        return sum(lot.remaining for lot in self._lots if lot.rule.unit == unit)

    def _billed(self) -> dict[str, int]:
        owed: dict[str, Fraction] = {}
        for rule, points in self._funded.items():
            if rule.price is not None:
                owed[rule.funder] = owed.get(rule.funder, Fraction(0)) + rule.price * points
        return {funder: scaled(1, sum_.numerator, sum_.denominator, "half_up") for funder, sum_ in owed.items()}


def _differences(seen: _Seen, expected: Expected) -> Iterator[str]:
    if seen.refused != expected.refused:
        yield f"refused {seen.refused}, expected {expected.refused}"
    if expected.awards is not None and seen.awards != expected.awards:
        yield f"awards {seen.awards}, expected {expected.awards}"
    if expected.reversals is not None:
        wanted = {rule: reversal.model_dump(exclude_none=True) for rule, reversal in expected.reversals.items()}
        if set(wanted) != set(seen.reversals):
            yield f"reversals {seen.reversals}, expected {wanted}"
        else:
            yield from _unlike("reversals", seen.reversals, wanted)
    if expected.balances is not None:
        wanted = {unit: balance.model_dump(exclude_none=True) for unit, balance in expected.balances.items()}
        yield from _unlike("balances", seen.balances, wanted)
    for what, found, named in (
        ("reasons", seen.reasons, expected.reasons),
        ("good_through", seen.good_through, expected.good_through),
        ("billed", seen.billed, expected.billed),
    ):
        yield from _unlike(what, {"": found}, {"": dict(named or {})})


def _unlike(
    what: str, found: Mapping[str, Mapping[str, Any]], wanted: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    for name, figures in wanted.items():
        for figure, value in figures.items():
            seen = found.get(name, {}).get(figure, "nothing")
            if seen != value:
                yield f"{what} {name + ' ' if name else ''}{figure} is {seen}, expected {value}"
