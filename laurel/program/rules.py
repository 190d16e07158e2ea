"""A rule ready to compute, and what it made of an activity."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from laurel.calendars import zone_named
from laurel.program.conditions import Condition, compile_condition
from laurel.program.document import NeverExpires
from laurel.program.expiry import Expiry
from laurel.program.scopes import SEGMENTS, TENURE, TIER, Member, lines_scope, where_scope
from laurel.rounding import Mode

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from laurel.program.document import Multiplier, ProgramDocument, Rule, Validity
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
NOT_FOR_TIER: Final = "not_for_tier"
NOT_IN_SEGMENT: Final = "not_in_segment"
NOBODY_THERE: Final = "nobody_there"
BELOW_THRESHOLD: Final = "below_threshold"
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
    NOT_FOR_TIER,
    NOT_IN_SEGMENT,
    NOBODY_THERE,
    BELOW_THRESHOLD,
)
"""Why a rule earned what it did. The first three belong to rules that fired, the others to those that did not."""


EVENT: Final = "event:"
"""How it begins what points await, where that is an activity; its type follows."""


@dataclass(frozen=True, slots=True)
class RuleLimit:
    """How many times a rule may earn in a window; `counter` names what counts them."""

    counter: str
    times: int
    window: WindowKind
    by_person: bool = False
    of_activities: bool = False


@dataclass(frozen=True, slots=True)
class RuleThreshold:
    """What rules must have given in a window before another earns once in it; `counter` names what adds it up."""

    counter: str
    reaches: int
    window: WindowKind
    of: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class CompiledRule:
    """A rule ready to compute. Two rules are the same only if they are one object.

    A rate or multiplier is numerator ÷ denominator of its base; a fixed rule counts `numerator` for each `per`.
    `of` names the numbers a rate takes, None where it is the plain amount; `bases` are the positions of the rules that
    a multiplier multiplies; `by` gives the share where it depends on where the member stands. What `counts_only`
    makes no points: it counts towards a tier. `price` is what the funder pays for one point, in
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
    by: ByTier | ByTenure | None
    counts_only: bool
    starts_at: datetime | None
    ends_at: datetime | None
    where: Condition | None
    lines: Condition | None
    excludes_tenders: bool
    group: str | None
    priority: int
    per_transaction: int | None
    limit: RuleLimit | None
    threshold: RuleThreshold | None
    budget: int | None
    funder: str
    price: Fraction | None
    price_currency: str | None
    validity: Validity
    expiry: Expiry
    segments: frozenset[str] = frozenset()
    taken_back_on: frozenset[str] = frozenset()
    taken_back_days: int = 0
    pending: CompiledPending | None = None
    to: str | None = None
    given: str | None = None
    """Who gets the points, if it is not the member, and without whom the rule does not earn."""

    def is_for(self, member: Member) -> bool:
        """Whether the member belongs to one of the segments that the rule is for."""
        return not self.segments or not self.segments.isdisjoint(member.get(SEGMENTS, ()))

    def may_be_by(self, partner: str | None) -> bool:
        """Say whether what a partner reports may earn by this rule, as far as its guard tells."""
        guard = self.where.guard if self.where is not None else None
        return guard is None or guard.field.path != "activity.partner" or partner in guard.values


@dataclass(frozen=True, slots=True)
class CompiledPending:
    """What the points of a rule await before they count: `date`, `approval`, or `event:` and a type."""

    awaits: str
    days: int = 0


def awaited_type(pending: CompiledPending | None) -> str | None:
    """Return the type of activity that points await, if it is one."""
    if pending is None or not pending.awaits.startswith(EVENT):
        return None
    return pending.awaits.removeprefix(EVENT)


@dataclass(frozen=True, slots=True)
class ByTier:
    """A share for each tier, as numerator and denominator; a tier that is not named gets nothing."""

    shares: Mapping[str, tuple[int, int]]

    def of(self, member: Member) -> tuple[int, int] | None:
        return self.shares.get(member.get(TIER, ""))


@dataclass(frozen=True, slots=True)
class ByTenure:
    """A share for each complete calendar year above the first tier, up to a most."""

    each: Fraction
    most: Fraction | None

    def of(self, member: Member) -> tuple[int, int] | None:
        share = self.each * member.get(TENURE, 0)
        if self.most is not None:
            share = min(share, self.most)
        return (share.numerator, share.denominator) if share else None


class RuleOutcome(msgspec.Struct, frozen=True, gc=False):
    """What one rule made of an activity: whether its conditions held, why (see REASONS), the points before caps."""

    rule: CompiledRule
    fired: bool
    reason: str
    computed: int


def compile_rule(index: int, rule: Rule, document: ProgramDocument) -> CompiledRule:
    """Compile one rule of a document that load_program gave."""
    attributes, funding, unit = document.attributes, rule.funding, document.units[rule.unit]
    price = funding.price if funding is not None else None
    kind, factor = _measure(rule)
    validity = rule.validity or unit.validity or NeverExpires(kind="never")
    where_names = where_scope(
        attributes.activity,
        attributes.member,
        day_parts=bool(document.day_parts),
        stores=bool(document.stores),
        tiers=document.tiers is not None,
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
        by=_by(rule),
        counts_only=unit.counts_only,
        starts_at=rule.starts_at,
        ends_at=rule.ends_at,
        where=compile_condition(rule.where, where_names) if rule.where else None,
        lines=compile_condition(rule.lines, lines_scope(attributes.line)) if rule.lines else None,
        excludes_tenders=rule.paid_by_points_and_vouchers == "excluded",
        group=rule.group,
        priority=rule.priority,
        per_transaction=rule.caps.per_transaction if rule.caps is not None else None,
        limit=_limit(rule),
        threshold=_threshold(rule),
        budget=_budget(rule),
        funder=funding.funder if funding is not None else "",
        price=None if price is None else Fraction(price),
        price_currency=None if funding is None or price is None else funding.currency or document.currency,
        validity=validity,
        expiry=Expiry(validity, zone_named(document.time_zone)),
        segments=frozenset(rule.segments),
        taken_back_on=frozenset(rule.taken_back.on if rule.taken_back is not None else ()),
        taken_back_days=rule.taken_back.within_days if rule.taken_back is not None else 0,
        pending=_pending(rule),
        to=rule.to,
        given=rule.to or rule.given,
    )


def _pending(rule: Rule) -> CompiledPending | None:
    pending = rule.pending
    if pending is None:
        return None
    if pending.days is not None:
        return CompiledPending("date", pending.days)
    if pending.until_event is not None:
        return CompiledPending(EVENT + pending.until_event)
    return CompiledPending("approval")


def _measure(rule: Rule) -> tuple[RuleKind, Fraction]:
    """Return the kind and the share; none where the share is a table, or is counted in years."""
    if rule.rate is not None:
        points = rule.rate.points
        return "rate", Fraction(0) if isinstance(points, dict) else points / rule.rate.per
    if rule.multiplier is not None:
        share = _share(rule.multiplier)
        return "multiplier", Fraction(0) if isinstance(share, dict) else share
    return "fixed", Fraction(rule.fixed.points if rule.fixed is not None else 0)


def _share(multiplier: Multiplier) -> Fraction | dict[str, Fraction]:
    if multiplier.fraction is not None:
        return multiplier.fraction
    percent = multiplier.percent or Fraction(0)
    return {tier: share / 100 for tier, share in percent.items()} if isinstance(percent, dict) else percent / 100


def _by(rule: Rule) -> ByTier | ByTenure | None:
    if rule.rate is not None and isinstance(rule.rate.points, dict):
        return ByTier({tier: _parts(points / rule.rate.per) for tier, points in rule.rate.points.items()})
    if rule.multiplier is None or rule.multiplier.by is None:
        return None
    share = _share(rule.multiplier)
    if isinstance(share, dict):
        return ByTier({tier: _parts(part) for tier, part in share.items()})
    most = rule.multiplier.most
    return ByTenure(share, None if most is None else most / 100)


def _parts(share: Fraction) -> tuple[int, int]:
    return share.numerator, share.denominator


def _budget(rule: Rule) -> int | None:
    """Return how many points a budget is: of an amount, all that it buys whole."""
    if rule.budget is None or rule.budget.amount is None:
        return None if rule.budget is None else rule.budget.points
    price = Fraction(rule.funding.price or 0) if rule.funding is not None else Fraction(0)
    return int(rule.budget.amount / price) if price else 0


def _limit(rule: Rule) -> RuleLimit | None:
    if rule.limit is None:
        return None
    window: WindowKind = "calendar_year" if rule.limit.per == "year" else rule.limit.per
    of_activities, by_person = rule.limit.counts == "activities", rule.limit.by == "person"
    name = f"limit/{rule.rule}/{window}"
    return RuleLimit(name, rule.limit.times, window, of_activities=of_activities, by_person=by_person)


def _threshold(rule: Rule) -> RuleThreshold | None:
    asked = rule.threshold
    if asked is None:
        return None
    return RuleThreshold(f"threshold/{rule.rule}/{asked.window}", asked.reaches, asked.window, frozenset(asked.of))


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
