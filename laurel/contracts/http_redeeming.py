"""What callers send to the gateway of rewards, resources and redemptions. Names and meanings are the contract's."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from laurel.contracts.activity import Identifier
from laurel.contracts.envelope import Body
from laurel.contracts.fulfilment import Fulfilment
from laurel.contracts.rewards import (
    AmountPrice,
    CashRate,
    ChartRow,
    DayRange,
    Eligibility,
    Money,
    PayTerms,
    Resource,
    Reward,
    RewardLimit,
    Share,
)
from laurel.contracts.vouchers import VoucherTermsBody
from laurel.values import Attributes, Currency, Day, Id, Name, PartnerId, Positive

_FORBID = ConfigDict(extra="forbid")


class MoneyBody(Money):
    """An amount in minor units of a currency, as callers send it."""

    model_config = _FORBID


class DayRangeBody(DayRange):
    """Days in the program's zone, as callers send them."""

    model_config = _FORBID


class ChartRowBody(ChartRow):
    """A row of a chart, as callers send it."""

    model_config = _FORBID


class AmountPriceBody(AmountPrice):
    """A price by amount, as callers send it."""

    model_config = _FORBID


class CashRateBody(CashRate):
    """What points are worth in money, as callers send it."""

    model_config = _FORBID


class PayTermsBody(PayTerms):
    """How a price may be paid, as callers send it."""

    model_config = _FORBID

    rate: CashRateBody | None = None


class EligibilityBody(Eligibility):
    """Who may have a reward, as callers send it."""

    model_config = _FORBID


class RewardLimitBody(RewardLimit):
    """How often somebody may have a reward, as callers send it."""

    model_config = _FORBID


class FulfilmentBody(Fulfilment):
    """Who fulfils a reward, as callers send it."""

    model_config = _FORBID


class PublishReward(Reward):
    """A reward, whose id is in the path and may be repeated in the body."""

    model_config = _FORBID

    chart: Annotated[list[ChartRowBody], Field(max_length=200)] = Field(default_factory=list)  # type: ignore[assignment]
    by_amount: AmountPriceBody | None = None
    seasons: Annotated[dict[Name, list[DayRangeBody]], Field(max_length=20)] = Field(default_factory=dict)  # type: ignore[assignment]
    pay: PayTermsBody | None = None
    value: MoneyBody | None = None
    voucher: VoucherTermsBody | None = None
    fulfilment: FulfilmentBody | None = None
    eligibility: EligibilityBody | None = None
    limits: Annotated[list[RewardLimitBody], Field(max_length=20)] = Field(default_factory=list)  # type: ignore[assignment]
    blackouts: Annotated[list[DayRangeBody], Field(max_length=100)] = Field(default_factory=list)  # type: ignore[assignment]


class ShareBody(Share):
    """Which part of a capacity is for awards, as callers send it."""

    model_config = _FORBID


class PublishResource(Resource):
    """A resource, whose id is in the path and may be repeated in the body."""

    model_config = _FORBID

    share: ShareBody | None = None


class SegmentBody(Body):
    """One resource on one day."""

    resource: Id
    on: Day


class Beneficiary(Body):
    """Who is to have the reward: another member, or somebody by name."""

    member: Id | Identifier | None = None
    name: Name | None = None


class Pay(Body):
    """How the price is to be paid."""

    points: Positive | Literal["all"] | None = None
    cash: MoneyBody | None = None


class RequestRedemption(Body):
    """What a member wants. `on` is the day, or `segments` are the resources and days; `amount` is what it costs."""

    id: Id | None = None
    member: Id | Identifier
    reward: Id
    quantity: Annotated[int, Field(ge=1, le=1000, strict=True)] = 1
    amount: Positive | None = None
    currency: Currency | None = None
    on: Day | None = None
    segments: Annotated[list[SegmentBody], Field(min_length=1, max_length=20)] | None = None
    party: Annotated[int, Field(ge=1, le=1000, strict=True)] = 1
    partner: PartnerId | None = None
    beneficiary: Beneficiary | None = None
    attributes: Attributes = Field(default_factory=dict)
    pay: Pay | None = None
    confirm: Literal["later"] | None = None


class QuoteRedemption(RequestRedemption):
    """What a member wants to know the price of."""
