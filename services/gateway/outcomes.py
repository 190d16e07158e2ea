"""What the other services' events mean for the gateway: outcomes of requests, and what reads show.

Pure: one message in, what it tells out. Parts that are only handed on stay the JSON they came as. Whatever somebody
reads later is read here first, so that an event which is not what its type promises is found while it stands alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from laurel.contracts import parking, points, redemption
from services.gateway.told import (
    activities,
    adjustments,
    holds,
    members,
    parked,
    programs,
    redemptions,
    sharing,
    vouchers,
    wallets,
)
from services.gateway.told.sharing import SHARED
from services.gateway.told.telling import NOTHING, Heard, Told


def told_by(message: Heard) -> Told:
    """Read a message. Raises msgspec.MsgspecError or ValueError where it is not what its type promises."""
    read = _READERS.get(message.type)
    if read is None:
        return NOTHING
    if not message.body.isascii():
        # What is handed on is not looked into, so nobody else would notice.
        message.body.decode()
    return read(message)


_READERS: Final[dict[str, Callable[[Heard], Told]]] = {
    points.MemberEnrolled.TYPE: members.enrolled,
    points.MemberChanged.TYPE: members.member_changed,
    points.MemberClosed.TYPE: members.member_closed,
    points.MemberErased.TYPE: members.member_erased,
    points.MemberChangeRefused.TYPE: members.change_refused,
    points.PointsAwarded.TYPE: activities.awarded,
    points.PointsCapped.TYPE: wallets.moved,
    points.ActivityPending.TYPE: activities.pending,
    points.ActivityRefused.TYPE: activities.refused,
    points.PointsAvailable.TYPE: wallets.moved,
    points.BlockToppedUp.TYPE: programs.topped_up,
    points.PendingDecided.TYPE: activities.pending_decided,
    points.PointsClawedBack.TYPE: activities.clawed_back,
    points.PointsHeld.TYPE: holds.points_held,
    points.HoldRefused.TYPE: holds.hold_refused,
    points.PointsCaptured.TYPE: holds.points_captured,
    points.PointsReleased.TYPE: holds.points_released,
    points.PointsRestored.TYPE: holds.points_restored,
    points.ClockTurned.TYPE: programs.clock_turned,
    points.PointsAdjusted.TYPE: adjustments.points_adjusted,
    points.AdjustmentHeldBack.TYPE: adjustments.adjustment_held_back,
    points.PointsExpired.TYPE: wallets.moved,
    points.PointsRevived.TYPE: wallets.moved,
    points.PointsConverted.TYPE: wallets.moved,
    points.TierChanged.TYPE: members.tier_changed,
    points.TierKept.TYPE: wallets.moved,
    points.TierMatchRefused.TYPE: members.match_refused,
    points.SegmentChanged.TYPE: wallets.segment_changed,
    **dict.fromkeys(SHARED, sharing.shared),
    redemption.RewardPublished.TYPE: redemptions.reward_published,
    redemption.ResourcePublished.TYPE: redemptions.resource_published,
    redemption.RedemptionHeld.TYPE: redemptions.held,
    redemption.RedemptionFulfilling.TYPE: redemptions.fulfilling,
    redemption.RedemptionFulfilled.TYPE: redemptions.fulfilled,
    redemption.RedemptionRefused.TYPE: redemptions.redemption_refused,
    redemption.RedemptionCancelled.TYPE: redemptions.cancelled,
    redemption.RedemptionAskRefused.TYPE: redemptions.ask_refused,
    redemption.VoucherRedeemed.TYPE: vouchers.voucher_moved,
    redemption.VoucherUndone.TYPE: vouchers.voucher_moved,
    redemption.VoucherVoided.TYPE: vouchers.voucher_moved,
    redemption.VoucherRefused.TYPE: vouchers.voucher_refused,
    parking.MessageParked.TYPE: parked.message_parked,
    parking.MessageDiscarded.TYPE: parked.message_discarded,
    parking.MessageRetried.TYPE: parked.message_retried,
}

TYPES: Final = frozenset(_READERS)
"""Every type that tells the gateway something."""

ANSWERS: Final = TYPES - {
    points.PointsCapped.TYPE,
    points.PointsAvailable.TYPE,
    points.PointsExpired.TYPE,
    points.PointsRevived.TYPE,
    points.PointsConverted.TYPE,
    points.TierKept.TYPE,
    points.SegmentChanged.TYPE,
    points.ClockTurned.TYPE,
    redemption.RedemptionFulfilling.TYPE,
    parking.MessageParked.TYPE,
    parking.MessageRetried.TYPE,
}
"""The types that can be the outcome of a request; what these others tell nobody has asked for."""
