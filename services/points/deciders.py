"""Everything this service reacts to: which message is answered by which decider. Read this file first.

A decider takes a wallet, what was asked and the moment, and returns facts, or none where nothing is to be done.
Refusals are facts too. A message that stands in no table is a request from a newer gateway, and parks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from services.points.domain.adjusting import adjust, decide
from services.points.domain.approving import decide_pending
from services.points.domain.asked import (
    Adjust,
    Asked,
    AskOfHold,
    CancelHold,
    CancelSagaHold,
    CaptureHold,
    ChangeMember,
    CloseMember,
    Correct,
    DecideAdjustment,
    DecidePending,
    Enrol,
    EraseMember,
    Exchange,
    GoOn,
    MatchStatus,
    Merge,
    PlaceHold,
    PlaceTimedHold,
    ReleaseHold,
    Report,
    SetHousehold,
    TopUp,
    Transfer,
    TurnClock,
    Unmerge,
)
from services.points.domain.cancelling import cancel, cancel_saga
from services.points.domain.capturing import capture, capture_timed
from services.points.domain.correcting import correct
from services.points.domain.enrolling import enrol
from services.points.domain.erasing import erase
from services.points.domain.exchanging import exchange
from services.points.domain.facts import AnyFact
from services.points.domain.holding import hold, hold_timed
from services.points.domain.joining import merge, unmerge
from services.points.domain.judging import judge
from services.points.domain.matching import match
from services.points.domain.membering import change, close
from services.points.domain.moment import Moment
from services.points.domain.pooling import set_household
from services.points.domain.releasing import release, release_timed
from services.points.domain.state import Wallet
from services.points.domain.transferring import transfer


class Decider(NamedTuple):
    """How one type of message is read and answered; `kind` names its journals."""

    kind: str
    decode: Callable[[bytes], Asked]
    decide: Callable[[Wallet, Any, Moment], tuple[AnyFact, ...]]


DECIDERS: dict[str, Decider] = {
    "member.enrolment_requested.v1": Decider("enrolment", msgspec.json.Decoder(Enrol).decode, enrol),
    "member.change_requested.v1": Decider("change", msgspec.json.Decoder(ChangeMember).decode, change),
    "member.close_requested.v1": Decider("close", msgspec.json.Decoder(CloseMember).decode, close),
    "activity.reported.v1": Decider("activity", msgspec.json.Decoder(Report).decode, judge),
    "member.status_match_requested.v1": Decider("status_match", msgspec.json.Decoder(MatchStatus).decode, match),
    "hold.requested.v1": Decider("hold", msgspec.json.Decoder(PlaceHold).decode, hold),
    "hold.capture_requested.v1": Decider("capture", msgspec.json.Decoder(CaptureHold).decode, capture),
    "hold.release_requested.v1": Decider("release", msgspec.json.Decoder(ReleaseHold).decode, release),
    "hold.cancel_requested.v1": Decider("cancel", msgspec.json.Decoder(CancelSagaHold).decode, cancel_saga),
    "timed_hold.requested.v1": Decider("hold", msgspec.json.Decoder(PlaceTimedHold).decode, hold_timed),
    "timed_hold.capture_requested.v1": Decider("capture", msgspec.json.Decoder(AskOfHold).decode, capture_timed),
    "timed_hold.release_requested.v1": Decider("release", msgspec.json.Decoder(AskOfHold).decode, release_timed),
    "timed_hold.cancel_requested.v1": Decider("cancel", msgspec.json.Decoder(CancelHold).decode, cancel),
    "adjustment.requested.v1": Decider("adjustment", msgspec.json.Decoder(Adjust).decode, adjust),
    "adjustment.correction_requested.v1": Decider("correction", msgspec.json.Decoder(Correct).decode, correct),
    "pending.decision_requested.v1": Decider("approval", msgspec.json.Decoder(DecidePending).decode, decide_pending),
    "adjustment.decision_requested.v1": Decider("adjustment", msgspec.json.Decoder(DecideAdjustment).decode, decide),
}


class Among(NamedTuple):
    """The same of a message that moves further wallets beside its own: `others` names them, as (program, member).

    `decide` takes the wallets and a moment for each, its own first, and returns the facts of each. All of it is one
    transaction; every wallet has a journal of its own.
    """

    kind: str
    decode: Callable[[bytes], Asked]
    others: Callable[[Any], tuple[tuple[str, str], ...]]
    decide: Callable[[Sequence[Wallet], Any, Sequence[Moment]], Sequence[tuple[AnyFact, ...]]]


AMONG: dict[str, Among] = {
    "transfer.requested.v1": Among(
        "transfer",
        msgspec.json.Decoder(Transfer).decode,
        lambda asked: ((asked.program, asked.to),),
        transfer,
    ),
    "exchange.requested.v1": Among(
        "exchange",
        msgspec.json.Decoder(Exchange).decode,
        lambda asked: ((asked.to_program, asked.to_member),),
        exchange,
    ),
    "member.merge_requested.v1": Among(
        "merge", msgspec.json.Decoder(Merge).decode, lambda asked: ((asked.program, asked.into),), merge
    ),
    "member.unmerge_requested.v1": Among(
        "unmerge", msgspec.json.Decoder(Unmerge).decode, lambda asked: ((asked.program, asked.into),), unmerge
    ),
    "member.erase_requested.v1": Among(
        "erase",
        msgspec.json.Decoder(EraseMember).decode,
        lambda asked: tuple((asked.program, account) for account in asked.accounts),
        erase,
    ),
    "household.set_requested.v1": Among(
        "household",
        msgspec.json.Decoder(SetHousehold).decode,
        lambda asked: tuple((asked.program, member) for member in (*asked.members, *asked.leaving)),
        set_household,
    ),
}

OF_PROGRAMS: dict[str, Callable[[bytes], TurnClock | TopUp | GoOn]] = {
    "clock.turn_requested.v1": msgspec.json.Decoder(TurnClock).decode,
    "block.top_up_requested.v1": msgspec.json.Decoder(TopUp).decode,
    "clock.go_on_requested.v1": msgspec.json.Decoder(GoOn).decode,
}
"""What is asked of a whole program. It is noted, and done in steps that can stop and go on anywhere."""

NOT_FOR_US = ("redemption.", "resource.", "reward.", "voucher.", "message.")
"""How the types begin that are meant for others; they are counted and skipped."""

UNHURRIED = frozenset({"hold.capture_requested.v1"})
"""What nobody waits for: the caller was answered when the redemption was fulfilled; the points are held until then."""


def may_wait(type_: str) -> bool:
    """Say whether a message may wait a moment for others, so that one transaction does for all of them."""
    if type_ in UNHURRIED:
        return True
    is_ours = type_ in DECIDERS or type_ in AMONG or type_ in OF_PROGRAMS
    return not is_ours and type_.startswith(NOT_FOR_US)
