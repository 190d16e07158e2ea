"""What the redemption service says: outcomes for everybody, and what it asks of points."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from laurel.contracts.envelope import Event, Said, Versions
from laurel.contracts.points import Balance, LotAmount
from laurel.contracts.rewards import Money, Resource, Reward
from laurel.contracts.vouchers import Percent
from laurel.values import (
    Currency,
    Id,
    Instant,
    JsonObject,
    Name,
    NotNegative,
    PartnerId,
    Positive,
    Reference,
    ShortText,
    Text,
    Version,
)

Suffix = Annotated[str, Field(max_length=8, pattern=r"^[A-Za-z0-9]*$")]
"""The last characters of a voucher's code; the code itself is in no event."""


class HoldRequested(Event):
    """Points are to be set aside for a redemption: all of `amount`, or with `least` as many as there are, so many at
    least. `partner` honours them, if by what was said of it up to `versions` it takes part. `waits_until` is when a
    sandbox's clock ends the wait for its confirmation.
    """

    TYPE: ClassVar[str] = "hold.requested.v1"

    hold: Id
    unit: Name
    amount: Positive
    redemption: Id
    least: Positive | None = None
    partner: PartnerId | None = None
    waits_until: Instant | None = None
    versions: Versions = Versions(program=0)


class HoldCaptureRequested(Event):
    """The points held for a redemption are to be spent. This cannot be refused."""

    TYPE: ClassVar[str] = "hold.capture_requested.v1"

    hold: Id
    redemption: Id


class HoldReleaseRequested(Event):
    """The points held for a redemption are to become available again.

    `turned_to` is where the program's clock was turned to that ended its wait, at `waited_until`.
    """

    TYPE: ClassVar[str] = "hold.release_requested.v1"

    hold: Id
    redemption: Id
    reason: Text = ""
    turned_to: Instant | None = None
    waited_until: Instant | None = None


class HoldCancelRequested(Event):
    """The capture for a redemption is to be undone; `by` decides what has ended since. This cannot be refused."""

    TYPE: ClassVar[str] = "hold.cancel_requested.v1"

    hold: Id
    redemption: Id
    by: Literal["member", "provider"]


class ClockGoOnRequested(Event):
    """A turn may go on that has come to `until`: what waited up to there waits no more, and its points are released."""

    TYPE: ClassVar[str] = "clock.go_on_requested.v1"

    as_of: Instant
    until: Instant


class RewardPublished(Event):
    """A reward is offered, or changed."""

    TYPE: ClassVar[str] = "reward.published.v1"

    reward: Id
    document: Reward


class ResourcePublished(Event):
    """Seats or rooms are offered on some days, or another number of them."""

    TYPE: ClassVar[str] = "resource.published.v1"

    resource: Id
    document: Resource


class Price(Said):
    """What a redemption costs in points."""

    unit: Name
    amount: NotNegative


class VoucherMade(Said):
    """A voucher by its id and the end of its code."""

    voucher: Id
    suffix: Suffix
    value: Money | None = None
    expires_at: Instant | None = None
    percent: Percent | None = None
    product: ShortText | None = None


class WalletSeen(Said):
    """The points event that an outcome builds on, so that balances can be shown in the same breath."""

    source: ShortText
    sequence: Version
    balances: list[Balance] = Field(default_factory=list)
    version: Version = 0


class RedemptionEvent(Event):
    """What became of a redemption. `points` of the price are paid in points, `to_pay` is the rest in money.

    `honoured_by` is the partner who gives it; `beneficiary` another member whom it is for.
    """

    redemption: Id
    reward: Id
    price: Price | None = None
    points: NotNegative = 0
    to_pay: Money | None = None
    quantity: NotNegative = 0
    party: NotNegative = 0
    honoured_by: PartnerId | None = None
    beneficiary: Id | None = None
    lots: list[LotAmount] = Field(default_factory=list)
    vouchers: list[VoucherMade] = Field(default_factory=list)
    code: Name | None = None
    detail: Text | None = None
    facts: JsonObject = Field(default_factory=dict)
    wallet: WalletSeen | None = None


class RedemptionHeld(RedemptionEvent):
    """Points, stock and price are held until it is confirmed, or until `expires_at`."""

    TYPE: ClassVar[str] = "redemption.held.v1"

    expires_at: Instant | None = None


class RedemptionFulfilling(RedemptionEvent):
    """A partner is asked to fulfil; `delayed`: it has been silent for longer than it may be."""

    TYPE: ClassVar[str] = "redemption.fulfilling.v1"

    delayed: bool = False


class RedemptionFulfilled(RedemptionEvent):
    """The member has the reward; `reference` is what a partner that fulfilled calls it.

    `request` is the request, if any, that waited while an operator decided.
    """

    TYPE: ClassVar[str] = "redemption.fulfilled.v1"

    reference: ShortText = ""
    request: ShortText = ""


class RedemptionRefused(RedemptionEvent):
    """The member does not get the reward; `code` says why."""

    TYPE: ClassVar[str] = "redemption.refused.v1"


class RedemptionCancelled(RedemptionEvent):
    """A redemption was taken back, and its points are where they came from: `lots`, some of them perhaps new.

    `request` is the request, if any, that waited for another end of it.
    """

    TYPE: ClassVar[str] = "redemption.cancelled.v1"

    by: Literal["member", "provider"] = "member"
    request: ShortText = ""


class RedemptionAskRefused(Event):
    """What was `asked` of a redemption could not be done; it stays as it is."""

    TYPE: ClassVar[str] = "redemption.ask_refused.v1"

    redemption: Id
    asked: Literal["cancel", "confirm"]
    code: Name
    detail: Text | None = None
    facts: JsonObject = Field(default_factory=dict)


class VoucherEvent(Event):
    """An event of a voucher as it stands after it: worth `value` of `currency`, of which so much is `left`, or so many
    `percent` of a basket, or good for a `product`.

    It was made by a redemption, or by a `conversion` of points.
    """

    voucher: Id
    suffix: Suffix
    value: NotNegative | None = None
    currency: Currency | None = None
    expires_at: Instant | None = None
    redemption: Id | None = None
    conversion: Name | None = None
    issued_at: Instant | None = None
    state: Literal["issued", "spent", "expired", "void"] | None = None
    left: NotNegative | None = None
    percent: Percent | None = None
    product: ShortText | None = None
    parts: bool = False
    share_of: Id | None = None
    """The voucher of which a return gave back this share."""


class VoucherIssued(VoucherEvent):
    """A voucher exists."""

    TYPE: ClassVar[str] = "voucher.issued.v1"


class VoucherRedeemed(VoucherEvent):
    """A voucher is used, for the `reference` of the partner that took it; `basket` is what it paid for.

    It paid `amount` of `paid_in`, or the product.
    """

    TYPE: ClassVar[str] = "voucher.redeemed.v1"

    reference: Reference
    partner: PartnerId
    basket: Money | None = None
    amount: NotNegative | None = None
    paid_in: Currency | None = None


class VoucherUndone(VoucherEvent):
    """The use of a voucher was undone: it is good again, until its old end. With an `amount`, that part of the use.

    `used_by`: whose use it was, where that is not the partner who undid it.
    """

    TYPE: ClassVar[str] = "voucher.undone.v1"

    reference: Reference
    partner: PartnerId
    amount: NotNegative | None = None
    used_by: PartnerId | None = None


class VoucherVoided(VoucherEvent):
    """A voucher is dead."""

    TYPE: ClassVar[str] = "voucher.voided.v1"

    partner: PartnerId


class VoucherExpired(VoucherEvent):
    """A voucher reached the first moment at which it is no longer good."""

    TYPE: ClassVar[str] = "voucher.expired.v1"


class VoucherRefused(VoucherEvent):
    """What was `asked` of a voucher could not be done; `code` says why."""

    TYPE: ClassVar[str] = "voucher.refused.v1"

    code: Name
    asked: Literal["redeem", "void"]
    reference: Reference | None = None
    partner: PartnerId
