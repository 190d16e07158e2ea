"""A saga waits only so long, for points or to be confirmed (S12); then it gives back what it has."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from services.redemption.domain import facts as f
from services.redemption.domain.facts import AnyFact
from services.redemption.domain.heard import TimeIsUp
from services.redemption.domain.moment import Moment
from services.redemption.domain.points_back import release
from services.redemption.domain.state import HoldState, Saga, SagaKey, SagaState, State
from services.redemption.domain.stock import give_back

HOLD_EXPIRED: Final = "hold_expired"
_WHY: Final = {True: "It was not confirmed in time", False: "The points could not be held in time"}


def end_wait(state: State, heard: TimeIsUp, moment: Moment) -> tuple[AnyFact, ...]:
    """End a saga that has waited long enough; one that has moved on since the timer saw it is left alone."""
    assert heard.member is not None
    saga = state.sagas.get(SagaKey(heard.program, heard.member, heard.redemption))
    return time_out(saga) if saga is not None and is_over(saga, moment.at) else ()


def is_over(saga: Saga, at: datetime) -> bool:
    """Say whether the wait was over by `at`, so that no outcome depends on when the timer ran."""
    return saga.state is SagaState.HOLDING and saga.waits_until is not None and saga.waits_until <= at


def time_out(saga: Saga) -> tuple[AnyFact, ...]:
    """Ask for the release of whatever is or will be held, give stock back, and refuse."""
    return (
        *release(saga, HOLD_EXPIRED),
        *give_back(saga),
        f.RedemptionRefused(code=HOLD_EXPIRED, detail=_WHY[saga.hold is not HoldState.ASKED]),
    )
