"""The points could not be held: stock goes back on the stock, and the member is told why."""

from __future__ import annotations

from services.redemption.domain import facts as f
from services.redemption.domain.answering import awaits_points, check_price, saga_of
from services.redemption.domain.closing import tell_cancellation
from services.redemption.domain.facts import AnyFact
from services.redemption.domain.heard import HoldRefused
from services.redemption.domain.moment import Moment
from services.redemption.domain.state import HoldState, State
from services.redemption.domain.stock import give_back


def refuse(state: State, heard: HoldRefused, _moment: Moment) -> tuple[AnyFact, ...]:
    """End the saga. A refusal for a saga that gave up earlier only closes its hold; a repeat changes nothing."""
    saga = saga_of(state, heard)
    if saga is None:
        return ()
    if not awaits_points(saga):
        return (f.HoldRefusalSeen(), *tell_cancellation(saga)) if saga.hold is HoldState.RELEASE_ASKED else ()
    check_price(saga, heard)
    detail = f"{heard.amount} {heard.unit} could not be held"
    facts: dict[str, str | int] = {"unit": heard.unit, "amount": heard.amount}
    if heard.shortfall:
        detail += f", {heard.available} are available"
        facts |= {"available": heard.available, "shortfall": heard.shortfall}
    return (
        f.HoldRefusalSeen(),
        *give_back(saga),
        f.RedemptionRefused(code=heard.code, detail=detail, facts=facts),
    )
