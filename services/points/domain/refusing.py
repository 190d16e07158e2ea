"""What is asked of a hold that has ended already is refused, with the word for how it ended."""

from __future__ import annotations

from services.points.domain.facts import AnyFact, HoldRefused
from services.points.domain.state import Wallet

CODES = {
    "held": "hold_open",
    "captured": "hold_captured",
    "cancelled": "hold_captured",
    "released": "hold_released",
    "expired": "hold_expired",
}
"""How a hold stands, as the code that a caller is told."""


def refuse(
    wallet: Wallet, name: str, asked: str, *, code: str = "", available: int = 0, shortfall: int = 0
) -> tuple[AnyFact, ...]:
    """Refuse what was asked of a hold; without a code, by how the hold stands."""
    hold = wallet.holds.get(name)
    if hold is None or hold.saga:
        return (HoldRefused(hold=name, unit="", amount=0, code="hold_unknown", asked=asked, saga=False),)
    return (
        HoldRefused(
            hold=name,
            unit=hold.unit,
            amount=hold.amount,
            code=code or CODES.get(hold.state, "hold_unknown"),
            available=available,
            shortfall=shortfall,
            asked=asked,
            saga=False,
        ),
    )
