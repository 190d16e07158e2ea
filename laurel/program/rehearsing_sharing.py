"""What members of a case do together, played on paper: gifts, households, and accounts that become one.

Lots go from member to member as they are, first what would be spent first, and pay what is owed there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from laurel.errors import Refused
from laurel.program.rehearsing_paper import FOR_EVER

if TYPE_CHECKING:
    from laurel.program.cases import Giving, HouseholdSet, Merging
    from laurel.program.compiled import CompiledProgram
    from laurel.program.rehearsing_paper import PaperLot
    from laurel.program.rehearsing_stage import Stage
    from laurel.program.sharing import CompiledGiftLimit, Direction


@dataclass(frozen=True, slots=True)
class _Gift:
    at: datetime
    unit: str
    amount: int


class Sharing:
    """Who gave what to whom, who pays for whom, and which account is a part of which."""

    def __init__(self, program: CompiledProgram, members: Mapping[str, Stage]) -> None:
        self._program = program
        self._members = members
        self._gifts: dict[tuple[str, Direction], list[_Gift]] = {}
        self._homes: dict[str, Sequence[str]] = {}
        self.into: dict[str, str] = {}
        self._brought: dict[str, list[PaperLot]] = {}

    def survivor(self, name: str) -> str:
        """Return who answers for a member."""
        while name in self.into:
            name = self.into[name]
        return name

    def _chain(self, name: str) -> Iterator[str]:
        """Yield an account that is a part of another, and those between the two."""
        while name in self.into:
            yield name
            name = self.into[name]

    def give(self, deed: Giving) -> None:
        """Let a member give points to another, within the program's limits."""
        giver, to = self.survivor(deed.from_), self.survivor(deed.to)
        terms = self._program.transfers.get(deed.unit)
        if terms is None or giver == to:
            raise Refused("not_offered")
        if deed.amount < terms.least:
            raise Refused("below_minimum")
        left = [] if terms.most is None else [terms.most]
        left += [] if terms.given is None else [self._left(giver, "given", terms.given, deed)]
        left += [] if terms.received is None else [self._left(to, "received", terms.received, deed)]
        if left and deed.amount > min(left):
            raise Refused("limit_reached")
        self.lend(giver, deed.unit, deed.amount)
        if deed.amount > self._members[giver].purse.available(deed.unit):
            raise Refused("insufficient_points")
        self._move(giver, to, deed.unit, deed.amount, self._members[giver].purse.in_order(deed.unit))
        gift = _Gift(deed.at, deed.unit, deed.amount)
        self._gifts.setdefault((giver, "given"), []).append(gift)
        self._gifts.setdefault((to, "received"), []).append(gift)

    def _left(self, name: str, direction: Direction, limit: CompiledGiftLimit, deed: Giving) -> int:
        def window_of(at: datetime) -> object:
            return self._program.windows.of(limit.window, at, enrolled_at=self._members[name].enrolled_at)

        before = self._gifts.get((name, direction), [])
        same = [gift for gift in before if gift.unit == deed.unit and window_of(gift.at) == window_of(deed.at)]
        return limit.points - sum(gift.amount for gift in same)

    def settle(self, deed: HouseholdSet) -> None:
        """Say who shares a wallet; whoever is named no more is alone."""
        for name in [name for name, home in self._homes.items() if set(home) & set(deed.members)]:
            del self._homes[name]
        if deed.pooling:
            self._homes |= dict.fromkeys(deed.members, deed.members)

    def lend(self, name: str, unit: str, amount: int) -> None:
        """Let the others of a household pay what a member cannot, if together they can: what is spent first."""
        spender = self._members[name]
        missing = amount - spender.purse.available(unit) + spender.purse.owed[unit]
        others = [each for each in sorted(self._homes.get(name, ())) if each != name and each not in self.into]
        if missing <= 0 or sum(self._members[each].purse.available(unit) for each in others) < missing:
            return
        lots = [
            (lot, place, each) for place, each in enumerate(others) for lot in self._members[each].purse.in_order(unit)
        ]
        lots.sort(
            key=lambda each: (self._members[each[2]].purse.end_of(each[0]) or FOR_EVER, each[0].earned_at, each[1])
        )
        for lot, _, owner in lots:
            part = min(lot.remaining, missing)
            if part:
                self._move(owner, name, unit, part, [lot])
                missing -= part

    def merge(self, deed: Merging) -> None:
        """Let a member become a part of another, with all that it has, owes and has counted."""
        if deed.member in self.into:
            raise Refused("member_not_active")
        into = self.survivor(deed.into)
        leaving, staying = self._members[deed.member], self._members[into]
        if into == deed.member:
            raise Refused("not_eligible")
        if leaving.purse.waits():
            raise Refused("hold_open")
        self.into[deed.member] = into
        staying.absorb(leaving, deed.at)
        self.pass_on(deed.member)

    def pass_on(self, name: str) -> None:
        """Let what is left in an account that is a part of another go there; what it owes is paid there."""
        survivor = self._members[self.survivor(name)]
        leaving, staying = self._members[name].purse, survivor.purse
        for unit in self._program.units:
            lots = leaving.in_order(unit)
            leaving.let_go(lots)
            # The very lots: a return of what granted them finds them where they are.
            survivor.take_in(unit, lots, leaving.lapse_at.get(unit))
            for each in self._chain(name):
                self._brought.setdefault(each, []).extend(lots)
            owed, leaving.owed[unit] = leaving.owed[unit], 0
            for lot in staying.in_order(unit):
                part = min(owed, lot.remaining)
                lot.remaining -= part
                owed -= part
            staying.owed[unit] += owed

    def unmerge(self, name: str, at: datetime) -> None:
        """Give an account back what is left of what it brought."""
        if name not in self.into:
            raise Refused("not_eligible")
        coming, staying = self._members[name], self._members[self.into.pop(name)]
        staying.part_from(coming, at)
        for unit in self._program.units:
            mine = [lot for lot in staying.purse.in_order(unit) if lot in self._brought[name]]
            staying.purse.let_go(mine)
            coming.take_in(unit, mine, staying.purse.lapse_at.get(unit))
        for lot in self._brought[name]:
            # What ended there is neither's to have again.
            lot.ended_at = None
        del self._brought[name]

    def _move(self, giver: str, to: str, unit: str, amount: int, lots: Iterable[PaperLot]) -> None:
        owner, made = self._members[giver], []
        for lot in lots:
            part = min(lot.remaining, amount)
            if part:
                made.append(replace(lot, granted=part, remaining=part, expired=0))
                lot.remaining -= part
                amount -= part
        self._members[to].take_in(unit, made, owner.purse.lapse_at.get(unit))
