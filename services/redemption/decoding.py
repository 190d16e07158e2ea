"""A message becomes a step on the road, or is named as one that cannot be processed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from laurel.contracts.processing import CannotProcessError, read_each
from services.redemption.deciders import DECIDERS, OF_PROGRAMS, ON_TIME, OURS, TIMER, Decide
from services.redemption.domain.heard import (
    AskOfRedemption,
    AskOfVoucher,
    ClockTurned,
    Heard,
    HoldAnswer,
    PartnerAnswered,
    PartnerSilent,
    PointsConverted,
    PublishResource,
    PublishReward,
    Redeem,
    ShareReturned,
    TimeIsUp,
    UseReturned,
    VoucherEnds,
)
from services.redemption.domain.state import SagaKey
from services.redemption.domain.vouchers import VoucherKey
from services.redemption.ports import Incoming, TurnWaits

Due = TimeIsUp | VoucherEnds | PartnerAnswered | PartnerSilent
"""What our own timers and callers tell."""
VERSIONED = Redeem | AskOfRedemption | AskOfVoucher
"""What carries the program's version that it was accepted under."""


@dataclass(slots=True)
class Step:
    """A message on the road, decoded; `key` is None where it concerns a reward, not a saga or a voucher."""

    heard: Heard
    key: SagaKey | VoucherKey | None
    kind: str
    decide: Decide
    message: Incoming | None = None


def decode(messages: Sequence[Incoming]) -> list[Step]:
    """Read the messages that are for redemption; raises `CannotProcessError` naming all that cannot be read."""
    return read_each(messages, _read)


def _read(message: Incoming) -> Step | None:
    decider = DECIDERS.get(message.type)
    if decider is None:
        if message.type.startswith(OURS):
            raise CannotProcessError(message, "unknown_type", f"No decider answers {message.type}")
        return None
    try:
        heard = decider.decode(message.body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CannotProcessError(message, "undecodable", str(error)) from error
    if (heard.program, heard.member or "") != (message.program, message.member):
        # The order of keys would not protect it.
        raise CannotProcessError(message, "undecodable", "The body names another member than its key")
    if (heard.member is None) != isinstance(heard, PublishReward | PublishResource):
        detail = "What is offered has no member, everything else has one"
        raise CannotProcessError(message, "undecodable", detail)
    return Step(heard, key_of(heard), decider.kind, decider.decide, message)


def turn_of(message: Incoming) -> ClockTurned | TurnWaits:
    """Read what is told of a whole program; raises `CannotProcessError` where it cannot be read."""
    try:
        heard = OF_PROGRAMS[message.type](message.body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CannotProcessError(message, "undecodable", str(error)) from error
    if isinstance(heard, ClockTurned):
        return heard
    asked_by = (message.id, message.correlation, message.traceparent)
    return TurnWaits(heard.program, heard.as_of, heard.until, *asked_by)


def key_of(heard: Heard) -> SagaKey | VoucherKey | None:
    """Name the saga or voucher that is spoken of; None for a reward or resource."""
    match heard:
        case Redeem() | TimeIsUp() | AskOfRedemption() | PartnerAnswered() | PartnerSilent():
            return SagaKey(heard.program, heard.member or "", heard.redemption)
        case HoldAnswer():
            return SagaKey(heard.program, heard.member or "", heard.hold)
        case ShareReturned():
            return VoucherKey(heard.program, heard.member or "", heard.share)
        case UseReturned():
            return VoucherKey(heard.program, heard.member or "", heard.voucher)
        case PointsConverted() | AskOfVoucher() | VoucherEnds():
            return VoucherKey(heard.program, heard.member or "", heard.voucher)
        case _:
            return None


def timer_step(heard: Due) -> Step:
    """Put what is due on the road."""
    return Step(heard, key_of(heard), TIMER, ON_TIME[type(heard)])
