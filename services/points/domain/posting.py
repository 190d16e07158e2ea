"""Facts as double entry: which accounts a fact moves, and by how much.

Accounts of a wallet: `available`, `held`, `owed` (negative while the member owes), `pending`. Accounts of the
house: `issued:<funder>`, `promised:<funder>`, `redeemed`, `expired`. They are summed, never locked. Every journal sums
to zero per unit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from services.points.domain import facts as f
from services.points.domain.facts import AnyFact
from services.points.domain.sharing import TRANSFERRED


class Entry(NamedTuple):
    """One side of a posting: `amount` is what the account gains."""

    unit: str
    account: str
    amount: int


def entries(facts: Iterable[AnyFact]) -> list[Entry]:
    """Return the entries of a journal, one an account and unit; they sum to zero per unit."""
    sums: dict[tuple[str, str], int] = {}
    for fact in facts:
        post = _POST.get(type(fact))
        if post is not None:
            for unit, account, amount in post(fact):
                sums[unit, account] = sums.get((unit, account), 0) + amount
    return [Entry(unit, account, amount) for (unit, account), amount in sums.items() if amount]


def _sum(parts: tuple[f.LotPart, ...]) -> int:
    return sum(part.amount for part in parts)


def _move(unit: str, source: str, target: str, amount: int) -> list[Entry]:
    return [Entry(unit, source, -amount), Entry(unit, target, amount)]


def _granted(fact: f.PointsGranted) -> list[Entry]:
    if fact.awaits or fact.unfunded:
        # What is pending is promised, not issued: it stands beside the books until it is released.
        return _move(fact.unit, f"promised:{fact.funder}", "pending", fact.amount)
    return _move(fact.unit, f"issued:{fact.funder}", "available", fact.amount)


def _pending_released(fact: f.PendingReleased) -> list[Entry]:
    amounts: dict[str, int] = {}
    for part, funder in zip(fact.parts, fact.funders, strict=True):
        amounts[funder] = amounts.get(funder, 0) + part.amount
    return [
        entry
        for funder, amount in amounts.items()
        for entry in (
            *_move(fact.unit, "pending", f"promised:{funder}", amount),
            *_move(fact.unit, f"issued:{funder}", "available", amount),
        )
    ]


def _given_up(fact: f.PendingGivenUp) -> list[Entry]:
    return _move(fact.unit, "pending", f"promised:{fact.funder}", fact.part.amount)


def _debt_paid(fact: f.DebtPaid) -> list[Entry]:
    return _move(fact.unit, "available", "owed", _sum(fact.parts))


def _clawed_back(fact: f.PointsClawedBack) -> list[Entry]:
    taken = _sum(fact.taken)
    return [
        Entry(fact.unit, "available", -taken),
        Entry(fact.unit, "owed", -fact.owed),
        Entry(fact.unit, f"issued:{fact.funder}", taken + fact.owed),
        *_move(fact.unit, "pending", f"promised:{fact.funder}", _sum(fact.pending)),
    ]


def _held(fact: f.PointsHeld) -> list[Entry]:
    return _move(fact.unit, "available", "held", _sum(fact.parts))


def _captured(fact: f.PointsCaptured) -> list[Entry]:
    return _move(fact.unit, "held", "redeemed", _sum(fact.parts))


def _released(fact: f.PointsReleased) -> list[Entry]:
    return _move(fact.unit, "held", "available", _sum(fact.parts))


def _expired(fact: f.LotsExpired) -> list[Entry]:
    return _move(fact.unit, "available", "expired", fact.amount)


def _revived(fact: f.PointsRevived) -> list[Entry]:
    return _move(fact.unit, "expired", "available", _sum(fact.parts))


def _restored(fact: f.PointsRestored) -> list[Entry]:
    return _move(fact.unit, "redeemed", "available", _sum(fact.parts))


def _renewed(fact: f.LotRenewed) -> list[Entry]:
    return _move(fact.unit, "redeemed", "available", fact.amount)


def _converted(fact: f.PointsConverted) -> list[Entry]:
    return _move(fact.unit, "available", "redeemed", _sum(fact.parts))


def _adjusted(fact: f.PointsAdjusted) -> list[Entry]:
    taken = _sum(fact.parts)
    return [
        Entry(fact.unit, "available", -taken),
        Entry(fact.unit, "owed", -fact.owed),
        Entry(fact.unit, f"adjusted:{fact.partner}", taken + fact.owed),
    ]


def _adjusted_lot(fact: f.LotAdjusted) -> list[Entry]:
    return _move(fact.unit, f"adjusted:{fact.funder}", "available", fact.amount)


def _corrected(fact: f.PostingCorrected) -> list[Entry]:
    """What is unspent goes back to where it came from; what is written off becomes the operator's own cost."""
    return [
        *_move(fact.unit, "available", f"adjusted:{fact.funder}", _sum(fact.parts)),
        *_move(fact.unit, "written_off", f"adjusted:{fact.funder}", fact.written_off),
        *_move(fact.unit, "pending", f"promised:{fact.funder}", _sum(fact.pending)),
    ]


def _sent(fact: f.PointsSent) -> list[Entry]:
    return [
        *_move(fact.unit, "available", fact.account, _sum(fact.parts)),
        *_move(fact.unit, fact.account, "owed", fact.owed),
    ]


def _received(fact: f.PointsReceived) -> list[Entry]:
    return [
        *_move(fact.unit, "owed", TRANSFERRED, fact.owed),
        *_move(fact.unit, TRANSFERRED, "available", _sum(fact.parts)),
    ]


def _received_lot(fact: f.LotReceived) -> list[Entry]:
    return _move(fact.unit, fact.account, "available", fact.amount)


def _rejected(fact: f.AdjustmentRejected) -> list[Entry]:
    return _move(fact.unit, "written_off", f"adjusted:{fact.funder}", fact.written_off)


_POST: dict[type, Callable[[Any], list[Entry]]] = {
    f.PointsGranted: _granted,
    f.PendingReleased: _pending_released,
    f.PendingGivenUp: _given_up,
    f.DebtPaid: _debt_paid,
    f.PointsClawedBack: _clawed_back,
    f.PointsHeld: _held,
    f.PointsCaptured: _captured,
    f.PointsReleased: _released,
    f.LotsExpired: _expired,
    f.PointsRevived: _revived,
    f.PointsRestored: _restored,
    f.LotRenewed: _renewed,
    f.PointsConverted: _converted,
    f.PointsAdjusted: _adjusted,
    f.LotAdjusted: _adjusted_lot,
    f.PostingCorrected: _corrected,
    f.AdjustmentRejected: _rejected,
    f.PointsSent: _sent,
    f.LotReceived: _received_lot,
    f.PointsReceived: _received,
}
