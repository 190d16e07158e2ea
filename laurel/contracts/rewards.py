"""A reward as the catalogue keeps it, and the resources that awards are seats of."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from laurel.contracts.envelope import Said
from laurel.contracts.fulfilment import Fulfilment
from laurel.contracts.vouchers import VoucherTerms
from laurel.values import (
    NO_NUL_PATTERN,
    Currency,
    Day,
    Id,
    Instant,
    Name,
    NotNegative,
    PartnerId,
    Positive,
    ShortText,
)

RewardKind = Literal[
    "voucher",
    "product",
    "discount",
    "partner_good",
    "award_ticket",
    "upgrade",
    "free_night",
    "account_credit",
    "pay_at_till",
    "donation",
    "entitlement",
]
"""What is given. Only a `voucher` makes vouchers; the others say what the caller is to hand out."""

AttributeKind = Literal["text", "integer", "boolean"]
Condition = Annotated[str, Field(min_length=1, max_length=2000, pattern=NO_NUL_PATTERN)]
CalendarDay = Annotated[str, Field(pattern=r"^([0-9]{4}-)?[0-9]{2}-[0-9]{2}$")]
"""A day of every year, or of one: `12-20` or `2024-12-20`."""
Percent = Annotated[int, Field(ge=0, le=100, strict=True)]
Words = Annotated[list[Name], Field(min_length=1, max_length=50)]


class Money(Said):
    """An amount in minor units of a currency."""

    amount: NotNegative
    currency: Currency


class DayRange(Said):
    """Days in the program's zone, both included. Without a year they come every year and may cross its end."""

    from_: CalendarDay = Field(alias="from")
    until: CalendarDay


class ChartRow(Said):
    """A price for whoever fits all of it: the `zone` that the request names, a season of its day, a tier."""

    zone: Name | None = None
    season: Name | None = None
    tiers: Words | None = None
    where: Condition | None = None
    price: NotNegative


class AmountPrice(Said):
    """What an amount of money costs: `points` for every `per` minor units, rounded up once.

    `amount` is what is meant where a request names none.
    """

    points: Positive
    per: Positive
    currency: Currency
    amount: Positive | None = None


class CashRate(Said):
    """What points are worth when the rest is paid in money: `per` minor units for `points`."""

    points: Positive
    per: Positive
    currency: Currency


class PayTerms(Said):
    """How the price may be paid.

    `cash`: a part may be money, at the `rate` (for a price by amount at its own). `most`: without a wish as much in
    points as price and balance allow. `least`: fewer points are `below_minimum`.
    """

    cash: bool = False
    rate: CashRate | None = None
    most: bool = False
    least: Positive | None = None


class Eligibility(Said):
    """Who may have it: all that is named must fit.

    `member_days`, `member_months` count from the day of enrolment. `where` reads member and request as CEL.
    """

    tiers: Words | None = None
    segments: Words | None = None
    member_days: Positive | None = None
    member_months: Positive | None = None
    where: Condition | None = None


class RewardLimit(Said):
    """How often somebody may have it within a window: how many pieces, which is quantity times party.

    `per` is a window, or an attribute of the request such as `attributes.stay`; `of` counts by member or by person.
    `times` is the number, `by_tier` that of a tier; `each` multiplies it by a number of the request, such as
    `attributes.nights`.
    """

    limit: Name
    per: Name
    of: Literal["member", "person"] = "member"
    times: NotNegative | None = None
    by_tier: Annotated[dict[Name, NotNegative], Field(max_length=50)] = Field(default_factory=dict)
    each: Name | None = None


class Reward(Said):
    """Something that points buy.

    It is `free`, or has a `price`, a `chart` (the first row that fits) or is `by_amount`, times quantity and party.
    Without `stock` there is always one more. `voucher` says what its vouchers are good for; `value` and `valid_days`
    are the short way to say it. A change counts from `effective_from` on, and the reward is to be had from `opens_at`
    until `closes_at`. `segments`: a request names the resources and days; `resource`: it names a day of this one. `key`
    is the attribute of a thing that may be bought with once; unless `key_needed`, a request may leave it out.
    """

    omits_defaults: ClassVar[bool] = True

    reward: Id | None = None
    name: ShortText
    kind: RewardKind
    unit: Name
    price: NotNegative = 0
    free: bool = False
    chart: Annotated[list[ChartRow], Field(max_length=200)] = Field(default_factory=list)
    by_amount: AmountPrice | None = None
    seasons: Annotated[dict[Name, list[DayRange]], Field(max_length=20)] = Field(default_factory=dict)
    pay: PayTerms | None = None
    effective_from: Instant | None = None
    opens_at: Instant | None = None
    closes_at: Instant | None = None
    stock: NotNegative | None = None
    value: Money | None = None
    valid_days: Positive | None = None
    voucher: VoucherTerms | None = None
    fulfilment: Fulfilment | None = None
    attributes: Annotated[dict[Name, AttributeKind], Field(max_length=50)] = Field(default_factory=dict)
    eligibility: Eligibility | None = None
    limits: Annotated[list[RewardLimit], Field(max_length=20)] = Field(default_factory=list)
    key: Name | None = None
    key_needed: bool = True
    quantity_max: Annotated[int, Field(ge=1, le=1000, strict=True)] | None = None
    segments: bool = False
    resource: Id | None = None
    blackouts: Annotated[list[DayRange], Field(max_length=100)] = Field(default_factory=list)
    partner: PartnerId | None = None
    owner_only: bool = False


class Share(Said):
    """Which part of a capacity is for awards: ⌊percent of it⌋, and at least `least`, of `overbook` percent more."""

    percent: Percent = 100
    least: NotNegative = 0
    overbook: Percent = 0


class Resource(Said):
    """Seats or rooms of a day. What was said last of a day counts for it; without days it is said of all."""

    resource: Id | None = None
    capacity: NotNegative
    from_: Day | None = Field(default=None, alias="from")
    until: Day | None = None
    partner: PartnerId | None = None
    share: Share | None = None
