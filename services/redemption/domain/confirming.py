"""What is held for later is finished at the price that was held, whatever is published meanwhile (S14)."""

from __future__ import annotations

from services.redemption.domain import facts as f
from services.redemption.domain.answering import saga_asked_of
from services.redemption.domain.facts import AnyFact
from services.redemption.domain.fulfilling import can_be_confirmed, finish
from services.redemption.domain.heard import ConfirmRedemption
from services.redemption.domain.moment import Moment
from services.redemption.domain.state import State
from services.redemption.domain.timing_out import is_over, time_out


def confirm(state: State, heard: ConfirmRedemption, moment: Moment) -> tuple[AnyFact, ...]:
    """Finish what is held, or say why not. A confirmation that comes too late ends it as the timer would have done."""
    saga = saga_asked_of(state, heard)
    if saga.ended:
        detail = f"It has ended as {saga.state}"
        return (f.AskRefused(asked="confirm", code="redemption_ended", detail=detail, facts={"ended": saga.state}),)
    if not can_be_confirmed(saga):
        return (f.AskRefused(asked="confirm", code="redemption_not_held", detail=f"It is {saga.state}"),)
    if is_over(saga, moment.at):
        return time_out(saga)
    return (f.RedemptionConfirmed(correlation=moment.correlation), *finish(state, saga, saga.lots, moment))
