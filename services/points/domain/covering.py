"""Which lots pay: an amount laid over lots in their order."""

from __future__ import annotations

from collections.abc import Iterable

from services.points.domain.facts import LotPart
from services.points.domain.state import Lot


def cover(lots: Iterable[Lot], amount: int) -> tuple[tuple[LotPart, ...], int]:
    """Take up to `amount` from what is free in `lots`, in the order given; return the parts and what is missing."""
    parts: list[LotPart] = []
    missing = amount
    for lot in lots:
        if missing <= 0:
            break
        taken = min(lot.free, missing)
        if taken > 0:
            parts.append(LotPart(lot.name, taken))
            missing -= taken
    return tuple(parts), missing
