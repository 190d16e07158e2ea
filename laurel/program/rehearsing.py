"""A case played on paper: one member, one program, no database and no broker.

It follows the shared rules as plainly as they are written (S2 to S5, S10, S11), so that a program can be tried while
it is written, and so that the points service has something independent to agree with. Tiers are the exception: paper
asks the same functions of `climbing` as the service does, and would only copy them.
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
from laurel.program.climbing import Climber, Counted, count, judged, match_tier, review, take_back
from laurel.program.returning import NOTHING_RETURNED, Returned, basis_less_returns, plus_return
from laurel.program.standing import AnyTierFact, QualifyingCounted, TierBook
from laurel.program.tiers import seen_as
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
    stage = _Stage(program, case.member.attributes, case.member.enrolled_at or instant_of(case.steps[0]))
    return [
        f"{case.case}, step {number}: {said}"
        for number, step in enumerate(case.steps, 1)
        for said in _differences(stage.play(step), step.expect)
    ]


def instant_of(step: Step) -> datetime:
    """Return when a step happens."""
    if step.activity is not None:
        return datetime.fromisoformat(step.activity["occurred_at"])
    for deed in (step.spend, step.match):
        if deed is not None:
            return deed.at
    assert step.wait_until is not None
    return step.wait_until


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
    member: Mapping[str, Any] = field(default_factory=dict)
    counted: dict[str, QualifyingCounted] = field(default_factory=dict)
    counted_in: int = 0


@dataclass(slots=True)
class _Seen:
    """What a step brought about, in the words of `Expected`."""

    awards: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    reversals: dict[str, dict[str, int]] = field(default_factory=dict)
    good_through: dict[str, Any] = field(default_factory=dict)
    balances: dict[str, dict[str, int]] = field(default_factory=dict)
    billed: dict[str, int] = field(default_factory=dict)
    tier: dict[str, Any] = field(default_factory=dict)
    refused: str | None = None


class _Stage:
    """The member's lots, what it owes, and where it stands."""

    def __init__(self, program: CompiledProgram, attributes: Mapping[str, Any], enrolled_at: datetime) -> None:
        self._enrolled_at = enrolled_at
        self._book = TierBook()
        self._steps = 0
        self._at = enrolled_at
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
        self._steps += 1
        self._at = max(self._at, instant_of(step))
        self._look(self._at)
        try:
            if step.activity is not None:
                self._report(step.activity, seen)
            elif step.spend is not None:
                self._expire(step.spend.at)
                self._spend(step.spend.unit, step.spend.amount)
            elif step.match is not None:
                climber = self._climber()
                if climber is None:
                    raise Refused("not_eligible")
                self._move(match_tier(climber, step.match.tier, step.match.dated, step.match.at))
            elif step.wait_until is not None:
                self._expire(step.wait_until)
        except Refused as refusal:
            seen.refused = refusal.code
        seen.balances = {
            unit: {"available": self._available(unit), "owed": self._owed[unit]} for unit in self._program.units
        }
        seen.billed = self._billed()
        self._look(self._at)
        seen.tier = self._stands()
        return seen

    def _climber(self) -> Climber | None:
        tiers = self._program.tiers
        return None if tiers is None else Climber(tiers, self._book, self._enrolled_at, self._steps)

    def _move(self, facts: Sequence[AnyTierFact]) -> None:
        for fact in facts:
            self._book.apply(self._steps, fact)

    def _look(self, until: datetime) -> None:
        """Let time look at the tier, as often as it is due."""
        climber = self._climber()
        while climber is not None and (standing := self._book.standing) is not None:
            if standing.due_at is None or standing.due_at > until:
                return
            self._move(review(climber, standing.due_at))

    def _stands(self) -> dict[str, Any]:
        climber = self._climber()
        if climber is None:
            return {}
        standing, zone, tiers = climber.standing, self._program.zone, climber.tiers
        until_at = standing.until_at
        day, enrolled = climber.day(self._at), climber.enrolled
        return {
            "name": standing.tier,
            "since": local_date(standing.since_at, zone),
            "until": None if until_at is None else local_date(until_at, zone) - timedelta(days=1),
            "years": tiers.tenure(standing.elite_from, self._at),
            "benefits": tuple(benefit.name for benefit in tiers.level(standing.tier).benefits),
            "counters": {name: counter.value(self._book, day, enrolled) for name, counter in tiers.counters.items()},
        }

    def _seen_for(self, activity: Activity) -> Mapping[str, Any]:
        climber = self._climber()
        if climber is None:
            return self._attributes
        at = climber.tiers.judged_at(activity.occurred_at, activity.attributes)
        return seen_as(self._attributes, *judged(climber, at))

    def _count(self, activity: Activity, outcomes: Sequence[RuleOutcome], posted: _Posted) -> None:
        counted = [
            Counted(outcome.rule.id, outcome.rule.unit, outcome.computed)
            for outcome in outcomes
            if outcome.rule.counts_only and outcome.computed
        ]
        climber = self._climber()
        if climber is not None and counted:
            facts = count(climber, counted, activity.id, "", activity.occurred_at, self._at)
            posted.counted = {fact.rule: fact for fact in facts if isinstance(fact, QualifyingCounted)}
            posted.counted_in = self._steps
            self._move(facts)

    def _report(self, body: Mapping[str, Any], seen: _Seen) -> None:
        activity = _decode(msgspec.json.encode(body))
        faults = check(activity)
        if faults:
            raise Refused(faults[0].code, faults[0].detail)
        self._expire(activity.occurred_at)
        if activity.type == "return":
            self._take_back(activity, seen)
        else:
            self._award(activity, seen)

    def _award(self, activity: Activity, seen: _Seen) -> None:
        if activity.currency not in (None, self._program.currency):
            raise Refused("currency_not_accepted")
        posted = _Posted(activity, {}, {}, member=self._seen_for(activity))
        outcomes = self._program.judge(activity, posted.member)
        self._count(activity, outcomes, posted)
        for outcome in outcomes:
            seen.reasons[outcome.rule.id] = outcome.reason
            if outcome.rule.counts_only:
                posted.granted[outcome.rule.id] = outcome.computed
            elif outcome.computed:
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
        kept = self._program.evaluate(basis_less_returns(posted.activity, posted.returned), posted.member)
        taken: list[tuple[QualifyingCounted, int]] = []
        for outcome in kept:
            rule = outcome.rule
            granted = posted.granted.get(rule.id, 0)
            amount = granted - min(granted, outcome.computed)
            if amount:
                posted.granted[rule.id] = granted - amount
                if rule.counts_only:
                    taken.append((posted.counted[rule.id], amount))
                    continue
                self._funded[rule] -= amount
                seen.reversals[rule.id] = self._claw_back(posted.lots[rule.id], amount)

        climber = self._climber()
        if climber is not None and taken:
            self._move(take_back(climber, taken, posted.counted_in, self._at))

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
    if expected.tier is not None:
        wanted = expected.tier.model_dump(exclude_unset=True)
        counters = wanted.pop("counters", {})
        yield from _unlike("tier", {"": seen.tier}, {"": wanted})
        yield from _unlike("counter", {"": seen.tier.get("counters", {})}, {"": counters})
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
