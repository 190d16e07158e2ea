"""Caps cut what rules computed to the room that is left: per transaction, per window, by balance (S6, S7).

Counters count what was granted, never what was refused, in the window of the transaction's own time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec

from laurel.program import CompiledProgram
from laurel.program.caps import BALANCE_CAP, BUDGET, TRANSACTION_CAP, WINDOW_CAP, CompiledCap
from laurel.program.outcomes import Outcomes
from laurel.program.rules import BELOW_THRESHOLD, LIMIT_REACHED, CompiledRule, RuleLimit, RuleThreshold
from laurel.program.windows import Window, WindowKind
from laurel.values import AMOUNT_MAX
from services.points.domain.facts import Counted, Cut, RuleJudged
from services.points.domain.limiting import counted_of
from services.points.domain.shared import Shared
from services.points.domain.state import CounterKey, Wallet


class Happened(Protocol):
    """What says in which windows an activity lies."""

    @property
    def occurred_at(self) -> datetime: ...
    @property
    def store(self) -> str | None: ...
    @property
    def type(self) -> str: ...


Counting = CompiledCap | RuleLimit | RuleThreshold
"""What counts over windows."""


def windows_of(program: CompiledProgram, wallet: Wallet, happened: Happened) -> list[tuple[Counting, Window]]:
    """Return the windows that an activity lies in: for each cap over a window, each limit and threshold of a rule."""
    counting: list[tuple[Counting, WindowKind]] = [(cap, cap.window) for cap in program.caps if cap.window is not None]
    counting += [(rule.limit, rule.limit.window) for rule in program.limited if rule.limit is not None]
    counting += [(rule.threshold, rule.threshold.window) for rule in program.thresholds if rule.threshold is not None]
    return [
        (
            each,
            program.windows.of(kind, happened.occurred_at, enrolled_at=wallet.enrolled_at, store=happened.store),
        )
        for each, kind in counting
    ]


def counters_at(program: CompiledProgram, happened: Happened) -> list[tuple[str, datetime]]:
    """Return the counters of an activity's windows, each with an instant by which its window is the newest to start.

    Nobody knows the member yet, so an account year is named by the activity's own instant.
    """
    kinds: list[tuple[str, WindowKind]] = [(cap.counter, cap.window) for cap in program.caps if cap.window is not None]
    kinds += [(rule.limit.counter, rule.limit.window) for rule in program.limited if rule.limit is not None]
    kinds += [
        (rule.threshold.counter, rule.threshold.window) for rule in program.thresholds if rule.threshold is not None
    ]
    return [
        (
            counter,
            happened.occurred_at
            if kind == "account_year"
            else program.windows.of(kind, happened.occurred_at, store=happened.store).start,
        )
        for counter, kind in kinds
    ]


def spent_limits(program: CompiledProgram, wallet: Wallet, happened: Happened, shared: Shared) -> list[int]:
    """Return the places of the rules whose limit is reached in the window of an activity."""
    spent = []
    for rule in program.limited:
        limit = rule.limit
        assert limit is not None  # `limited` are those that have one
        window = program.windows.of(
            limit.window, happened.occurred_at, enrolled_at=wallet.enrolled_at, store=happened.store
        )
        if counted_of(wallet, shared, limit.counter, window.start, by_person=limit.by_person) >= limit.times:
            spent.append(rule.index)
    return spent


def cap(
    program: CompiledProgram,
    wallet: Wallet,
    member: Mapping[str, Any],
    happened: Happened,
    outcomes: Outcomes,
    decision: Sequence[RuleJudged],
    shared: Shared,
    released: Mapping[str, int],
) -> tuple[list[RuleJudged], tuple[Counted, ...]]:
    """Cut what was computed to the room left, rule by rule; return the decision and the counters that move.

    `released` is outstanding besides what the wallet has.

    What only counts towards tiers is no points: nothing cuts it. A rule with a threshold that others have not reached
    yet, those of this activity included, earns nothing.
    """
    rooms = Rooms(program, wallet, member, windows_of(program, wallet, happened), shared, released)
    judged = list(decision)
    for outcome in outcomes.spoken():
        rule = outcome.rule
        if outcome.computed <= 0:
            continue
        if rule.counts_only:
            rooms.reach(rule, outcome.computed)
            continue
        withheld = rooms.withheld(rule)
        if withheld:
            judged[rule.index] = msgspec.structs.replace(
                judged[rule.index], fired=False, reason=withheld, computed=0, amount=0
            )
            continue
        amount, cuts = rooms.grant(rule, outcome.computed)
        if cuts:
            judged[rule.index] = msgspec.structs.replace(judged[rule.index], amount=amount, capped_by=cuts)
        rooms.reach(rule, amount)
        rooms.use(rule)
    for rule in program.limited:
        # The first of its activities is over with the first, whether the rule earned or not.
        if rule.limit is not None and rule.limit.of_activities and happened.type in rule.on:
            rooms.pass_by(rule.limit)
    return judged, rooms.counted(refused=any(cut.refill for place in outcomes.told for cut in judged[place].capped_by))


def may_count(counted: Iterable[Counted]) -> bool:
    """Say whether what counters stand at are still amounts; what only counts is bounded by no balance."""
    return all(each.total <= AMOUNT_MAX for each in counted)


class Rooms:
    """The room that caps leave to one activity; what is granted takes it up for the next of its rules."""

    def __init__(
        self,
        program: CompiledProgram,
        wallet: Wallet,
        member: Mapping[str, Any],
        windows: Iterable[tuple[Counting, Window]],
        shared: Shared | None = None,
        released: Mapping[str, int] | None = None,
    ) -> None:
        self._shared = shared or Shared()
        self._program = program
        self._member = member
        self._wallet = wallet
        self._windows = list(windows)
        self._window = {each.counter: window for each, window in self._windows}
        self._granted: dict[str, int] = {}
        self._moved: dict[str, int] = {}
        self._balances: dict[str, int] = dict(released or {})
        self._given: set[str] = set()

    def grant(self, rule: CompiledRule, computed: int) -> tuple[int, tuple[Cut, ...]]:
        """Take up what room there is for one rule; return what may be granted, and what was cut (S6).

        Caps are tried in order, each on what the ones before left, so the last that cuts left least room.
        """
        amount = before_windows = self.within_transaction(rule, computed)
        cut_by, key = (TRANSACTION_CAP, None) if amount < computed else ("", None)
        for cap in self._program.caps:
            if cap.reason == TRANSACTION_CAP or not cap.covers(rule):
                continue
            room = self._room(cap)
            if room is not None and room < amount:
                amount = max(room, 0)
                cut_by, key = cap.reason, cap
        if rule.budget is not None:
            room = max(rule.budget - self._shared.drawn(self._program.program, rule.id), 0)
            if room < amount:
                amount, cut_by, key = room, BUDGET, None
        self._take_up(rule, amount)
        if amount == computed:
            return amount, ()
        # What a budget bounds is granted once and in order, and a threshold gives once; nothing of it comes later.
        refills = self._program.refill_on_return and rule.budget is None and rule.threshold is None
        refill = before_windows - amount if cut_by == WINDOW_CAP and refills else 0
        if refill == 0 or key is None:
            return amount, (Cut(cut_by, computed - amount),)
        start = self._window[key.counter].start
        return amount, (Cut(cut_by, computed - amount, key.counter, start, refill),)

    def use(self, rule: CompiledRule) -> None:
        """Count that a rule earned, where that has a limit; what caps refuse is used all the same."""
        if rule.limit is not None and not rule.limit.of_activities:
            self._moved[rule.limit.counter] = self._moved.get(rule.limit.counter, 0) + 1
        if rule.threshold is not None:
            self._given.add(rule.threshold.counter)

    def reach(self, rule: CompiledRule, amount: int) -> None:
        """Add up what a rule gives, towards the thresholds of others."""
        for other in self._program.thresholds:
            if other.threshold is not None and rule.id in other.threshold.of and amount:
                counter = other.threshold.counter
                self._moved[counter] = self._moved.get(counter, 0) + amount

    def withheld(self, rule: CompiledRule) -> str:
        """Return why a rule with a threshold does not earn: others have not given enough, or it has in this window."""
        if rule.threshold is None:
            return ""
        counter = rule.threshold.counter
        known = self._wallet.counters.get(CounterKey(counter, self._window[counter].start))
        if known is not None and known.given_in:
            return LIMIT_REACHED
        reached = (known.counted if known is not None else 0) + self._moved.get(counter, 0)
        return "" if reached >= rule.threshold.reaches else BELOW_THRESHOLD

    def pass_by(self, limit: RuleLimit) -> None:
        """Count an activity, as long as that makes a difference."""
        if self._wallet.counted(limit.counter, self._window[limit.counter].start) < limit.times:
            self._moved[limit.counter] = self._moved.get(limit.counter, 0) + 1

    def counted(self, *, refused: bool) -> tuple[Counted, ...]:
        """Return the counters that moved; where something was refused, all that a refill would have to ask."""
        counted = []
        for each, window in self._windows:
            amount, given = self._moved.get(each.counter, 0), each.counter in self._given
            if amount or given or (refused and not isinstance(each, RuleLimit)):
                moved = _counted(self._program, self._wallet, self._member, each, window, amount)
                counted.append(msgspec.structs.replace(moved, given=True) if given else moved)
        return tuple(counted)

    def within_transaction(self, rule: CompiledRule, computed: int) -> int:
        """Return what the caps per transaction leave of an award; they look at what is computed alone."""
        amount = computed if rule.per_transaction is None else min(computed, rule.per_transaction)
        capping = [cap for cap in self._program.caps if cap.reason == TRANSACTION_CAP and cap.covers(rule)]
        for cap in capping:
            limit = cap.limit(self._member)
            if limit is not None:
                amount = max(min(amount, limit - self._granted.get(cap.name, 0)), 0)
        for cap in capping:
            self._granted[cap.name] = self._granted.get(cap.name, 0) + amount
        return amount

    def _room(self, cap: CompiledCap) -> int | None:
        if cap.reason == BALANCE_CAP:
            limit = cap.limit(self._member)
            if limit is None:
                return None
            balance = self._wallet.balance(cap.unit)
            outstanding = balance.available + balance.held - balance.owed
            return limit - outstanding - self._balances.get(cap.unit, 0)
        window = self._window[cap.counter]
        limit = cap.limit(self._member, window)
        if limit is None:
            return None
        return limit - self._wallet.counted(cap.counter, window.start) - self._moved.get(cap.counter, 0)

    def _take_up(self, rule: CompiledRule, amount: int) -> None:
        self._balances[rule.unit] = self._balances.get(rule.unit, 0) + amount
        for cap in self._program.caps:
            if cap.window is not None and cap.covers(rule):
                self._moved[cap.counter] = self._moved.get(cap.counter, 0) + amount


def _counted(
    program: CompiledProgram,
    wallet: Wallet,
    member: Mapping[str, Any],
    each: Counting,
    window: Window,
    amount: int,
) -> Counted:
    total = wallet.counted(each.counter, window.start) + amount
    if isinstance(each, RuleThreshold):
        return Counted(each.counter, window.start, amount, total, window.end)
    if isinstance(each, RuleLimit):
        return Counted(each.counter, window.start, amount, total, window.end, limit=each.times)
    return Counted(
        each.counter,
        window.start,
        amount,
        total,
        window.end,
        each.unit,
        each.limit(member, window),
        refills=program.refill_on_return,
    )
