"""Giving points back that a saga has held or spent. One that costs none has nothing to give, and waits for nobody."""

from __future__ import annotations

from datetime import datetime

from services.redemption.domain import facts as f
from services.redemption.domain.facts import AnyFact
from services.redemption.domain.state import Saga


def release(saga: Saga, reason: str, turned_to: datetime | None = None) -> tuple[AnyFact, ...]:
    """Ask for the release of whatever is or will be held."""
    ended = saga.waits_until if turned_to is not None else None
    return (f.ReleaseAsked(reason=reason, turned_to=turned_to, waited_until=ended),) if saga.points else ()


def restore(saga: Saga, by: str) -> tuple[AnyFact, ...]:
    """Ask for points back that are spent, as S13 says; `by` whose choice or fault."""
    return (f.CancelAsked(by=by),) if saga.points else ()


def tell_at_once(saga: Saga) -> tuple[AnyFact, ...]:
    """Tell of a cancellation now where there are no points whose last word would be waited for."""
    return () if saga.points else (f.CancellationTold(),)
