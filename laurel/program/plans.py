"""How the activities of one type are judged.

A plan starts from the outcomes of rules that find nothing, made once, and touches only those rules that the activity
or a line leads to, and only while they run: between two dates at which any rule begins or ends the same rules do.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, Final

from laurel.program.outcomes import Outcomes, Silent, runs_at, tick_of, why_silent
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
    from datetime import datetime

    from laurel.program.bases import Basis

SEASONS_MAX: Final = 64
"""How many are kept ready; activities mostly come in the order of time."""


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


class Season:
    """The rules for activities of one type between two dates at which rules begin or end.

    A rule that is out of its dates is not looked at: what it says is among the silent outcomes.
    """

    __slots__ = ("by_field", "multipliers", "picker", "plain", "segmented", "silent")

    def __init__(
        self, rules: Sequence[CompiledRule], activity_type: str, occurred_at: datetime | None, silent: Silent
    ) -> None:
        self.silent = silent
        covered = [rule for rule in rules if activity_type in rule.on]
        running = [rule for rule in covered if occurred_at is None or runs_at(rule, occurred_at)]
        whole = [rule for rule in running if rule.kind != "multiplier" and rule.lines is None]
        picking = [rule for rule in running if rule.lines is not None]
        self.multipliers = tuple(rule for rule in running if rule.kind == "multiplier")
        self.segmented = tuple(rule for rule in covered if rule.segments and rule.kind != "multiplier")
        self.plain = tuple(rule for rule in whole if rule.where is None or rule.where.guard is None)
        self.by_field = _by_field(whole)
        self.picker = LinePicker(picking) if picking else None


class Plan:
    """Judges the activities of one type."""

    __slots__ = (
        "_borders",
        "_condition_false",
        "_gave_way",
        "_groups",
        "_limit_reached",
        "_no_line",
        "_not_for_tier",
        "_not_in_segment",
        "_nothing_kept",
        "_outside_dates",
        "_rules",
        "_seasons",
        "_silent_bases",
        "_type",
    )

    def __init__(self, activity_type: str, rules: Sequence[CompiledRule], stacks: Mapping[str, str]) -> None:
        self._type = activity_type
        self._rules = rules
        self._condition_false = unfired(rules, activity_type, CONDITION_FALSE)
        self._silent_bases = unfired(rules, activity_type, BASE_NOT_FIRED)
        self._nothing_kept = unfired(rules, activity_type, NOTHING_KEPT)
        self._no_line = unfired(rules, activity_type, NO_LINE_MATCHES)
        self._outside_dates = unfired(rules, activity_type, OUTSIDE_DATES)
        self._gave_way = unfired(rules, activity_type, GAVE_WAY)
        self._limit_reached = unfired(rules, activity_type, LIMIT_REACHED)
        self._not_for_tier = unfired(rules, activity_type, NOT_FOR_TIER)
        self._not_in_segment = unfired(rules, activity_type, NOT_IN_SEGMENT)
        covered = [rule for rule in rules if activity_type in rule.on]
        self._groups = _groups(covered, stacks)
        dates = {date for rule in covered for date in (rule.starts_at, rule.ends_at) if date is not None}
        self._borders = sorted(map(tick_of, dates))
        self._seasons: dict[int, Season] = {}

    def evaluate(self, basis: Basis, member: Mapping[str, Any], *, stacked: bool, spent: Collection[int]) -> Outcomes:
        """Return what each rule makes of a basis, in the order of the rules; with groups that exclude, or without.

        Rules whose limit is `spent` earn nothing, and so give way to nobody and carry nothing.
        """
        season = self.season(basis.occurred_at)
        silent = season.silent
        if not basis.kept:
            return Outcomes(self._nothing_kept, silent, range(len(self._rules)))
        outcomes = silent.outcomes.copy()
        touched = self._compute(season, outcomes, basis, member)
        for rule in season.segmented:
            if not rule.is_for(member):
                outcomes[rule.index] = self._not_in_segment[rule.index]
                touched.append(rule.index)
        self._limit(spent, outcomes)
        for rule in season.multipliers:
            outcomes[rule.index] = self._multiplied(rule, outcomes, basis, member)
            touched.append(rule.index)
        self._limit(spent, outcomes)
        if stacked:
            for stack, rules in self._groups:
                self._stack(stack, rules, outcomes)
        quiet = silent.outcomes
        told = [place for place in sorted(set(touched)) if outcomes[place] is not quiet[place]]
        return Outcomes(outcomes, silent, told)

    def season(self, occurred_at: datetime | None) -> Season:
        """Return the rules whose dates an instant lies in, with what the others say."""
        number = -1 if occurred_at is None or not self._borders else bisect_right(self._borders, tick_of(occurred_at))
        season = self._seasons.get(number)
        if season is None:
            if len(self._seasons) >= SEASONS_MAX:
                self._seasons.clear()
            season = self._seasons[number] = Season(self._rules, self._type, occurred_at, self._silence(occurred_at))
        return season

    def _silence(self, occurred_at: datetime | None) -> Silent:
        """Return what rules say that find nothing, as the same values that they have where they are asked."""
        said = {
            TYPE_NOT_COVERED: self._condition_false,
            CONDITION_FALSE: self._condition_false,
            NO_LINE_MATCHES: self._no_line,
            OUTSIDE_DATES: self._outside_dates,
        }
        return Silent([said[why_silent(rule, self._type, occurred_at)][rule.index] for rule in self._rules])

    def _compute(
        self, season: Season, outcomes: list[RuleOutcome], basis: Basis, member: Mapping[str, Any]
    ) -> list[int]:
        """Put in what the rules make of it that build on no other; return the places of these."""
        touched = []
        for rule in season.plain:
            if rule.where is None or rule.where.holds_beyond(basis, member):
                outcomes[rule.index] = self._outcome(rule, basis, None, member)
                touched.append(rule.index)
        for read, table in season.by_field:
            for rule in table.get(read(basis, member), ()):
                if rule.where.holds_beyond(basis, member):  # type: ignore[union-attr]  # it came by its guard
                    outcomes[rule.index] = self._outcome(rule, basis, None, member)
                    touched.append(rule.index)
        if season.picker is not None and basis.lines:
            for rule, places in season.picker.matched(basis.lines, member).items():
                if rule.where is None or rule.where.holds(basis, member):
                    outcomes[rule.index] = self._outcome(rule, basis, places, member)
                else:
                    outcomes[rule.index] = self._condition_false[rule.index]
                touched.append(rule.index)
        return touched

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
        if not rule.is_for(member):
            return self._not_in_segment[rule.index]
        if rule.where is not None and not rule.where.holds(basis, member):
            return self._condition_false[rule.index]
        bases = [outcomes[base] for base in rule.bases if outcomes[base].fired]
        if not bases:
            return self._silent_bases[rule.index]
        return self._shared(rule, sum([base.computed for base in bases]), ROUNDS_TO_ZERO, member)

    def _outcome(
        self, rule: CompiledRule, basis: Basis, places: list[int] | None, member: Mapping[str, Any]
    ) -> RuleOutcome:
        """What a rule whose conditions hold computes; `places` are the lines it picked, None where it picks none."""
        if rule.kind == "fixed":
            if rule.excludes_tenders and basis.paid_wholly:
                return RuleOutcome(rule, True, NOTHING_PAID, 0)
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
