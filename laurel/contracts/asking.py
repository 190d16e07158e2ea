"""What the gateway says: what callers asked for. Not for outside use."""

from typing import ClassVar, Literal

from pydantic import Field

from laurel.contracts.activity import ReportedActivity
from laurel.contracts.envelope import Event, Said, Versions
from laurel.contracts.rewards import Money, Resource, Reward
from laurel.values import (
    Amount,
    Attributes,
    Currency,
    Day,
    Id,
    Instant,
    Name,
    NotNegative,
    PartnerId,
    Positive,
    ProgramId,
    Reference,
    ShortText,
)


class EnrolmentRequested(Event):
    """Somebody is to become a member."""

    TYPE: ClassVar[str] = "member.enrolment_requested.v1"

    enrolled_at: Instant
    person: Id | None = None
    referred_by: Id | None = None
    attributes: Attributes = Field(default_factory=dict)
    versions: Versions


class ActivityReported(Event):
    """A member, or nobody known, did something. `hash` tells a repeat from another activity."""

    TYPE: ClassVar[str] = "activity.reported.v1"

    partner: PartnerId
    hash: ShortText
    activity: ReportedActivity
    versions: Versions


class StatusMatchRequested(Event):
    """A member is to get the tier that a rival gave it; `until` and `needs` where the caller may say so."""

    TYPE: ClassVar[str] = "member.status_match_requested.v1"

    match: Id
    tier: Name
    issuer: Name
    dated: Day
    until: Day | None = None
    needs: Positive | None = None
    versions: Versions


class MemberChangeRequested(Event):
    """Something about a member is to be changed; attributes that are not named stay as they are."""

    TYPE: ClassVar[str] = "member.change_requested.v1"

    change: Id
    person: Id | None = None
    attributes: Attributes = Field(default_factory=dict)
    versions: Versions


class MemberCloseRequested(Event):
    """A member is to take part no more."""

    TYPE: ClassVar[str] = "member.close_requested.v1"

    change: Id
    versions: Versions


class MemberEraseRequested(Event):
    """Whoever a member is is to be forgotten; `accounts` are those that became a part of it, which go with it."""

    TYPE: ClassVar[str] = "member.erase_requested.v1"

    change: Id
    accounts: list[Id] = Field(default_factory=list)
    versions: Versions


class RewardPublishRequested(Event):
    """A reward is to be offered, or changed."""

    TYPE: ClassVar[str] = "reward.publish_requested.v1"

    reward: Id
    document: Reward


class ResourcePublishRequested(Event):
    """Seats or rooms are to be offered on some days, or another number of them."""

    TYPE: ClassVar[str] = "resource.publish_requested.v1"

    resource: Id
    document: Resource
    versions: Versions


class SegmentAsked(Said):
    """One resource on one day."""

    resource: Id
    on: Day


class PayAsked(Said):
    """How a price is to be paid: so many `points`, as many as there are (`all_points`), so much `cash`."""

    points: Positive | None = None
    all_points: bool = False
    cash: Money | None = None


class MemberStands(Said):
    """Who the member was when the request was accepted, as far as rewards may ask; unless `active` it gets none."""

    enrolled_at: Instant | None = None
    person: Id | None = None
    tier: Name | None = None
    segments: list[Name] = Field(default_factory=list)
    attributes: Attributes = Field(default_factory=dict)
    active: bool = True


class RedemptionRequested(Event):
    """A member wants a reward, for itself, for another member (`beneficiary`) or for somebody else (`for_other`).

    Without `segments` the day is `on`. Names of people stay with who asked.
    """

    TYPE: ClassVar[str] = "redemption.requested.v1"

    redemption: Id
    partner: PartnerId
    hash: ShortText
    reward: Id
    quantity: Positive = 1
    amount: Positive | None = None
    currency: Currency | None = None
    on: Day | None = None
    segments: list[SegmentAsked] = Field(default_factory=list)
    party: Positive = 1
    beneficiary: Id | None = None
    for_other: bool = False
    attributes: Attributes = Field(default_factory=dict)
    pay: PayAsked | None = None
    stands: MemberStands | None = None
    later: bool = False
    versions: Versions


class RedemptionConfirmRequested(Event):
    """What is held for a redemption is to be finished."""

    TYPE: ClassVar[str] = "redemption.confirm_requested.v1"

    redemption: Id
    partner: PartnerId
    settles: bool = False
    versions: Versions


class RedemptionCancelRequested(Event):
    """A redemption is to be taken back; `by` decides what becomes of points that have expired since.

    `settles`: an operator decides for a partner that is silent.
    """

    TYPE: ClassVar[str] = "redemption.cancel_requested.v1"

    redemption: Id
    partner: PartnerId
    by: Literal["member", "provider"]
    settles: bool = False
    versions: Versions


class ClockTurnRequested(Event):
    """The manual clock of a program is to be turned: all that is due up to `as_of` is to be done."""

    TYPE: ClassVar[str] = "clock.turn_requested.v1"

    as_of: Instant
    versions: Versions


class BlockTopUpRequested(Event):
    """A partner has paid for so many points in advance."""

    TYPE: ClassVar[str] = "block.top_up_requested.v1"

    partner: PartnerId
    reference: Reference
    unit: Name
    units: Positive
    amount: NotNegative
    currency: Currency
    versions: Versions


class AdjustmentRequested(Event):
    """Points are to be given or taken by a person's decision; above `limit` it is to wait."""

    TYPE: ClassVar[str] = "adjustment.requested.v1"

    adjustment: Id
    unit: Name
    amount: Amount
    reason: Name
    partner: PartnerId
    limit: Positive | None = None
    expires_at: Instant | None = None
    versions: Versions


class CorrectionRequested(Event):
    """What was posted as `of` is to be what it should have been."""

    TYPE: ClassVar[str] = "adjustment.correction_requested.v1"

    adjustment: Id
    unit: Name
    of: Id
    of_partner: PartnerId
    should_be: NotNegative
    reason: Name
    partner: PartnerId
    reported_by: Literal["member", "operator"] | None = None
    versions: Versions


class AdjustmentDecisionRequested(Event):
    """What waits is to be done, or given up, by somebody whose limit suffices."""

    TYPE: ClassVar[str] = "adjustment.decision_requested.v1"

    adjustment: Id
    approve: bool
    limit: Positive | None = None
    versions: Versions


class PendingDecisionRequested(Event):
    """The points of an activity that await approval are to be available, or given up."""

    TYPE: ClassVar[str] = "pending.decision_requested.v1"

    activity: Id
    partner: PartnerId
    approve: bool
    limit: Positive | None = None
    versions: Versions


class TimedHoldRequested(Event):
    """Points are to be set aside until a caller captures or releases them, or the time is over."""

    TYPE: ClassVar[str] = "timed_hold.requested.v1"

    hold: Id
    unit: Name
    amount: Positive
    ttl_seconds: Positive
    partner: PartnerId
    reference: Reference
    versions: Versions


class TimedHoldAsked(Event):
    """The root of what is asked of a hold that a caller placed."""

    hold: Id
    amount: Positive | None = None
    versions: Versions


class TimedHoldCaptureRequested(TimedHoldAsked):
    """A hold is to be spent; with an amount the rest is released."""

    TYPE: ClassVar[str] = "timed_hold.capture_requested.v1"


class TimedHoldReleaseRequested(TimedHoldAsked):
    """The points of a hold are to become available again."""

    TYPE: ClassVar[str] = "timed_hold.release_requested.v1"


class TimedHoldCancelRequested(TimedHoldAsked):
    """The capture of a hold is to be undone, whole or in part; `by` decides what becomes of what has ended."""

    TYPE: ClassVar[str] = "timed_hold.cancel_requested.v1"

    by: Literal["member", "provider"]


class VoucherRedeemRequested(Event):
    """A voucher, which its code led to, is to be used for a caller's reference; `basket` is what is being bought.

    With an `amount`, a part of it.
    """

    TYPE: ClassVar[str] = "voucher.redeem_requested.v1"

    voucher: Id
    partner: PartnerId
    reference: Reference
    basket: Money | None = None
    amount: Positive | None = None
    versions: Versions


class VoucherVoidRequested(Event):
    """The use of a voucher for a reference is to be undone, `anybodys` where an operator asks.

    Without a reference the voucher is to be dead.
    """

    TYPE: ClassVar[str] = "voucher.void_requested.v1"

    voucher: Id
    partner: PartnerId
    reference: Reference | None = None
    anybodys: bool = False
    versions: Versions


class TransferRequested(Event):
    """A member gives points to another."""

    TYPE: ClassVar[str] = "transfer.requested.v1"

    transfer: Id
    to: Id
    unit: Name
    amount: Positive
    partner: PartnerId
    versions: Versions


class ExchangeRequested(Event):
    """A member's points are to become points of another program; `to_versions` is how that stood."""

    TYPE: ClassVar[str] = "exchange.requested.v1"

    exchange: Id
    to_program: ProgramId
    to_member: Id
    unit: Name
    amount: Positive
    partner: PartnerId
    versions: Versions
    to_versions: Versions


class MergeRequested(Event):
    """An account is to become a part of another one."""

    TYPE: ClassVar[str] = "member.merge_requested.v1"

    merge: Id
    into: Id
    versions: Versions


class UnmergeRequested(MergeRequested):
    """That is to be taken back."""

    TYPE: ClassVar[str] = "member.unmerge_requested.v1"


class HouseholdSetRequested(Event):
    """`members` are to be a household, and those who are `leaving` not any more."""

    TYPE: ClassVar[str] = "household.set_requested.v1"

    household: Id
    members: list[Id]
    leaving: list[Id] = Field(default_factory=list)
    pooling: bool
    versions: Versions
