"""What the gateway says: what callers asked for. Not for outside use."""

from typing import ClassVar, Literal

from pydantic import Field

from laurel.contracts.activity import ReportedActivity
from laurel.contracts.envelope import Event, Versions
from laurel.contracts.rewards import Reward
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


class RewardPublishRequested(Event):
    """A reward is to be offered, or changed."""

    TYPE: ClassVar[str] = "reward.publish_requested.v1"

    reward: Id
    document: Reward


class RedemptionRequested(Event):
    """A member wants a reward."""

    TYPE: ClassVar[str] = "redemption.requested.v1"

    redemption: Id
    partner: PartnerId
    hash: ShortText
    reward: Id
    quantity: Positive = 1
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
