"""Points that await somebody's approval become available, or are given up, in all wallets that the activity reached."""

from __future__ import annotations

from collections.abc import Sequence

from services.points.domain.asked import DecidePending
from services.points.domain.facts import AnyFact, PendingDecided
from services.points.domain.giving_up import give_up
from services.points.domain.moment import Moment
from services.points.domain.pending import release
from services.points.domain.pending_state import APPROVAL
from services.points.domain.state import Lot, Wallet


def decide_pending(wallet: Wallet, asked: DecidePending, moment: Moment) -> tuple[AnyFact, ...]:
    """Release what awaits approval, or give it up; by somebody whose limit suffices for all of it.

    All of it is what the activity gave to the member and to others, whose shares follow in journals of their own.
    """
    lots = _waiting(wallet, asked)
    theirs = [lot for other in moment.others.values() for lot in _waiting(other, asked)]
    amount = sum(lot.pending for lot in (*lots, *theirs))
    code = "" if amount else "nothing_pending"
    if asked.limit is not None and amount > asked.limit:
        code = "needs_approval"
    decided = PendingDecided(
        activity=asked.activity, partner=asked.partner, approved=asked.approve, amount=amount, code=code
    )
    return (decided,) if code else _conclude(wallet, lots, decided, asked, moment, theirs)


def decide_share(wallet: Wallet, of: str, asked: DecidePending, moment: Moment) -> tuple[AnyFact, ...]:
    """Do with the share of another, in the member `of`'s activity, as was decided about that."""
    lots = _waiting(wallet, asked)
    if not lots:
        return ()
    amount = sum(lot.pending for lot in lots)
    decided = PendingDecided(
        activity=asked.activity, partner=asked.partner, approved=asked.approve, amount=amount, share_of=of
    )
    return _conclude(wallet, lots, decided, asked, moment)


def _waiting(wallet: Wallet, asked: DecidePending) -> list[Lot]:
    return [
        lot
        for lot in wallet.lots.values()
        if lot.pending
        and lot.awaits == APPROVAL
        and not lot.unfunded
        and (lot.partner, lot.activity) == (asked.partner, asked.activity)
    ]


def _conclude(
    wallet: Wallet,
    lots: Sequence[Lot],
    decided: PendingDecided,
    asked: DecidePending,
    moment: Moment,
    theirs: Sequence[Lot] = (),
) -> tuple[AnyFact, ...]:
    if asked.approve:
        return (decided, *release(wallet, lots, moment.at, APPROVAL, asked.activity, asked.partner))
    return give_up(wallet, lots, decided, asked.versions.partners, moment, theirs)
