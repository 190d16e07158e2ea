"""What the points service says."""

from typing import ClassVar, Literal

from pydantic import Field

from laurel.contracts.envelope import Event, Said
from laurel.values import (
    Amount,
    Attributes,
    Currency,
    Day,
    Id,
    Instant,
    JsonObject,
    Name,
    NotNegative,
    PartnerId,
    Positive,
    Reference,
    Scalar,
    Text,
    Version,
)


class Lifetime(Said):
    """What ever happened to a member's points of a unit; `spent` is net of what was cancelled."""

    earned: NotNegative = 0
    spent: Amount = 0
    expired: NotNegative = 0
    reversed: NotNegative = 0
    adjusted: Amount = 0


class NextExpiry(Said):
    """How many points end next; `on` is the last day on which they are good."""

    amount: NotNegative
    on: Day


class Balance(Said):
    """What a member has of a unit:
    available + held - owed = earned - spent - expired - reversed + adjusted.
    """

    unit: Name
    available: NotNegative
    pending: NotNegative = 0
    held: NotNegative = 0
    owed: NotNegative = 0
    lifetime: Lifetime
    next_expiry: NextExpiry | None = None


class Funding(Said):
    """Which partner pays for how many of the points."""

    partner: PartnerId
    amount: Amount


class Award(Said):
    """Points that one rule gave, and the lot they lie in.

    Of pending ones that await no date, `available_at` is the first instant at which they could have been available.
    """

    member: Id
    activity: Id
    rule: Name
    unit: Name
    amount: NotNegative
    state: Literal["available", "pending"] = "available"
    available_at: Instant
    expires_at: Instant | None = None
    lot: Reference
    funding: list[Funding] = Field(default_factory=list)


class Cut(Said):
    """What a cap took off."""

    cap: Name
    cut: NotNegative


class RuleDecision(Said):
    """Why a rule gave what it gave: `computed` before caps, `amount` granted."""

    rule: Name
    fired: bool
    reason: Text = ""
    computed: Amount = 0
    amount: Amount = 0
    capped_by: list[Cut] = Field(default_factory=list)


class Unlisted(Said):
    """What a decision of many rules leaves out: rules of this version that find nothing in an activity of this type.

    What each of them says follows from the version, the type and the instant: it is not for the type
    (`type_not_covered`), is out of its dates (`outside_dates`), picks no line (`no_line_matches`), or its condition
    does not hold (`condition_false`). Reading the activity shows all of them.
    """

    version: int
    type: Name
    occurred_at: Instant


class TierSeen(Said):
    """The member's tier after an activity, and whether it changed."""

    name: Name
    changed: bool = False


class CounterSeen(Said):
    """How much of a unit the cap `rule` has let through in its window, and its limit.

    `from` and `until` are the window's first and last day; a window without them is all time.
    """

    rule: Name
    unit: Name
    from_: Day | None = Field(default=None, alias="from")
    until: Day | None = None
    granted: Amount
    limit: NotNegative | None = None


class Benefit(Said):
    """What a tier brings with it."""

    name: Name
    value: Scalar | None = None


class NextTier(Said):
    """The tier that asks for more of a counter than the member's own, and for how much."""

    tier: Name
    needs: NotNegative


class Progress(Said):
    """What a counter shows in its window, the last day included; without an end it is for ever."""

    counter: Name
    value: NotNegative
    from_: Day | None = Field(default=None, alias="from")
    until: Day | None = None
    next: NextTier | None = None


class Standing(Said):
    """Where the member stands after an event. `until` is the last good day, `years` counts complete calendar years
    above the first tier without a break, the first of them `years_from`.
    """

    name: Name
    since: Day
    until: Day | None = None
    years: NotNegative = 0
    years_from: NotNegative | None = None
    benefits: list[Benefit] = Field(default_factory=list)
    progress: list[Progress] = Field(default_factory=list)


class Challenge(Said):
    """What keeps a matched tier: so much of a counter, through a day."""

    counter: Name
    needs: NotNegative
    until: Day


class LotAmount(Said):
    """A part of a lot."""

    lot: Reference
    amount: NotNegative


class ExpiredLot(Said):
    """What was left in a lot when it ended."""

    lot: Reference
    unit: Name
    amount: NotNegative


class Reversal(Said):
    """What a return took back of one rule's award: taken from lots, already expired, or owed."""

    rule: Name
    unit: Name
    amount: NotNegative
    taken: NotNegative = 0
    expired: NotNegative = 0
    owed: NotNegative = 0


class SegmentSeen(Said):
    """A segment that the member belongs to; of several clubs one is `primary`. `until` is the last good day."""

    name: Name
    primary: bool = False
    since: Day
    until: Day | None = None


class WalletEvent(Event):
    """An event after which the member's wallet stands at `version`, with these balances.

    `tier_standing` is where the member stands among the program's tiers, `segments` are all that it belongs to, each
    if the event moved that.
    """

    balances: list[Balance] = Field(default_factory=list)
    version: Version = 0
    tier_standing: Standing | None = None
    segments: list[SegmentSeen] | None = None


class MemberEnrolled(Event):
    """Somebody is a member now."""

    TYPE: ClassVar[str] = "member.enrolled.v1"

    enrolled_at: Instant
    person: Id | None = None
    attributes: Attributes = Field(default_factory=dict)
    version: Version = 0


class MemberChanged(WalletEvent):
    """Something about a member is another than it was; `attributes` are all of them, as they stand now."""

    TYPE: ClassVar[str] = "member.changed.v1"

    change: Id
    person: Id | None = None
    attributes: Attributes = Field(default_factory=dict)


class MemberClosed(WalletEvent):
    """The member takes part no more. What it has keeps its own end."""

    TYPE: ClassVar[str] = "member.closed.v1"

    change: Id


class MemberErased(WalletEvent):
    """Nobody knows any more who the member is. It was a part of the account `of`, or `accounts` were parts of it.

    Its points stay in the ledger and come to their own end. Whoever keeps something about the person forgets it.
    """

    TYPE: ClassVar[str] = "member.erased.v1"

    change: Id
    of: Id | None = None
    accounts: list[Id] = Field(default_factory=list)


class MemberChangeRefused(WalletEvent):
    """A member was not changed, not closed or not erased, as was `asked`."""

    TYPE: ClassVar[str] = "member.change_refused.v1"

    change: Id
    asked: Literal["change", "close", "erase"]
    code: Name
    detail: Text = ""


class WalletSeen(Said):
    """How the wallet of another stands after an event: told beforehand, so that it can be shown in the same breath."""

    member: Id
    version: Version
    balances: list[Balance] = Field(default_factory=list)
    tier_standing: Standing | None = None


class PointsAwarded(WalletEvent):
    """An activity was judged and posted. It may have earned nothing; `decision` says why.

    `others` is what others got for it, whose `wallets` stand so then: each is told that by an event of its own, which
    names the member as `share_of`. Where a program has many rules, `decision` leaves out those that found nothing, and
    `unlisted` says so.
    """

    TYPE: ClassVar[str] = "points.awarded.v1"

    activity: Id
    partner: PartnerId
    awards: list[Award] = Field(default_factory=list)
    decision: list[RuleDecision] = Field(default_factory=list)
    tier: TierSeen | None = None
    vouchers: list[JsonObject] = Field(default_factory=list)
    counters: list[CounterSeen] = Field(default_factory=list)
    others: list[Award] = Field(default_factory=list)
    wallets: list[WalletSeen] = Field(default_factory=list)
    share_of: Id | None = None
    unlisted: Unlisted | None = None


class CappedAward(Said):
    """What caps cut of one rule's award: `computed` is what it would have been, `amount` what was granted."""

    rule: Name
    unit: Name
    computed: NotNegative
    amount: NotNegative
    capped_by: list[Cut] = Field(default_factory=list)


class PointsCapped(WalletEvent):
    """Caps cut what an activity would have earned. It is said beside the award, and only if something was cut."""

    TYPE: ClassVar[str] = "points.capped.v1"

    activity: Id
    partner: PartnerId
    capped: list[CappedAward] = Field(default_factory=list)


class ActivityRefused(WalletEvent):
    """An activity was refused. `facts` explain it, such as which program had credited it."""

    TYPE: ClassVar[str] = "activity.refused.v1"

    activity: Id
    partner: PartnerId
    code: Name
    detail: Text = ""
    facts: JsonObject = Field(default_factory=dict)


class ActivityPending(WalletEvent):
    """An activity was judged and cannot be posted yet; `code` says why, `awards` what is pending meanwhile.

    Once it is posted a `points.awarded` says so.
    """

    TYPE: ClassVar[str] = "activity.pending.v1"

    activity: Id
    partner: PartnerId
    code: Name
    awards: list[Award] = Field(default_factory=list)
    decision: list[RuleDecision] = Field(default_factory=list)
    tier: TierSeen | None = None
    counters: list[CounterSeen] = Field(default_factory=list)
    unlisted: Unlisted | None = None


class PointsAvailable(WalletEvent):
    """Pending points became available, for `reason`: date, event, approval or funding.

    `activity` is the one that brought it about, where one did.
    """

    TYPE: ClassVar[str] = "points.available.v1"

    unit: Name
    amount: NotNegative
    reason: Name
    lots: list[LotAmount] = Field(default_factory=list)
    activity: Id | None = None
    partner: PartnerId | None = None


class PendingDecided(WalletEvent):
    """Somebody decided about the pending points of an activity, or could not: `code` says why.

    `amount` is what waited in all wallets that the activity gave something to. Each of the others is told its own by an
    event with `share_of`. `awards` are what a refill granted in the place of what was given up. `ended`: nobody
    decided; the points ended before what they awaited had come, and `amount` is what this member gave up.
    """

    TYPE: ClassVar[str] = "points.pending_decided.v1"

    activity: Id
    partner: PartnerId
    approved: bool
    amount: NotNegative = 0
    code: Name | None = None
    awards: list[Award] = Field(default_factory=list)
    counters: list[CounterSeen] = Field(default_factory=list)
    share_of: Id | None = None
    ended: bool = False


class TenderBack(Said):
    """What a return gives back of a tender of the original that named something, the `ref`.

    Of its `amount` it is what lies between two positions: all returns together go from 0 to the amount.
    """

    kind: Name
    ref: Reference
    amount: NotNegative
    before: NotNegative
    after: NotNegative


class PointsClawedBack(WalletEvent):
    """A return, `activity`, took back `of`, or a part of it; `awards` are what a refill granted.

    `others` is what others gave back; each is told that by an event of its own, with `share_of`.
    """

    TYPE: ClassVar[str] = "points.clawed_back.v1"

    activity: Id
    of: Id
    partner: PartnerId
    reversals: list[Reversal] = Field(default_factory=list)
    awards: list[Award] = Field(default_factory=list)
    decision: list[RuleDecision] = Field(default_factory=list)
    tier: TierSeen | None = None
    vouchers: list[JsonObject] = Field(default_factory=list)
    counters: list[CounterSeen] = Field(default_factory=list)
    others: list[Reversal] = Field(default_factory=list)
    wallets: list[WalletSeen] = Field(default_factory=list)
    share_of: Id | None = None
    tenders: list[TenderBack] = Field(default_factory=list)


class HoldStanding(Said):
    """How a hold that a caller placed stands after an event. `captured` is net of what was `cancelled`.

    `lots` are those that are held, after a capture those that are spent and were not given back.
    """

    state: Literal["held", "captured", "released", "expired", "cancelled", "refused"]
    amount: NotNegative
    captured: NotNegative = 0
    cancelled: NotNegative = 0
    expires_at: Instant | None = None
    partner: PartnerId | None = None
    reference: Reference | None = None
    lots: list[LotAmount] = Field(default_factory=list)


class HoldEvent(WalletEvent):
    """An event about points that are set aside. A redemption's hold has no standing: its saga has."""

    hold: Id
    unit: Name
    amount: NotNegative
    standing: HoldStanding | None = None


class PointsHeld(HoldEvent):
    """Points are set aside: they cannot be spent again, and are not spent yet."""

    TYPE: ClassVar[str] = "points.held.v1"

    lots: list[LotAmount] = Field(default_factory=list)


class HoldRefused(HoldEvent):
    """Points could not be set aside, or a hold could not be captured, released or cancelled as was `asked`."""

    TYPE: ClassVar[str] = "points.hold_refused.v1"

    code: Name
    available: NotNegative = 0
    shortfall: NotNegative = 0
    asked: Literal["hold", "capture", "release", "cancel"] = "hold"


class PointsCaptured(HoldEvent):
    """Points that were held are spent."""

    TYPE: ClassVar[str] = "points.captured.v1"

    lots: list[LotAmount] = Field(default_factory=list)


class PointsReleased(HoldEvent):
    """Points that were held are available again."""

    TYPE: ClassVar[str] = "points.released.v1"

    lots: list[LotAmount] = Field(default_factory=list)


class PointsRestored(HoldEvent):
    """A capture was undone, whole or in part; `lots` are where its points lie now, some of them perhaps new.

    What had ended meanwhile and is not given another lot expires at once, which a `points.expired` says. `by_return`
    is the return of what the points had paid for, if that is why; `left` of the capture still stand.
    """

    TYPE: ClassVar[str] = "points.restored.v1"

    by: Literal["member", "provider"]
    lots: list[LotAmount] = Field(default_factory=list)
    by_return: Id | None = None
    left: NotNegative = 0


class AdjustmentEvent(WalletEvent):
    """An event about a change by a person's decision, and how it stands afterwards.

    Of a correction `corrects` names what was wrong; `waiting` is what somebody has yet to decide about. A
    `reason` is told that means something: goodwill, service_recovery or correction; others are a person's own words.
    """

    adjustment: Id
    unit: Name
    amount: Amount
    state: Literal["waiting", "posted", "refused", "rejected"]
    partner: PartnerId | None = None
    corrects: Id | None = None
    reversed: NotNegative = 0
    written_off: NotNegative = 0
    waiting: Amount = 0
    bonus: NotNegative = 0
    owed: NotNegative = 0
    expires_at: Instant | None = None
    reason: Name | None = None


class PointsAdjusted(AdjustmentEvent):
    """Points were given, taken or corrected by a person's decision, or what waited was given up."""

    TYPE: ClassVar[str] = "points.adjusted.v1"

    lots: list[LotAmount] = Field(default_factory=list)


class AdjustmentHeldBack(AdjustmentEvent):
    """A change by a person's decision was refused, or waits for somebody whose limit suffices; `code` says why."""

    TYPE: ClassVar[str] = "points.adjustment_held_back.v1"

    code: Name
    available: NotNegative = 0
    shortfall: NotNegative = 0


class ClockTurned(Event):
    """All that was due in a program up to `as_of` is done; how often each thing happened."""

    TYPE: ClassVar[str] = "clock.turned.v1"

    as_of: Instant
    released: NotNegative = 0
    holds_timed_out: NotNegative = 0
    lots_expired: NotNegative = 0
    tiers_changed: NotNegative = 0
    converted: NotNegative = 0


class EndWaitsRequested(Event):
    """A clock on its way to `as_of` has come to where redemptions' waits end: those up to `until` are to end now."""

    TYPE: ClassVar[str] = "redemption.end_waits_requested.v1"

    as_of: Instant
    until: Instant


class BlockSeen(Said):
    """How a block of prepaid points stands."""

    unit: Name
    units: NotNegative
    used: NotNegative
    left: NotNegative


class BlockToppedUp(Event):
    """A partner has paid for points in advance, and what waited for that was gone through; `code`: it was refused."""

    TYPE: ClassVar[str] = "block.topped_up.v1"

    partner: PartnerId
    reference: Reference
    unit: Name
    units: NotNegative
    amount: NotNegative
    currency: Currency
    block: BlockSeen
    code: Name | None = None


class PointsExpired(WalletEvent):
    """Lots came to their end."""

    TYPE: ClassVar[str] = "points.expired.v1"

    lots: list[ExpiredLot]


class PointsRevived(WalletEvent):
    """Points that had ended by inactivity are good again: `activity` had kept them alive, and was reported late.

    Their lots are those that a `points.expired` had named.
    """

    TYPE: ClassVar[str] = "points.revived.v1"

    unit: Name
    amount: NotNegative
    lots: list[LotAmount] = Field(default_factory=list)
    activity: Id
    partner: PartnerId


class PointsConverted(WalletEvent):
    """Points became the voucher `voucher`, worth `value`; redemption issues it. The rest of the points is carried.

    `due_at` is the date of the program; `lots` are those that are spent. `turned_to`: it was done by a turn of the
    program's clock.
    """

    TYPE: ClassVar[str] = "points.converted.v1"

    conversion: Name
    unit: Name
    amount: Positive
    voucher: Id
    value: Positive
    currency: Currency
    due_at: Instant
    expires_at: Instant | None = None
    not_above_basket: bool = False
    lots: list[LotAmount] = Field(default_factory=list)
    turned_to: Instant | None = None


class TierChanged(WalletEvent):
    """The member stands elsewhere: reached, reviewed, returned, matched or match_failed.

    `until` is the last good day; a match also says what keeps it.
    """

    TYPE: ClassVar[str] = "tier.changed.v1"

    from_: Name = Field(alias="from")
    to: Name
    since: Day
    until: Day | None = None
    reason: Name = "reached"
    match: Id | None = None
    challenge: Challenge | None = None


class TierKept(WalletEvent):
    """Time looked at a member's tier, and it stays; `until` is the last good day."""

    TYPE: ClassVar[str] = "tier.kept.v1"

    tier: Name
    until: Day | None = None
    reason: Name = "reviewed"


class TierMatchRefused(WalletEvent):
    """A rival's tier was not matched."""

    TYPE: ClassVar[str] = "tier.match_refused.v1"

    match: Id
    tier: Name
    code: Name
    detail: Text = ""


class SegmentChanged(WalletEvent):
    """The member belongs to other segments: judged, ended or joined.

    Without anything `entered` or `left`, another club is the primary one.
    """

    TYPE: ClassVar[str] = "segment.changed.v1"

    entered: list[Name] = Field(default_factory=list)
    left: list[Name] = Field(default_factory=list)
    reason: Name = "judged"
