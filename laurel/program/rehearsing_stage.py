"""One member of a case on paper: what it does, earns and gives back, and where it stands.

What it has lies in its purse, what caps leave it is told by its rooms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from laurel.calendars import local_date
from laurel.contracts.activity import Activity, check
from laurel.errors import Refused
from laurel.program.bases import basis_of
from laurel.program.belonging_on_paper import SegmentsOnPaper
from laurel.program.cases import instant_of
from laurel.program.climbing import Counted
from laurel.program.compiled import CompiledProgram
from laurel.program.rehearsing_paper import Posted, Seen
from laurel.program.rehearsing_purse import Purse
from laurel.program.rehearsing_rooms import Rooms
from laurel.program.rehearsing_vouchers import Vouchers
from laurel.program.returning import basis_less_returns, plus_return
from laurel.program.rules import EVENT
from laurel.program.standing import QualifyingCounted
from laurel.program.standing_on_paper import StandingOnPaper
from laurel.shapes import decoder_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from laurel.program.caps import CompiledCap
    from laurel.program.cases import Member, Step
    from laurel.program.compiled import CompiledRule, RuleOutcome
    from laurel.program.rehearsing_paper import PaperLot
    from laurel.program.windows import Window

_decode = decoder_of(Activity).decode


class Stage:
    """Plays what a member does; `purse` is what it has."""

    def __init__(self, program: CompiledProgram, member: Member, enrolled_at: datetime) -> None:
        self.enrolled_at = enrolled_at
        self._standing = StandingOnPaper(program, enrolled_at)
        self._at = enrolled_at
        self._program = program
        self._attributes = member.attributes
        self.purse = Purse(program)
        self._rooms = Rooms(program, member.attributes, enrolled_at, self.purse)
        self._posted = self._rooms.posted
        self._credited: set[str] = set()
        self.drawn: dict[str, int] = {}
        self._vouchers = Vouchers(program, enrolled_at)
        self._segments = SegmentsOnPaper(program, enrolled_at, self._by_day)
        self.town: dict[str, Stage] = {}
        self.into: Mapping[str, str] = {}
        self.referred_by: str | None = None
        birthdays = program.birthdays
        self._birthday = birthdays.next_after(member.attributes, enrolled_at) if birthdays is not None else None
        self._received = Seen()
        self._shares: dict[str, Posted] = {}
        self._bonuses: dict[tuple[CompiledRule, Window], Posted] = {}

    def arrive(self, at: datetime) -> None:
        """Let time pass up to an instant."""
        self._at = max(self._at, at)
        self._pass_time()
        self._expire(self._at)
        self._standing.look(self._at)

    def witness(self, at: datetime, deed: Callable[[], str | None]) -> Seen:
        """Have something done that is not this member's alone; return what came of it for this member."""
        seen = self._received = Seen()
        self.arrive(at)
        seen.refused = deed()
        self.tell(seen)
        return seen

    def play(self, step: Step) -> Seen:
        """Do what a step says; return what came of it."""
        seen = self._received = Seen()
        self._standing.step()
        self._at = max(self._at, instant_of(step))
        self._pass_time()
        try:
            if step.activity is not None:
                self._report(step.activity, step.reported_at, seen)
            elif step.spend is not None:
                self._expire(step.spend.at)
                self.purse.spend(step.spend.unit, step.spend.amount)
            elif step.use is not None:
                self._vouchers.use(step.use.voucher, step.use.basket, step.use.at)
            elif step.match is not None:
                self._standing.match(step.match)
            elif step.wait_until is not None:
                self._expire(step.wait_until)
        except Refused as refusal:
            seen.refused = refusal.code
        self.tell(seen)
        return seen

    def _pass_time(self) -> None:
        """Convert, look at the tier and judge segments, up to now."""
        for due_at in self._vouchers.dates(self._at):
            self._expire(due_at)
            self._standing.look(due_at)
            for unit in self._program.units:
                self._vouchers.convert(unit, self.purse.in_order(unit), due_at)
        self._standing.look(self._at)
        self._segments.pass_time(self._at)

    def tell(self, seen: Seen) -> None:
        """Say how the member stands."""
        seen.balances = self.purse.balances()
        seen.billed = self.purse.billed()
        self._standing.look(self._at)
        seen.tier = self._standing.seen(self._at)
        seen.vouchers = self._vouchers.seen(self._at)
        seen.segments = self._segments.seen()

    def knows(self, activity: str | None) -> bool:
        """Say whether an activity was this account's own."""
        return activity in self._posted

    def take_in(self, unit: str, lots: Sequence[PaperLot], lapse_at: datetime | None) -> None:
        """Have lots of another from now on, which last here as long as they did there, and pay what is owed."""
        self.purse.take_in(unit, lots, lapse_at, self._at)

    def absorb(self, other: Stage, at: datetime) -> None:
        """Count what another account has counted, and stand where the better of the two stood."""
        self._standing.step()
        self._rooms.parts.append(other._rooms)
        self._standing.absorb(other._standing, at)

    def part_from(self, other: Stage, at: datetime) -> None:
        """Count it no more."""
        self._standing.step()
        self._rooms.parts.remove(other._rooms)
        self._standing.part_from(other._standing, at)

    def _by_day(self) -> dict[tuple[str, date], int]:
        """Add up what counts towards segments, less what came back."""
        units = {rule.id: rule.unit for rule in self._program.rules if rule.to is None}
        found: dict[tuple[str, date], int] = {}
        for posted in (
            *self._posted.values(),
            *(each for other in self._rooms.parts for each in other.posted.values()),
        ):
            day = local_date(posted.activity.occurred_at, self._program.zone)
            for rule, amount in posted.granted.items():
                if rule not in units:
                    continue
                found[units[rule], day] = found.get((units[rule], day), 0) + amount
        return found

    def _seen_for(self, activity: Activity) -> Mapping[str, Any]:
        segments = self._segments.book.at(activity.occurred_at)
        return self._standing.seen_for(activity, self._attributes, segments)

    def _qualify(self, outcomes: Sequence[RuleOutcome], posted: Posted) -> None:
        """Count towards the tiers."""
        given = [
            Counted(outcome.rule.id, outcome.rule.unit, outcome.computed)
            for outcome in outcomes
            if outcome.rule.counts_only and outcome.computed and outcome.rule.to is None
        ]
        self._standing.count(given, posted, self._at)

    def _report(self, body: Mapping[str, Any], reported_at: datetime | None, seen: Seen) -> None:
        activity = _decode(msgspec.json.encode(body))
        faults = check(activity)
        if faults:
            raise Refused(faults[0].code, faults[0].detail)
        at = reported_at or activity.occurred_at
        self._expire(at)
        ended = self._ended(activity)
        if activity.type == "return" or ended:
            self._take_back(activity, ended, seen)
        else:
            self._award(activity, at, seen)
        # What is granted late, or refilled, may have ended before it was.
        self._expire(at)

    def _accept(self, activity: Activity, at: datetime) -> None:
        """Refuse what the program does not take; take the key of what is credited once."""
        if activity.currency not in (None, self._program.currency):
            raise Refused("currency_not_accepted")
        if self._program.is_closed_at(activity.occurred_at):
            raise Refused("program_closed")
        if at >= self._program.claimable_until(activity.occurred_at):
            raise Refused("claim_too_late")
        if activity.exclusive_key is not None:
            if activity.exclusive_key in self._credited:
                raise Refused("already_credited")
            self._credited.add(activity.exclusive_key)

    def _award(self, activity: Activity, at: datetime, seen: Seen) -> None:
        self._accept(activity, at)
        if activity.payer is not None:
            policy = activity.payer.policy or self._program.payers.get(activity.payer.kind)
            if policy == "return_to_payer":
                return
        posted = Posted(activity, member=self._seen_for(activity))
        spent = self._rooms.spent(activity)
        posted.used |= self._rooms.passed_by(activity, spent)
        outcomes = self._program.evaluate(basis_of(activity), posted.member, spent=spent)
        others = self._others(activity)
        outcomes = self._program.without(outcomes, others)
        self.purse.release(lambda lot: lot.awaits == EVENT + activity.type and self._is_awaited(lot, activity))
        for friend in self._sharing(activity):
            friend.release_share(activity, self._at)
        self.purse.keep_alive(activity, at)
        if activity.type == "referral" and self.referred_by is None:
            self.referred_by = activity.referrer
        self._qualify(outcomes, posted)
        for outcome in outcomes:
            seen.reasons[outcome.rule.id] = outcome.reason
            if outcome.computed:
                self._earn(outcome, posted, others, seen)
        self._posted[activity.id] = posted
        self._segments.join(activity.type, activity.occurred_at)
        seen.counted |= self._rooms.counted(activity)

    def _earn(self, outcome: RuleOutcome, posted: Posted, others: Mapping[str, str], seen: Seen) -> None:
        """Let a rule give what it computed: to another, towards a tier, or as points within the caps."""
        rule = outcome.rule
        withheld = self._withheld(rule, posted)
        if withheld:
            seen.reasons[rule.id] = withheld
            return
        if rule.limit is not None and not rule.limit.of_activities:
            posted.used.add(rule.id)
        if rule.to is not None:
            amount = posted.granted[rule.id] = self._rooms.within(rule, outcome.computed, posted.within)
            if amount < outcome.computed:
                seen.capped[rule.id] = {"transaction_cap": outcome.computed - amount}
            other = self.town.get(others[rule.to])
            if other is not None and amount:
                posted.shares.append((rule.id, other))
                other.receive(rule, amount, posted.activity, self._at)
        elif rule.counts_only:
            posted.granted[rule.id] = outcome.computed
        else:
            self._cap(outcome, posted, seen)

    def _withheld(self, rule: CompiledRule, posted: Posted) -> str:
        """Say why a rule with a threshold does not earn; once it does, it has in this window."""
        if rule.threshold is None:
            return ""
        window = self._rooms.window(rule.threshold.window, posted.activity)
        if (rule, window) in self._bonuses:
            return "limit_reached"
        if self._rooms.added_up(rule.threshold, window, posted) < rule.threshold.reaches:
            return "below_threshold"
        self._bonuses[rule, window] = posted
        return ""

    def _lose_bonuses(self, back: Posted, seen: Seen) -> None:
        """Take back each bonus whose threshold is not reached any more, wherever it lies."""
        for (rule, window), posted in list(self._bonuses.items()):
            assert rule.threshold is not None
            if self._rooms.added_up(rule.threshold, window, back) >= rule.threshold.reaches:
                continue
            del self._bonuses[rule, window]
            amount, posted.granted[rule.id] = posted.granted.get(rule.id, 0), 0
            if amount:
                seen.reversals[rule.id] = self.purse.take_back(rule, posted.lots[rule.id], amount)
            for cap in self._program.caps if self._program.refill_on_return else ():
                if amount and cap.window is not None and cap.covers(rule):
                    self._refill(cap, posted, amount, seen)

    def _cap(self, outcome: RuleOutcome, posted: Posted, seen: Seen) -> None:
        """Cut what was computed to the room left, cap by cap; the last that cuts is the reason."""
        rule, reason, cut_by = outcome.rule, "", None
        amount = kept = self._rooms.within(rule, outcome.computed, posted.within)
        if amount < outcome.computed:
            reason = "transaction_cap"
        for cap in self._program.caps:
            room = self._rooms.room(cap, posted) if cap.covers(rule) else None
            if room is not None and room < amount:
                amount, reason, cut_by = max(room, 0), cap.reason, cap
        if rule.budget is not None and rule.budget - self.drawn.get(rule.id, 0) < amount:
            amount, reason = rule.budget - self.drawn.get(rule.id, 0), "budget"
        self.drawn[rule.id] = self.drawn.get(rule.id, 0) + amount
        if reason:
            seen.capped[rule.id] = {reason: outcome.computed - amount}
        once = rule.budget is not None or rule.threshold is not None
        if reason == "window_cap" and not once and cut_by is not None and self._program.refill_on_return:
            posted.refused[rule.id] = (cut_by, kept - amount)
        if amount:
            self._grant(rule, amount, posted, seen)

    def _grant(self, rule: CompiledRule, amount: int, posted: Posted, seen: Seen) -> None:
        lots = posted.lots.get(rule.id)
        waits = rule.pending is not None and self._waits_with(rule.pending.awaits, lots, posted)
        lot = self.purse.grant(rule, amount, posted.activity.occurred_at, waits=waits)
        posted.granted[rule.id] = posted.granted.get(rule.id, 0) + amount
        posted.lots.setdefault(rule.id, []).append(lot)
        seen.awards[rule.id] = seen.awards.get(rule.id, 0) + amount
        zone, ends = self._program.zone, lot.expires_at
        seen.good_through[rule.id] = None if ends is None else local_date(ends, zone) - timedelta(days=1)

    def _waits_with(self, awaits: str, others: Sequence[PaperLot] | None, posted: Posted) -> bool:
        """Say whether an award waits; a refill of what is known already does as long as the rest of it."""
        if awaits == "date" or posted.activity.id not in self._posted:
            return True
        return any(lot.pending for lot in others) if others else awaits == "approval"

    def _is_awaited(self, lot: PaperLot, activity: Activity) -> bool:
        """Say whether an activity is the one that a lot awaits: the one it names, or any of its type."""
        of = self._posted.get(activity.of or "")
        return activity.of is None or (of is not None and any(lot in lots for lots in of.lots.values()))

    def _sharing(self, activity: Activity) -> list[Stage]:
        """Return those who got something for the activity that this one names."""
        named = self._posted.get(activity.of or "")
        return [] if named is None else [other for _, other in named.shares]

    def release_share(self, came: Activity, at: datetime) -> None:
        """Let the points count that this member got for another's activity, where they await what came of it."""
        self._at = max(self._at, at)
        share = self._shares.get(came.of or "")
        lots = [] if share is None else [lot for each in share.lots.values() for lot in each]
        self.purse.release(lambda lot: lot.awaits == EVENT + came.type and lot in lots)

    def _others(self, activity: Activity) -> dict[str, str]:
        named = {
            "referrer": self.referred_by or activity.referrer,
            "payer": activity.payer.id if activity.payer is not None else None,
            "employer": self._attributes.get("employer"),
            "agent": activity.attributes.get("agent"),
        }
        answering = {role: self._answering(other) for role, other in named.items() if isinstance(other, str)}
        return {role: other for role, other in answering.items() if other is not None}

    def _answering(self, name: str) -> str | None:
        """Return who answers for a member of whom it may be a part by now; nobody is another to oneself."""
        if name not in self.into:
            return name
        while name in self.into:
            name = self.into[name]
        return name if name in self.town else None

    def receive(self, rule: CompiledRule, amount: int, activity: Activity, at: datetime) -> None:
        """Take what a rule gives to this member for the activity of another."""
        self._standing.step()
        self._at = max(self._at, at)
        share = self._shares.setdefault(activity.id, Posted(activity))
        if not rule.counts_only:
            self._grant(rule, amount, share, self._received)
            return
        self._standing.count([Counted(rule.id, rule.unit, amount)], share, self._at)

    def give_back(self, rule: CompiledRule, amount: int, activity: Activity, at: datetime) -> None:
        """Give back what a return leaves no reason to keep."""
        self._at = max(self._at, at)
        share = self._shares[activity.id]
        if not rule.counts_only:
            # What ended while it waited was given up by itself.
            amount = min(amount, share.granted.get(rule.id, 0))
            if not amount:
                return
            share.granted[rule.id] -= amount
            self._received.reversals[rule.id] = self.purse.take_back(rule, share.lots[rule.id], amount)
            return
        self._standing.take_back(share.counted_by(rule.id, amount), share.counted_in, self._at)

    def _ended(self, activity: Activity) -> frozenset[str]:
        """Return the rules that give less because an activity ends early what another began."""
        if activity.type not in self._program.closing or activity.of is None:
            return frozenset()
        if activity.of not in self._posted:
            raise Refused("activity_unknown")
        earned_at = self._posted[activity.of].activity.occurred_at
        return self._program.taken_back_by(activity.type, activity.occurred_at, earned_at)

    def _kept(self, posted: Posted, back: Activity, ended: frozenset[str]) -> list[RuleOutcome]:
        if not ended:
            posted.returned = plus_return(posted.activity, posted.returned, back)
        basis = basis_less_returns(posted.activity, posted.returned)
        kept = self._program.evaluate(basis, posted.member, stacked=False)
        return [
            msgspec.structs.replace(each, computed=0) if each.rule.id in ended else each
            for each in kept
            if each.rule.threshold is None
        ]

    def _take_back(self, back: Activity, ended: frozenset[str], seen: Seen) -> None:
        posted = self._posted.get(back.of or "")
        if posted is None:
            raise Refused("activity_unknown")
        before = self._program.evaluate(
            basis_less_returns(posted.activity, posted.returned), posted.member, stacked=False
        )
        kept = self._kept(posted, back, ended)
        taken: list[tuple[QualifyingCounted, int]] = []
        freed: dict[str, int] = {}
        within: dict[str, int] = {}
        for outcome in kept:
            rule = outcome.rule
            wanted = self._rooms.within(rule, outcome.computed, within)
            granted = posted.granted.get(rule.id, 0)
            amount = granted - min(granted, outcome.computed)
            if before[rule.index].computed and not outcome.computed:
                posted.used.discard(rule.id)
            if amount:
                posted.granted[rule.id] = granted - amount
                if rule.to is not None:
                    self._have_given_back(rule, amount, posted)
                    continue
                if rule.counts_only:
                    taken += posted.counted_by(rule.id, amount)
                    continue
                seen.reversals[rule.id] = self.purse.take_back(rule, posted.lots[rule.id], amount)
                for cap in self._program.caps:
                    if cap.window is not None and cap.covers(rule):
                        freed[cap.name] = freed.get(cap.name, 0) + amount
            self._unrefuse(rule, wanted, posted)
        for cap in self._program.caps:
            if freed.get(cap.name) and self._program.refill_on_return:
                self._refill(cap, posted, freed[cap.name], seen)
        self._lose_bonuses(posted, seen)
        seen.counted |= self._rooms.counted(posted.activity)
        self._standing.take_back(taken, posted.counted_in, self._at)

    @staticmethod
    def _unrefuse(rule: CompiledRule, wanted: int, posted: Posted) -> None:
        """Forget what was refused to what came back."""
        if rule.id in posted.refused:
            cap, left = posted.refused[rule.id]
            posted.refused[rule.id] = (cap, max(min(left, wanted - posted.granted.get(rule.id, 0)), 0))

    def _have_given_back(self, rule: CompiledRule, amount: int, posted: Posted) -> None:
        """Have others give back what they got by a rule."""
        for name, other in posted.shares:
            if name == rule.id:
                other.give_back(rule, amount, posted.activity, self._at)

    def _refill(self, cap: CompiledCap, back: Posted, room: int, seen: Seen) -> None:
        """Grant what the cap had refused in the window of what came back, oldest first, then by rule."""
        assert cap.window is not None
        window = self._rooms.window(cap.window, back.activity)
        for posted in sorted(self._posted.values(), key=lambda each: each.activity.occurred_at):
            if self._rooms.window(cap.window, posted.activity) != window:
                continue
            for rule in sorted(self._program.rules, key=lambda rule: rule.id):
                refused_by, left = posted.refused.get(rule.id, (None, 0))
                if refused_by is not cap or not left:
                    continue
                rooms = [self._rooms.room(each, posted) for each in self._program.caps if each.covers(rule)]
                amount = max(min(left, room, *(each for each in rooms if each is not None)), 0)
                if amount:
                    posted.refused[rule.id] = (cap, left - amount)
                    room -= amount
                    self._grant(rule, amount, posted, seen)

    def _celebrate(self, until: datetime) -> None:
        """Let every birthday come in its turn."""
        birthdays = self._program.birthdays
        while birthdays is not None and self._birthday is not None and self._birthday <= until:
            at, self._birthday = self._birthday, birthdays.next_after(self._attributes, self._birthday)
            self._lapse(at)
            said = {"id": f"birthday-{at.year}", "type": "birthday", "occurred_at": at.isoformat()}
            activity = _decode(msgspec.json.encode(said))
            posted = Posted(activity, member=self._seen_for(activity))
            for outcome in self._program.evaluate(basis_of(activity), posted.member):
                if outcome.computed and not outcome.rule.counts_only:
                    self._grant(outcome.rule, outcome.computed, posted, Seen())

    def _expire(self, at: datetime) -> None:
        self._celebrate(at)
        self._lapse(at)

    def _lapse(self, at: datetime) -> None:
        """Let points come and go up to now; what ends while it waits makes room for what may come in its place."""
        for ended in self.purse.come_and_go(at):
            self._give_up(ended)

    def _give_up(self, ended: Sequence[PaperLot]) -> None:
        """Let nothing be left of pending points, activity by activity, nor of what caps refused of the same awards."""
        for share in self._shares.values():
            for lot in self._lots_of(share, ended):
                share.granted[lot.rule.id] -= self.purse.give_up(lot)
        for posted in list(self._posted.values()):
            freed: dict[str, int] = {}
            for lot in self._lots_of(posted, ended):
                rule, amount = lot.rule, self.purse.give_up(lot)
                posted.granted[rule.id] -= amount
                posted.refused.pop(rule.id, None)
                if not posted.granted[rule.id]:
                    posted.used.discard(rule.id)
                for cap in self._program.caps:
                    if cap.window is not None and cap.covers(rule):
                        freed[cap.name] = freed.get(cap.name, 0) + amount
            for cap in self._program.caps:
                if freed.get(cap.name) and self._program.refill_on_return:
                    self._refill(cap, posted, freed[cap.name], Seen())

    @staticmethod
    def _lots_of(posted: Posted, among: Sequence[PaperLot]) -> list[PaperLot]:
        return [lot for lots in posted.lots.values() for lot in lots if lot in among]
