"""A wallet as deciders see it. `folding.fold` is the one way in which it moves.

Balances are totals; lots, holds and postings are only those that the messages in hand can touch (the store says
which).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from laurel.program import NOTHING_RETURNED, Returned
from laurel.program.belonging import SegmentBook
from laurel.program.standing import QualifyingCounted, TierBook
from laurel.program.tiers import seen_as
from services.points.domain import facts as f
from services.points.domain.facts import LotName, LotPart
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
    `waits_until`: when a sandbox's clock ends the wait of its redemption, which redemption does.
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
    waits_until: datetime | None = None


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

    def count(self, counted: tuple[f.Counted, ...]) -> None:
        """Move counters of windows."""
        for moved in counted:
            key = CounterKey(moved.counter, moved.start)
            known = self.counters.get(key)
            if known is None:
                known = self.counters[key] = Counter(*key, moved.end, moved.unit, 0, moved.limit)
            known.counted += moved.amount
            known.limit = moved.limit


def less(parts: tuple[LotPart, ...], taken: tuple[LotPart, ...]) -> tuple[LotPart, ...]:
    """Return what is left of parts when others are taken off them, lot by lot."""
    gone: dict[LotName, int] = {}
    for part in taken:
        gone[part.name] = gone.get(part.name, 0) + part.amount
    left = (LotPart(part.name, part.amount - gone.get(part.name, 0)) for part in parts)
    return tuple(part for part in left if part.amount > 0)
