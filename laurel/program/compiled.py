"""A program made ready for the hot path: what an activity earns, rule by rule, and why, and until when it is good."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from laurel.calendars import local_date, local_midnight, months_after, zone_named
from laurel.program.bases import Basis, basis_of
from laurel.program.document import Inactivity, NeverExpires
from laurel.program.expiry import Expiry, lapses_on
from laurel.program.plans import Plan, unfired
from laurel.program.rules import REASONS, TYPE_NOT_COVERED, CompiledRule, RuleOutcome, compile_rule
from laurel.program.tiers import CompiledTiers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from laurel.program.bases import ActivityLike
    from laurel.program.document import ProgramDocument, Unit, Validity

__all__ = ["REASONS", "CompiledProgram", "CompiledRule", "CompiledUnit", "RuleOutcome"]


@dataclass(frozen=True, slots=True)
class CompiledUnit:
    """A kind of points and how long they are good unless a rule says otherwise."""

    name: str
    scale: int
    validity: Validity
    counts_only: bool = False


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
    exclusive_group: str | None
    units: Mapping[str, CompiledUnit]
    rules: tuple[CompiledRule, ...]
    late_claim_months: int
    refill_on_return: bool
    member_attributes: frozenset[str]
    tiers: CompiledTiers | None
    _plans: Mapping[str, Plan] = field(repr=False)
    _uncovered: Sequence[RuleOutcome] = field(repr=False)

    @classmethod
    def from_document(cls, document: ProgramDocument, version: int) -> CompiledProgram:
        """Compile a document that load_program gave."""
        rules = tuple(compile_rule(index, rule, document) for index, rule in enumerate(document.earning))
        types = {name for rule in rules for name in rule.on}
        zone = zone_named(document.time_zone)
        return cls(
            program=document.program,
            version=version,
            document=document,
            effective_from=document.effective_from,
            zone=zone,
            clock=document.clock,
            currency=document.currency,
            exclusive_group=document.exclusive_group,
            units={name: _unit(name, unit) for name, unit in document.units.items()},
            rules=rules,
            late_claim_months=document.late_claim.months,
            refill_on_return=document.returns.refill_on_return,
            member_attributes=frozenset(document.attributes.member),
            tiers=None if document.tiers is None else CompiledTiers.from_document(document.tiers, zone),
            _plans={name: Plan(name, rules) for name in types},
            _uncovered=unfired(rules, "", TYPE_NOT_COVERED),
        )

    def judge(
        self, activity: ActivityLike, member_attributes: Mapping[str, Any], *, partner: str | None = None
    ) -> Sequence[RuleOutcome]:
        """Return what each rule makes of a whole activity, in the order of the rules."""
        return self.evaluate(basis_of(activity, partner=partner), member_attributes)

    def evaluate(self, basis: Basis, member_attributes: Mapping[str, Any]) -> Sequence[RuleOutcome]:
        """Return what each rule makes of a basis, in the order of the rules, before any cap.

        A return is judged the same way, on what basis_less_returns leaves. Do not change the answer: it may be shared.
        """
        plan = self._plans.get(basis.type)
        return self._uncovered if plan is None else plan.evaluate(basis, member_attributes)

    def expires_at(self, rule: CompiledRule, earned_at: datetime) -> datetime | None:
        """Return the first moment at which points of a rule are no longer good; None where none is fixed."""
        return rule.expiry.of(local_date(earned_at, self.zone))

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


def _unit(name: str, unit: Unit) -> CompiledUnit:
    return CompiledUnit(name, unit.scale, unit.validity or NeverExpires(kind="never"), unit.counts_only)
