"""Time takes its due before a message is decided: lots whose last good day has passed expire (S3, S4)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from services.points.domain.facts import AnyFact, LotPart, LotsExpired
from services.points.domain.moment import Programs
from services.points.domain.state import Wallet
from services.points.domain.tiering import reviewed, tier_due_at


def due(wallet: Wallet, until: datetime, programs: Programs) -> Iterator[tuple[datetime, tuple[AnyFact, ...]]]:
    """Yield what is due up to and including `until`, in order of due time, as (instant, facts).

    The caller applies each before it asks for the next. Held points do not expire while held (S12). At one instant
    points expire before tiers are reviewed (S3).
    """
    while True:
        moment, tier_at = _next_due(wallet, until), tier_due_at(wallet)
        if tier_at is not None and tier_at <= until and (moment is None or tier_at < moment):
            facts = reviewed(wallet, tier_at, programs)
            if not facts:
                message = f"the review of {wallet.program}/{wallet.member} at {tier_at} led to nothing"
                raise AssertionError(message)
            yield tier_at, facts
        elif moment is not None:
            yield moment, tuple(_expire(wallet, moment))
        else:
            return


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
