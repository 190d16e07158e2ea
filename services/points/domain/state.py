"""A wallet as deciders see it, and the one way in which it moves: `Wallet.apply(journal number, fact)`.

Balances are totals; lots, holds and postings are only those that the messages in hand can touch (the store says
which). Folding all facts of a member over an empty wallet gives every total again, which is what `verify` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from laurel.program import NOTHING_RETURNED, Returned
from laurel.program.belonging import SegmentBook, SegmentsChanged
from laurel.program.standing import AnyTierFact, QualifyingCounted, TierBook
from laurel.program.tiers import seen_as
from services.points.domain import facts as f
from services.points.domain import pending_state as pending
from services.points.domain.facts import AnyFact, LotName, LotPart
from services.points.domain.late import Late

ELSEWHERE = -1
"""Stands for a journal of another wallet."""
BEGINNING = datetime(1900, 1, 1, tzinfo=UTC)
"""The `at` of a wallet that nothing has happened to."""


@dataclass(slots=True)
class Balance:
    """The totals of one unit. available + held - owed = earned - spent - expired - reversed + adjusted."""

    unit: str
    available: int = 0
    pending: int = 0
    held: int = 0
    owed: int = 0
    earned: int = 0
    spent: int = 0
    expired: int = 0
    reversed: int = 0
    adjusted: int = 0
    active_until: datetime | None = None
    next_expiry_at: datetime | None = None
    next_expiry_amount: int = 0

    def ends_with(self, expires_at: datetime | None, amount: int) -> None:
        """Let what became available count to what ends next."""
        if expires_at is not None:
            if self.next_expiry_at is None or expires_at < self.next_expiry_at:
                self.next_expiry_at, self.next_expiry_amount = expires_at, amount
            elif expires_at == self.next_expiry_at:
                self.next_expiry_amount += amount


@dataclass(slots=True)
class Lot:
    """Points of one grant that share funder, dates and fate. `remaining` includes `held`.

    `expired` counts the points that expired and that no return has excused since: a return does not ask for them.
    `pending` are points that do not count yet: the lot `awaits` something, or its block does not cover it.
    """

    name: LotName
    unit: str
    rule: str
    activity: str
    partner: str
    granted: int
    remaining: int
    held: int
    earned_at: datetime
    available_at: datetime
    expires_at: datetime | None
    funder: str
    version: int
    expired: int = 0
    pending: int = 0
    awaits: str = ""
    unfunded: bool = False

    @property
    def free(self) -> int:
        """Return what may be spent or taken."""
        return self.remaining - self.held

    def order(self) -> tuple[bool, datetime, datetime, LotName]:
        """Return the place in spending order (S5): earliest expiry, then earliest earned, then posting."""
        return (self.expires_at is None, self.expires_at or BEGINNING, self.earned_at, self.name)


@dataclass(slots=True)
class Hold:
    """Points set aside; `state` is held, captured, released, expired, cancelled or refused.

    `parts` are what is held, after a capture what is spent and was not given back. `captured` is net of `cancelled`.
    """

    hold: str
    unit: str
    amount: int
    state: str
    parts: tuple[LotPart, ...]
    saga: bool = True
    expires_at: datetime | None = None
    partner: str = ""
    reference: str = ""
    captured: int = 0
    cancelled: int = 0


@dataclass(slots=True)
class Adjustment:
    """A change by a person's decision; `state` is waiting, posted, refused or rejected.

    `waiting` is what somebody has yet to decide about. `corrects` names what a correction corrects; `corrected`
    says that this one was corrected itself. `journal` is the one that made its lot.
    """

    adjustment: str
    unit: str
    amount: int
    state: str
    reason: str = ""
    partner: str = ""
    expires_at: datetime | None = None
    waiting: int = 0
    corrects: str = ""
    corrected: bool = False
    journal: int = 0
    reversed: int = 0
    written_off: int = 0
    bonus: int = 0
    owed: int = 0


class CounterKey(NamedTuple):
    """Names a counter of a wallet in one window."""

    counter: str
    start: datetime


@dataclass(slots=True)
class Counter:
    """What is counted of a wallet in a window: points granted, how often a rule earned, or what a threshold adds up.

    `given_in` is the journal that gave the bonus for the threshold; ELSEWHERE where an account did that is a part of
    this one.
    """

    counter: str
    start: datetime
    end: datetime | None
    unit: str
    counted: int
    limit: int | None
    given_in: int = 0


@dataclass(slots=True)
class Refusal:
    """What a window's cap refused to one rule's award for the activity of a journal, as far as it still may come."""

    journal: int
    rule: str
    unit: str
    window: CounterKey
    occurred_at: datetime
    left: int

    def order(self) -> tuple[datetime, int, str]:
        """Return the place in the order of refills: oldest first."""
        return (self.occurred_at, self.journal, self.rule)


@dataclass(slots=True)
class Posting:
    """An activity that the wallet was credited for, as its returns and refills need it."""

    journal: int
    version: int
    body: bytes
    decision: tuple[f.RuleJudged, ...]
    occurred_at: datetime
    member: dict[str, Any] = field(default_factory=dict)
    counted: tuple[f.Counted, ...] = ()
    clawed_back: dict[str, int] = field(default_factory=dict)
    refilled: dict[str, int] = field(default_factory=dict)
    given_up: set[str] = field(default_factory=set)
    """The rules of whose award nothing is left because it was given up while it waited."""
    returned: Returned = NOTHING_RETURNED
    qualified: tuple[QualifyingCounted, ...] = ()
    """What it counted towards tiers."""
    shares: tuple[f.Share, ...] = ()
    tier: str = ""
    tenure: int = 0
    segments: tuple[str, ...] = ()
    people: tuple[f.PersonCounted, ...] = ()
    """What it counted of the member's person."""
    corrected: bool = False
    type: str = ""
    brief: bool = False
    """Whether `decision` leaves out the rules that are silent about an activity of that type."""

    @classmethod
    def of(cls, journal: int, fact: f.ActivityPosted, body: bytes = b"") -> Posting:
        """Return the posting of a journal; its body is what returns are judged by."""
        return cls(
            journal,
            fact.version,
            body,
            fact.decision,
            fact.occurred_at,
            dict(fact.member),
            fact.counted,
            tier=fact.tier,
            tenure=fact.tenure,
            segments=fact.segments,
            shares=fact.shares,
            type=fact.type,
            brief=fact.brief,
        )

    @property
    def seen(self) -> Mapping[str, Any]:
        """Return the member as the rules saw it: its attributes, with the tier, tenure and segments of then."""
        return seen_as(self.member, self.tier, self.tenure, self.segments)

    def granted(self, rule: str) -> int:
        """Return what a rule granted, refills included."""
        return sum(judged.amount for judged in self.decision if judged.rule == rule) + self.refilled.get(rule, 0)

    def give_up(self, rule: str, amount: int) -> None:
        """Keep what of a rule's award was given up while it waited."""
        self.clawed_back[rule] = self.clawed_back.get(rule, 0) + amount
        if self.clawed_back[rule] >= self.granted(rule):
            self.given_up.add(rule)

    def lose_bonus(self, fact: f.BonusTakenBack) -> None:
        """Keep that a bonus went back with what others gave for it."""
        self.clawed_back[fact.rule] = self.clawed_back.get(fact.rule, 0) + fact.amount

    def take(self, fact: f.ActivityReturned | f.PointsGranted | QualifyingCounted | f.PersonCounted) -> None:
        """Keep what came back, what was refilled, or what was counted towards tiers or of a person."""
        if isinstance(fact, QualifyingCounted):
            self.qualified = (*self.qualified, fact)
            return
        if isinstance(fact, f.PersonCounted):
            self.people = (*self.people, fact)
            return
        if isinstance(fact, f.PointsGranted):
            self.refilled[fact.rule] = self.refilled.get(fact.rule, 0) + fact.amount
            return
        self.returned = fact.returned
        for judged in fact.decision:
            self.clawed_back[judged.rule] = self.clawed_back.get(judged.rule, 0) + judged.amount


@dataclass(slots=True)
class Wallet:
    """One member's wallet in one program."""

    program: str
    member: str
    status: str = "unknown"
    at: datetime = BEGINNING
    version: int = 0
    enrolled_at: datetime | None = None
    person: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    referred_by: str | None = None
    balances: dict[str, Balance] = field(default_factory=dict)
    lots: dict[LotName, Lot] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    postings: dict[tuple[str, str], Posting] = field(default_factory=dict)
    counters: dict[CounterKey, Counter] = field(default_factory=dict)
    refusals: dict[tuple[int, str], Refusal] = field(default_factory=dict)
    credited: dict[tuple[str, str], int] = field(default_factory=dict)
    adjustments: dict[str, Adjustment] = field(default_factory=dict)
    hold_expires_at: datetime | None = None
    """When the first open hold with a time-out ends; may be too early, never too late."""
    birthday_at: datetime | None = None
    """When the member's next birthday is, in programs that care."""
    releases_at: datetime | None = None
    """When the first pending lot becomes available by its date, or ends while it waits for something else; may be too
    early, never too late.
    """
    occurred_at: datetime | None = None
    """The latest time of a posted activity: what has no time of its own is not before it on a manual clock."""
    turned_to: datetime | None = None
    """Up to when a turn of the program's clock moved this wallet last."""
    drawn: dict[str, int] = field(default_factory=dict)
    people: dict[tuple[str, str, datetime], int] = field(default_factory=dict)
    """What this wallet added to what is counted of persons."""
    blocks: dict[tuple[str, str], int] = field(default_factory=dict)
    """What was drawn from blocks, by funder and unit."""
    unfunded: dict[int, f.FundingAwaited] = field(default_factory=dict)
    """Where in which queue the activities of journals wait for their block."""
    tiers: TierBook | None = None
    converts_at: datetime | None = None
    """When points next may become a voucher, if there are enough; may be too early, never too late."""
    segments: SegmentBook = field(default_factory=SegmentBook)
    merged_into: str | None = None
    """Of which other account this one is a part; what comes to it goes there."""
    survivor: str | None = None
    """Who answers for all of that in the end, as far as messages in hand are concerned."""
    merged_in: int | None = None
    """The journal by which it became that."""
    household: f.Household | None = None
    unread: set[CounterKey] = field(default_factory=set)
    """The windows of which the oldest refusals were read, and there are more."""
    late: Late | None = None
    """What is known for activities at hand that are reported late; None where there are none, or nothing ended."""
    passed_on: dict[int, tuple[LotPart, ...]] = field(default_factory=dict)
    """What was taken over of what was here, by the journals of the other account by which it did that."""
    gone_on: list[tuple[str, Lot]] = field(default_factory=list)
    """What became of the lots of the activities at hand in the accounts of which this one is a part, one after another:
    whose they are, and the lots.
    """

    @property
    def exists(self) -> bool:
        """Say whether the member was enrolled."""
        return self.status != "unknown"

    def balance(self, unit: str) -> Balance:
        """Return the totals of a unit; of one that no fact has moved yet they are nothing, and are not kept."""
        return self.balances.get(unit) or Balance(unit)

    def counted(self, counter: str, start: datetime) -> int:
        """Return what a counter stands at; it must have been loaded if it was ever moved."""
        known = self.counters.get(CounterKey(counter, start))
        return known.counted if known is not None else 0

    def moving(self, unit: str) -> Balance:
        """Return the totals of a unit for a fact to move."""
        balance = self.balances.get(unit)
        if balance is None:
            balance = self.balances[unit] = Balance(unit)
        return balance

    def spendable(self, unit: str) -> list[Lot]:
        """Return the loaded lots of a unit that have something free, in spending order."""
        return sorted((lot for lot in self.lots.values() if lot.unit == unit and lot.free > 0), key=Lot.order)

    def end_of(self, lot: Lot) -> datetime | None:
        """Return when a lot ends: by its own date, else by the member's inactivity."""
        return lot.expires_at if lot.expires_at is not None else self.balance(lot.unit).active_until

    @property
    def next_due_at(self) -> datetime | None:
        """Return the first moment at which something may fall due; too early is harmless, too late would not be."""
        ends = [self.hold_expires_at, self.releases_at]
        for balance in self.balances.values():
            if balance.available > 0:
                ends += (balance.next_expiry_at, balance.active_until)
        if self.merged_into is None:
            # What time brings to a member comes to the account that it is a part of.
            standing = self.tiers.standing if self.tiers is not None else None
            ends += (self.segments.ends_at, self.converts_at, self.birthday_at)
            if standing is not None:
                ends.append(standing.due_at)
        return min([end for end in ends if end is not None], default=None)

    def apply(self, journal: int, fact: AnyFact) -> None:
        """Move by one fact. Facts are trusted: a fact that cannot be applied is a defect, not a refusal."""
        _APPLY[type(fact)](self, journal, fact)


def _enrolled(wallet: Wallet, _journal: int, fact: f.MemberEnrolled) -> None:
    wallet.status = "active"
    wallet.enrolled_at = fact.enrolled_at
    wallet.person = fact.person
    wallet.attributes = dict(fact.attributes)
    wallet.referred_by = fact.referred_by


def _awaits_birthday(wallet: Wallet, _journal: int, fact: f.BirthdayAwaited) -> None:
    wallet.birthday_at = fact.at


def _referred(wallet: Wallet, _journal: int, fact: f.ReferrerNamed) -> None:
    wallet.referred_by = fact.referrer


def _member_changed(wallet: Wallet, _journal: int, fact: f.MemberChanged) -> None:
    wallet.person, wallet.attributes = fact.person, dict(fact.attributes)


def _member_closed(wallet: Wallet, _journal: int, _fact: f.MemberClosed) -> None:
    wallet.status = "closed"


def _member_erased(wallet: Wallet, _journal: int, _fact: f.MemberErased) -> None:
    wallet.status = "erased"
    wallet.person, wallet.attributes, wallet.referred_by = None, {}, None
    # Nothing comes to nobody.
    wallet.birthday_at = wallet.converts_at = None


def _posted(wallet: Wallet, journal: int, fact: f.ActivityPosted) -> None:
    _happened(wallet, fact.occurred_at)
    for unit, until in fact.active_until.items():
        balance = wallet.moving(unit)
        if balance.active_until is None or until > balance.active_until:
            balance.active_until = until
    wallet.postings[fact.partner, fact.activity] = Posting.of(journal, fact)
    _count(wallet, fact.counted)
    for moved in fact.counted:
        if moved.given:
            wallet.counters[CounterKey(moved.counter, moved.start)].given_in = journal
    if fact.counted:
        for judged in fact.decision:
            for cut in judged.capped_by:
                if cut.refill and cut.start is not None:
                    wallet.refusals[journal, judged.rule] = Refusal(
                        journal,
                        judged.rule,
                        judged.unit,
                        CounterKey(cut.counter, cut.start),
                        fact.occurred_at,
                        cut.refill,
                    )


def _count(wallet: Wallet, counted: tuple[f.Counted, ...]) -> None:
    for moved in counted:
        key = CounterKey(moved.counter, moved.start)
        known = wallet.counters.get(key)
        if known is None:
            known = wallet.counters[key] = Counter(*key, moved.end, moved.unit, 0, moved.limit)
        known.counted += moved.amount
        known.limit = moved.limit


def _happened(wallet: Wallet, occurred_at: datetime) -> None:
    if wallet.occurred_at is None or occurred_at > wallet.occurred_at:
        wallet.occurred_at = occurred_at


def _returned(wallet: Wallet, _journal: int, fact: f.ActivityReturned) -> None:
    _happened(wallet, fact.occurred_at)
    posting = wallet.postings.get((fact.partner, fact.of))
    if posting is not None:
        posting.take(fact)
    _freed(wallet, fact)


def _pending_decided(wallet: Wallet, _journal: int, fact: f.PendingDecided) -> None:
    # What was decided moves the points by what follows.
    pending.note_theirs(wallet, fact)
    _freed(wallet, fact)


def _freed(wallet: Wallet, fact: f.ActivityReturned | f.PendingDecided) -> None:
    _count(wallet, fact.counted)
    for less in fact.unrefused:
        wallet.refusals[less.journal, less.rule].left -= less.amount


def _refused(_wallet: Wallet, _journal: int, _fact: f.ActivityRefused | f.MemberChangeRefused) -> None:
    """Move nothing: a refusal is kept, that is all."""


def _key_taken(wallet: Wallet, journal: int, fact: f.KeyTaken) -> None:
    wallet.credited[fact.group, fact.key] = journal


def _drawn(wallet: Wallet, _journal: int, fact: f.BudgetDrawn) -> None:
    wallet.drawn[fact.rule] = wallet.drawn.get(fact.rule, 0) + fact.amount


def _person_counted(wallet: Wallet, journal: int, fact: f.PersonCounted) -> None:
    key = (fact.person, fact.counter, fact.start)
    wallet.people[key] = wallet.people.get(key, 0) + fact.amount
    for posting in wallet.postings.values():
        if posting.journal == journal:
            posting.take(fact)


def _hold_refused(wallet: Wallet, _journal: int, fact: f.HoldRefused) -> None:
    if fact.asked == "hold":
        wallet.holds.setdefault(fact.hold, Hold(fact.hold, fact.unit, fact.amount, "refused", (), fact.saga))


def _granted(wallet: Wallet, journal: int, fact: f.PointsGranted) -> None:
    if fact.of_journal:
        wallet.refusals[fact.of_journal, fact.rule].left -= fact.amount
        posting = wallet.postings.get((fact.partner, fact.activity))
        if posting is not None:
            posting.take(fact)
    if fact.awaits or fact.unfunded:
        lot = _make_lot(wallet, journal, fact)
        lot.remaining, lot.pending = 0, fact.amount
        lot.awaits, lot.unfunded = fact.awaits, fact.unfunded
        pending.granted(wallet, lot)
    else:
        _new_lot(wallet, journal, fact).earned += fact.amount


def _renewed(wallet: Wallet, journal: int, fact: f.LotRenewed) -> None:
    _new_lot(wallet, journal, fact).spent -= fact.amount


def _received_lot(wallet: Wallet, journal: int, fact: f.LotReceived) -> None:
    _new_lot(wallet, journal, fact).adjusted += fact.amount


def _received(wallet: Wallet, _journal: int, fact: f.PointsReceived) -> None:
    _count(wallet, fact.counted)
    if fact.parts:
        amount = _take(wallet, fact.parts, remaining=1)
        balance = wallet.moving(fact.unit)
        balance.available += amount
        balance.adjusted += amount
        for part in fact.parts:
            balance.ends_with(wallet.lots[part.name].expires_at, part.amount)
    if fact.owed:
        balance = wallet.moving(fact.unit)
        balance.owed += fact.owed
        balance.adjusted -= fact.owed
    if fact.active_until is not None:
        balance = wallet.moving(fact.unit)
        if balance.active_until is None or fact.active_until > balance.active_until:
            balance.active_until = fact.active_until


def _sent(wallet: Wallet, _journal: int, fact: f.PointsSent) -> None:
    _count(wallet, fact.counted)
    amount = _take(wallet, fact.parts, remaining=-1)
    balance = wallet.moving(fact.unit)
    balance.available -= amount
    balance.owed -= fact.owed
    balance.adjusted += fact.owed - amount
    if wallet.merged_into == fact.member:
        wallet.passed_on[fact.journal] = (*wallet.passed_on.get(fact.journal, ()), *fact.parts)


def _merged(wallet: Wallet, journal: int, fact: f.MemberMerged) -> None:
    if wallet.merged_into != fact.parent:
        wallet.passed_on.clear()
    wallet.status, wallet.merged_into = "merged", fact.parent
    if wallet.merged_in is None:
        wallet.merged_in = journal


def _unmerged(wallet: Wallet, _journal: int, fact: f.MemberUnmerged) -> None:
    wallet.status, wallet.merged_into, wallet.merged_in = "active", None, None
    wallet.survivor, wallet.gone_on = None, []
    wallet.passed_on.clear()
    for part in fact.expired:
        wallet.lots[part.name].expired += part.amount


def _household_changed(wallet: Wallet, _journal: int, fact: f.HouseholdChanged) -> None:
    wallet.household = fact.now


def _absorbed(wallet: Wallet, _journal: int, fact: f.MemberAbsorbed | f.MemberParted) -> None:
    _count(wallet, fact.counted)
    for part in fact.excused if isinstance(fact, f.MemberAbsorbed) else fact.expired:
        wallet.lots[part.name].expired -= part.amount
    for moved in fact.counted:
        counter = wallet.counters[CounterKey(moved.counter, moved.start)]
        if moved.given and counter.given_in <= 0:
            # What was given there is not given here again, and comes back there.
            counter.given_in = ELSEWHERE if type(fact) is f.MemberAbsorbed else 0


def _adjusted_lot(wallet: Wallet, journal: int, fact: f.LotAdjusted) -> None:
    _new_lot(wallet, journal, fact).adjusted += fact.amount


def _waiting(wallet: Wallet, _journal: int, fact: f.AdjustmentWaiting) -> None:
    wallet.adjustments[fact.adjustment] = Adjustment(
        fact.adjustment,
        fact.unit,
        fact.amount,
        "waiting",
        fact.reason,
        fact.partner,
        fact.expires_at,
        waiting=fact.amount,
    )


def _adjusted(wallet: Wallet, journal: int, fact: f.PointsAdjusted) -> None:
    amount = _take(wallet, fact.parts, remaining=-1)
    if amount or fact.owed:
        balance = wallet.moving(fact.unit)
        balance.available -= amount
        balance.owed += fact.owed
        balance.adjusted -= amount + fact.owed
    known = wallet.adjustments.setdefault(
        fact.adjustment, Adjustment(fact.adjustment, fact.unit, fact.amount, "posted", fact.reason, fact.partner)
    )
    known.state, known.waiting, known.owed = "posted", 0, fact.owed
    if known.corrects:
        known.amount += fact.amount
        known.reversed += amount
    known.journal = known.journal or journal


def _adjustment_refused(wallet: Wallet, _journal: int, fact: f.AdjustmentRefused) -> None:
    wallet.adjustments.setdefault(fact.adjustment, Adjustment(fact.adjustment, fact.unit, fact.amount, "refused"))


def _adjustment_rejected(wallet: Wallet, _journal: int, fact: f.AdjustmentRejected) -> None:
    known = wallet.adjustments[fact.adjustment]
    known.waiting = 0
    known.written_off += fact.written_off
    if not known.corrects:
        known.state = "rejected"


def _corrected(wallet: Wallet, journal: int, fact: f.PostingCorrected) -> None:
    amount = _take(wallet, fact.parts, remaining=-1)
    if amount:
        balance = wallet.moving(fact.unit)
        balance.available -= amount
        balance.adjusted -= amount
    pending.take(wallet, fact.unit, fact.pending)
    note_correction(wallet, fact)
    if not fact.of_journal:
        wallet.adjustments[fact.of].corrected = True
    wallet.adjustments[fact.adjustment] = Adjustment(
        fact.adjustment,
        fact.unit,
        fact.amount,
        "posted",
        fact.reason,
        fact.partner,
        waiting=fact.waiting,
        corrects=fact.of,
        journal=journal,
        reversed=amount,
        written_off=fact.written_off,
        bonus=fact.bonus,
    )


def note_correction(wallet: Wallet, fact: f.PostingCorrected) -> None:
    """Let a posting know that it was corrected, so that a return does not take the same again."""
    posting = wallet.postings.get((fact.of_partner, fact.of)) if fact.of_journal else None
    if posting is not None:
        posting.corrected = True
        for rule, falls in fact.by_rule.items():
            posting.clawed_back[rule] = posting.clawed_back.get(rule, 0) + falls


def _new_lot(
    wallet: Wallet, journal: int, fact: f.PointsGranted | f.LotRenewed | f.LotAdjusted | f.LotReceived
) -> Balance:
    """Make the lot, and let its points be available; the caller says where they came from."""
    _make_lot(wallet, journal, fact)
    balance = wallet.moving(fact.unit)
    balance.available += fact.amount
    balance.ends_with(fact.expires_at, fact.amount)
    return balance


def _make_lot(
    wallet: Wallet, journal: int, fact: f.PointsGranted | f.LotRenewed | f.LotAdjusted | f.LotReceived
) -> Lot:
    name = LotName(journal, fact.lot)
    lot = wallet.lots[name] = Lot(
        name,
        fact.unit,
        fact.rule,
        fact.activity,
        fact.partner,
        fact.amount,
        fact.amount,
        0,
        fact.earned_at,
        fact.available_at,
        fact.expires_at,
        fact.funder,
        fact.version,
    )
    return lot


def _take(wallet: Wallet, parts: tuple[LotPart, ...], *, held: int = 0, remaining: int = 0) -> int:
    """Move `held` and `remaining` of each part's lot by the part's amount times the given sign; return the sum."""
    total = 0
    for part in parts:
        lot = wallet.lots[part.name]
        lot.held += held * part.amount
        lot.remaining += remaining * part.amount
        total += part.amount
    return total


def _debt_paid(wallet: Wallet, _journal: int, fact: f.DebtPaid) -> None:
    amount = _take(wallet, fact.parts, remaining=-1)
    balance = wallet.moving(fact.unit)
    balance.available -= amount
    balance.owed -= amount


def _clawed_back(wallet: Wallet, _journal: int, fact: f.PointsClawedBack) -> None:
    amount = _take(wallet, fact.taken, remaining=-1)
    balance = wallet.moving(fact.unit)
    balance.available -= amount
    balance.owed += fact.owed
    balance.reversed += amount + fact.owed
    pending.take(wallet, fact.unit, fact.pending)
    for part in fact.excused:
        wallet.lots[part.name].expired -= part.amount
    if fact.expired and fact.origin is not None and not fact.excused:
        wallet.lots[fact.origin].expired -= fact.expired - _excused_elsewhere(fact)


def _excused_elsewhere(fact: f.PointsClawedBack) -> int:
    return sum(part.amount for part in fact.there) + sum(gone.part.amount for gone in fact.elsewhere)


def _bonus_taken_back(wallet: Wallet, _journal: int, fact: f.BonusTakenBack) -> None:
    known = wallet.counters.get(CounterKey(fact.counter, fact.start))
    if known is not None:
        known.given_in = 0
    posting = wallet.postings.get((fact.partner, fact.activity))
    if posting is not None:
        posting.lose_bonus(fact)


def _held(wallet: Wallet, _journal: int, fact: f.PointsHeld) -> None:
    amount = _take(wallet, fact.parts, held=1)
    balance = wallet.moving(fact.unit)
    balance.available -= amount
    balance.held += amount
    wallet.holds[fact.hold] = Hold(
        fact.hold,
        fact.unit,
        fact.amount,
        "held",
        fact.parts,
        fact.saga,
        fact.expires_at,
        fact.partner,
        fact.reference,
    )
    end = fact.expires_at
    if end is not None and (wallet.hold_expires_at is None or end < wallet.hold_expires_at):
        wallet.hold_expires_at = end


def _captured(wallet: Wallet, _journal: int, fact: f.PointsCaptured) -> None:
    amount = _take(wallet, fact.parts, held=-1, remaining=-1)
    balance = wallet.moving(fact.unit)
    balance.held -= amount
    balance.spent += amount
    hold = wallet.holds[fact.hold]
    hold.state, hold.parts, hold.captured = "captured", fact.parts, amount


def _released(wallet: Wallet, _journal: int, fact: f.PointsReleased) -> None:
    amount = _take(wallet, fact.parts, held=-1)
    if fact.parts:
        balance = wallet.moving(fact.unit)
        balance.held -= amount
        balance.available += amount
    hold = wallet.holds.setdefault(fact.hold, Hold(fact.hold, fact.unit, fact.amount, "released", ()))
    if not fact.rest:
        hold.state = fact.state


def _restored(wallet: Wallet, _journal: int, fact: f.PointsRestored) -> None:
    amount = _take(wallet, fact.parts, remaining=1)
    balance = wallet.moving(fact.unit)
    balance.available += amount
    balance.spent -= amount
    hold = wallet.holds[fact.hold]
    hold.captured -= fact.amount
    hold.cancelled += fact.amount
    hold.parts = less(hold.parts, (*fact.parts, *fact.renewed))
    if not hold.captured:
        hold.state = "cancelled"


def less(parts: tuple[LotPart, ...], taken: tuple[LotPart, ...]) -> tuple[LotPart, ...]:
    """Return what is left of parts when others are taken off them, lot by lot."""
    gone: dict[LotName, int] = {}
    for part in taken:
        gone[part.name] = gone.get(part.name, 0) + part.amount
    left = (LotPart(part.name, part.amount - gone.get(part.name, 0)) for part in parts)
    return tuple(part for part in left if part.amount > 0)


def _expired(wallet: Wallet, _journal: int, fact: f.LotsExpired) -> None:
    amount = _take(wallet, fact.parts, remaining=-1)
    for part in fact.parts:
        wallet.lots[part.name].expired += part.amount
    balance = wallet.moving(fact.unit)
    balance.available -= amount
    balance.expired += amount


def _revived(wallet: Wallet, _journal: int, fact: f.PointsRevived) -> None:
    amount = _take(wallet, fact.parts, remaining=1)
    for part in fact.parts:
        wallet.lots[part.name].expired -= part.amount
    balance = wallet.moving(fact.unit)
    balance.available += amount
    balance.expired -= amount


def _converted(wallet: Wallet, _journal: int, fact: f.PointsConverted) -> None:
    amount = _take(wallet, fact.parts, remaining=-1)
    balance = wallet.moving(fact.unit)
    balance.available -= amount
    balance.spent += amount


def _qualified(wallet: Wallet, journal: int, fact: QualifyingCounted) -> None:
    posting = wallet.postings.get((fact.partner, fact.activity))
    if posting is not None:
        posting.take(fact)
    _tiers_moved(wallet, journal, fact)


def _tiers_moved(wallet: Wallet, journal: int, fact: AnyTierFact) -> None:
    if wallet.tiers is None:
        wallet.tiers = TierBook()
    wallet.tiers.apply(journal, fact)


def _segments_changed(wallet: Wallet, _journal: int, fact: SegmentsChanged) -> None:
    wallet.segments.apply(fact)


def _match_refused(
    _wallet: Wallet, _journal: int, _fact: f.StatusMatchRefused | f.TransferRefused | f.MergeRefused
) -> None:
    """Move nothing: a refusal is kept, that is all."""


_APPLY: dict[type, Callable[[Wallet, int, Any], None]] = {
    f.MemberEnrolled: _enrolled,
    f.MemberChanged: _member_changed,
    f.MemberClosed: _member_closed,
    f.MemberErased: _member_erased,
    f.MemberChangeRefused: _refused,
    f.ReferrerNamed: _referred,
    f.BirthdayAwaited: _awaits_birthday,
    f.ActivityPosted: _posted,
    f.ActivityReturned: _returned,
    f.ActivityRefused: _refused,
    f.BudgetDrawn: _drawn,
    f.KeyTaken: _key_taken,
    f.PersonCounted: _person_counted,
    f.HoldRefused: _hold_refused,
    f.PointsGranted: _granted,
    f.PendingReleased: pending.released,
    f.PendingGivenUp: pending.given_up,
    f.PendingDecided: _pending_decided,
    f.FundingAwaited: pending.awaited,
    f.FundingGiven: pending.funded,
    f.BlockDrawn: pending.drawn,
    f.DebtPaid: _debt_paid,
    f.PointsClawedBack: _clawed_back,
    f.BonusTakenBack: _bonus_taken_back,
    f.PointsHeld: _held,
    f.PointsCaptured: _captured,
    f.PointsReleased: _released,
    f.LotsExpired: _expired,
    f.PointsRevived: _revived,
    f.PointsRestored: _restored,
    f.LotRenewed: _renewed,
    f.PointsConverted: _converted,
    f.AdjustmentWaiting: _waiting,
    f.PointsAdjusted: _adjusted,
    f.LotAdjusted: _adjusted_lot,
    f.AdjustmentRefused: _adjustment_refused,
    f.AdjustmentRejected: _adjustment_rejected,
    f.PostingCorrected: _corrected,
    f.QualifyingCounted: _qualified,
    f.QualifyingReturned: _tiers_moved,
    f.TierChanged: _tiers_moved,
    f.TierKept: _tiers_moved,
    SegmentsChanged: _segments_changed,
    f.StatusMatchRefused: _match_refused,
    f.TransferRefused: _match_refused,
    f.MergeRefused: _match_refused,
    f.MemberMerged: _merged,
    f.MemberAbsorbed: _absorbed,
    f.MemberUnmerged: _unmerged,
    f.MemberParted: _absorbed,
    f.QualifyingJoined: _tiers_moved,
    f.HouseholdChanged: _household_changed,
    f.PointsSent: _sent,
    f.PointsReceived: _received,
    f.LotReceived: _received_lot,
}
