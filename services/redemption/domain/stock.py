"""What sagas do with counted stock."""

from __future__ import annotations

from services.redemption.domain.drawing import give_back_draws
from services.redemption.domain.facts import AnyFact, StockRestored, StockReturned
from services.redemption.domain.state import Saga


def give_back(saga: Saga) -> tuple[AnyFact, ...]:
    """Put a saga's pieces back on offer, and what else it drew, if it has any."""
    pieces = (StockReturned(reward=saga.reward, quantity=saga.quantity),) if saga.counted else ()
    return (*pieces, *give_back_draws(saga))


def bring_back(saga: Saga) -> tuple[AnyFact, ...]:
    """Put pieces that were gone on offer again, and what else the saga drew, if it has any."""
    pieces = (StockRestored(reward=saga.reward, quantity=saga.quantity),) if saga.counted else ()
    return (*pieces, *give_back_draws(saga))
