"""Held points are spent: for a saga, as the step that cannot be refused; for a caller, whole or in part."""

from __future__ import annotations

from services.points.domain.asked import AskOfHold, CaptureHold
from services.points.domain.facts import AnyFact, PointsCaptured
from services.points.domain.moment import Moment
from services.points.domain.refusing import refuse
from services.points.domain.releasing import first, give_back
from services.points.domain.state import Wallet, less


def capture(wallet: Wallet, asked: CaptureHold, _moment: Moment) -> tuple[AnyFact, ...]:
    """Spend the whole hold. A hold that is captured already stays so."""
    known = wallet.holds.get(asked.hold)
    if known is not None and known.state == "captured":
        return ()
    if known is None or known.state != "held" or not known.saga:
        message = f"hold {asked.hold} of {wallet.member} is {known.state if known else 'unknown'}, not held"
        raise ImpossibleRequestError(message)
    return (PointsCaptured(hold=known.hold, unit=known.unit, amount=known.amount, parts=known.parts),)


def capture_timed(wallet: Wallet, asked: AskOfHold, moment: Moment) -> tuple[AnyFact, ...]:
    """Spend a hold that a caller placed, from what expires first; what is not asked for is released."""
    known = wallet.holds.get(asked.hold)
    if known is None or known.saga or known.state != "held":
        return refuse(wallet, asked.hold, "capture")
    amount = asked.amount if asked.amount is not None else known.amount
    if not 0 < amount <= known.amount:
        short = amount - known.amount
        return refuse(
            wallet, asked.hold, "capture", code="insufficient_points", available=known.amount, shortfall=short
        )
    spent = first(known.parts, amount)
    captured = PointsCaptured(hold=known.hold, unit=known.unit, amount=amount, parts=spent)
    rest = less(known.parts, spent)
    if not rest:
        return (captured,)
    return (*give_back(wallet, known, rest, moment.at, rest=True), captured)


class ImpossibleRequestError(Exception):
    """A request that no correct peer sends; its message is parked for a person to look at."""
