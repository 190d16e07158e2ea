"""Held points are spent: the step of a saga that cannot be refused."""

from __future__ import annotations

from services.points.domain.asked import CaptureHold
from services.points.domain.facts import AnyFact, PointsCaptured
from services.points.domain.moment import Moment
from services.points.domain.state import Wallet


def capture(wallet: Wallet, asked: CaptureHold, _moment: Moment) -> tuple[AnyFact, ...]:
    """Spend the whole hold. A hold that is captured already stays so."""
    known = wallet.holds.get(asked.hold)
    if known is not None and known.state == "captured":
        return ()
    if known is None or known.state != "held":
        message = f"hold {asked.hold} of {wallet.member} is {known.state if known else 'unknown'}, not held"
        raise ImpossibleRequestError(message)
    return (PointsCaptured(hold=known.hold, unit=known.unit, amount=known.amount, parts=known.parts),)


class ImpossibleRequestError(Exception):
    """A request that no correct peer sends; its message is parked for a person to look at."""
