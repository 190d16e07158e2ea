"""Everything this service reacts to: which message is answered by which decider. Read this file first.

A decider takes a wallet, what was asked and the moment, and returns facts, or none where nothing is to be done.
Refusals are facts too. A message that stands in neither table is a request from a newer gateway, and parks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from services.points.domain.adjusting import adjust, decide
from services.points.domain.approving import decide_pending
from services.points.domain.asked import (
    Adjust,
    Asked,
    AskOfHold,
    CancelHold,
    CaptureHold,
    Correct,
    DecideAdjustment,
    DecidePending,
    Enrol,
    MatchStatus,
    PlaceHold,
    PlaceTimedHold,
    ReleaseHold,
    Report,
    TopUp,
    TurnClock,
)
from services.points.domain.cancelling import cancel
from services.points.domain.capturing import capture, capture_timed
from services.points.domain.correcting import correct
from services.points.domain.enrolling import enrol
from services.points.domain.facts import AnyFact
from services.points.domain.holding import hold, hold_timed
from services.points.domain.judging import judge
from services.points.domain.matching import match
from services.points.domain.moment import Moment
from services.points.domain.releasing import release, release_timed
from services.points.domain.state import Wallet


class Decider(NamedTuple):
    """How one type of message is read and answered; `kind` names its journals."""

    kind: str
    decode: Callable[[bytes], Asked]
    decide: Callable[[Wallet, Any, Moment], tuple[AnyFact, ...]]


DECIDERS: dict[str, Decider] = {
    "member.enrolment_requested.v1": Decider("enrolment", msgspec.json.Decoder(Enrol).decode, enrol),
    "activity.reported.v1": Decider("activity", msgspec.json.Decoder(Report).decode, judge),
    "member.status_match_requested.v1": Decider("status_match", msgspec.json.Decoder(MatchStatus).decode, match),
    "hold.requested.v1": Decider("hold", msgspec.json.Decoder(PlaceHold).decode, hold),
    "hold.capture_requested.v1": Decider("capture", msgspec.json.Decoder(CaptureHold).decode, capture),
    "hold.release_requested.v1": Decider("release", msgspec.json.Decoder(ReleaseHold).decode, release),
    "timed_hold.requested.v1": Decider("hold", msgspec.json.Decoder(PlaceTimedHold).decode, hold_timed),
    "timed_hold.capture_requested.v1": Decider("capture", msgspec.json.Decoder(AskOfHold).decode, capture_timed),
    "timed_hold.release_requested.v1": Decider("release", msgspec.json.Decoder(AskOfHold).decode, release_timed),
    "timed_hold.cancel_requested.v1": Decider("cancel", msgspec.json.Decoder(CancelHold).decode, cancel),
    "adjustment.requested.v1": Decider("adjustment", msgspec.json.Decoder(Adjust).decode, adjust),
    "adjustment.correction_requested.v1": Decider("correction", msgspec.json.Decoder(Correct).decode, correct),
    "pending.decision_requested.v1": Decider("approval", msgspec.json.Decoder(DecidePending).decode, decide_pending),
    "adjustment.decision_requested.v1": Decider("adjustment", msgspec.json.Decoder(DecideAdjustment).decode, decide),
}

OF_PROGRAMS: dict[str, Callable[[bytes], TurnClock | TopUp]] = {
    "clock.turn_requested.v1": msgspec.json.Decoder(TurnClock).decode,
    "block.top_up_requested.v1": msgspec.json.Decoder(TopUp).decode,
}
"""What is asked of a whole program. It is noted, and done in steps that can stop and go on anywhere."""

NOT_FOR_US = ("redemption.", "reward.", "voucher.", "message.")
"""How the types begin that are meant for others; they are counted and skipped."""
