"""Points that await somebody's approval become available, or are given up."""

from __future__ import annotations

from services.points.domain.asked import DecidePending
from services.points.domain.facts import AnyFact, LotPart, PendingDecided, PendingGivenUp
from services.points.domain.moment import Moment
from services.points.domain.pending import release
from services.points.domain.pending_state import APPROVAL
from services.points.domain.state import Wallet


def decide_pending(wallet: Wallet, asked: DecidePending, moment: Moment) -> tuple[AnyFact, ...]:
    """Release what awaits approval, or give it up; by somebody whose limit suffices for all of it."""
    lots = [
        lot
        for lot in wallet.lots.values()
        if lot.pending
        and lot.awaits == APPROVAL
        and not lot.unfunded
        and (lot.partner, lot.activity) == (asked.partner, asked.activity)
    ]
    amount = sum(lot.pending for lot in lots)
    code = "" if lots else "nothing_pending"
    if asked.limit is not None and amount > asked.limit:
        code = "needs_approval"
    decided = PendingDecided(
        activity=asked.activity, partner=asked.partner, approved=asked.approve, amount=amount, code=code
    )
    if code:
        return (decided,)
    if asked.approve:
        return (decided, *release(wallet, lots, moment.at, APPROVAL, asked.activity, asked.partner))
    given_up = [
        PendingGivenUp(unit=lot.unit, rule=lot.rule, funder=lot.funder, part=LotPart(lot.name, lot.pending))
        for lot in sorted(lots, key=lambda lot: lot.name)
    ]
    return (decided, *given_up)
