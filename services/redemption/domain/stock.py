"""What sagas do with counted stock."""

from __future__ import annotations

from services.redemption.domain.facts import AnyFact, StockRestored, StockReturned
from services.redemption.domain.state import Saga


def give_back(saga: Saga) -> tuple[AnyFact, ...]:
    """Put a saga's pieces back on offer, if it has any."""
    return (StockReturned(reward=saga.reward, quantity=saga.quantity),) if saga.counted else ()


def bring_back(saga: Saga) -> tuple[AnyFact, ...]:
    """Put pieces that were gone on offer again, if the saga has any."""
    return (StockRestored(reward=saga.reward, quantity=saga.quantity),) if saga.counted else ()
