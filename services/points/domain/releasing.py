"""Held points are given back (S12); what has expired meanwhile expires at that moment, and debts are paid first."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from services.points.domain.asked import AskOfHold, ReleaseHold
from services.points.domain.facts import AnyFact, DebtPaid, LotPart, LotsExpired, PointsReleased
from services.points.domain.moment import Moment
from services.points.domain.refusing import refuse
from services.points.domain.state import Hold, Wallet


def release(wallet: Wallet, asked: ReleaseHold, moment: Moment) -> tuple[AnyFact, ...]:
    """Release the hold; one that is not known yet is closed, so that it is refused when it arrives."""
    known = wallet.holds.get(asked.hold)
    if known is None:
        return (PointsReleased(hold=asked.hold, unit="", amount=0, parts=(), closed=True),)
    if known.state != "held" or not known.saga:
        return ()
    return give_back(wallet, known, known.parts, moment.at)


def release_timed(wallet: Wallet, asked: AskOfHold, moment: Moment) -> tuple[AnyFact, ...]:
    """Release a hold that a caller placed; one that has ended otherwise says how."""
    known = wallet.holds.get(asked.hold)
    if known is None or known.saga or known.state != "held":
        return refuse(wallet, asked.hold, "release")
    return give_back(wallet, known, known.parts, moment.at)


def give_back(
    wallet: Wallet, hold: Hold, parts: tuple[LotPart, ...], at: datetime, *, state: str = "released", rest: bool = False
) -> tuple[AnyFact, ...]:
    """Give parts of a hold back; `rest` says that the hold does not end with it."""
    amount = sum(part.amount for part in parts)
    back = PointsReleased(hold=hold.hold, unit=hold.unit, amount=amount, parts=parts, state=state, rest=rest)
    return (back, *settle(wallet, hold.unit, parts, at))


def settle(wallet: Wallet, unit: str, parts: Iterable[LotPart], at: datetime) -> list[AnyFact]:
    """Say what becomes of points that are available again: what has ended expires, the rest pays what is owed (S11)."""
    gone: list[LotPart] = []
    good: list[LotPart] = []
    for part in parts:
        end = wallet.end_of(wallet.lots[part.name])
        (gone if end is not None and end <= at else good).append(part)
    out: list[AnyFact] = []
    if gone:
        out.append(LotsExpired(unit=unit, parts=tuple(gone)))
    debt = first(good, wallet.balance(unit).owed)
    if debt:
        out.append(DebtPaid(unit=unit, parts=debt))
    return out


def first(parts: Iterable[LotPart], amount: int) -> tuple[LotPart, ...]:
    """Return the first parts, cut to `amount`."""
    out: list[LotPart] = []
    for part in parts:
        if amount <= 0:
            break
        out.append(LotPart(part.name, min(part.amount, amount)))
        amount -= part.amount
    return tuple(out)
