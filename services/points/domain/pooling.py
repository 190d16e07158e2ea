"""Members of a household share a wallet: what one cannot pay comes from the others, what expires first before all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from laurel.values import AMOUNT_MAX
from services.points.domain.asked import PlaceHold, SetHousehold
from services.points.domain.covering import cover
from services.points.domain.facts import (
    AnyFact,
    HoldRefused,
    Household,
    HouseholdChanged,
    LotPart,
    PointsHeld,
    PointsReceived,
    PointsSent,
    TransferRefused,
)
from services.points.domain.moment import Moment
from services.points.domain.state import Wallet
from services.points.domain.transferring import Halves, pay_with, received_lots

Short = HoldRefused | TransferRefused
NEVER: Final = datetime.max.replace(tzinfo=UTC)


def set_household(wallets: Sequence[Wallet], asked: SetHousehold, _moments: Sequence[Moment]) -> Halves:
    """Tell every member, and everybody who is none any more, how the household is now."""
    now = Household(asked.household, asked.members, asked.pooling)
    # Who was erased meanwhile belongs to nobody.
    belongs = [now if wallet.member in asked.members and wallet.status != "erased" else None for wallet in wallets]
    changed = [wallet.household != its for wallet, its in zip(wallets, belongs, strict=True)]
    # Somebody has to answer.
    changed[0] = changed[0] or not any(changed)
    return [
        (HouseholdChanged(household=asked.household, now=its),) if is_changed else ()
        for its, is_changed in zip(belongs, changed, strict=True)
    ]


def short_of(facts: Sequence[AnyFact]) -> Short | None:
    """Return the refusal for want of points, or of the least of them, if a decision is one."""
    first = facts[0] if facts else None
    if isinstance(first, HoldRefused | TransferRefused) and first.code == "insufficient_points":
        return first
    if isinstance(first, HoldRefused) and first.code == "below_minimum":
        return first
    return None


def more_for(
    wallet: Wallet, asked: PlaceHold, decided: Sequence[AnyFact], pool: Sequence[Wallet]
) -> HoldRefused | None:
    """Return what is missing of as many points as there are in the household, where as many are to be held."""
    first = decided[0] if decided else None
    is_less = isinstance(first, PointsHeld) and first.amount < asked.amount
    if asked.least is None or not (is_less or (isinstance(first, HoldRefused) and first.code == "below_minimum")):
        return None
    balance = wallet.balance(asked.unit)
    lent = sum(other.balance(asked.unit).available for other in pool if other.status == "active")
    wanted = min(asked.amount, balance.available + max(0, lent - balance.owed))
    if wanted <= balance.available or wanted < asked.least:
        return None
    return HoldRefused(
        hold=asked.hold,
        unit=asked.unit,
        amount=wanted,
        code="insufficient_points",
        available=balance.available,
        shortfall=wanted - balance.available + balance.owed,
    )


def with_pool(short: Short, pool: Sequence[Wallet]) -> Short | None:
    """Return the refusal as it is with what the others have; None where they have enough."""
    more = sum(wallet.balance(short.unit).available for wallet in pool if wallet.status == "active")
    if more >= short.shortfall:
        return None
    available = min(short.available + more, AMOUNT_MAX)
    return msgspec.structs.replace(short, available=available, shortfall=short.shortfall - more)


def drawn(pool: Sequence[Wallet], unit: str, amount: int) -> list[tuple[Wallet, tuple[LotPart, ...]]]:
    """Return whose lots pay an amount: those that end first, whoever has them, by whatever they end (S5)."""
    owners = [
        (wallet.end_of(lot) or NEVER, lot.earned_at, place, lot)
        for place, wallet in enumerate(pool)
        if wallet.status == "active"
        for lot in wallet.spendable(unit)
    ]
    owners.sort(key=lambda each: (*each[:3], each[3].name))
    parts, missing = cover([lot for *_, lot in owners], amount)
    if missing:
        message = f"{missing} of {amount} {unit} are in no loaded lot of a household"
        raise AssertionError(message)
    paying: dict[int, list[LotPart]] = {}
    for (_, _, place, _), part in zip(owners, parts, strict=False):
        paying.setdefault(place, []).append(part)
    return [(pool[place], tuple(parts)) for place, parts in paying.items()]


def lend(
    owner: Wallet, spender: Wallet, unit: str, parts: tuple[LotPart, ...], cause: str
) -> tuple[tuple[AnyFact, ...], tuple[AnyFact, ...]]:
    """Move parts of one member's lots to another of the household; return the facts of both."""
    amount = sum(part.amount for part in parts)
    here, there = owner.version + 1, spender.version + 1
    sent = PointsSent(
        transfer=cause, unit=unit, amount=amount, program=spender.program, member=spender.member, journal=there,
        parts=parts,
    )  # fmt: skip
    received = PointsReceived(
        transfer=cause, unit=unit, amount=amount, program=owner.program, member=owner.member, journal=here,
        active_until=owner.balance(unit).active_until,
    )  # fmt: skip
    lots = received_lots(owner, parts, cause)
    return (sent,), (received, *lots, *pay_with(spender, lots, there))
