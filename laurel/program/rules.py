"""A rule ready to compute, and what it made of an activity."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from laurel.calendars import zone_named
from laurel.program.conditions import Condition, compile_condition
from laurel.program.expiry import Expiry
from laurel.program.scopes import lines_scope, where_scope
from laurel.rounding import Mode

if TYPE_CHECKING:
    from datetime import datetime

    from laurel.program.document import ProgramDocument, Rule, Validity
    from laurel.program.windows import WindowKind

RuleKind = Literal["rate", "multiplier", "fixed"]

EARNED: Final = "earned"
ROUNDS_TO_ZERO: Final = "rounds_to_zero"
NOTHING_PAID: Final = "nothing_paid"
TYPE_NOT_COVERED: Final = "type_not_covered"
CONDITION_FALSE: Final = "condition_false"
NO_LINE_MATCHES: Final = "no_line_matches"
BASE_NOT_FIRED: Final = "base_not_fired"
NOTHING_KEPT: Final = "nothing_kept"
OUTSIDE_DATES: Final = "outside_dates"
GAVE_WAY: Final = "gave_way"
LIMIT_REACHED: Final = "limit_reached"
REASONS: Final = (
    EARNED,
    ROUNDS_TO_ZERO,
    NOTHING_PAID,
    TYPE_NOT_COVERED,
    CONDITION_FALSE,
    NO_LINE_MATCHES,
    BASE_NOT_FIRED,
    NOTHING_KEPT,
    OUTSIDE_DATES,
    GAVE_WAY,
    LIMIT_REACHED,
)
"""Why a rule earned what it did. The first three belong to rules that fired, the others to those that did not."""


@dataclass(frozen=True, slots=True)
class RuleLimit:
    """How many times a rule may earn in a window; `counter` names what counts them."""

    counter: str
    times: int
    window: WindowKind


@dataclass(frozen=True, slots=True, eq=False)
class CompiledRule:
    """A rule ready to compute. Two rules are the same only if they are one object.

    A rate or multiplier is numerator ÷ denominator of its base; a fixed rule counts `numerator` for each `per`.
    `of` names the numbers a rate takes, None where it is the plain amount; `bases` are the positions of the rules that
    a multiplier multiplies. `price` is what the funder pays for one point, in
    minor units of `price_currency`; None where the points are not billed.
    """

    id: str
    index: int
    unit: str
    kind: RuleKind
    on: frozenset[str]
    numerator: int
    denominator: int
    rounding: Mode
    per: Literal["activity", "line", "quantity"]
    of: tuple[str | None, ...] | None
    least: int
    bases: tuple[int, ...]
    starts_at: datetime | None
    ends_at: datetime | None
    where: Condition | None
    lines: Condition | None
    excludes_tenders: bool
    group: str | None
    priority: int
    per_transaction: int | None
    limit: RuleLimit | None
    budget: int | None
    funder: str
    price: Fraction | None
    price_currency: str | None
    validity: Validity
    expiry: Expiry

    def runs_at(self, occurred_at: datetime | None) -> bool:
        """Whether an instant lies within the rule's dates; no instant lies within all."""
        if occurred_at is None:
            return True
        if self.starts_at is not None and occurred_at < self.starts_at:
            return False
        return self.ends_at is None or occurred_at < self.ends_at


class RuleOutcome(msgspec.Struct, frozen=True, gc=False):
    """What one rule made of an activity: whether its conditions held, why (see REASONS), the points before caps."""

    rule: CompiledRule
    fired: bool
    reason: str
    computed: int


def compile_rule(index: int, rule: Rule, document: ProgramDocument) -> CompiledRule:
    """Compile one rule of a document that load_program gave."""
    attributes, price = document.attributes, rule.funding.price
    kind, factor = _measure(rule)
    validity = rule.validity or document.units[rule.unit].validity
    where_names = where_scope(
        attributes.activity,
        attributes.member,
        day_parts=bool(document.day_parts),
        stores=bool(document.stores),
    )
    return CompiledRule(
        id=rule.rule,
        index=index,
        unit=rule.unit,
        kind=kind,
        on=frozenset(rule.on),
        numerator=factor.numerator,
        denominator=factor.denominator,
        rounding=rule.rounding,
        per=rule.fixed.per if rule.fixed is not None else "activity",
        of=_numbers(rule),
        least=(rule.rate.least or 0) if rule.rate is not None else 0,
        bases=_bases(rule, document),
        starts_at=rule.starts_at,
        ends_at=rule.ends_at,
        where=compile_condition(rule.where, where_names) if rule.where else None,
        lines=compile_condition(rule.lines, lines_scope(attributes.line)) if rule.lines else None,
        excludes_tenders=rule.paid_by_points_and_vouchers == "excluded",
        group=rule.group,
        priority=rule.priority,
        per_transaction=rule.caps.per_transaction if rule.caps is not None else None,
        limit=_limit(rule),
        budget=rule.budget.points if rule.budget is not None else None,
        funder=rule.funding.funder,
        price=None if price is None else Fraction(price),
        price_currency=None if price is None else rule.funding.currency or document.currency,
        validity=validity,
        expiry=Expiry(validity, zone_named(document.time_zone)),
    )


def _measure(rule: Rule) -> tuple[RuleKind, Fraction]:
    if rule.rate is not None:
        return "rate", rule.rate.points / rule.rate.per
    if rule.multiplier is not None:
        return "multiplier", rule.multiplier.fraction or (rule.multiplier.percent or Fraction(0)) / 100
    return "fixed", Fraction(rule.fixed.points if rule.fixed is not None else 0)


def _limit(rule: Rule) -> RuleLimit | None:
    if rule.limit is None:
        return None
    window: WindowKind = "calendar_year" if rule.limit.per == "year" else rule.limit.per
    return RuleLimit(f"limit/{rule.rule}/{window}", rule.limit.times, window)


def _numbers(rule: Rule) -> tuple[str | None, ...] | None:
    """Return the attributes that a rate adds up, None among them standing for the amount."""
    if rule.rate is None or rule.rate.of == ("amount",):
        return None
    return tuple(None if name == "amount" else name.removeprefix("attributes.") for name in rule.rate.of)


def _bases(rule: Rule, document: ProgramDocument) -> tuple[int, ...]:
    if rule.multiplier is None:
        return ()
    places = {other.rule: place for place, other in enumerate(document.earning)}
    return tuple(places[name] for name in rule.multiplier.of)
