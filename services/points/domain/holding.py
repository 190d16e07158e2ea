"""Points are set aside without being spent (S12)."""

from __future__ import annotations

from laurel.values import AMOUNT_MAX
from services.points.domain.asked import PlaceHold
from services.points.domain.covering import cover
from services.points.domain.facts import AnyFact, HoldRefused, PointsHeld
from services.points.domain.moment import Moment
from services.points.domain.state import Wallet


def hold(wallet: Wallet, asked: PlaceHold, _moment: Moment) -> tuple[AnyFact, ...]:
    """Hold the amount from the lots that expire first, or refuse: all or nothing."""
    if asked.hold in wallet.holds:
        return _again(wallet, asked)
    if not wallet.exists:
        return (HoldRefused(hold=asked.hold, unit=asked.unit, amount=asked.amount, code="member_unknown"),)
    available = wallet.balance(asked.unit).available
    if asked.amount > available:
        return (
            HoldRefused(
                hold=asked.hold,
                unit=asked.unit,
                amount=asked.amount,
                code="insufficient_points",
                available=available,
                # With a debt at the limit it would be more than an amount can say.
                shortfall=min(asked.amount - available + wallet.balance(asked.unit).owed, AMOUNT_MAX),
            ),
        )
    parts, missing = cover(wallet.spendable(asked.unit), asked.amount)
    if missing:
        message = f"{missing} of {asked.amount} {asked.unit} are in no loaded lot of {wallet.member}"
        raise AssertionError(message)
    return (PointsHeld(hold=asked.hold, unit=asked.unit, amount=asked.amount, parts=parts),)


def _again(wallet: Wallet, asked: PlaceHold) -> tuple[AnyFact, ...]:
    """Answer a hold that is known: open ones stay as they are, a hold that comes after its release is refused."""
    known = wallet.holds[asked.hold]
    if known.state == "released":
        return (HoldRefused(hold=asked.hold, unit=asked.unit, amount=asked.amount, code="hold_released"),)
    return ()
