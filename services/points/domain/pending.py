"""Points that wait: what a lot awaits, and its release, which pays what is owed first (S11)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from laurel.program.rules import EVENT
from services.points.domain.facts import AnyFact, LotPart, PendingReleased
from services.points.domain.pending_state import DATE
from services.points.domain.releasing import settle
from services.points.domain.state import Lot, Wallet


def release(
    wallet: Wallet, lots: Iterable[Lot], at: datetime, reason: str, activity: str = "", partner: str = ""
) -> list[AnyFact]:
    """Release pending lots, unit by unit; what has ended meanwhile expires at once."""
    by_unit: dict[str, list[Lot]] = {}
    for lot in sorted(lots, key=lambda lot: lot.name):
        by_unit.setdefault(lot.unit, []).append(lot)
    out: list[AnyFact] = []
    for unit, ripe in by_unit.items():
        parts = tuple(LotPart(lot.name, lot.pending) for lot in ripe)
        out.append(
            PendingReleased(
                unit=unit,
                parts=parts,
                funders=tuple(lot.funder for lot in ripe),
                reason=reason,
                activity=activity,
                partner=partner,
            )
        )
        out += settle(wallet, unit, parts, at)
    return out


def next_release(wallet: Wallet, until: datetime) -> datetime | None:
    """Return when the next lot that awaits its date becomes available, by `until`."""
    dates = (lot.available_at for lot in wallet.lots.values() if _awaits_date(lot) and lot.available_at <= until)
    return min(dates, default=None)


def release_due(wallet: Wallet, at: datetime) -> tuple[AnyFact, ...]:
    """Release what becomes available at an instant."""
    ripe = [lot for lot in wallet.lots.values() if _awaits_date(lot) and lot.available_at <= at]
    return tuple(release(wallet, ripe, at, DATE))


def release_by_event(
    wallet: Wallet, type_: str, of: tuple[str, str] | None, at: datetime, activity: str, partner: str
) -> list[AnyFact]:
    """Release what awaits an activity of a type: that of the activity it is `of`, else all."""
    for balance in wallet.balances.values():
        if balance.pending:
            break
    else:
        return []
    ripe = [
        lot
        for lot in wallet.lots.values()
        if lot.pending
        and lot.awaits == EVENT + type_
        and not lot.unfunded
        and (of is None or (lot.partner, lot.activity) == of)
    ]
    return release(wallet, ripe, at, "event", activity, partner)


def _awaits_date(lot: Lot) -> bool:
    return lot.pending > 0 and lot.awaits == DATE and not lot.unfunded
