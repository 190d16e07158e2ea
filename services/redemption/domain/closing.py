"""Points say the last word about a hold: spent, given back, or given back after it was spent."""

from __future__ import annotations

from services.redemption.domain import facts as f
from services.redemption.domain.answering import saga_of
from services.redemption.domain.cancelling import taken_back
from services.redemption.domain.facts import AnyFact
from services.redemption.domain.heard import PointsCaptured, PointsReleased, PointsRestored
from services.redemption.domain.moment import Moment
from services.redemption.domain.state import HoldState, Saga, SagaState, State


def see_capture(state: State, heard: PointsCaptured, _moment: Moment) -> tuple[AnyFact, ...]:
    """Close a fulfilled saga."""
    saga = saga_of(state, heard)
    return (f.CaptureSeen(),) if saga is not None and saga.hold is HoldState.CAPTURE_ASKED else ()


def see_release(state: State, heard: PointsReleased, _moment: Moment) -> tuple[AnyFact, ...]:
    """Close a saga that gave up, or was cancelled before its points were spent."""
    saga = saga_of(state, heard)
    if saga is None or saga.hold is not HoldState.RELEASE_ASKED:
        return ()
    return (f.ReleaseSeen(), *tell_cancellation(saga))


def see_restoring(state: State, heard: PointsRestored, _moment: Moment) -> tuple[AnyFact, ...]:
    """Close a saga that was cancelled after its points were spent, or all of whose points a return gave back.

    Of a part that comes back with a return nothing follows: the rest still pays, and can be cancelled.
    """
    saga = saga_of(state, heard)
    if saga is None or heard.left:
        return ()
    seen = (f.RestoringSeen(lots=heard.lots), f.CancellationTold(lots=heard.lots))
    if saga.hold is HoldState.CANCEL_ASKED:
        return seen
    if heard.by_return is None or saga.state is not SagaState.FULFILLED:
        return ()
    return (*taken_back(state, saga, heard.by, correlation=""), *seen)


def tell_cancellation(saga: Saga) -> tuple[AnyFact, ...]:
    """Tell of a cancellation, if that is why the saga wanted no points any more."""
    return (f.CancellationTold(),) if saga.state is SagaState.CANCELLED else ()
