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
    from laurel.program.document import ProgramDocument, Rule, Validity

RuleKind = Literal["rate", "multiplier", "fixed"]

EARNED: Final = "earned"
ROUNDS_TO_ZERO: Final = "rounds_to_zero"
NOTHING_PAID: Final = "nothing_paid"
TYPE_NOT_COVERED: Final = "type_not_covered"
CONDITION_FALSE: Final = "condition_false"
NO_LINE_MATCHES: Final = "no_line_matches"
BASE_NOT_FIRED: Final = "base_not_fired"
NOTHING_KEPT: Final = "nothing_kept"
REASONS: Final = (
    EARNED,
    ROUNDS_TO_ZERO,
    NOTHING_PAID,
    TYPE_NOT_COVERED,
    CONDITION_FALSE,
    NO_LINE_MATCHES,
    BASE_NOT_FIRED,
    NOTHING_KEPT,
)
"""Why a rule earned what it did. The first three belong to rules that fired, the others to those that did not."""


@dataclass(frozen=True, slots=True, eq=False)
class CompiledRule:
    """A rule ready to compute. Two rules are the same only if they are one object.

    A rate or multiplier is numerator ÷ denominator of its base; a fixed rule counts `numerator` for each `per`.
    `base` is the position of the rule that a multiplier multiplies. `price` is what the funder pays for one point, in
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
    base: int | None
    where: Condition | None
    lines: Condition | None
    excludes_tenders: bool
    funder: str
    price: Fraction | None
    price_currency: str | None
    validity: Validity
    expiry: Expiry


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
    where_names = where_scope(attributes.activity, attributes.member)
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
        base=_base(rule, document),
        where=compile_condition(rule.where, where_names) if rule.where else None,
        lines=compile_condition(rule.lines, lines_scope(attributes.line)) if rule.lines else None,
        excludes_tenders=rule.paid_by_points_and_vouchers == "excluded",
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


def _base(rule: Rule, document: ProgramDocument) -> int | None:
    if rule.multiplier is None:
        return None
    names = [other.rule for other in document.earning]
    return names.index(rule.multiplier.of)
