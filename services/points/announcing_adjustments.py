"""What became of adjustments and corrections, as events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from laurel.contracts import points as said
from services.points.announcing_parts import lots_made, lots_said
from services.points.domain import facts as f
from services.points.domain.adjusting import CORRECTION, GOODWILL
from services.points.ports import Decided

_REASONS = GOODWILL | {CORRECTION}
"""The reasons for adjustments that mean something. Any other is what somebody wrote, which is in no event."""

_Told = tuple[Any, dict[str, Any]]


def _adjusted(fact: f.PointsAdjusted | f.PostingCorrected | f.AdjustmentRejected, decided: Decided) -> _Told:
    made = lots_made(decided, f.LotAdjusted)
    parts = () if isinstance(fact, f.AdjustmentRejected) else fact.parts
    return said.PointsAdjusted, {**_adjustment(fact.adjustment, decided), "lots": [*lots_said(parts), *made]}


def _held_back(fact: f.AdjustmentWaiting | f.AdjustmentRefused, decided: Decided) -> _Told:
    fields = _adjustment(fact.adjustment, decided)
    if isinstance(fact, f.AdjustmentWaiting):
        return said.AdjustmentHeldBack, {**fields, "code": "needs_approval"}
    told = {"code": fact.code, "available": fact.available, "shortfall": fact.shortfall}
    return said.AdjustmentHeldBack, {**fields, **told}


def _adjustment(name: str, decided: Decided) -> dict[str, Any]:
    known = decided.adjustments[name]
    return {
        "adjustment": name,
        "unit": known.unit or "-",
        "amount": known.amount,
        "state": known.state,
        "partner": known.partner or None,
        "corrects": known.corrects or None,
        "reversed": known.reversed,
        "written_off": known.written_off,
        "waiting": known.waiting,
        "bonus": known.bonus,
        "owed": known.owed,
        "expires_at": known.expires_at,
        "reason": known.reason if known.reason in _REASONS else None,
    }


EVENTS: dict[type, Callable[[Any, Decided], _Told]] = {
    f.AdjustmentWaiting: _held_back,
    f.AdjustmentRefused: _held_back,
    f.AdjustmentRejected: _adjusted,
    f.PointsAdjusted: _adjusted,
    f.PostingCorrected: _adjusted,
}
