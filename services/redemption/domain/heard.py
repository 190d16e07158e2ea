"""What redemption hears: requests of callers, answers of points, and its own timer.

Only the fields that decisions need are read; the checks of the contract were made by whoever spoke.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

import msgspec
from msgspec import Meta


class Versions(msgspec.Struct, frozen=True):
    """The newest versions that the gateway had published when it accepted the request."""

    program: int = 0
    partners: int = 0
    as_of: datetime | None = None
    """The program's now, on a manual clock that was set."""


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """The root of all that is heard; `at` was stamped once by the entry that accepted it."""

    program: str
    at: Annotated[datetime, Meta(tz=True)]
    member: str | None = None


class Money(msgspec.Struct, frozen=True):
    """An amount in minor units of a currency."""

    amount: int
    currency: str


class DayRange(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """Days in the program's zone, both included; without a year they come every year."""

    from_: str
    until: str


class ChartRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """A price for whoever fits all that it names."""

    price: int
    zone: str | None = None
    season: str | None = None
    tiers: tuple[str, ...] | None = None
    where: str | None = None


class Rate(msgspec.Struct, frozen=True, omit_defaults=True):
    """`points` for every `per` minor units of a currency; `amount` is what is meant where a request names none."""

    points: int
    per: int
    currency: str
    amount: int | None = None


class PayTerms(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a price may be paid."""

    cash: bool = False
    rate: Rate | None = None
    most: bool = False
    least: int | None = None


class Eligibility(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who may have a reward."""

    tiers: tuple[str, ...] | None = None
    segments: tuple[str, ...] | None = None
    member_days: int | None = None
    member_months: int | None = None
    where: str | None = None


class Limit(msgspec.Struct, frozen=True, omit_defaults=True):
    """How often somebody may have a reward within a window."""

    limit: str
    per: str
    of: str = "member"
    times: int | None = None
    by_tier: dict[str, int] = {}
    each: str | None = None


class VoucherTerms(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a voucher is good for: a `value`, so many `percent` of a basket, or a `product`.

    Without `valid_days` it lasts.
    With `codes: pool` its code is one that a partner gave us, used at the partner unless it is `used_here`.
    """

    value: Money | None = None
    percent: int | None = None
    product: str | None = None
    parts: bool = False
    not_above_basket: bool = False
    valid_days: int | None = None
    codes: str | None = None
    used_here: bool | None = None

    @property
    def of_pool(self) -> bool:
        """Say whether its codes are a partner's."""
        return self.codes == "pool"

    @property
    def elsewhere(self) -> bool:
        """Say whether it is used at its partner, not here."""
        return self.of_pool and not self.used_here


class Fulfilment(msgspec.Struct, frozen=True, omit_defaults=True):
    """The partner that fulfils: where it is asked, how long for one answer, how long before it counts as silent."""

    url: str
    timeout_seconds: int = 10
    deadline_seconds: int = 3600


class Terms(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a reward is and costs. Without `stock` there is always one more.

    `voucher` says what its vouchers are good for; `value` and `valid_days` are the short way to say it.
    """

    name: str
    kind: str
    unit: str
    price: int = 0
    free: bool = False
    chart: tuple[ChartRow, ...] = ()
    by_amount: Rate | None = None
    seasons: dict[str, tuple[DayRange, ...]] = {}
    pay: PayTerms | None = None
    effective_from: datetime | None = None
    opens_at: datetime | None = None
    closes_at: datetime | None = None
    stock: int | None = None
    value: Money | None = None
    valid_days: int | None = None
    attributes: dict[str, str] = {}
    eligibility: Eligibility | None = None
    limits: tuple[Limit, ...] = ()
    key: str | None = None
    key_needed: bool = True
    quantity_max: int | None = None
    segments: bool = False
    resource: str | None = None
    blackouts: tuple[DayRange, ...] = ()
    partner: str | None = None
    owner_only: bool = False
    voucher: VoucherTerms | None = None
    fulfilment: Fulfilment | None = None

    @property
    def vouchers(self) -> VoucherTerms | None:
        """Say what its vouchers are good for; nothing where it makes none."""
        if self.voucher is not None or self.kind != "voucher":
            return self.voucher
        return VoucherTerms(value=self.value, valid_days=self.valid_days)

    @property
    def of_pool(self) -> bool:
        """Say whether what is left of it are codes of a partner."""
        return self.vouchers is not None and self.vouchers.of_pool

    @property
    def counted(self) -> bool:
        """Say whether there are only so many pieces of it."""
        return self.of_pool or self.stock is not None


class Share(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which part of a capacity is for awards."""

    percent: int = 100
    least: int = 0
    overbook: int = 0


class ResourceTerms(msgspec.Struct, frozen=True, omit_defaults=True, rename={"from_": "from"}):
    """Seats or rooms of some days, or of all."""

    capacity: int
    from_: date | None = None
    until: date | None = None
    partner: str | None = None
    share: Share | None = None


class PublishResource(Heard, frozen=True, kw_only=True):
    """Offer seats or rooms on some days, or another number of them."""

    resource: str
    document: ResourceTerms


class PublishReward(Heard, frozen=True, kw_only=True):
    """Offer a reward, or change it."""

    reward: str
    document: Terms


class Segment(msgspec.Struct, frozen=True):
    """One resource on one day."""

    resource: str
    on: date


class Pay(msgspec.Struct, frozen=True):
    """How a price is to be paid."""

    points: int | None = None
    all_points: bool = False
    cash: Money | None = None


class Stands(msgspec.Struct, frozen=True):
    """Who the member was when the request was accepted."""

    enrolled_at: datetime | None = None
    person: str | None = None
    tier: str | None = None
    segments: tuple[str, ...] = ()
    attributes: dict[str, str | int | bool] = {}
    active: bool = True


class Redeem(Heard, frozen=True, kw_only=True):
    """Get a reward for points. `hash` tells a repeat from another request under the same id."""

    redemption: str
    partner: str
    hash: str
    reward: str
    versions: Versions
    quantity: int = 1
    amount: int | None = None
    currency: str | None = None
    on: date | None = None
    segments: tuple[Segment, ...] = ()
    party: int = 1
    beneficiary: str | None = None
    for_other: bool = False
    attributes: dict[str, str | int | bool] = {}
    pay: Pay | None = None
    stands: Stands | None = None
    later: bool = False

    @property
    def pieces(self) -> int:
        """Return how many pieces are asked for: so many for each person."""
        return self.quantity * self.party


class AskOfRedemption(Heard, frozen=True, kw_only=True):
    """The root of what is asked of a redemption that was asked for before."""

    redemption: str
    versions: Versions = Versions()
    settles: bool = False
    """An operator decides, for a partner that is silent."""


class CancelRedemption(AskOfRedemption, frozen=True, kw_only=True):
    """Take a redemption back; `by` whose choice or fault."""

    by: str


class ConfirmRedemption(AskOfRedemption, frozen=True, kw_only=True):
    """Finish a redemption whose points, stock and price are held."""


class LotAmount(msgspec.Struct, frozen=True):
    """A part of a lot that pays."""

    lot: str
    amount: int


class HoldAnswer(Heard, frozen=True, kw_only=True):
    """The root of what points says about a hold; the hold of a redemption bears its id.

    `balances` and `version` are the wallet's after it, passed on as they came.
    """

    hold: str
    balances: msgspec.Raw = msgspec.Raw(b"[]")
    version: int = 0


class PointsHeld(HoldAnswer, frozen=True, kw_only=True):
    """The points are set aside."""

    unit: str
    amount: int
    lots: tuple[LotAmount, ...] = ()


class HoldRefused(HoldAnswer, frozen=True, kw_only=True):
    """The points could not be set aside."""

    unit: str
    amount: int
    code: str
    available: int = 0
    shortfall: int = 0


class PointsCaptured(HoldAnswer, frozen=True, kw_only=True):
    """The points are spent."""


class PointsReleased(HoldAnswer, frozen=True, kw_only=True):
    """The points are available again."""


class PointsRestored(HoldAnswer, frozen=True, kw_only=True):
    """The points of a capture that was cancelled are back; `lots` are where they lie.

    `by_return`: what they paid for came back, whole or in part; `left` of the capture still stand.
    """

    by: str = "provider"
    lots: tuple[LotAmount, ...] = ()
    by_return: str | None = None
    left: int = 0


class PartnerAnswered(Heard, frozen=True, kw_only=True):
    """Our own caller: the partner that fulfils has said, signed, what became of it. `codes` are kept by the store."""

    redemption: str
    fulfilled: bool
    reference: str = ""
    code: str = ""
    codes: tuple[str, ...] = ()


class PartnerSilent(Heard, frozen=True, kw_only=True):
    """Our own caller: the partner has not said in time what became of it."""

    redemption: str


class TimeIsUp(Heard, frozen=True, kw_only=True):
    """Our own timer: a saga may have waited long enough; `turned_to` is where its program's clock was turned to."""

    redemption: str
    turned_to: datetime | None = None


class PointsConverted(Heard, frozen=True, kw_only=True):
    """Points became a voucher, which is to be issued."""

    conversion: str
    voucher: str
    value: int
    currency: str
    due_at: datetime
    expires_at: datetime | None = None
    not_above_basket: bool = False
    turned_to: datetime | None = None


class AskOfVoucher(Heard, frozen=True, kw_only=True):
    """The root of what is asked of a voucher, by its id."""

    voucher: str
    partner: str
    versions: Versions = Versions()


class UseVoucher(AskOfVoucher, frozen=True, kw_only=True):
    """Use a voucher, or a part worth `amount`. `basket` is what is being bought."""

    reference: str
    basket: Money | None = None
    amount: int | None = None


class VoidVoucher(AskOfVoucher, frozen=True, kw_only=True):
    """Undo the use for a reference, `anybodys` where an operator asks; without a reference kill the voucher."""

    reference: str | None = None
    anybodys: bool = False


class TenderBack(msgspec.Struct, frozen=True):
    """What a return gives back of a tender: of its `amount`, what lies between two positions."""

    kind: str
    ref: str
    amount: int
    before: int
    after: int


class PointsClawedBack(Heard, frozen=True, kw_only=True):
    """An activity was returned; some of its tenders may have been vouchers, whoever's they were."""

    activity: str
    of: str
    partner: str
    tenders: tuple[TenderBack, ...] = ()


class UseReturned(Heard, frozen=True, kw_only=True):
    """What a voucher paid for came back, or a part of it. `activity` is the return, `member` whose voucher it is."""

    voucher: str
    partner: str
    reference: str
    activity: str
    amount: int
    before: int
    after: int


class ShareReturned(UseReturned, frozen=True, kw_only=True):
    """The same, looked at for the `share`: the voucher that may have to be issued for a part."""

    share: str


class VoucherEnds(Heard, frozen=True, kw_only=True):
    """Our own timer, or a program's clock: a voucher's time may be over."""

    voucher: str


class EndWaits(Heard, frozen=True, kw_only=True):
    """Points have come to `until`, on the way to `as_of`, and rest until the waits up to there have ended."""

    as_of: Annotated[datetime, Meta(tz=True)]
    until: Annotated[datetime, Meta(tz=True)]


class ClockTurned(Heard, frozen=True, kw_only=True):
    """Points have done what was due in a program up to `as_of`; so many conversions were among it."""

    as_of: Annotated[datetime, Meta(tz=True)]
    converted: int = 0
