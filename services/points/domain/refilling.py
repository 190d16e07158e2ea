"""A return moves the counters of its original's own windows, and what that makes room for is granted after all (S10).

So does giving up what waits.

What a window's cap had refused is granted oldest first, up to the room that the return freed, into lots with the dates
of the transactions that it had been refused to; every other cap holds for it as it would have then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from laurel.program import CompiledProgram, RuleOutcome
from laurel.program.caps import BALANCE_CAP
from laurel.program.rules import CompiledRule
from services.points.domain.capping import Rooms
from services.points.domain.facts import BlockDrawn, Counted, PointsClawedBack, PointsGranted, RuleJudged, Unrefused
from services.points.domain.granting import room as room_of
from services.points.domain.moment import Moment
from services.points.domain.partnering import is_prepaid
from services.points.domain.pending_state import APPROVAL, DATE
from services.points.domain.state import CounterKey, Posting, Refusal, Wallet


class UnreadError(Exception):
    """The refusals of a window that were read do not take up the room that is there, and there are more."""


class Counting:
    """The counters of a wallet as they move while a return is decided."""

    def __init__(self, wallet: Wallet) -> None:
        self._wallet = wallet
        self._moved: dict[CounterKey, Counted] = {}

    def room(self, counted: Counted) -> int | None:
        """Return what a counter's limit leaves; None where it has none."""
        if counted.limit is None:
            return None
        moved = self._moved.get(_key(counted))
        return counted.limit - self._wallet.counted(*_key(counted)) - (moved.amount if moved is not None else 0)

    def move(self, counted: Counted, amount: int) -> None:
        """Move a counter, which is named by how it was moved before."""
        key = _key(counted)
        so_far = self._moved.get(key)
        amount += so_far.amount if so_far is not None else 0
        total = self._wallet.counted(*key) + amount
        self._moved[key] = msgspec.structs.replace(counted, amount=amount, total=total, given=False)

    def moved(self) -> tuple[Counted, ...]:
        """Return the counters that do not stand where they stood."""
        return tuple(counted for counted in self._moved.values() if counted.amount)


def lower(
    program: CompiledProgram, posting: Posting, back: Sequence[RuleJudged], counting: Counting
) -> list[tuple[Counted, int]]:
    """Let the counters of the original's windows fall by what is taken back; return what room that frees to refill."""
    rules = {rule.id: rule for rule in program.rules}
    freed = []
    for counted in posting.counted:
        for cap in program.caps:
            if cap.counter == counted.counter:
                amount = sum(judged.amount for judged in back if cap.covers(rules[judged.rule]))
                if amount:
                    counting.move(counted, -amount)
                    if counted.refills:
                        freed.append((counted, amount))
        for rule in program.thresholds:
            if rule.threshold is not None and rule.threshold.counter == counted.counter:
                counting.move(counted, -sum(judged.amount for judged in back if judged.rule in rule.threshold.of))
    return freed


def give_limits_back(program: CompiledProgram, posting: Posting, gone: Collection[str], counting: Counting) -> None:
    """Let the rules earn again whose whole award is gone now; a part of it gives nothing back."""
    for rule in program.limited:
        if rule.id in gone and rule.limit is not None:
            for counted in posting.counted:
                if counted.counter == rule.limit.counter:
                    counting.move(counted, -1)


def unrefuse(
    program: CompiledProgram, wallet: Wallet, posting: Posting, kept: Sequence[RuleOutcome]
) -> tuple[Unrefused, ...]:
    """Forget what was refused to the part of an activity that came back: it cannot be granted any more."""
    own = [refusal for refusal in wallet.refusals.values() if refusal.journal == posting.journal and refusal.left]
    if not own:
        return ()
    rooms = Rooms(program, wallet, posting.seen, ())
    wanted = {outcome.rule.id: rooms.within_transaction(outcome.rule, outcome.computed) for outcome in kept}
    granted = {judged.rule: judged.amount + posting.refilled.get(judged.rule, 0) for judged in posting.decision}
    gone = []
    for refusal in sorted(own, key=Refusal.order):
        left = max(wanted[refusal.rule] - granted[refusal.rule], 0)
        if left < refusal.left:
            gone.append(Unrefused(refusal.journal, refusal.rule, refusal.left - left))
    return tuple(gone)


class Refilling:
    """Grants what was refused, within what room there is."""

    def __init__(
        self,
        wallet: Wallet,
        moment: Moment,
        counting: Counting,
        clawbacks: Iterable[PointsClawedBack],
        unrefused: Iterable[Unrefused],
        newest: int = 0,
    ) -> None:
        """`newest` is the version up to which is known what was said of partners."""
        self._newest = newest
        self.drawn: list[BlockDrawn] = []
        self._wallet = wallet
        self._moment = moment
        self._counting = counting
        self._postings = {posting.journal: (key, posting) for key, posting in wallet.postings.items()}
        self._gone = {(less.journal, less.rule): less.amount for less in unrefused}
        self._outstanding: dict[str, int] = {}
        self.take(clawbacks)
        self.grants: list[PointsGranted] = []

    def take(self, clawbacks: Iterable[PointsClawedBack]) -> None:
        """Know what is taken back; what was pending, or has expired, was not outstanding."""
        for back in clawbacks:
            outside = back.expired + sum(part.amount for part in back.pending)
            self._more_outstanding(back.unit, outside - back.amount)

    def refill(self, window: CounterKey, room: int) -> None:
        """Grant what the cap of a window had refused, oldest first, up to the room that was freed in it.

        Raises UnreadError where what was read does not suffice: another cap, or its own return, may stand in its way.
        """
        waiting = [refusal for refusal in self._wallet.refusals.values() if refusal.window == window]
        for refusal in sorted(waiting, key=Refusal.order):
            if room <= 0:
                return
            room -= self._grant(refusal, room)
        if room > 0 and window in self._wallet.unread:
            raise UnreadError

    def _grant(self, refusal: Refusal, room: int) -> int:
        name = (refusal.journal, refusal.rule)
        left = refusal.left - self._gone.get(name, 0)
        if left <= 0:
            return 0
        (partner, activity), posting = self._postings[refusal.journal]
        program = self._moment.programs.version(self._wallet.program, posting.version)
        if program is None:
            message = f"version {posting.version} of {self._wallet.program}, which judged {activity}, is not known"
            raise AssertionError(message)
        rule = next(rule for rule in program.rules if rule.id == refusal.rule)
        counted = _counted_for(program, posting, rule)
        rooms = [self._counting.room(each) for each in counted]
        rooms.append(self._balance_room(program, posting.seen, rule.unit))
        rooms.append(self._block_room(rule))
        granted = sum(each.amount for each in self.grants if each.unit == rule.unit)
        rooms.append(room_of(self._wallet.balance(rule.unit)) - granted)
        amount = min([left, room, *(each for each in rooms if each is not None)])
        if amount <= 0:
            return 0
        for each in counted:
            self._counting.move(each, amount)
        if self._is_prepaid(rule):
            self.drawn.append(BlockDrawn(funder=rule.funder, unit=rule.unit, amount=amount))
        self._more_outstanding(rule.unit, amount)
        self._gone[name] = self._gone.get(name, 0) + amount
        self.grants.append(
            PointsGranted(
                lot=len(self.grants) + 1,
                unit=rule.unit,
                rule=rule.id,
                amount=amount,
                activity=activity,
                partner=partner,
                earned_at=posting.occurred_at,
                available_at=program.available_at(rule, posting.occurred_at),
                funder=rule.funder,
                version=program.version,
                expires_at=program.expires_at(rule, posting.occurred_at),
                of_journal=refusal.journal,
                awaits=self._awaits(rule, partner, activity),
            )
        )
        return amount

    def _awaits(self, rule: CompiledRule, partner: str, activity: str) -> str:
        """Return what a refill awaits: a date of its own, else what the award that it adds to still does.

        What nobody has seen yet, nobody has approved; but an activity that was awaited may have been long ago.
        """
        awaits = rule.pending.awaits if rule.pending is not None else ""
        if not awaits or awaits == DATE:
            return awaits
        lots = [
            lot
            for lot in self._wallet.lots.values()
            if lot.rule == rule.id and (lot.partner, lot.activity) == (partner, activity)
        ]
        waits = any(lot.pending for lot in lots) or (not lots and awaits == APPROVAL)
        return awaits if waits else ""

    def _balance_room(self, program: CompiledProgram, member: Mapping[str, object], unit: str) -> int | None:
        limits = [cap.limit(member) for cap in program.caps if cap.reason == BALANCE_CAP and cap.unit == unit]
        lowest = min((limit for limit in limits if limit is not None), default=None)
        if lowest is None:
            return None
        balance = self._wallet.balance(unit)
        return lowest - (balance.available + balance.held - balance.owed) - self._outstanding.get(unit, 0)

    def _block_room(self, rule: CompiledRule) -> int | None:
        """Return what its funder has still paid for; more than that is not granted now."""
        if not self._is_prepaid(rule):
            return None
        left = self._moment.shared.block(self._wallet.program, rule.funder, rule.unit).left
        return left - sum(each.amount for each in self.drawn if (each.funder, each.unit) == (rule.funder, rule.unit))

    def _is_prepaid(self, rule: CompiledRule) -> bool:
        programs, program = self._moment.programs, self._wallet.program
        return rule.funder in programs.prepaying(program) and is_prepaid(
            programs.terms(program, rule.funder, self._newest)
        )

    def _more_outstanding(self, unit: str, amount: int) -> None:
        self._outstanding[unit] = self._outstanding.get(unit, 0) + amount


def _counted_for(program: CompiledProgram, posting: Posting, rule: CompiledRule) -> list[Counted]:
    covering = {cap.counter for cap in program.caps if cap.window is not None and cap.covers(rule)}
    covering |= {
        other.threshold.counter for other in program.thresholds if other.threshold and rule.id in other.threshold.of
    }
    return [counted for counted in posting.counted if counted.counter in covering]


def _key(counted: Counted) -> CounterKey:
    return CounterKey(counted.counter, counted.start)
