"""Held points are given back (S12); what has expired meanwhile expires at that moment, and debts are paid first."""

from __future__ import annotations

from services.points.domain.asked import ReleaseHold
from services.points.domain.facts import AnyFact, DebtPaid, LotPart, LotsExpired, PointsReleased
from services.points.domain.moment import Moment
from services.points.domain.state import Wallet


def release(wallet: Wallet, asked: ReleaseHold, moment: Moment) -> tuple[AnyFact, ...]:
    """Release the hold; one that is not known yet is closed, so that it is refused when it arrives."""
    known = wallet.holds.get(asked.hold)
    if known is None:
        return (PointsReleased(hold=asked.hold, unit="", amount=0, parts=(), closed=True),)
    if known.state != "held":
        return ()
    out: list[AnyFact] = [PointsReleased(hold=known.hold, unit=known.unit, amount=known.amount, parts=known.parts)]
    gone: list[LotPart] = []
    good: list[LotPart] = []
    for part in known.parts:
        expires_at = wallet.lots[part.name].expires_at
        (gone if expires_at is not None and expires_at <= moment.at else good).append(part)
    if gone:
        out.append(LotsExpired(unit=known.unit, parts=tuple(gone)))
    debt = _first(good, wallet.balance(known.unit).owed)
    if debt:
        out.append(DebtPaid(unit=known.unit, parts=debt))
    return tuple(out)


def _first(parts: list[LotPart], amount: int) -> tuple[LotPart, ...]:
    """Return the first parts, cut to `amount`."""
    out: list[LotPart] = []
    for part in parts:
        if amount <= 0:
            break
        out.append(LotPart(part.name, min(part.amount, amount)))
        amount -= part.amount
    return tuple(out)
