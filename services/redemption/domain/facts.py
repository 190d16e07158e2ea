"""What happened to a saga, its stock and its vouchers, in past tense: the only things that move state.

A decision row keeps its facts as one JSON array, each tagged with its name, so that they can be folded again years
later. Fields are therefore only ever added, with a default. No fact holds a voucher's code.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from services.redemption.domain.bargain import NOTHING, Bargain, Draw
from services.redemption.domain.heard import LotAmount, Money, ResourceTerms, Terms


class Fact(msgspec.Struct, frozen=True, tag_field="fact", omit_defaults=True, kw_only=True):
    """The root of all facts."""


class RewardPublished(Fact, frozen=True, tag=True):
    """A reward is offered under a new version of its terms."""

    reward: str
    version: int
    terms: Terms


class ResourcePublished(Fact, frozen=True, tag=True):
    """Seats or rooms are offered on some days."""

    resource: str
    version: int
    terms: ResourceTerms


class RedemptionRequested(Fact, frozen=True, tag=True):
    """A member asked for a reward; price and terms are those of `reward_version`, whatever is published later."""

    partner: str
    hash: str
    reward: str
    quantity: int
    version: int
    zone: str
    correlation: str = ""
    reward_version: int = 0
    unit: str = ""
    points: int = 0
    bargain: Bargain = NOTHING
    later: bool = False


class RequestRepeated(Fact, frozen=True, tag=True):
    """The same request came again after the saga had ended; its outcome is said again."""


class HeldForLater(Fact, frozen=True, tag=True):
    """Points, stock and price are held until somebody confirms, or the wait is over.

    How long it waits is said here only of what costs no points; else `PointsAsked` has said it.
    """

    lots: tuple[LotAmount, ...] = ()
    waits_until: datetime | None = None
    manual: bool = False


class RedemptionConfirmed(Fact, frozen=True, tag=True):
    """What was held is to be finished; whoever confirmed waits for the outcome from now on."""

    correlation: str = ""


class StockReserved(Fact, frozen=True, tag=True):
    """Pieces were set aside for a saga."""

    reward: str
    quantity: int


class StockReturned(Fact, frozen=True, tag=True):
    """Pieces set aside are on offer again."""

    reward: str
    quantity: int


class StockTaken(Fact, frozen=True, tag=True):
    """Pieces set aside are gone for good."""

    reward: str
    quantity: int


class Drawn(Fact, frozen=True, tag=True):
    """Seats, uses of limits and one-time keys were set aside for a saga."""

    draws: tuple[Draw, ...]


class DrawsReturned(Fact, frozen=True, tag=True):
    """Seats, uses of limits and one-time keys of a saga are free again."""

    draws: tuple[Draw, ...]


class PointsCounted(Fact, frozen=True, tag=True):
    """So many points are held of as many as there might be; `to_pay` is what they leave of the price."""

    points: int
    to_pay: Money | None = None


class StockRestored(Fact, frozen=True, tag=True):
    """Pieces that were gone are on offer again: their redemption was cancelled."""

    reward: str
    quantity: int


class PointsAsked(Fact, frozen=True, tag=True):
    """Points were asked to hold the price; without `waits_until` nothing ends the wait.

    `manual`: the program's own clock ends it, not the wall's.
    """

    waits_until: datetime | None = None
    manual: bool = False


class FulfilmentBegun(Fact, frozen=True, tag=True):
    """The points are held. This is the point of no return."""

    lots: tuple[LotAmount, ...] = ()


class PartnerAsked(Fact, frozen=True, tag=True):
    """The partner that fulfils is to be asked, at this place, until it says what became of it."""

    place: str = ""


class PartnerDelayed(Fact, frozen=True, tag=True):
    """The partner was silent for longer than it may be; it is asked all the same."""


class PartnerDone(Fact, frozen=True, tag=True):
    """The partner has said what became of it, or an operator has decided (`settled`): it is asked no more."""

    reference: str = ""
    settled: bool = False


class PartnerToBeTold(Fact, frozen=True, tag=True):
    """The partner may have fulfilled what is taken back, so it is to be told, until it says that it has heard."""

    place: str
    by: str


class CancellationNoted(Fact, frozen=True, tag=True):
    """Somebody takes it back while a partner is asked: what that says is waited for."""

    by: str
    correlation: str = ""


class VoucherIssued(Fact, frozen=True, tag=True):
    """A voucher was made; `number` counts the vouchers of its redemption from 1.

    One that points became names its `conversion` and when that was due; `turned_to`: in a turn of the program's clock.
    Where its code is a partner's, that is good until `code_ends_at`.
    `share_of`: the voucher of which a return gave back this share.
    """

    voucher: str
    number: int
    suffix: str
    value: Money | None = None
    expires_at: datetime | None = None
    conversion: str = ""
    not_above_basket: bool = False
    issued_at: datetime | None = None
    turned_to: datetime | None = None
    percent: int | None = None
    product: str | None = None
    parts: bool = False
    elsewhere: bool = False
    code_ends_at: datetime | None = None
    share_of: str = ""


class VoucherRedeemed(Fact, frozen=True, tag=True):
    """A voucher was used for a reference of the partner that took it.

    `paid` is what it paid; what facts of before leave out is all that it was worth.
    """

    voucher: str
    reference: str
    partner: str
    at: datetime
    basket: Money | None = None
    paid: Money | None = None


class VoucherUndone(Fact, frozen=True, tag=True):
    """The use of a voucher was undone: it is good again, until its old end.

    `partner` is who asked for that; `used_by`, where that is somebody else, whose use it was.
    """

    voucher: str
    reference: str
    partner: str
    used_by: str = ""


class VoucherGivenBack(Fact, frozen=True, tag=True):
    """A part of what a use paid was given back, up to the position `upto` of its tender.

    `restored` of it can be used again; where a voucher is used whole, another was issued for it instead.
    """

    voucher: str
    reference: str
    partner: str
    upto: int
    restored: int = 0


class VoucherVoided(Fact, frozen=True, tag=True):
    """A voucher is dead."""

    voucher: str
    partner: str


class VoucherExpired(Fact, frozen=True, tag=True):
    """A voucher reached the first moment at which it is no longer good."""

    voucher: str


class VoucherRefused(Fact, frozen=True, tag=True):
    """What was `asked` of a voucher (redeem, void) could not be done."""

    voucher: str
    code: str
    asked: str
    reference: str = ""
    partner: str = ""
    left: int | None = None


class RedemptionFulfilled(Fact, frozen=True, tag=True):
    """The member has the reward, and points were asked for the capture, which cannot be refused."""


class RedemptionRefused(Fact, frozen=True, tag=True):
    """The member does not get the reward."""

    code: str
    detail: str
    facts: dict[str, Any] = {}


class ReleaseAsked(Fact, frozen=True, tag=True):
    """Points were asked to give back whatever they hold, or will hold, for this saga.

    `turned_to` is where the clock was turned to that ended its wait, at `waited_until`.
    """

    reason: str
    turned_to: datetime | None = None
    waited_until: datetime | None = None


class RedemptionCancelled(Fact, frozen=True, tag=True):
    """The redemption is taken back. It is told when points have given back what they had."""

    by: str
    correlation: str = ""


class CancelAsked(Fact, frozen=True, tag=True):
    """Points were asked to undo the capture, which cannot be refused."""

    by: str


class AskRefused(Fact, frozen=True, tag=True):
    """What was `asked` of the redemption (cancel, confirm) could not be done; the redemption stays as it is."""

    asked: str
    code: str
    detail: str
    facts: dict[str, Any] = {}
    correlation: str = ""


class CaptureSeen(Fact, frozen=True, tag=True):
    """Points said that the hold is spent: nothing is open any more."""


class ReleaseSeen(Fact, frozen=True, tag=True):
    """Points said that the hold is given back: nothing is open any more."""


class RestoringSeen(Fact, frozen=True, tag=True):
    """Points said that the capture is undone, and in which lots its points lie: nothing is open any more."""

    lots: tuple[LotAmount, ...] = ()


class CancellationTold(Fact, frozen=True, tag=True):
    """Points have given back what they had, so it is told that the redemption is cancelled."""

    lots: tuple[LotAmount, ...] = ()


class HoldRefusalSeen(Fact, frozen=True, tag=True):
    """Points refused a hold that the saga had no more use for: nothing is open any more."""


DrawFact = Drawn | DrawsReturned
StockFact = StockReserved | StockReturned | StockTaken | StockRestored
VoucherFact = VoucherRedeemed | VoucherUndone | VoucherGivenBack | VoucherVoided | VoucherExpired | VoucherRefused
AnyFact = (
    RewardPublished
    | ResourcePublished
    | RedemptionRequested
    | RequestRepeated
    | HeldForLater
    | PartnerAsked
    | PartnerDelayed
    | PartnerDone
    | PartnerToBeTold
    | CancellationNoted
    | RedemptionConfirmed
    | StockReserved
    | StockReturned
    | StockTaken
    | Drawn
    | DrawsReturned
    | PointsCounted
    | StockRestored
    | PointsAsked
    | FulfilmentBegun
    | VoucherIssued
    | RedemptionFulfilled
    | RedemptionRefused
    | RedemptionCancelled
    | CancelAsked
    | AskRefused
    | ReleaseAsked
    | CaptureSeen
    | ReleaseSeen
    | RestoringSeen
    | CancellationTold
    | HoldRefusalSeen
    | VoucherRedeemed
    | VoucherUndone
    | VoucherGivenBack
    | VoucherVoided
    | VoucherExpired
    | VoucherRefused
)

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(tuple[AnyFact, ...])


def encode_facts(facts: tuple[AnyFact, ...]) -> bytes:
    """Write facts as the JSON that a decision row keeps."""
    return _encoder.encode(facts)


def decode_facts(raw: bytes) -> tuple[AnyFact, ...]:
    """Read what `encode_facts` wrote; raises `msgspec.ValidationError` on anything else."""
    return _decoder.decode(raw)
