"""What all answers of points have in common: whose hold it is, and whether it came in time."""

from __future__ import annotations

from laurel.errors import LaurelError
from services.redemption.domain.heard import AskOfRedemption, HoldAnswer, HoldRefused, PointsHeld
from services.redemption.domain.state import HoldState, Saga, SagaKey, SagaState, State


class ImpossibleMessageError(LaurelError):
    """A message that no correct peer sends; it is parked for a person to look at."""


def saga_of(state: State, heard: HoldAnswer) -> Saga | None:
    """Return the saga whose hold this is; a hold that nobody redeems with belongs to somebody else."""
    if heard.member is None:
        return None
    return state.sagas.get(SagaKey(heard.program, heard.member, heard.hold))


def saga_asked_of(state: State, heard: AskOfRedemption) -> Saga:
    """Return the saga that is asked about. Whoever asks was told of it, unless its request was discarded."""
    saga = state.sagas.get(SagaKey(heard.program, heard.member or "", heard.redemption))
    if saga is None:
        message = f"redemption {heard.redemption} of {heard.member} was never asked for"
        raise ImpossibleMessageError(message)
    return saga


def awaits_points(saga: Saga) -> bool:
    """Say whether the saga still waits to hear whether its points are held."""
    return saga.state is SagaState.HOLDING and saga.hold is HoldState.ASKED


def check_price(saga: Saga, heard: PointsHeld | HoldRefused) -> None:
    """Raise if points answered about another price than was asked for: no reward goes out for less."""
    least = saga.points if saga.bargain.least is None else saga.bargain.least
    # A refusal speaks of what was asked for, a hold of what there was.
    if isinstance(heard, HoldRefused):
        least = saga.points
    if heard.unit != saga.unit or not least <= heard.amount <= saga.points:
        message = f"hold {heard.hold} answers {heard.amount} {heard.unit}, asked for were {saga.points} {saga.unit}"
        raise ImpossibleMessageError(message)
