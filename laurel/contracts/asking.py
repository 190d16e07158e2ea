"""What the gateway says: what callers asked for. Not for outside use."""

from typing import ClassVar

from pydantic import Field

from laurel.contracts.activity import ReportedActivity
from laurel.contracts.envelope import Event, Versions
from laurel.contracts.rewards import Reward
from laurel.values import Attributes, Day, Id, Instant, Name, PartnerId, Positive, ShortText


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
