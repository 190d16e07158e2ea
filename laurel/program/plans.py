"""How the activities of one type are judged.

A plan starts from the outcomes of rules that find nothing, made once, and touches only those rules that the activity
or a line leads to. Every outcome of a rule that did not fire is one shared value, so what is derived from it may
be remembered by identity.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from laurel.program.picking import LinePicker, Table
from laurel.program.rules import (
    BASE_NOT_FIRED,
    CONDITION_FALSE,
    EARNED,
    GAVE_WAY,
    LIMIT_REACHED,
    NO_LINE_MATCHES,
    NOT_FOR_TIER,
    NOT_IN_SEGMENT,
    NOTHING_KEPT,
    NOTHING_PAID,
    OUTSIDE_DATES,
    ROUNDS_TO_ZERO,
    TYPE_NOT_COVERED,
    CompiledRule,
    RuleOutcome,
)
from laurel.rounding import scaled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from laurel.program.bases import Basis


def unfired(rules: Iterable[CompiledRule], activity_type: str, reason: str) -> list[RuleOutcome]:
    """Return an outcome for each rule that did not fire for a reason, or because it is not for that type."""
    return [
        RuleOutcome(
            rule=rule,
            fired=False,
            reason=reason if activity_type in rule.on else TYPE_NOT_COVERED,
            computed=0,
        )
        for rule in rules
    ]


class Plan:
    """Judges the activities of one type."""

    __slots__ = (
        "_by_field",
        "_condition_false",
        "_dated",
        "_gave_way",
        "_groups",
        "_limit_reached",
        "_multipliers",
        "_not_for_tier",
        "_not_in_segment",
        "_nothing_kept",
        "_outside_dates",
        "_picker",
        "_plain",
        "_segmented",
        "_silent",
        "_template",
    )

    def __init__(self, activity_type: str, rules: Sequence[CompiledRule], stacks: Mapping[str, str]) -> None:
        self._condition_false = unfired(rules, activity_type, CONDITION_FALSE)
        self._silent = unfired(rules, activity_type, BASE_NOT_FIRED)
        self._nothing_kept = unfired(rules, activity_type, NOTHING_KEPT)
        self._outside_dates = unfired(rules, activity_type, OUTSIDE_DATES)
        self._gave_way = unfired(rules, activity_type, GAVE_WAY)
        self._limit_reached = unfired(rules, activity_type, LIMIT_REACHED)
        self._not_for_tier = unfired(rules, activity_type, NOT_FOR_TIER)
        self._not_in_segment = unfired(rules, activity_type, NOT_IN_SEGMENT)
        no_line = unfired(rules, activity_type, NO_LINE_MATCHES)
        self._template = [
            no_line[rule.index] if rule.lines is not None else self._condition_false[rule.index] for rule in rules
        ]
        covered = [rule for rule in rules if activity_type in rule.on]
        whole = [rule for rule in covered if rule.kind != "multiplier" and rule.lines is None]
        picking = [rule for rule in covered if rule.lines is not None]
        self._multipliers = tuple(rule for rule in covered if rule.kind == "multiplier")
        self._dated = tuple(rule for rule in covered if rule.starts_at is not None or rule.ends_at is not None)
        self._segmented = tuple(rule for rule in covered if rule.segments)
        self._groups = _groups(covered, stacks)
        self._plain = tuple(rule for rule in whole if rule.where is None or rule.where.guard is None)
        self._by_field = _by_field(whole)
        self._picker = LinePicker(picking) if picking else None

    def evaluate(
        self, basis: Basis, member: Mapping[str, Any], *, stacked: bool, spent: Collection[int]
    ) -> Sequence[RuleOutcome]:
        """Return what each rule makes of a basis, in the order of the rules; with groups that exclude, or without.

        Rules whose limit is `spent` earn nothing, and so give way to nobody and carry nothing.
        """
        if not basis.kept:
            return self._nothing_kept
        outcomes = self._template.copy()
        self._compute(outcomes, basis, member)
        for rule in self._dated:
            if not rule.runs_at(basis.occurred_at):
                outcomes[rule.index] = self._outside_dates[rule.index]
        for rule in self._segmented:
            if not rule.is_for(member):
                outcomes[rule.index] = self._not_in_segment[rule.index]
        self._limit(spent, outcomes)
        for rule in self._multipliers:
            outcomes[rule.index] = self._multiplied(rule, outcomes, basis, member)
        self._limit(spent, outcomes)
        if stacked:
            for stack, rules in self._groups:
                self._stack(stack, rules, outcomes)
        return outcomes

    def _compute(self, outcomes: list[RuleOutcome], basis: Basis, member: Mapping[str, Any]) -> None:
        """Put in what the rules make of it that build on no other."""
        for rule in self._plain:
            if rule.where is None or rule.where.holds_beyond(basis, member):
                outcomes[rule.index] = self._outcome(rule, basis, None, member)
        for read, table in self._by_field:
            for rule in table.get(read(basis, member), ()):
                if rule.where.holds_beyond(basis, member):  # type: ignore[union-attr]  # it came by its guard
                    outcomes[rule.index] = self._outcome(rule, basis, None, member)
        if self._picker is not None and basis.lines:
            for rule, places in self._picker.matched(basis.lines, member).items():
                if rule.where is None or rule.where.holds(basis, member):
                    outcomes[rule.index] = self._outcome(rule, basis, places, member)
                else:
                    outcomes[rule.index] = self._condition_false[rule.index]

    def _limit(self, spent: Collection[int], outcomes: list[RuleOutcome]) -> None:
        for place in spent:
            if outcomes[place].computed:
                outcomes[place] = self._limit_reached[place]

    def _stack(self, stack: str, rules: Sequence[CompiledRule], outcomes: list[RuleOutcome]) -> None:
        """Leave one of the rules that earn: the first by priority, or the one that earns most."""
        earning = [rule for rule in rules if outcomes[rule.index].computed]
        if len(earning) > 1:
            kept = earning[0] if stack == "first" else max(earning, key=lambda rule: outcomes[rule.index].computed)
            for rule in earning:
                if rule is not kept:
                    outcomes[rule.index] = self._gave_way[rule.index]

    def _multiplied(
        self,
        rule: CompiledRule,
        outcomes: Sequence[RuleOutcome],
        basis: Basis,
        member: Mapping[str, Any],
    ) -> RuleOutcome:
        if not rule.runs_at(basis.occurred_at):
            return self._outside_dates[rule.index]
        if not rule.is_for(member):
            return self._not_in_segment[rule.index]
        if rule.where is not None and not rule.where.holds(basis, member):
            return self._condition_false[rule.index]
        bases = [outcomes[base] for base in rule.bases if outcomes[base].fired]
        if not bases:
            return self._silent[rule.index]
        return self._shared(rule, sum([base.computed for base in bases]), ROUNDS_TO_ZERO, member)

    def _outcome(
        self, rule: CompiledRule, basis: Basis, places: list[int] | None, member: Mapping[str, Any]
    ) -> RuleOutcome:
        """What a rule whose conditions hold computes; `places` are the lines it picked, None where it picks none."""
        if rule.kind == "fixed":
            count = _count(rule, basis, places)
            return RuleOutcome(rule, count > 0, EARNED if count else NO_LINE_MATCHES, rule.numerator * count)
        if rule.of is not None:
            amount = _number(rule, rule.of, basis)
        elif places is None:
            amount = basis.amount or 0
            if rule.excludes_tenders:
                amount -= basis.tender_excluded
        else:
            lines = basis.lines
            amount = sum([lines[place].amount or 0 for place in places])
            if rule.excludes_tenders and basis.line_excluded:
                amount -= sum([basis.line_excluded[place] for place in places])
        if 0 < amount < rule.least:
            amount = rule.least
        return self._shared(rule, amount, ROUNDS_TO_ZERO if amount else NOTHING_PAID, member)

    def _shared(self, rule: CompiledRule, amount: int, why_nothing: str, member: Mapping[str, Any]) -> RuleOutcome:
        """What a share of an amount comes to; the share may depend on where the member stands."""
        if rule.by is None:
            return _fired(rule, _share(rule, amount), why_nothing)
        share = rule.by.of(member)
        if share is None:
            return self._not_for_tier[rule.index]
        return _fired(rule, scaled(amount, *share, rule.rounding), why_nothing)


def _number(rule: CompiledRule, names: Iterable[str | None], basis: Basis) -> int:
    """Add up what a rate takes; the share of it that points and vouchers paid is that of the whole amount."""
    number = 0
    for name in names:
        value = basis.amount if name is None else basis.attributes.get(name)
        number += value if type(value) is int else 0
    if rule.excludes_tenders and basis.tender_excluded and basis.amount:
        number -= scaled(number, basis.tender_excluded, basis.amount, "half_up")
    return max(number, 0)


def _count(rule: CompiledRule, basis: Basis, places: list[int] | None) -> int:
    if rule.per == "activity":
        return 1
    lines = basis.lines if places is None else [basis.lines[place] for place in places]
    if rule.per == "line":
        return len(lines)
    return sum(1 if line.quantity is None else line.quantity for line in lines)


def _share(rule: CompiledRule, amount: int) -> int:
    # The rounding that nearly every rule has, without the call: amounts are never negative here.
    if rule.rounding == "down":
        return amount * rule.numerator // rule.denominator
    return scaled(amount, rule.numerator, rule.denominator, rule.rounding)


def _fired(rule: CompiledRule, computed: int, why_nothing: str) -> RuleOutcome:
    return RuleOutcome(rule, True, EARNED if computed else why_nothing, computed)


def _groups(
    covered: Sequence[CompiledRule], stacks: Mapping[str, str]
) -> tuple[tuple[str, tuple[CompiledRule, ...]], ...]:
    """Groups whose rules exclude each other, each in order of priority."""
    return tuple(
        (stack, tuple(sorted((rule for rule in covered if rule.group == group), key=lambda rule: -rule.priority)))
        for group, stack in stacks.items()
        if stack != "all" and sum(rule.group == group for rule in covered) > 1
    )


def _by_field(rules: Iterable[CompiledRule]) -> tuple[tuple[Callable[..., Any], Table], ...]:
    """Rules by the value of the field that the guard of their `where` asks for."""
    tables: dict[str, tuple[Callable[..., Any], Table]] = {}
    for rule in rules:
        guard = rule.where.guard if rule.where is not None else None
        if guard is None:
            continue
        _, table = tables.setdefault(guard.field.path, (guard.field.read, {}))
        for value in guard.values:
            table[value] = (*table.get(value, ()), rule)
    return tuple(tables.values())
