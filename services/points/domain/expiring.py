"""Time takes its due before a message is decided: holds time out, lots whose last good day has passed expire (S3)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from services.points.domain.facts import AnyFact, LotPart, LotsExpired
from services.points.domain.releasing import give_back
from services.points.domain.state import Hold, Wallet


def due(wallet: Wallet, until: datetime) -> Iterator[tuple[datetime, tuple[AnyFact, ...]]]:
    """Yield what is due up to and including `until`, in order of due time, as (instant, facts).

    The caller applies each before it asks for the next. Held points do not expire while held (S12).
    """
    while True:
        hold, moment = _next_hold(wallet, until), _next_due(wallet, until)
        if hold is not None and hold[0] <= (moment or hold[0]):
            # At one instant the hold comes first, so that what it gives back can expire with the rest.
            yield hold[0], give_back(wallet, hold[1], hold[1].parts, hold[0], state="expired")
        elif moment is not None:
            yield moment, tuple(_expire(wallet, moment))
        else:
            return


def _next_hold(wallet: Wallet, until: datetime) -> tuple[datetime, Hold] | None:
    """Return the open hold that times out next, by `until`."""
    ends = [
        (hold.expires_at, hold.hold)
        for hold in wallet.holds.values()
        if hold.state == "held" and hold.expires_at is not None and hold.expires_at <= until
    ]
    if not ends:
        return None
    moment, name = min(ends)
    return moment, wallet.holds[name]


def _next_due(wallet: Wallet, until: datetime) -> datetime | None:
    ends = (wallet.end_of(lot) for lot in wallet.lots.values() if lot.free > 0)
    return min((end for end in ends if end is not None and end <= until), default=None)


def _expire(wallet: Wallet, moment: datetime) -> Iterator[AnyFact]:
    parts: dict[str, list[LotPart]] = {}
    for lot in sorted(wallet.lots.values(), key=lambda lot: lot.order()):
        end = wallet.end_of(lot)
        if lot.free > 0 and end is not None and end <= moment:
            parts.setdefault(lot.unit, []).append(LotPart(lot.name, lot.free))
    for unit, gone in parts.items():
        yield LotsExpired(unit=unit, parts=tuple(gone))
