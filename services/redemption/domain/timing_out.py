"""A saga waits only so long, for points or to be confirmed (S12); then it gives back what it has."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from services.redemption.domain import facts as f
from services.redemption.domain.facts import AnyFact
from services.redemption.domain.heard import AskOfRedemption, PointsHeld, TimeIsUp
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
    return time_out(saga, heard.turned_to) if saga is not None and is_over(saga, moment.at) else ()


def is_over(saga: Saga, now: datetime | None) -> bool:
    """Say whether the wait was over by then, so that no outcome depends on when the timer ran."""
    if saga.state is not SagaState.HOLDING or saga.waits_until is None or now is None:
        return False
    return saga.waits_until <= now


def now_for(saga: Saga, heard: AskOfRedemption | PointsHeld, moment: Moment) -> datetime | None:
    """Return the time of the clock that ends the wait: the program's own where that is turned by hand.

    A member's time may lie ahead of such a clock, and ends nothing; points do not say where it stands, its turn does.
    """
    if not saga.manual:
        return moment.at
    return heard.versions.as_of if isinstance(heard, AskOfRedemption) else None


def time_out(saga: Saga, turned_to: datetime | None = None) -> tuple[AnyFact, ...]:
    """Ask for the release of whatever is or will be held, give stock back, and refuse."""
    return (
        *release(saga, HOLD_EXPIRED, turned_to),
        *give_back(saga),
        f.RedemptionRefused(code=HOLD_EXPIRED, detail=_WHY[saga.hold is not HoldState.ASKED]),
    )
