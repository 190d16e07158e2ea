"""Everything this service reacts to: which message is answered by which decider. Read this file first.

A decider takes the state, what was heard and the moment, and returns facts, or none where nothing is to be done.
Refusals are facts too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from services.redemption.domain import heard as h
from services.redemption.domain.cancelling import cancel
from services.redemption.domain.closing import see_capture, see_release, see_restoring
from services.redemption.domain.confirming import confirm
from services.redemption.domain.ending import end
from services.redemption.domain.facts import AnyFact
from services.redemption.domain.fulfilling import fulfil
from services.redemption.domain.giving_back import give_back, issue_share, leave
from services.redemption.domain.issuing import issue
from services.redemption.domain.moment import Moment
from services.redemption.domain.partnering import see_silence, take_answer
from services.redemption.domain.publishing import publish, publish_resource
from services.redemption.domain.refusing import refuse
from services.redemption.domain.requesting import request
from services.redemption.domain.state import State
from services.redemption.domain.timing_out import end_wait
from services.redemption.domain.using import use
from services.redemption.domain.voiding import void

Decide = Callable[[State, Any, Moment], tuple[AnyFact, ...]]


class Decider(NamedTuple):
    """How one type of message is read and answered; `kind` names its decisions."""

    kind: str
    decode: Callable[[bytes], h.Heard]
    decide: Decide


DECIDERS: dict[str, Decider] = {
    # asked by callers, through the gateway
    "reward.publish_requested.v1": Decider("publish", msgspec.json.Decoder(h.PublishReward).decode, publish),
    "resource.publish_requested.v1": Decider(
        "publish_resource", msgspec.json.Decoder(h.PublishResource).decode, publish_resource
    ),
    "redemption.requested.v1": Decider("request", msgspec.json.Decoder(h.Redeem).decode, request),
    "redemption.confirm_requested.v1": Decider("confirm", msgspec.json.Decoder(h.ConfirmRedemption).decode, confirm),
    "redemption.cancel_requested.v1": Decider("cancel", msgspec.json.Decoder(h.CancelRedemption).decode, cancel),
    "voucher.redeem_requested.v1": Decider("redeem", msgspec.json.Decoder(h.UseVoucher).decode, use),
    "voucher.void_requested.v1": Decider("void", msgspec.json.Decoder(h.VoidVoucher).decode, void),
    # answered by points
    "points.held.v1": Decider("held", msgspec.json.Decoder(h.PointsHeld).decode, fulfil),
    "points.hold_refused.v1": Decider("hold_refused", msgspec.json.Decoder(h.HoldRefused).decode, refuse),
    "points.captured.v1": Decider("captured", msgspec.json.Decoder(h.PointsCaptured).decode, see_capture),
    "points.released.v1": Decider("released", msgspec.json.Decoder(h.PointsReleased).decode, see_release),
    "points.restored.v1": Decider("restored", msgspec.json.Decoder(h.PointsRestored).decode, see_restoring),
    # told by points
    "points.converted.v1": Decider("issue", msgspec.json.Decoder(h.PointsConverted).decode, issue),
    "points.clawed_back.v1": Decider("return", msgspec.json.Decoder(h.PointsClawedBack).decode, leave),
}

OF_RETURNS: dict[type, Decide] = {h.UseReturned: give_back, h.ShareReturned: issue_share}
"""What answers, for each voucher that paid, that what it paid for came back."""

OF_PROGRAMS: dict[str, Callable[[bytes], h.ClockTurned | h.EndWaits]] = {
    "clock.turned.v1": msgspec.json.Decoder(h.ClockTurned).decode,
    "redemption.end_waits_requested.v1": msgspec.json.Decoder(h.EndWaits).decode,
}
"""What concerns a whole program. It is noted, and done in steps that can stop and go on anywhere."""

MOVES_TURNS = OF_PROGRAMS.keys() | {"points.released.v1", "points.hold_refused.v1"}
"""After what such a step may be possible that was not before."""

FORGETTING = frozenset({"member.erased.v1"})
"""What has the secrets of its member forgotten. Nothing is decided: sagas and vouchers stay as they are."""

TIMER = "timer"
"""The kind of decisions that our own timer led to."""
ON_TIME: dict[type, Decide] = {
    h.TimeIsUp: end_wait,
    h.VoucherEnds: end,
    h.PartnerAnswered: take_answer,
    h.PartnerSilent: see_silence,
}
"""What answers our own timers, and our own caller of partners."""

OURS = ("redemption.", "reward.", "resource.", "voucher.")
"""How requests to this service begin. One that the table does not know comes from a newer gateway, and parks;
every other type that is not in the table is meant for others, or a fact of no concern, and is skipped."""

UNHURRIED = frozenset({"points.captured.v1"})
"""What nobody waits for: the redemption was fulfilled before, and a capture is never refused."""


def may_wait(type_: str) -> bool:
    """Say whether a message may wait a moment for others, so that one transaction does for all of them."""
    if type_ in UNHURRIED:
        return True
    is_ours = type_ in DECIDERS or type_ in OF_PROGRAMS or type_ in FORGETTING
    return not is_ours and not type_.startswith(OURS)
