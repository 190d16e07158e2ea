"""What became of holds, as events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from laurel.contracts import points as said
from laurel.shapes import struct_of
from services.points.announcing_parts import lots_made, lots_said
from services.points.domain import facts as f
from services.points.ports import Decided

_HoldStanding: Any = struct_of(said.HoldStanding)

_Told = tuple[Any, dict[str, Any]]


def _held(fact: f.PointsHeld, decided: Decided) -> _Told:
    return said.PointsHeld, _hold(fact, decided)


def _hold_refused(fact: f.HoldRefused, decided: Decided) -> _Told:
    return said.HoldRefused, {
        "hold": fact.hold,
        "unit": fact.unit or "-",
        "amount": fact.amount,
        "code": fact.code,
        "available": fact.available,
        "shortfall": fact.shortfall,
        "asked": fact.asked,
        "standing": _hold_standing(fact.hold, decided),
    }


def _captured(fact: f.PointsCaptured, decided: Decided) -> _Told:
    return said.PointsCaptured, _hold(fact, decided)


def _released(fact: f.PointsReleased, decided: Decided) -> _Told:
    fields = _hold(fact, decided)
    fields["unit"] = fact.unit or "-"
    return said.PointsReleased, fields


def _restored(fact: f.PointsRestored, decided: Decided) -> _Told:
    renewed = lots_made(decided, f.LotRenewed)
    fields = _hold(fact, decided)
    return said.PointsRestored, {
        **fields,
        "by": fact.by,
        "lots": [*fields["lots"], *renewed],
        "by_return": fact.by_return or None,
        "left": decided.holds[fact.hold].captured,
    }


def _hold(
    fact: f.PointsHeld | f.PointsCaptured | f.PointsReleased | f.PointsRestored, decided: Decided
) -> dict[str, Any]:
    return {
        "hold": fact.hold,
        "unit": fact.unit,
        "amount": fact.amount,
        "lots": lots_said(fact.parts),
        "standing": _hold_standing(fact.hold, decided),
    }


def _hold_standing(name: str, decided: Decided) -> said.HoldStanding | None:
    """Say how a caller's hold stands after this decision; of a redemption's that is its saga's to say."""
    hold = decided.holds.get(name)
    if hold is None or hold.saga:
        return None
    standing: said.HoldStanding = _HoldStanding(
        state=hold.state,
        amount=hold.amount,
        captured=hold.captured,
        cancelled=hold.cancelled,
        expires_at=hold.expires_at,
        partner=hold.partner or None,
        reference=hold.reference or None,
        lots=lots_said(hold.parts),
    )
    return standing


EVENTS: dict[type, Callable[[Any, Decided], _Told]] = {
    f.PointsHeld: _held,
    f.HoldRefused: _hold_refused,
    f.PointsCaptured: _captured,
    f.PointsReleased: _released,
    f.PointsRestored: _restored,
}
