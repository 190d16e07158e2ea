"""What of a unit ends next: where facts may have moved it, and what it is then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from services.points.domain import facts as f
from services.points.domain.facts import AnyFact
from services.points.domain.state import Wallet

_SPENDING = (
    f.DebtPaid, f.PointsClawedBack, f.PointsHeld, f.PointsCaptured, f.PointsReleased, f.LotsExpired, f.PointsRestored,
    f.PointsAdjusted, f.PostingCorrected, f.PointsSent, f.PointsConverted, f.PendingReleased,
)  # fmt: skip


_TAKING = frozenset({f.DebtPaid, f.PointsHeld, f.LotsExpired, f.PointsConverted})


def units_moved(wallet: Wallet, facts: Iterable[AnyFact]) -> Iterator[str]:
    """Yield the units whose next end is to be looked for again; what is only added, the balance itself keeps up with.

    What is only taken, where no date is open, opens none.
    """
    for fact in facts:
        if type(fact) in _TAKING and wallet.balance(fact.unit).next_expiry_at is None:  # type: ignore[union-attr]
            continue
        if isinstance(fact, _SPENDING) and fact.unit:
            yield fact.unit


def ends_next(wallet: Wallet, unit: str) -> tuple[datetime | None, int]:
    """Return when the first of a unit's points end, and how many do then; all lots of the wallet must be at hand."""
    lots = [lot for lot in wallet.lots.values() if lot.unit == unit and lot.remaining > 0]
    first = min((lot.expires_at for lot in lots if lot.free > 0 and lot.expires_at is not None), default=None)
    if first is None:
        return None, 0
    return first, sum(lot.remaining for lot in lots if lot.expires_at == first)
