"""What caps and limits leave on paper, by adding up again what was granted and not taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from laurel.contracts.activity import Activity
    from laurel.program.caps import CompiledCap
    from laurel.program.compiled import CompiledProgram, CompiledRule
    from laurel.program.rehearsing_paper import Posted
    from laurel.program.rehearsing_purse import Purse
    from laurel.program.rules import RuleThreshold
    from laurel.program.windows import Window, WindowKind


class Rooms:
    """The activities of one member, and of accounts that are a part of it, as far as windows count them."""

    def __init__(
        self, program: CompiledProgram, attributes: Mapping[str, object], enrolled_at: datetime, purse: Purse
    ) -> None:
        self._program = program
        self._attributes = attributes
        self._enrolled_at = enrolled_at
        self._purse = purse
        self.posted: dict[str, Posted] = {}
        self.parts: list[Rooms] = []
        """Accounts that have become a part of this one."""

    def window(self, kind: WindowKind, activity: Activity, of_another: Window | None = None) -> Window:
        """Return the window in which an activity counts; one `of_another` account as it is counted here."""
        if of_another is not None and kind != "account_year":
            return of_another
        if of_another is not None:
            return self._program.windows.of(kind, of_another.start, enrolled_at=self._enrolled_at)
        return self._program.windows.of(kind, activity.occurred_at, enrolled_at=self._enrolled_at, store=activity.store)

    def within(self, rule: CompiledRule, computed: int, taken: dict[str, int]) -> int:
        """Return what the caps of a transaction leave, which look at what is computed alone; `taken` knows it then."""
        amount = computed if rule.per_transaction is None else min(computed, rule.per_transaction)
        for cap in self._program.caps:
            limit = cap.limit(self._attributes) if cap.reason == "transaction_cap" and cap.covers(rule) else None
            if limit is not None:
                rules = {each.id for each in self._program.rules if cap.covers(each)}
                amount = max(min(amount, limit - sum(taken[each] for each in taken if each in rules)), 0)
        taken[rule.id] = amount
        return amount

    def room(self, cap: CompiledCap, posted: Posted) -> int | None:
        """Return what a cap on the balance or a window leaves."""
        if cap.reason == "balance_cap":
            limit = cap.limit(self._attributes)
            return None if limit is None else limit - self._purse.available(cap.unit) + self._purse.owed[cap.unit]
        if cap.window is None:
            return None
        window = self.window(cap.window, posted.activity)
        limit = cap.limit(self._attributes, window)
        return None if limit is None else limit - self.granted_in(cap, window) - self._not_yet(posted, cap)

    def granted_in(self, cap: CompiledCap, window: Window) -> int:
        """Return what counts under a cap in a window."""
        assert cap.window is not None
        inside = [each for each in self.posted.values() if self.window(cap.window, each.activity) == window]
        for other in self.parts:
            # An account year of another is counted where it began.
            inside += [
                each
                for each in other.posted.values()
                if self.window(cap.window, each.activity, other.window(cap.window, each.activity)) == window
            ]
        return self._granted_by(inside, cap)

    def _not_yet(self, posted: Posted, cap: CompiledCap) -> int:
        """Return what the activity in hand was granted by its earlier rules."""
        return 0 if posted.activity.id in self.posted else self._granted_by([posted], cap)

    def _granted_by(self, postings: Iterable[Posted], cap: CompiledCap) -> int:
        rules = {rule.id for rule in self._program.rules if cap.covers(rule)}
        return sum(amount for each in postings for rule, amount in each.granted.items() if rule in rules)

    def added_up(self, threshold: RuleThreshold, window: Window, posted: Posted) -> int:
        """Add up what the threshold's rules gave in a window, by the activity in hand as well."""
        inside = {id(each): each for each in (*self.posted.values(), posted)}.values()
        return sum(
            amount
            for each in inside
            if self.window(threshold.window, each.activity) == window
            for rule, amount in each.granted.items()
            if rule in threshold.of
        )

    def spent(self, activity: Activity) -> list[int]:
        """Return the rules that have earned as often in the activity's window as they may."""
        spent = []
        for rule in self._program.limited:
            assert rule.limit is not None
            window = self.window(rule.limit.window, activity)
            same = [
                each
                for each in self.posted.values()
                if rule.id in each.used and self.window(rule.limit.window, each.activity) == window
            ]
            if len(same) >= rule.limit.times:
                spent.append(rule.index)
        return spent

    def passed_by(self, activity: Activity, spent: Sequence[int]) -> set[str]:
        """Return the rules for the first of their activities that count this one, whether they earn by it or not."""
        return {
            rule.id
            for rule in self._program.limited
            if rule.limit is not None
            and rule.limit.of_activities
            and activity.type in rule.on
            and rule.index not in spent
        }

    def counted(self, activity: Activity) -> dict[str, int]:
        """Return what each cap of a window has counted in that of an activity."""
        return {
            cap.name: self.granted_in(cap, self.window(cap.window, activity))
            for cap in self._program.caps
            if cap.window is not None
        }
