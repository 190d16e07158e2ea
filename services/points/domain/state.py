"""A wallet as deciders see it, and the one way in which it moves: `Wallet.apply(journal number, fact)`.

Balances are totals; lots, holds and postings are only those that the messages in hand can touch (the store says
which). Folding all facts of a member over an empty wallet gives every total again, which is what `verify` does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from laurel.program import NOTHING_RETURNED, Returned
from laurel.program.standing import AnyTierFact, QualifyingCounted, TierBook
from services.points.domain import facts as f
from services.points.domain.facts import AnyFact, LotName, LotPart

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


@dataclass(slots=True)
class Lot:
    """Points of one grant that share funder, dates and fate. `remaining` includes `held`.

    `expired` counts the points that expired and that no return has excused since: a return does not ask for them.
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

    @property
    def free(self) -> int:
        """Return what may be spent or taken."""
        return self.remaining - self.held

    def order(self) -> tuple[bool, datetime, datetime, LotName]:
        """Return the place in spending order (S5): earliest expiry, then earliest earned, then posting."""
        return (self.expires_at is None, self.expires_at or BEGINNING, self.earned_at, self.name)


@dataclass(slots=True)
class Hold:
    """Points set aside; `state` is held, captured or released."""

    hold: str
    unit: str
    amount: int
    state: str
    parts: tuple[LotPart, ...]
    saga: bool = True


@dataclass(slots=True)
class Posting:
    """An activity that the wallet was credited for, as its returns need it."""

    journal: int
    version: int
    body: bytes
    decision: tuple[f.RuleJudged, ...]
    member: dict[str, Any] = field(default_factory=dict)
    clawed_back: dict[str, int] = field(default_factory=dict)
    returned: Returned = NOTHING_RETURNED
    tier: str = ""
    tenure: int = 0
    counted: tuple[QualifyingCounted, ...] = ()


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
    balances: dict[str, Balance] = field(default_factory=dict)
    lots: dict[LotName, Lot] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    postings: dict[tuple[str, str], Posting] = field(default_factory=dict)
    tiers: TierBook | None = None

    @property
    def exists(self) -> bool:
        """Say whether the member was enrolled."""
        return self.status != "unknown"

    def balance(self, unit: str) -> Balance:
        """Return the totals of a unit; of one that no fact has moved yet they are nothing, and are not kept."""
        return self.balances.get(unit) or Balance(unit)

    def moving(self, unit: str) -> Balance:
        """Return the totals of a unit for a fact to move."""
        balance = self.balances.get(unit)
        if balance is None:
            balance = self.balances[unit] = Balance(unit)
        return balance

    def spendable(self, unit: str) -> list[Lot]:
        """Return the loaded lots of a unit that have something free, in spending order."""
        return sorted((lot for lot in self.lots.values() if lot.unit == unit and lot.free > 0), key=Lot.order)

    @property
    def next_due_at(self) -> datetime | None:
        """Return the first moment at which something may fall due; too early is harmless, too late would not be."""
        ends = [
            end
            for balance in self.balances.values()
            if balance.available > 0
            for end in (balance.next_expiry_at, balance.active_until)
            if end is not None
        ]
        if self.tiers is not None and self.tiers.standing is not None and self.tiers.standing.due_at is not None:
            ends.append(self.tiers.standing.due_at)
        return min(ends, default=None)

    def apply(self, journal: int, fact: AnyFact) -> None:
        """Move by one fact. Facts are trusted: a fact that cannot be applied is a defect, not a refusal."""
        _APPLY[type(fact)](self, journal, fact)


def _enrolled(wallet: Wallet, _journal: int, fact: f.MemberEnrolled) -> None:
    wallet.status = "active"
    wallet.enrolled_at = fact.enrolled_at
    wallet.person = fact.person
    wallet.attributes = dict(fact.attributes)


def _posted(wallet: Wallet, journal: int, fact: f.ActivityPosted) -> None:
    for unit, until in fact.active_until.items():
        balance = wallet.moving(unit)
        if balance.active_until is None or until > balance.active_until:
            balance.active_until = until
    wallet.postings[fact.partner, fact.activity] = Posting(
        journal, fact.version, b"", fact.decision, dict(fact.member), tier=fact.tier, tenure=fact.tenure
    )


def _returned(wallet: Wallet, _journal: int, fact: f.ActivityReturned) -> None:
    posting = wallet.postings.get((fact.partner, fact.of))
    if posting is None:
        return
    posting.returned = fact.returned
    for judged in fact.decision:
        posting.clawed_back[judged.rule] = posting.clawed_back.get(judged.rule, 0) + judged.amount


def _refused(_wallet: Wallet, _journal: int, _fact: f.ActivityRefused | f.HoldRefused) -> None:
    """Move nothing: a refusal is kept, that is all."""


def _hold_refused(wallet: Wallet, _journal: int, fact: f.HoldRefused) -> None:
    wallet.holds.setdefault(fact.hold, Hold(fact.hold, fact.unit, fact.amount, "refused", ()))


def _granted(wallet: Wallet, journal: int, fact: f.PointsGranted) -> None:
    name = LotName(journal, fact.lot)
    wallet.lots[name] = Lot(
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
    balance = wallet.moving(fact.unit)
    balance.available += fact.amount
    balance.earned += fact.amount
    if fact.expires_at is not None:
        if balance.next_expiry_at is None or fact.expires_at < balance.next_expiry_at:
            balance.next_expiry_at, balance.next_expiry_amount = fact.expires_at, fact.amount
        elif fact.expires_at == balance.next_expiry_at:
            balance.next_expiry_amount += fact.amount


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
    if fact.expired and fact.origin is not None:
        wallet.lots[fact.origin].expired -= fact.expired


def _held(wallet: Wallet, _journal: int, fact: f.PointsHeld) -> None:
    amount = _take(wallet, fact.parts, held=1)
    balance = wallet.moving(fact.unit)
    balance.available -= amount
    balance.held += amount
    wallet.holds[fact.hold] = Hold(fact.hold, fact.unit, fact.amount, "held", fact.parts, fact.saga)


def _captured(wallet: Wallet, _journal: int, fact: f.PointsCaptured) -> None:
    amount = _take(wallet, fact.parts, held=-1, remaining=-1)
    balance = wallet.moving(fact.unit)
    balance.held -= amount
    balance.spent += amount
    wallet.holds[fact.hold].state = "captured"


def _released(wallet: Wallet, _journal: int, fact: f.PointsReleased) -> None:
    amount = _take(wallet, fact.parts, held=-1)
    if fact.parts:
        balance = wallet.moving(fact.unit)
        balance.held -= amount
        balance.available += amount
    hold = wallet.holds.setdefault(fact.hold, Hold(fact.hold, fact.unit, fact.amount, "released", ()))
    hold.state = "released"


def _expired(wallet: Wallet, _journal: int, fact: f.LotsExpired) -> None:
    amount = _take(wallet, fact.parts, remaining=-1)
    for part in fact.parts:
        wallet.lots[part.name].expired += part.amount
    balance = wallet.moving(fact.unit)
    balance.available -= amount
    balance.expired += amount


def _counted(wallet: Wallet, journal: int, fact: QualifyingCounted) -> None:
    posting = wallet.postings.get((fact.partner, fact.activity))
    if posting is not None:
        posting.counted = (*posting.counted, fact)
    _tiers_moved(wallet, journal, fact)


def _tiers_moved(wallet: Wallet, journal: int, fact: AnyTierFact) -> None:
    if wallet.tiers is None:
        wallet.tiers = TierBook()
    wallet.tiers.apply(journal, fact)


def _match_refused(_wallet: Wallet, _journal: int, _fact: f.StatusMatchRefused) -> None:
    """Move nothing: a refusal is kept, that is all."""


_APPLY: dict[type, Callable[[Wallet, int, Any], None]] = {
    f.MemberEnrolled: _enrolled,
    f.ActivityPosted: _posted,
    f.ActivityReturned: _returned,
    f.ActivityRefused: _refused,
    f.HoldRefused: _hold_refused,
    f.PointsGranted: _granted,
    f.DebtPaid: _debt_paid,
    f.PointsClawedBack: _clawed_back,
    f.PointsHeld: _held,
    f.PointsCaptured: _captured,
    f.PointsReleased: _released,
    f.LotsExpired: _expired,
    f.QualifyingCounted: _counted,
    f.QualifyingReturned: _tiers_moved,
    f.TierChanged: _tiers_moved,
    f.TierKept: _tiers_moved,
    f.StatusMatchRefused: _match_refused,
}
