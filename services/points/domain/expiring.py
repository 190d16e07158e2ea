"""Time takes its due before a message is decided: lots whose last good day has passed expire (S3, S4)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from services.points.domain.facts import AnyFact, LotPart, LotsExpired
from services.points.domain.state import Wallet


def due(wallet: Wallet, until: datetime) -> Iterator[tuple[datetime, tuple[AnyFact, ...]]]:
    """Yield what is due up to and including `until`, in order of due time, as (instant, facts).

    The caller applies each before it asks for the next. Held points do not expire while held (S12).
    """
    while True:
        moment = _next_due(wallet, until)
        if moment is None:
            return
        yield moment, tuple(_expire(wallet, moment))


def _ends(wallet: Wallet, unit: str, expires_at: datetime | None) -> datetime | None:
    """Return when a lot ends: by its own date, else by the member's inactivity."""
    return expires_at if expires_at is not None else wallet.balance(unit).active_until


def _next_due(wallet: Wallet, until: datetime) -> datetime | None:
    ends = (_ends(wallet, lot.unit, lot.expires_at) for lot in wallet.lots.values() if lot.free > 0)
    return min((end for end in ends if end is not None and end <= until), default=None)


def _expire(wallet: Wallet, moment: datetime) -> Iterator[AnyFact]:
    parts: dict[str, list[LotPart]] = {}
    for lot in sorted(wallet.lots.values(), key=lambda lot: lot.order()):
        end = _ends(wallet, lot.unit, lot.expires_at)
        if lot.free > 0 and end is not None and end <= moment:
            parts.setdefault(lot.unit, []).append(LotPart(lot.name, lot.free))
    for unit, gone in parts.items():
        yield LotsExpired(unit=unit, parts=tuple(gone))
