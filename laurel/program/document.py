"""A program as its author writes it: units, how long they last, and what earns them.

Every class is frozen and refuses keys it does not know, with a pointer, so a misspelt key is never silently ignored.
What is here is what the platform does; docs/programs.md shows where later parts will fit.
"""

from typing import Annotated, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    Tag,
    WithJsonSchema,
)

from laurel.program.rationals import Rational
from laurel.program.scopes import Kind
from laurel.rounding import Mode
from laurel.values import Currency, Day, Id, Instant, NotNegative, PartnerId, Positive, ProgramId, Scalar, ShortText
from laurel.values import Name as Word

WORD_PATTERN: Final = r"^[a-z][a-z0-9_-]{0,63}$"
NAME_PATTERN: Final = r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"
ATTRIBUTE_PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"
AMOUNT_PATTERN: Final = r"^(amount|attributes\.[A-Za-z_][A-Za-z0-9_]{0,63})$"
TIME_OF_DAY_PATTERN: Final = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
PRICE_PATTERN: Final = r"^[0-9]{1,9}(\.[0-9]{1,9})?$"
_NO_OTHER_KEYS: Final[dict[str, JsonValue]] = {"additionalProperties": False}

ActivityType = Annotated[str, Field(pattern=WORD_PATTERN)]
RuleId = Annotated[str, Field(pattern=NAME_PATTERN)]
UnitName = Annotated[str, Field(pattern=NAME_PATTERN)]
AttributeName = Annotated[str, Field(pattern=ATTRIBUTE_PATTERN)]
DeclaredAttributes = Annotated[dict[AttributeName, Kind], Field(max_length=100, json_schema_extra=_NO_OTHER_KEYS)]
ConditionText = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(strict=True, ge=1, le=1_200)]
TierName = Annotated[str, Field(pattern=WORD_PATTERN)]
CounterName = Annotated[str, Field(pattern=NAME_PATTERN)]
AmountName = Annotated[str, Field(pattern=AMOUNT_PATTERN)]
GiftWindow = Literal["day", "month", "quarter", "calendar_year", "account_year", "lifetime"]
PayerPolicy = Literal["traveller_keeps", "return_to_payer"]
Role = Literal["referrer", "payer", "employer", "agent"]
TimeOfDay = Annotated[str, Field(pattern=TIME_OF_DAY_PATTERN)]


def _several(value: object) -> object:
    """Read one name as a list of one."""
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _one_or_several(pattern: str) -> WithJsonSchema:
    one: dict[str, JsonValue] = {"type": "string", "pattern": pattern}
    return WithJsonSchema({"anyOf": [one, {"type": "array", "items": one, "minItems": 1, "maxItems": 16}]})


AmountNames = Annotated[
    tuple[AmountName, ...],
    Field(min_length=1, max_length=16),
    BeforeValidator(_several),
    _one_or_several(AMOUNT_PATTERN),
]
"""One amount of an activity, or several that are added up."""
RuleIds = Annotated[
    tuple[RuleId, ...], Field(min_length=1, max_length=16), BeforeValidator(_several), _one_or_several(NAME_PATTERN)
]
"""One rule or several."""


def _share_kind(value: object) -> str:
    return "table" if isinstance(value, dict) else "one"


ByTier = Annotated[dict[TierName, Rational], Field(min_length=1, max_length=32, json_schema_extra=_NO_OTHER_KEYS)]
Share = Annotated[Annotated[Rational, Tag("one")] | Annotated[ByTier, Tag("table")], Discriminator(_share_kind)]
"""One fraction, or one for each tier."""


class Part(BaseModel):
    """Any part of a program document."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, ser_json_inf_nan="strings")


class NeverExpires(Part):
    """Points that do not expire."""

    kind: Literal["never"]


class Rolling(Part):
    """Good for some years, months or days from the day of the activity, to the local midnight that ends them."""

    kind: Literal["rolling"]
    years: Count | None = None
    months: Count | None = None
    days: Annotated[int, Field(strict=True, ge=1, le=40_000)] | None = None


class EndOfPeriod(Part):
    """Good to the last day of the calendar period that lies `after` periods behind that of the activity.

    A flight of 2021 under `{period: year, after: 3}` is good through 31 December 2024.
    """

    kind: Literal["end_of_period"]
    period: Literal["month", "quarter", "year"]
    after: Annotated[int, Field(strict=True, ge=0, le=1_200)]


class Inactivity(Part):
    """All points of a member expire together when none of these activities happened for some months."""

    kind: Literal["inactivity"]
    months: Count
    kept_by: Annotated[tuple[ActivityType, ...], Field(min_length=1)]


Validity = Annotated[NeverExpires | Rolling | EndOfPeriod | Inactivity, Field(discriminator="kind")]
LotValidity = Annotated[NeverExpires | Rolling | EndOfPeriod, Field(discriminator="kind")]


class UnitValue(Part):
    """What a point is set aside for: a decimal in minor units for its smallest part, such as "2" or "0.5"."""

    per_point: Annotated[str, Field(pattern=PRICE_PATTERN)]
    currency: Currency | None = None


class Unit(Part):
    """A kind of points. `scale` says how many decimals it is shown with; every amount counts its smallest part.

    `breakage` is the percentage of what is outstanding that nobody is expected to redeem; for the rest its `value` is
    set aside.

    A unit that `counts_only` is no points: it counts towards a tier, is never awarded and has no balance, so it has
    no validity either.
    """

    scale: Annotated[int, Field(strict=True, ge=0, le=6)]
    validity: Validity | None = None
    counts_only: bool = False
    value: UnitValue | None = None
    breakage: Annotated[int, Field(strict=True, ge=0, le=100)] = 0


class Rate(Part):
    """So many points per so much of an amount, both in their smallest parts, as an exact fraction.

    `of` names another number than the activity's amount, such as `attributes.miles`, or several that are added up.
    `least` is what the number counts as where it is above zero and below that. `by: tier` makes `points` a table.
    """

    points: Share
    per: Positive
    of: AmountNames = ("amount",)
    least: Positive | None = None
    by: Literal["tier"] | None = None


class Multiplier(Part):
    """Extra points as a share of what earlier rules computed together. Exactly one of `percent` and `fraction`.

    `by: tier` makes the share a table by the member's tier; `by: tenure` gives it for each complete calendar year
    above the first tier, at most `most` percent.
    """

    of: RuleIds
    percent: Share | None = None
    fraction: Share | None = None
    by: Literal["tier", "tenure"] | None = None
    most: Rational | None = None


class Fixed(Part):
    """A number of points once per activity, per matching line, or per piece on the matching lines."""

    points: Positive
    per: Literal["activity", "line", "quantity"] = "activity"


class Funding(Part):
    """Who pays for the points, and how much for one: a decimal in minor units, such as "1.5".

    Without a price the points are the funder's own and are not billed.
    """

    funder: PartnerId
    price: Annotated[str, Field(pattern=PRICE_PATTERN)] | None = None
    currency: Currency | None = None


class RuleCaps(Part):
    """How much one rule may grant for one activity."""

    per_transaction: Positive


class Limit(Part):
    """How many times a member may earn by a rule within a window. A late night counts where it started.

    `by: person` counts all members of one person together; a member without a person counts alone.

    With `counts: activities` every activity of the rule's types counts, whether it earned by it or not: the rule earns
    on the first of them alone.
    """

    times: Annotated[int, Field(strict=True, ge=1, le=10_000)] = 1
    counts: Literal["earned", "activities"] = "earned"
    per: Literal["day_part", "day", "month", "quarter", "year", "lifetime"]
    by: Literal["member", "person"] = "member"


class Budget(Part):
    """How much a rule may grant to all members together, ever. What a return takes back is not given back.

    Exactly one of `points` and `amount`: so many points, or as many as the funder pays with so much money, in minor
    units of the currency of its price.
    """

    points: Positive | None = None
    amount: Positive | None = None


class Threshold(Part):
    """How much rules must have given a member within a window before this one earns, once in it.

    `of` are earlier rules of one unit: what they granted, or counted, is added up, what comes back is taken off.
    """

    of: RuleIds
    reaches: Positive
    window: Literal["day", "month", "quarter", "calendar_year", "account_year", "lifetime"]


class TakenBack(Part):
    """What a rule gave is taken back where such an activity names it with `of`, fewer than so many days later."""

    on: Annotated[tuple[ActivityType, ...], Field(min_length=1, max_length=16)]
    within_days: Annotated[int, Field(strict=True, ge=1, le=4_000)]


class Pending(Part):
    """Until when points do not count: so many days, until an activity of a type, or until somebody approves.

    Exactly one of them. Days end at the local midnight so many days after the day of the activity.
    """

    days: Annotated[int, Field(strict=True, ge=1, le=4_000)] | None = None
    until_event: ActivityType | None = None
    approval: Literal[True] | None = None


class Rule(Part):
    """One component of what an activity earns. Exactly one of `rate`, `multiplier` and `fixed` says how much.

    `where` asks the activity and the member, `lines` picks lines; both are CEL. A multiplier takes no `lines`:
    its base has them. A rule with `starts_at` or `ends_at` earns on what happened from the one and before the other.
    `group` names rules that exclude each other, `priority` who of them comes first: the highest, then the order here.
    `segments` are those of which a member must belong to one. `funding` is needed, but for a unit that only counts.
    `to` names another than the member who gets the points, `given` one without whom the rule does not earn; `to` is
    `given` as well.
    """

    rule: RuleId
    on: Annotated[tuple[ActivityType, ...], Field(min_length=1)]
    unit: UnitName
    where: ConditionText | None = None
    lines: ConditionText | None = None
    rate: Rate | None = None
    multiplier: Multiplier | None = None
    fixed: Fixed | None = None
    rounding: Mode = "down"
    paid_by_points_and_vouchers: Literal["excluded", "earns"] = "excluded"
    funding: Funding | None = None
    validity: LotValidity | None = None
    starts_at: Instant | None = None
    ends_at: Instant | None = None
    caps: RuleCaps | None = None
    limit: Limit | None = None
    threshold: Threshold | None = None
    budget: Budget | None = None
    pending: Pending | None = None
    to: Role | None = None
    given: Role | None = None
    group: RuleId | None = None
    priority: Annotated[int, Field(strict=True, ge=-1_000, le=1_000)] = 0
    segments: Annotated[tuple[RuleId, ...], Field(max_length=16)] = ()
    taken_back: TakenBack | None = None


class Group(Part):
    """How the rules of a group stack: all of them earn, the one that earns most, or the first that earns anything."""

    stack: Literal["all", "best", "first"]


class DayPart(Part):
    """A part of the day in the local time of the store, both minutes included; it may cross midnight.

    A part that crosses midnight belongs to the day on which it starts.
    """

    from_: Annotated[TimeOfDay, Field(alias="from")]
    to: TimeOfDay


class Store(Part):
    """What the program knows of a store. Without a time zone it is that of the program."""

    type: Word | None = None
    time_zone: Annotated[str, Field(min_length=1, max_length=64)] | None = None


class Cap(Part):
    """How much may be granted of a unit in a window, or may be outstanding at all.

    Caps of one name are one cap: the first of them whose `where` holds for the member, and in whose dates the window
    starts, says the limit. `rules` are those whose grants count; without it, all of the unit.
    """

    cap: RuleId
    unit: UnitName
    of: Literal["granted", "outstanding"] = "granted"
    window: Literal["transaction", "month", "quarter", "calendar_year", "account_year", "lifetime"] | None = None
    limit: NotNegative
    rules: RuleIds | None = None
    where: ConditionText | None = None
    windows_from: Day | None = None
    windows_until: Day | None = None


class AccountYear(Part):
    """To the end of the first full account year after the day: from one anniversary of enrolment to the next."""

    kind: Literal["account_year"]


Lasts = Annotated[EndOfPeriod | AccountYear, Field(discriminator="kind")]


class Counter(Part):
    """What a tier asks for: a unit that only counts, over a window.

    A `rolling` window is the last months or days to the day. `counts: months` counts the different months in which
    there was anything. `since_tier` counts only what came after the present tier was reached.
    """

    unit: UnitName
    window: Literal["calendar_year", "account_year", "rolling", "lifetime"]
    months: Count | None = None
    days: Annotated[int, Field(strict=True, ge=1, le=40_000)] | None = None
    counts: Literal["amount", "months"] = "amount"
    since_tier: bool = False


class Bounds(Part):
    """What a counter must show at a review: at least, at most, or both."""

    least: NotNegative | None = None
    most: NotNegative | None = None


class Benefit(Part):
    """What a tier brings with it, in the program's own words."""

    name: Annotated[ShortText, Field(min_length=1)]
    value: Scalar | None = None


class Level(Part):
    """One tier. `needs` are reached together; `keeps` is what a review asks for instead of them."""

    tier: TierName
    needs: Annotated[dict[CounterName, Positive], Field(max_length=16, json_schema_extra=_NO_OTHER_KEYS)] = {}
    keeps: Annotated[dict[CounterName, Bounds], Field(max_length=16, json_schema_extra=_NO_OTHER_KEYS)] = {}
    lasts: Lasts | None = None
    benefits: Annotated[tuple[Benefit, ...], Field(max_length=50)] = ()


class Challenge(Part):
    """What keeps a matched tier: a share of what the tier needs of a counter, counted while the match lasts."""

    counter: CounterName
    percent: Rational


class Match(Part):
    """A rival's tier is matched at once, for some days, on a proof that is not too old, once in some years."""

    proof_months: Count
    lasts_days: Annotated[int, Field(strict=True, ge=1, le=4_000)]
    challenge: Challenge
    again_after_years: Annotated[int, Field(strict=True, ge=1, le=100)]


class Tiers(Part):
    """What a member can be, from the tier that everybody has to the highest, and how one rises and falls.

    One rises at once, by `any` number of levels or `one_step` at a time. A tier that `lasts` is reviewed at its end,
    by at most `steps_down` levels; `falls: month_end` reviews at the end of each month instead. `judged_at` names the
    instant whose tier an activity earns by.
    """

    counters: Annotated[
        dict[CounterName, Counter], Field(min_length=1, max_length=32, json_schema_extra=_NO_OTHER_KEYS)
    ]
    levels: Annotated[tuple[Level, ...], Field(min_length=2, max_length=32)]
    climbs: Literal["any", "one_step"] = "any"
    lasts: Lasts | None = None
    falls: Literal["at_end", "month_end"] = "at_end"
    steps_down: Annotated[int, Field(strict=True, ge=1, le=32)] | None = None
    judged_at: Annotated[str, Field(pattern=r"^(occurred_at|attributes\.[A-Za-z_][A-Za-z0-9_]{0,63})$")] = "occurred_at"
    match: Match | None = None


class ConversionDays(Part):
    """The days on which a conversion is due, each at its local midnight: one day in each of the months."""

    months: Annotated[tuple[Annotated[int, Field(strict=True, ge=1, le=12)], ...], Field(min_length=1, max_length=12)]
    day: Annotated[int, Field(strict=True, ge=1, le=28)]


class Worth(Part):
    """What each step of points becomes, in minor units of a currency."""

    amount: Positive
    currency: Currency


class VoucherTerms(Part):
    """The voucher that a conversion makes: worth so much for each step, used once, good from the day it is due.

    One that is `not_above_basket` pays only for baskets that cost at least as much: it gives no change.
    """

    per_step: Worth
    validity: LotValidity
    not_above_basket: bool = False


class Conversion(Part):
    """Points that become vouchers at certain dates: from so many on, in whole steps; the rest is carried."""

    conversion: RuleId
    unit: UnitName
    on: ConversionDays
    from_: Annotated[Positive, Field(alias="from")]
    step: Positive
    voucher: VoucherTerms


class Judged(Part):
    """When members are judged: at the first moment of a day of each week, or of each month, quarter or year."""

    every: Literal["week", "month", "quarter", "year"]
    on: Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"] | None = None


class SegmentSum(Part):
    """At least so much of a unit that only counts, within the weeks, months or days before the judgement."""

    unit: UnitName
    weeks: Annotated[int, Field(strict=True, ge=1, le=520)] | None = None
    months: Annotated[int, Field(strict=True, ge=1, le=120)] | None = None
    days: Annotated[int, Field(strict=True, ge=1, le=3_660)] | None = None
    least: Positive


class SegmentRank(Part):
    """The `top` percent of members by a unit that only counts, within the months before the judgement.

    Only members count who had something of it in each of the last `active_quarters`. Who belongs already stays while
    within `keeps` percent, or within `top` where that is not said; without a `top` nobody is taken in by rank.
    `over` names another program whose members are ranked instead, by a unit that is counted there.
    """

    unit: UnitName
    over: ProgramId | None = None
    months: Annotated[int, Field(strict=True, ge=1, le=120)]
    top: Rational | None = None
    keeps: Rational | None = None
    active_quarters: Annotated[int, Field(strict=True, ge=0, le=12)] = 0


class Joins(Part):
    """The activities by which a member joins a segment itself, `from` the one that invites it, where that is said."""

    on: Annotated[tuple[ActivityType, ...], Field(min_length=1, max_length=16)]
    from_: Annotated[RuleId | None, Field(alias="from")] = None


class Segment(Part):
    """A set of members: those with enough of something (a club), those who come first, or those who joined.

    `lasts_days` ends it by itself; who belongs to one of `excludes` is not taken in.
    """

    segment: RuleId
    sum: SegmentSum | None = None
    rank: SegmentRank | None = None
    judged: Judged | None = None
    lasts_days: Annotated[int, Field(strict=True, ge=1, le=4_000)] | None = None
    excludes: Annotated[tuple[RuleId, ...], Field(max_length=16)] = ()
    joins: Joins | None = None


class GiftLimit(Part):
    """How many points of a unit a member may give, or be given, within a window."""

    points: Positive
    window: GiftWindow


class Transfers(Part):
    """Members may give points of this unit to each other: at least and at most so many at once, and in a window."""

    least: Positive | None = None
    most: Positive | None = None
    given: GiftLimit | None = None
    received: GiftLimit | None = None


class Exchange(Part):
    """Points of a unit become points `into` of another program, `rate` of them for each, rounded down.

    Only whole steps are exchanged. `funding` says who pays for the points there; they are good as long as that
    program lets points of that unit be that arise on the day.
    """

    unit: UnitName
    to: ProgramId
    into: UnitName
    rate: Rational
    funding: Funding
    least: Positive | None = None
    step: Positive = 1


class LateClaim(Part):
    """How long after an activity it may still be reported, that day included."""

    months: Annotated[int, Field(strict=True, ge=0, le=1_200)] = 6


class Birthdays(Part):
    """Each year a member has an activity of type `birthday`, at a time of the day of the program's zone.

    `attribute` is the member's, a text such as "1990-02-28". Who was born on 29 February has it on the 28th of a
    shorter February.
    """

    attribute: AttributeName = "born"
    at: TimeOfDay = "09:00"


class Returns(Part):
    """What a return does besides taking back what the activity earned."""

    refill_on_return: bool = False


class Attributes(Part):
    """The attributes that the program reads, and their types.

    Conditions can name no other, and no other attribute of a member is told to the world.
    """

    activity: DeclaredAttributes = {}
    line: DeclaredAttributes = {}
    member: DeclaredAttributes = {}


class AwardShare(Part):
    """Which part of a resource's capacity is for awards: ⌊percent of it⌋, at least `least`; `overbook` percent more."""

    percent: Annotated[int, Field(strict=True, ge=0, le=100)] = 100
    least: NotNegative = 0
    overbook: Annotated[int, Field(strict=True, ge=0, le=100)] = 0


class ProgramDocument(Part):
    """A whole program. See docs/programs.md for a guided tour."""

    program: ProgramId
    name: Annotated[ShortText, Field(min_length=1)]
    effective_from: Instant
    closes_at: Instant | None = None
    time_zone: Annotated[str, Field(min_length=1, max_length=64)]
    clock: Literal["wall", "manual"]
    currency: Currency
    exclusive_group: ProgramId | None = None
    attributes: Attributes = Attributes()
    units: Annotated[dict[UnitName, Unit], Field(min_length=1, max_length=32, json_schema_extra=_NO_OTHER_KEYS)]
    late_claim: LateClaim = LateClaim()
    day_parts: Annotated[dict[RuleId, DayPart], Field(max_length=48, json_schema_extra=_NO_OTHER_KEYS)] = {}
    stores: Annotated[dict[Id, Store], Field(max_length=10_000, json_schema_extra=_NO_OTHER_KEYS)] = {}
    groups: Annotated[dict[RuleId, Group], Field(max_length=100, json_schema_extra=_NO_OTHER_KEYS)] = {}
    earning: Annotated[tuple[Rule, ...], Field(max_length=500)]
    caps: Annotated[tuple[Cap, ...], Field(max_length=100)] = ()
    payers: Annotated[dict[ActivityType, PayerPolicy], Field(max_length=100, json_schema_extra=_NO_OTHER_KEYS)] = {}
    returns: Returns = Returns()
    birthdays: Birthdays | None = None
    tiers: Tiers | None = None
    conversions: Annotated[tuple[Conversion, ...], Field(max_length=32)] = ()
    segments: Annotated[tuple[Segment, ...], Field(max_length=50)] = ()
    award_share: AwardShare | None = None
    transfers: Annotated[dict[UnitName, Transfers], Field(max_length=32, json_schema_extra=_NO_OTHER_KEYS)] = {}
    exchanges: Annotated[tuple[Exchange, ...], Field(max_length=100)] = ()
