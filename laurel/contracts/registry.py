"""Every event there is: its type name, its class, and the topics on which it is said."""

from dataclasses import dataclass
from typing import Final

from laurel.contracts import asking, parking, points, programs, redemption, sharing
from laurel.contracts.envelope import Event
from laurel.shapes import ShapeDecoder, decoder_of

GATEWAY_TOPIC: Final = "laurel.gateway.v1"
POINTS_TOPIC: Final = "laurel.points.v1"
REDEMPTION_TOPIC: Final = "laurel.redemption.v1"
PROGRAMS_TOPIC: Final = "laurel.programs.v1"
DEAD_TOPICS: Final = tuple(f"laurel.{service}.dead.v1" for service in ("gateway", "points", "redemption"))


@dataclass(frozen=True, slots=True)
class EventKind:
    """A type of event."""

    name: str
    model: type[Event]
    topics: tuple[str, ...]

    @property
    def decoder(self) -> ShapeDecoder[Event]:
        """The decoder of its JSON into its Struct."""
        return decoder_of(self.model)


_SAID: tuple[tuple[tuple[str, ...], tuple[type[Event], ...]], ...] = (
    (
        (GATEWAY_TOPIC,),
        (
            asking.EnrolmentRequested,
            asking.ActivityReported,
            asking.MemberChangeRequested,
            asking.MemberCloseRequested,
            asking.MemberEraseRequested,
            asking.StatusMatchRequested,
            asking.RewardPublishRequested,
            asking.ResourcePublishRequested,
            asking.RedemptionRequested,
            asking.RedemptionConfirmRequested,
            asking.RedemptionCancelRequested,
            asking.ClockTurnRequested,
            asking.BlockTopUpRequested,
            asking.AdjustmentRequested,
            asking.CorrectionRequested,
            asking.AdjustmentDecisionRequested,
            asking.PendingDecisionRequested,
            asking.TimedHoldRequested,
            asking.TimedHoldCaptureRequested,
            asking.TimedHoldReleaseRequested,
            asking.TimedHoldCancelRequested,
            asking.VoucherRedeemRequested,
            asking.VoucherVoidRequested,
            asking.TransferRequested,
            asking.ExchangeRequested,
            asking.MergeRequested,
            asking.UnmergeRequested,
            asking.HouseholdSetRequested,
        ),
    ),
    (
        (POINTS_TOPIC,),
        (
            points.MemberEnrolled,
            points.MemberChanged,
            points.MemberClosed,
            points.MemberErased,
            points.MemberChangeRefused,
            points.PointsAwarded,
            points.PointsCapped,
            points.ActivityPending,
            points.ActivityRefused,
            points.PointsAvailable,
            points.PendingDecided,
            points.PointsClawedBack,
            points.PointsHeld,
            points.HoldRefused,
            points.PointsCaptured,
            points.PointsReleased,
            points.PointsExpired,
            points.PointsRevived,
            points.PointsConverted,
            points.PointsRestored,
            points.ClockTurned,
            points.EndWaitsRequested,
            points.BlockToppedUp,
            points.PointsAdjusted,
            points.AdjustmentHeldBack,
            points.TierChanged,
            points.TierKept,
            points.TierMatchRefused,
            points.SegmentChanged,
            sharing.PointsTransferred,
            sharing.TransferRefused,
            sharing.PointsExchanged,
            sharing.ExchangeRefused,
            sharing.MemberMerged,
            sharing.MemberUnmerged,
            sharing.MergeRefused,
            sharing.HouseholdChanged,
        ),
    ),
    (
        (REDEMPTION_TOPIC,),
        (
            redemption.HoldRequested,
            redemption.HoldCaptureRequested,
            redemption.HoldReleaseRequested,
            redemption.HoldCancelRequested,
            redemption.ClockGoOnRequested,
            redemption.RewardPublished,
            redemption.ResourcePublished,
            redemption.RedemptionHeld,
            redemption.RedemptionFulfilling,
            redemption.RedemptionFulfilled,
            redemption.RedemptionRefused,
            redemption.RedemptionAskRefused,
            redemption.RedemptionCancelled,
            redemption.VoucherIssued,
            redemption.VoucherRedeemed,
            redemption.VoucherUndone,
            redemption.VoucherVoided,
            redemption.VoucherExpired,
            redemption.VoucherRefused,
        ),
    ),
    ((PROGRAMS_TOPIC,), (programs.ProgramPublished, programs.PartnerPublished)),
    (DEAD_TOPICS, (parking.MessageParked, parking.MessageDiscarded, parking.MessageRetried)),
)

EVENTS: Final[dict[str, EventKind]] = {
    model.TYPE: EventKind(model.TYPE, model, topics) for topics, models in _SAID for model in models
}
TOPICS: Final[dict[str, tuple[EventKind, ...]]] = {
    topic: tuple(EVENTS[model.TYPE] for model in models) for topics, models in _SAID for topic in topics
}
