"""Points are set aside without being spent (S12)."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from laurel.values import AMOUNT_MAX
from services.points.domain.asked import PlaceHold, PlaceTimedHold
from services.points.domain.covering import cover
from services.points.domain.facts import AnyFact, HoldRefused, LotPart, PointsHeld
from services.points.domain.moment import Moment
from services.points.domain.partnering import away
from services.points.domain.state import Wallet


def hold(wallet: Wallet, asked: PlaceHold, moment: Moment) -> tuple[AnyFact, ...]:
    """Hold the amount from the lots that expire first, or refuse: all or nothing, unless less will do."""
    if asked.hold in wallet.holds:
        return _again(wallet, asked)
    if _is_away(wallet, asked, moment):
        return (_refused_by_partner(asked),)
    amount = _as_many(wallet, asked)
    if isinstance(amount, HoldRefused):
        return (amount,)
    found = _cover(wallet, msgspec.structs.replace(asked, amount=amount))
    if isinstance(found, HoldRefused):
        return (found,)
    return (
        PointsHeld(
            hold=asked.hold,
            unit=asked.unit,
            amount=amount,
            parts=found,
            partner=asked.partner or "",
            waits_until=asked.waits_until,
        ),
    )


def _as_many(wallet: Wallet, asked: PlaceHold) -> int | HoldRefused:
    """Return how many points are to be held: as many as there are where less than all will do."""
    balance = wallet.balance(asked.unit)
    available = balance.available
    if asked.least is None or wallet.status != "active" or wallet.merged_into is not None:
        return asked.amount
    if available < asked.least:
        return HoldRefused(
            hold=asked.hold,
            unit=asked.unit,
            amount=asked.amount,
            code="below_minimum",
            available=available,
            # What is owed is paid first (S11).
            shortfall=min(asked.least - available + balance.owed, AMOUNT_MAX),
        )
    return min(asked.amount, available)


def hold_timed(wallet: Wallet, asked: PlaceTimedHold, moment: Moment) -> tuple[AnyFact, ...]:
    """Hold the amount for a caller, until it captures or releases it or the time is over."""
    if asked.hold in wallet.holds:
        return ()
    if _is_away(wallet, asked, moment):
        return (_refused_by_partner(asked, saga=False),)
    found = _cover(wallet, asked, saga=False)
    if isinstance(found, HoldRefused):
        return (found,)
    return (
        PointsHeld(
            hold=asked.hold,
            unit=asked.unit,
            amount=asked.amount,
            parts=found,
            saga=False,
            expires_at=moment.at + timedelta(seconds=asked.ttl_seconds),
            partner=asked.partner,
            reference=asked.reference,
        ),
    )


def _is_away(wallet: Wallet, asked: PlaceHold | PlaceTimedHold, moment: Moment) -> bool:
    """Say whether who would honour the points, and be paid for them, does not take part at this time."""
    if asked.partner is None:
        return False
    terms = moment.programs.terms(wallet.program, asked.partner, asked.versions.partners)
    return away(terms, moment.at) is not None


def _refused_by_partner(asked: PlaceHold | PlaceTimedHold, *, saga: bool = True) -> HoldRefused:
    return HoldRefused(hold=asked.hold, unit=asked.unit, amount=asked.amount, code="partner_not_active", saga=saga)


def _cover(
    wallet: Wallet, asked: PlaceHold | PlaceTimedHold, *, saga: bool = True
) -> tuple[LotPart, ...] | HoldRefused:
    """Return which lots pay, or why they cannot."""
    balance = wallet.balance(asked.unit)
    if wallet.status != "active" or wallet.merged_into is not None:
        # Of an account that became a part of another one the gateway asks no more, but for what is under way.
        code = "member_not_active" if wallet.exists else "member_unknown"
        return HoldRefused(hold=asked.hold, unit=asked.unit, amount=asked.amount, code=code, saga=saga)
    if asked.amount > balance.available:
        return HoldRefused(
            hold=asked.hold,
            unit=asked.unit,
            amount=asked.amount,
            code="insufficient_points",
            available=balance.available,
            # With a debt at the limit it would be more than an amount can say.
            shortfall=min(asked.amount - balance.available + balance.owed, AMOUNT_MAX),
            saga=saga,
        )
    parts, missing = cover(wallet.spendable(asked.unit), asked.amount)
    if missing:
        message = f"{missing} of {asked.amount} {asked.unit} are in no loaded lot of {wallet.member}"
        raise AssertionError(message)
    return parts


def _again(wallet: Wallet, asked: PlaceHold) -> tuple[AnyFact, ...]:
    """Answer a hold that is known: open ones stay as they are, a hold that comes after its release is refused."""
    known = wallet.holds[asked.hold]
    if not known.saga:
        # A redemption bears the id of a hold that a caller placed; the one has no claim to the other's points.
        return (HoldRefused(hold=asked.hold, unit=asked.unit, amount=asked.amount, code="idempotency_mismatch"),)
    if known.state == "released":
        return (HoldRefused(hold=asked.hold, unit=asked.unit, amount=asked.amount, code="hold_released"),)
    return ()
