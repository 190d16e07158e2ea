"""What is held for later is finished at the price that was held, whatever is published meanwhile (S14)."""

from __future__ import annotations

from services.redemption.domain import facts as f
from services.redemption.domain.answering import saga_asked_of
from services.redemption.domain.cancelling import cancel_refused
from services.redemption.domain.facts import AnyFact
from services.redemption.domain.fulfilling import can_be_confirmed, can_be_settled, complete, finish
from services.redemption.domain.heard import ConfirmRedemption
from services.redemption.domain.moment import Moment
from services.redemption.domain.state import Saga, State
from services.redemption.domain.timing_out import is_over, now_for, time_out


def confirm(state: State, heard: ConfirmRedemption, moment: Moment) -> tuple[AnyFact, ...]:
    """Finish what is held, or say why not. A confirmation that comes too late ends it as the timer would have done."""
    saga = saga_asked_of(state, heard)
    if can_be_settled(saga, heard):
        return (f.PartnerDone(settled=True), *complete(saga, state.terms_of(saga), moment), *_told(saga))
    if saga.ended:
        detail = f"It has ended as {saga.state}"
        return (f.AskRefused(asked="confirm", code="redemption_ended", detail=detail, facts={"ended": saga.state}),)
    if not can_be_confirmed(saga):
        return (f.AskRefused(asked="confirm", code="redemption_not_held", detail=f"It is {saga.state}"),)
    if is_over(saga, now_for(saga, heard, moment)):
        return time_out(saga)
    return (f.RedemptionConfirmed(correlation=moment.correlation), *finish(state, saga, saga.lots, moment))


def _told(saga: Saga) -> tuple[AnyFact, ...]:
    """Tell whoever wanted to take it back, and waited for the partner, that it has ended otherwise."""
    if not saga.cancelling:
        return ()
    return (cancel_refused("redemption_ended", "An operator has confirmed it", correlation=saga.cancelling),)
