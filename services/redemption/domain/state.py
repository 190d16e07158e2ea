"""Sagas and stock as deciders see them, and the one way in which they move: `State.apply`.

Folding the facts of all decision rows over an empty state gives every saga and every count of stock again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from services.redemption.domain import facts as f
from services.redemption.domain.bargain import NOTHING, Bargain
from services.redemption.domain.facts import AnyFact
from services.redemption.domain.heard import LotAmount, ResourceTerms, Terms
from services.redemption.domain.pools import CodeLot
from services.redemption.domain.vouchers import Voucher, VoucherKey, issued, move

BEGINNING = datetime(1, 1, 1, tzinfo=UTC)
"""The `at` of a saga that nothing has happened to."""


class SagaState(StrEnum):
    """How far a redemption is. Nothing leads out of the last three."""

    REQUESTED = "requested"
    HOLDING = "holding"
    FULFILLING = "fulfilling"
    FULFILLED = "fulfilled"
    REFUSED = "refused"
    CANCELLED = "cancelled"


class HoldState(StrEnum):
    """What the saga knows of its hold in points. What was asked awaits an answer."""

    NONE = "none"
    ASKED = "asked"
    HELD = "held"
    REFUSED = "refused"
    CAPTURE_ASKED = "capture_asked"
    CAPTURED = "captured"
    RELEASE_ASKED = "release_asked"
    RELEASED = "released"
    CANCEL_ASKED = "cancel_asked"
    CANCELLED = "cancelled"


ENDED = frozenset({SagaState.FULFILLED, SagaState.REFUSED, SagaState.CANCELLED})
AWAITED = frozenset({
    HoldState.ASKED, HoldState.HELD, HoldState.CAPTURE_ASKED, HoldState.RELEASE_ASKED, HoldState.CANCEL_ASKED,
})  # fmt: skip


class RewardKey(NamedTuple):
    """Names a reward, and orders the locks on its stock."""

    program: str
    reward: str


class TallyKey(NamedTuple):
    """Names a count of what is in use of seats, a limit or a one-time key, and orders the locks on it."""

    program: str
    name: str


class ResourceKey(NamedTuple):
    """Names a resource."""

    program: str
    resource: str


class SagaKey(NamedTuple):
    """Names a saga, and orders the locks on it."""

    program: str
    member: str
    redemption: str


@dataclass(slots=True)
class Saga:
    """One redemption on its way. `counted` says whether it has pieces of counted stock, set aside or gone.

    `later`: it is finished only when somebody confirms. `manual`: the program's own clock ends its wait. `correlation`
    is the request that waits for its outcome, `cancelling` the one that takes it back, as `cancelled_by` wants.
    """

    key: SagaKey
    state: SagaState = SagaState.REQUESTED
    hold: HoldState = HoldState.NONE
    partner: str = ""
    hash: str = ""
    reward: str = ""
    reward_version: int = 0
    quantity: int = 0
    unit: str = ""
    points: int = 0
    version: int = 0
    zone: str = "UTC"
    correlation: str = ""
    code: str = ""
    counted: bool = False
    waits_until: datetime | None = None
    later: bool = False
    manual: bool = False
    lots: tuple[LotAmount, ...] = ()
    cancelled_by: str = ""
    cancelling: str = ""
    reference: str = ""
    delayed: bool = False
    at: datetime = BEGINNING
    step: int = 0
    outcome_type: str = ""
    outcome: bytes = b""
    bargain: Bargain = NOTHING

    @property
    def ended(self) -> bool:
        """Say whether the member has an answer that will not change by itself."""
        return self.state in ENDED

    @property
    def told(self) -> bool:
        """Say whether its end was told: a cancellation is when points have given back what they had."""
        return self.ended and self.outcome_type == f"redemption.{self.state}.v1"

    @property
    def open(self) -> bool:
        """Say whether anything is still expected: an end, or the last word of points about the hold."""
        return not self.ended or self.hold in AWAITED

    @property
    def reward_key(self) -> RewardKey:
        """Name the reward asked for."""
        return RewardKey(self.key.program, self.reward)


@dataclass(slots=True)
class Stock:
    """The stock of one reward: how many pieces are set aside or gone. What there are in all stands in the terms.

    `version` is the newest version of these, which may count later only, and `total` its number (None: not counted); 0
    says that it was never published.
    """

    key: RewardKey
    version: int = 0
    total: int | None = None
    reserved: int = 0
    taken: int = 0
    lots: dict[datetime, CodeLot] | None = None
    """The codes of its pool by when they end, where its codes are a partner's: they are the stock, all in `total`."""

    def left(self, terms: Terms, now: datetime | None = None) -> int | None:
        """Return how many pieces can still be asked for by terms that count then; None: always one more."""
        if terms.of_pool:
            lots = (self.lots or {}).values()
            return max(0, sum(lot.free for lot in lots if lot.is_good(now)) - self.reserved)
        return None if terms.stock is None else max(0, terms.stock - self.reserved - self.taken)

    def give(self, expires_at: datetime, codes: int) -> None:
        """Take codes of a partner into the pool."""
        assert self.lots is not None
        self.lots.setdefault(expires_at, CodeLot(expires_at)).codes += codes
        self.total = (self.total or 0) + codes


@dataclass(slots=True)
class State:
    """What the messages of one batch concern: sagas and vouchers, the stock they may draw from, the terms they need."""

    sagas: dict[SagaKey, Saga] = field(default_factory=dict)
    stock: dict[RewardKey, Stock] = field(default_factory=dict)
    terms: dict[tuple[RewardKey, int], Terms] = field(default_factory=dict)
    vouchers: dict[VoucherKey, Voucher] = field(default_factory=dict)
    resources: dict[ResourceKey, tuple[ResourceTerms, ...]] = field(default_factory=dict)
    tallies: dict[TallyKey, int] = field(default_factory=dict)

    def in_force(self, key: RewardKey, at: datetime) -> int | None:
        """Return the version of a reward that counts at an instant; None where none does yet (S14)."""
        found = [version for (name, version), terms in self.terms.items() if name == key and _counts(terms, at)]
        return max(found, default=None)

    def resources_of(self, program: str) -> dict[str, tuple[ResourceTerms, ...]]:
        """Return what was said of the resources of a program."""
        return {key.resource: said for key, said in self.resources.items() if key.program == program and said}

    def terms_of(self, saga: Saga) -> Terms:
        """Return the terms that a saga was promised."""
        return self.terms[saga.reward_key, saga.reward_version]

    def apply(self, program: str, key: SagaKey | VoucherKey | None, fact: AnyFact) -> None:
        """Move by one fact. Facts are trusted: a fact that cannot be applied is a defect, not a refusal."""
        if isinstance(key, VoucherKey):
            if isinstance(fact, f.VoucherIssued):
                self.vouchers[key] = issued(key, fact)
            else:
                assert isinstance(fact, f.VoucherFact)
                move(self.vouchers[key], fact)
            return
        if isinstance(fact, f.RewardPublished):
            self._published(RewardKey(program, fact.reward), fact)
            return
        if isinstance(fact, f.ResourcePublished):
            resource = ResourceKey(program, fact.resource)
            self.resources[resource] = (*self.resources.get(resource, ()), fact.terms)
            return
        assert key is not None
        saga = self.sagas.get(key)
        if saga is None:
            saga = self.sagas[key] = Saga(key)
        if isinstance(fact, f.StockFact):
            # Stock facts are made only for rewards that were counted then, so their pieces are counted for ever,
            # even when a later version of the reward no longer counts.
            stock = self.stock.setdefault(saga.reward_key, Stock(saga.reward_key))
            _MOVE[type(fact)](stock, fact.quantity)
        if isinstance(fact, f.VoucherIssued) and fact.code_ends_at is not None:
            lots = self.stock.setdefault(saga.reward_key, Stock(saga.reward_key)).lots
            if lots is not None:  # who folds a saga alone has no stock
                lots[fact.code_ends_at].handed += 1
        if isinstance(fact, f.DrawFact):
            sign = 1 if isinstance(fact, f.Drawn) else -1
            for draw in fact.draws:
                tally = TallyKey(program, draw.name)
                self.tallies[tally] = self.tallies.get(tally, 0) + sign * draw.amount
        _APPLY[type(fact)](saga, fact)

    def _published(self, key: RewardKey, fact: f.RewardPublished) -> None:
        stock = self.stock.setdefault(key, Stock(key))
        stock.version = fact.version
        stock.total = fact.terms.stock
        terms = fact.terms.vouchers
        if terms is not None and terms.of_pool:
            stock.lots = {} if stock.lots is None else stock.lots
            stock.total = sum(lot.codes for lot in stock.lots.values())
        self.terms[key, fact.version] = fact.terms


def _counts(terms: Terms, at: datetime) -> bool:
    return terms.effective_from is None or terms.effective_from <= at


def _requested(saga: Saga, fact: f.RedemptionRequested) -> None:
    saga.state, saga.hold, saga.code = SagaState.REQUESTED, HoldState.NONE, ""
    saga.partner, saga.hash, saga.correlation = fact.partner, fact.hash, fact.correlation
    saga.reward, saga.reward_version, saga.quantity = fact.reward, fact.reward_version, fact.quantity
    saga.unit, saga.points, saga.version, saga.zone = fact.unit, fact.points, fact.version, fact.zone
    saga.outcome_type, saga.outcome = "", b""
    saga.bargain = fact.bargain
    saga.later = fact.later


def _stays(_saga: Saga, _fact: AnyFact) -> None:
    """Move nothing: the fact is kept, that is all."""


def _reserved(saga: Saga, _fact: f.StockReserved) -> None:
    saga.counted = True


def _returned(saga: Saga, _fact: f.StockReturned | f.StockRestored) -> None:
    saga.counted = False


def _drawn(saga: Saga, fact: f.Drawn) -> None:
    saga.bargain = msgspec.structs.replace(saga.bargain, drawn=fact.draws)


def _draws_returned(saga: Saga, _fact: f.DrawsReturned) -> None:
    saga.bargain = msgspec.structs.replace(saga.bargain, drawn=())


def _counted(saga: Saga, fact: f.PointsCounted) -> None:
    saga.points = fact.points
    saga.bargain = msgspec.structs.replace(saga.bargain, to_pay=fact.to_pay)


def _points_asked(saga: Saga, fact: f.PointsAsked) -> None:
    saga.state, saga.hold, saga.waits_until = SagaState.HOLDING, HoldState.ASKED, fact.waits_until
    saga.manual = fact.manual


def _if_points(saga: Saga, hold: HoldState) -> HoldState:
    """What costs no points holds none."""
    return hold if saga.points else HoldState.NONE


def _held(saga: Saga, fact: f.HeldForLater) -> None:
    saga.state, saga.hold, saga.lots = SagaState.HOLDING, _if_points(saga, HoldState.HELD), fact.lots
    if not saga.points:
        saga.waits_until, saga.manual = fact.waits_until, fact.manual


def _confirmed(saga: Saga, fact: f.RedemptionConfirmed) -> None:
    saga.correlation = fact.correlation or saga.correlation


def _begun(saga: Saga, fact: f.FulfilmentBegun) -> None:
    saga.state, saga.hold, saga.waits_until = SagaState.FULFILLING, _if_points(saga, HoldState.HELD), None
    saga.lots = fact.lots


def _fulfilled(saga: Saga, _fact: f.RedemptionFulfilled) -> None:
    saga.cancelled_by = saga.cancelling = ""
    saga.state, saga.hold = SagaState.FULFILLED, _if_points(saga, HoldState.CAPTURE_ASKED)


def _partner_delayed(saga: Saga, _fact: f.PartnerDelayed) -> None:
    saga.delayed = True


def _partner_done(saga: Saga, fact: f.PartnerDone) -> None:
    saga.delayed, saga.reference = False, fact.reference


def _cancellation_noted(saga: Saga, fact: f.CancellationNoted) -> None:
    saga.cancelled_by, saga.cancelling = fact.by, fact.correlation


def _refused(saga: Saga, fact: f.RedemptionRefused) -> None:
    saga.state, saga.code, saga.waits_until = SagaState.REFUSED, fact.code, None
    saga.cancelled_by = saga.cancelling = ""


def _cancelled(saga: Saga, fact: f.RedemptionCancelled) -> None:
    saga.state, saga.waits_until = SagaState.CANCELLED, None
    saga.cancelled_by, saga.cancelling = fact.by, fact.correlation


def _cancel_asked(saga: Saga, _fact: f.CancelAsked) -> None:
    saga.hold = HoldState.CANCEL_ASKED


def _restoring_seen(saga: Saga, fact: f.RestoringSeen) -> None:
    saga.hold, saga.lots = HoldState.CANCELLED, fact.lots


def _release_asked(saga: Saga, _fact: f.ReleaseAsked) -> None:
    saga.hold = HoldState.RELEASE_ASKED


def _capture_seen(saga: Saga, _fact: f.CaptureSeen) -> None:
    saga.hold = HoldState.CAPTURED


def _release_seen(saga: Saga, _fact: f.ReleaseSeen) -> None:
    saga.hold = HoldState.RELEASED


def _refusal_seen(saga: Saga, _fact: f.HoldRefusalSeen) -> None:
    saga.hold = HoldState.REFUSED


def _set_aside(stock: Stock, quantity: int) -> None:
    stock.reserved += quantity


def _give_back(stock: Stock, quantity: int) -> None:
    stock.reserved -= quantity


def _take(stock: Stock, quantity: int) -> None:
    stock.reserved -= quantity
    stock.taken += quantity


def _restore(stock: Stock, quantity: int) -> None:
    stock.taken -= quantity


_MOVE: dict[type, Callable[[Stock, int], None]] = {
    f.StockReserved: _set_aside,
    f.StockReturned: _give_back,
    f.StockTaken: _take,
    f.StockRestored: _restore,
}

_APPLY: dict[type, Callable[[Saga, Any], None]] = {
    f.RedemptionRequested: _requested,
    f.RequestRepeated: _stays,
    f.StockReserved: _reserved,
    f.StockReturned: _returned,
    f.StockTaken: _stays,
    f.Drawn: _drawn,
    f.DrawsReturned: _draws_returned,
    f.PointsCounted: _counted,
    f.StockRestored: _returned,
    f.HeldForLater: _held,
    f.PartnerAsked: _stays,
    f.PartnerToBeTold: _stays,
    f.PartnerDelayed: _partner_delayed,
    f.PartnerDone: _partner_done,
    f.CancellationNoted: _cancellation_noted,
    f.RedemptionConfirmed: _confirmed,
    f.RedemptionCancelled: _cancelled,
    f.CancelAsked: _cancel_asked,
    f.AskRefused: _stays,
    f.RestoringSeen: _restoring_seen,
    f.CancellationTold: _stays,
    f.PointsAsked: _points_asked,
    f.FulfilmentBegun: _begun,
    f.VoucherIssued: _stays,
    f.RedemptionFulfilled: _fulfilled,
    f.RedemptionRefused: _refused,
    f.ReleaseAsked: _release_asked,
    f.CaptureSeen: _capture_seen,
    f.ReleaseSeen: _release_seen,
    f.HoldRefusalSeen: _refusal_seen,
}
