"""A program made ready for the hot path: what an activity earns, rule by rule, and why, and until when it is good."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

from laurel.calendars import days_after, local_date, local_midnight, months_after, zone_named
from laurel.program.bases import Basis, basis_of
from laurel.program.birthdays import CompiledBirthdays
from laurel.program.caps import CompiledCap, compile_caps
from laurel.program.converting import CompiledConversion
from laurel.program.document import Inactivity, NeverExpires
from laurel.program.expiry import Expiry, lapses_on
from laurel.program.outcomes import Outcomes, Silent
from laurel.program.places import Places
from laurel.program.plans import Plan, unfired
from laurel.program.rules import (
    NOBODY_THERE,
    REASONS,
    TYPE_NOT_COVERED,
    CompiledRule,
    RuleLimit,
    RuleOutcome,
    awaited_type,
    compile_rule,
)
from laurel.program.segments import CompiledSegments
from laurel.program.sharing import CompiledExchange, CompiledTransfers, compile_exchanges, compile_transfers
from laurel.program.tiers import CompiledTiers
from laurel.program.windows import WindowFinder
from laurel.rounding import scaled

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from laurel.program.bases import ActivityLike
    from laurel.program.document import ProgramDocument, Unit, Validity

__all__ = ["REASONS", "CompiledProgram", "CompiledRule", "CompiledUnit", "RuleOutcome"]


@dataclass(frozen=True, slots=True)
class CompiledUnit:
    """A kind of points and how long they are good unless a rule says otherwise.

    For each that is expected to be redeemed, all but `breakage` percent, its `value` in minor units is set aside.
    """

    name: str
    scale: int
    validity: Validity
    counts_only: bool = False
    value: Fraction | None = None
    value_currency: str | None = None
    breakage: int = 0

    def provision(self, outstanding: int) -> int | None:
        """Return what is set aside for so many, rounded half up once; None where nobody said what they are worth."""
        if self.value is None:
            return None
        kept = max(0, outstanding) * (100 - self.breakage)
        return scaled(kept, self.value.numerator, 100 * self.value.denominator, "half_up")


@dataclass(frozen=True, slots=True, eq=False)
class CompiledProgram:
    """One version of a program, ready to judge activities."""

    program: str
    version: int
    document: ProgramDocument
    effective_from: datetime
    zone: ZoneInfo
    clock: Literal["wall", "manual"]
    currency: str
    closes_at: datetime | None
    exclusive_group: str | None
    units: Mapping[str, CompiledUnit]
    rules: tuple[CompiledRule, ...]
    late_claim_months: int
    refill_on_return: bool
    member_attributes: frozenset[str]
    payers: Mapping[str, str]
    places: Places | None
    windows: WindowFinder
    caps: tuple[CompiledCap, ...]
    limited: tuple[CompiledRule, ...]
    budgeted: tuple[CompiledRule, ...]
    limited_by_person: tuple[RuleLimit, ...]
    thresholds: tuple[CompiledRule, ...]
    """The rules that earn once others have given so much in a window."""
    counts: bool
    """Whether anything is counted: a cap over a window, how often a rule earns, or towards a threshold."""
    is_capped: bool
    only_counts: bool
    """Whether any rule gives what is no points: no balance bounds it."""
    tiers: CompiledTiers | None
    conversions: tuple[CompiledConversion, ...]
    segments: CompiledSegments | None
    closing: frozenset[str]
    """The types of activities, besides returns, that take back what rules gave to others."""
    transfers: Mapping[str, CompiledTransfers]
    """By unit: what members may give each other; empty where they may not."""
    exchanges: Mapping[tuple[str, str], CompiledExchange]
    """By unit and the other program: at which rate it takes them."""
    birthdays: CompiledBirthdays | None
    roles: frozenset[str]
    """Whom rules give points to, or ask for, besides the member."""
    keeping_alive: frozenset[str]
    """The types of activities that put off the lapse of any unit."""
    releasing_others: frozenset[str]
    """The types of activities that points for others may await."""
    _plans: Mapping[str, Plan] = field(repr=False)
    _uncovered: Outcomes = field(repr=False)

    @classmethod
    def from_document(cls, document: ProgramDocument, version: int) -> CompiledProgram:
        """Compile a document that load_program gave."""
        rules = tuple(compile_rule(index, rule, document) for index, rule in enumerate(document.earning))
        types = {name for rule in rules for name in rule.on}
        zone = zone_named(document.time_zone)
        places = Places(document) if document.day_parts or document.stores else None
        caps = compile_caps(document, zone)
        budgeted = tuple(rule for rule in rules if rule.budget is not None)
        limited = tuple(rule for rule in rules if rule.limit is not None)
        thresholds = tuple(rule for rule in rules if rule.threshold is not None)
        uncovered = unfired(rules, "", TYPE_NOT_COVERED)
        stacks = {name: group.stack for name, group in document.groups.items()}
        return cls(
            program=document.program,
            version=version,
            document=document,
            effective_from=document.effective_from,
            zone=zone,
            clock=document.clock,
            currency=document.currency,
            closes_at=document.closes_at,
            exclusive_group=document.exclusive_group,
            units={name: _unit(name, unit, document.currency) for name, unit in document.units.items()},
            rules=rules,
            late_claim_months=document.late_claim.months,
            refill_on_return=document.returns.refill_on_return,
            member_attributes=frozenset(document.attributes.member),
            payers=document.payers,
            places=places,
            windows=WindowFinder(zone, places),
            caps=caps,
            limited=limited,
            budgeted=budgeted,
            limited_by_person=tuple(rule.limit for rule in limited if rule.limit is not None and rule.limit.by_person),
            thresholds=thresholds,
            counts=bool(limited or thresholds) or any(cap.window is not None for cap in caps),
            is_capped=bool(caps) or bool(budgeted) or any(rule.per_transaction is not None for rule in rules),
            only_counts=any(rule.counts_only for rule in rules),
            tiers=None if document.tiers is None else CompiledTiers.from_document(document.tiers, zone),
            conversions=tuple(CompiledConversion.from_document(each, zone) for each in document.conversions),
            segments=CompiledSegments.from_document(document.segments, zone) if document.segments else None,
            closing=frozenset(name for rule in rules for name in rule.taken_back_on),
            transfers=compile_transfers(document),
            exchanges=compile_exchanges(document),
            birthdays=None if document.birthdays is None else CompiledBirthdays.from_document(document.birthdays, zone),
            roles=frozenset(rule.given for rule in rules if rule.given is not None),
            keeping_alive=frozenset(
                name
                for unit in document.units.values()
                if isinstance(unit.validity, Inactivity)
                for name in unit.validity.kept_by
            ),
            releasing_others=frozenset(
                name for rule in rules if rule.to is not None and (name := awaited_type(rule.pending)) is not None
            ),
            _plans={name: Plan(name, rules, stacks) for name in types},
            _uncovered=Outcomes(uncovered, Silent(uncovered), ()),
        )

    def judge(
        self, activity: ActivityLike, member_attributes: Mapping[str, Any], *, partner: str | None = None
    ) -> Outcomes:
        """Return what each rule makes of a whole activity, in the order of the rules."""
        return self.evaluate(basis_of(activity, partner=partner), member_attributes)

    def evaluate(
        self,
        basis: Basis,
        member_attributes: Mapping[str, Any],
        *,
        stacked: bool = True,
        spent: Collection[int] = (),
    ) -> Outcomes:
        """Return what each rule makes of a basis, in the order of the rules, before any cap.

        `spent` are the places of rules whose limit is reached. A return is judged the same way, on what
        basis_less_returns leaves, but not `stacked`: who gave way was decided when it was earned, and so were limits.
        Do not change the answer: it may be shared.
        """
        plan = self._plans.get(basis.type)
        if plan is None:
            return self._uncovered
        if self.places is not None:
            basis = self.places.located(basis)
        return plan.evaluate(basis, member_attributes, stacked=stacked, spent=spent)

    def taken_back_by(self, activity_type: str, occurred_at: datetime, earned_at: datetime) -> frozenset[str]:
        """Return the rules whose award an activity of a type takes back from what happened at an earlier instant."""
        day, first = local_date(occurred_at, self.zone), local_date(earned_at, self.zone)
        return frozenset(
            rule.id
            for rule in self.rules
            if activity_type in rule.taken_back_on and (day - first).days < rule.taken_back_days
        )

    def without(self, outcomes: Outcomes, there: Collection[str]) -> Outcomes:
        """Return the outcomes where only these others are there: what asks for somebody else does not earn."""
        if not self.roles - set(there):
            return outcomes
        left = list(outcomes)
        for place in outcomes.told:
            rule = left[place].rule
            if rule.given is not None and rule.given not in there and left[place].fired:
                left[place] = RuleOutcome(rule=rule, fired=False, reason=NOBODY_THERE, computed=0)
        return Outcomes(left, outcomes.silent, outcomes.told)

    def is_closed_at(self, occurred_at: datetime) -> bool:
        """Whether nothing that happens then earns any more."""
        return self.closes_at is not None and occurred_at >= self.closes_at

    def expires_at(self, rule: CompiledRule, earned_at: datetime) -> datetime | None:
        """Return the first moment at which points of a rule are no longer good; None where none is fixed."""
        return rule.expiry.of(local_date(earned_at, self.zone))

    def available_at(self, rule: CompiledRule, earned_at: datetime) -> datetime:
        """Return when points of a rule count, where that is a date; else when they were earned."""
        if rule.pending is None or not rule.pending.days:
            return earned_at
        return local_midnight(days_after(local_date(earned_at, self.zone), rule.pending.days), self.zone)

    def unit_expires_at(self, unit: str, earned_at: datetime) -> datetime | None:
        """Return the same for points that no rule earned, by the validity of their unit."""
        return Expiry(self.units[unit].validity, self.zone).of(local_date(earned_at, self.zone))

    def lapses_at(self, unit: str, last_active_at: datetime) -> datetime | None:
        """Return when a unit that expires by inactivity lapses for a member last active then; else None."""
        day = lapses_on(self.units[unit].validity, local_date(last_active_at, self.zone))
        return None if day is None else local_midnight(day, self.zone)

    def keeps_alive(self, unit: str, activity_type: str) -> bool:
        """Whether an activity of that type puts off the lapse of a unit by inactivity."""
        validity = self.units[unit].validity
        return isinstance(validity, Inactivity) and activity_type in validity.kept_by

    def claimable_until(self, occurred_at: datetime) -> datetime:
        """Return the first moment at which an activity of then is too late to be reported."""
        last_day = months_after(local_date(occurred_at, self.zone), self.late_claim_months)
        return local_midnight(last_day + timedelta(days=1), self.zone)


def _unit(name: str, unit: Unit, currency: str) -> CompiledUnit:
    value = unit.value
    return CompiledUnit(
        name,
        unit.scale,
        unit.validity or NeverExpires(kind="never"),
        unit.counts_only,
        value=None if value is None else Fraction(value.per_point),
        value_currency=None if value is None else value.currency or currency,
        breakage=unit.breakage,
    )
