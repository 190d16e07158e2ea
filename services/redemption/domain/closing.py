"""Points say the last word about a hold: spent, or given back."""

from __future__ import annotations

from services.redemption.domain import facts as f
from services.redemption.domain.answering import saga_of
from services.redemption.domain.facts import AnyFact
from services.redemption.domain.heard import PointsCaptured, PointsReleased
from services.redemption.domain.moment import Moment
from services.redemption.domain.state import HoldState, State


def see_capture(state: State, heard: PointsCaptured, _moment: Moment) -> tuple[AnyFact, ...]:
    """Close a fulfilled saga."""
    saga = saga_of(state, heard)
    return (f.CaptureSeen(),) if saga is not None and saga.hold is HoldState.CAPTURE_ASKED else ()


def see_release(state: State, heard: PointsReleased, _moment: Moment) -> tuple[AnyFact, ...]:
    """Close a saga that gave up."""
    saga = saga_of(state, heard)
    return (f.ReleaseSeen(),) if saga is not None and saga.hold is HoldState.RELEASE_ASKED else ()
