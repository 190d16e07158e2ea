"""Points are given to another member of the program: as lots, with the dates, funder and price that they had."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from laurel.program import CompiledProgram
from laurel.program.sharing import CompiledGiftLimit, CompiledTransfers
from laurel.values import AMOUNT_MAX
from services.points.domain.asked import Transfer
from services.points.domain.covering import cover
from services.points.domain.facts import (
    AnyFact,
    Counted,
    DebtPaid,
    LotName,
    LotPart,
    LotReceived,
    PointsReceived,
    PointsSent,
    TransferRefused,
)
from services.points.domain.granting import takes
from services.points.domain.moment import Moment
from services.points.domain.state import Lot, Wallet

LOTS_MAX: Final = 32_000
"""How many lots one journal can make."""

Halves = Sequence[tuple[AnyFact, ...]]
"""What was found of each wallet, in their order."""


def transfer(wallets: Sequence[Wallet], asked: Transfer, moments: Sequence[Moment]) -> Halves:
    """Move the amount from the lots of the first wallet that expire first into new ones of the second, or refuse."""
    giver, receiver = wallets
    refused = _refusal(giver, receiver, asked, moments[0])
    if refused is not None:
        return ((refused,), ())
    program = moments[0].programs.in_force(giver.program, moments[0].at, asked.versions.program)
    assert program is not None  # its terms were just read
    terms = program.transfers[asked.unit]
    parts, missing = cover(giver.spendable(asked.unit), asked.amount)
    if missing:
        message = f"{missing} of {asked.amount} {asked.unit} are in no loaded lot of {giver.member}"
        raise AssertionError(message)
    lots = received_lots(giver, parts, asked.transfer)
    if len(lots) > LOTS_MAX:
        return (
            (_refused(asked, giver.program, "limit_reached", detail="These are more lots than can move at once"),),
            (),
        )
    sent = PointsSent(
        transfer=asked.transfer,
        unit=asked.unit,
        amount=asked.amount,
        program=receiver.program,
        member=receiver.member,
        journal=moments[1].journal,
        parts=parts,
        counted=_counted(program, giver, terms.given, asked, moments[0].at),
    )
    received = PointsReceived(
        transfer=asked.transfer,
        unit=asked.unit,
        amount=asked.amount,
        program=giver.program,
        member=giver.member,
        journal=moments[0].journal,
        counted=_counted(program, receiver, terms.received, asked, moments[0].at),
        active_until=giver.balance(asked.unit).active_until,
    )
    return ((sent,), (received, *lots, *pay_with(receiver, lots, moments[1].journal)))


def received_lots(giver: Wallet, parts: Iterable[LotPart], transfer: str | None) -> list[LotReceived]:
    """Make lots of parts of another wallet's: those that are alike in all that is kept become one (S4).

    They are named after the transfer; where an account becomes a part of another, after what granted them.
    """
    sums: dict[tuple[object, ...], tuple[Lot, int]] = {}
    for part in parts:
        lot = giver.lots[part.name]
        kind = (*kind_of(lot), None if transfer is not None else lot.activity)
        before = sums.get(kind)
        sums[kind] = (lot, part.amount + (before[1] if before is not None else 0))
    return [
        LotReceived(
            lot=number,
            unit=lot.unit,
            rule=lot.rule,
            amount=amount,
            activity=transfer if transfer is not None else lot.activity,
            partner=lot.partner,
            earned_at=lot.earned_at,
            available_at=lot.available_at,
            funder=lot.funder,
            version=lot.version,
            expires_at=lot.expires_at,
        )
        for number, (lot, amount) in enumerate(sums.values(), 1)
    ]


def kind_of(lot: Lot) -> tuple[object, ...]:
    """Return all that a lot keeps wherever it goes."""
    return (
        lot.unit, lot.rule, lot.partner, lot.earned_at, lot.available_at, lot.expires_at, lot.funder, lot.version,
    )  # fmt: skip


def pay_with(receiver: Wallet, lots: Iterable[LotReceived], journal: int) -> list[DebtPaid]:
    """Let what comes in pay what is owed first, in the order of the lots (S11)."""
    owed = {unit: balance.owed for unit, balance in receiver.balances.items() if balance.owed}
    parts: dict[str, list[LotPart]] = {}
    for lot in lots if owed else ():
        paid = min(owed.get(lot.unit, 0), lot.amount)
        if paid > 0:
            parts.setdefault(lot.unit, []).append(LotPart(LotName(journal, lot.lot), paid))
            owed[lot.unit] -= paid
    return [DebtPaid(unit=unit, parts=tuple(paid)) for unit, paid in parts.items()]


def inactive(wallet: Wallet) -> str | None:
    """Return the code of a member who cannot take part."""
    if wallet.status == "active":
        return None
    return "member_not_active" if wallet.exists else "member_unknown"


def short_of(giver: Wallet, unit: str, amount: int) -> tuple[int, int] | None:
    """Return what is available and what is missing, where it does not suffice."""
    balance = giver.balance(unit)
    if amount <= balance.available:
        return None
    return balance.available, min(amount - balance.available + balance.owed, AMOUNT_MAX)


def _refusal(giver: Wallet, receiver: Wallet, asked: Transfer, moment: Moment) -> TransferRefused | None:
    code = inactive(giver) or inactive(receiver)
    program = moment.programs.in_force(giver.program, moment.at, asked.versions.program)
    terms = program.transfers.get(asked.unit) if program is not None else None
    if code is not None or program is None or terms is None or giver is receiver:
        return _refused(asked, giver.program, code or "not_offered")
    if asked.amount < terms.least:
        return _refused(asked, giver.program, "below_minimum", detail=f"At least {terms.least} are given at once")
    left = _left(program, giver, receiver, terms, moment.at)
    if left is not None and asked.amount > left:
        return _refused(asked, giver.program, "limit_reached", left=left)
    short = short_of(giver, asked.unit, asked.amount)
    if short is not None:
        available, shortfall = short
        return _refused(asked, giver.program, "insufficient_points", available=available, shortfall=shortfall)
    if not takes(receiver.balance(asked.unit), asked.amount):
        return _refused(asked, giver.program, "limit_reached", detail=f"A member's points end at {AMOUNT_MAX}")
    return None


def _left(
    program: CompiledProgram, giver: Wallet, receiver: Wallet, terms: CompiledTransfers, at: datetime
) -> int | None:
    """Return the most that may be given now; None where nothing limits it."""
    bounds = [] if terms.most is None else [terms.most]
    for wallet, limit in ((giver, terms.given), (receiver, terms.received)):
        if limit is not None:
            window = program.windows.of(limit.window, at, enrolled_at=wallet.enrolled_at)
            bounds.append(max(limit.points - wallet.counted(limit.counter, window.start), 0))
    return min(bounds, default=None)


def _counted(
    program: CompiledProgram, wallet: Wallet, limit: CompiledGiftLimit | None, asked: Transfer, at: datetime
) -> tuple[Counted, ...]:
    if limit is None:
        return ()
    window = program.windows.of(limit.window, at, enrolled_at=wallet.enrolled_at)
    total = wallet.counted(limit.counter, window.start) + asked.amount
    return (
        Counted(
            counter=limit.counter,
            start=window.start,
            amount=asked.amount,
            total=total,
            end=window.end,
            unit=asked.unit,
            limit=limit.points,
        ),
    )


def _refused(
    asked: Transfer,
    program: str,
    code: str,
    *,
    detail: str = "",
    available: int = 0,
    shortfall: int = 0,
    left: int | None = None,
) -> TransferRefused:
    return TransferRefused(
        transfer=asked.transfer,
        unit=asked.unit,
        amount=asked.amount,
        program=program,
        member=asked.to,
        code=code,
        detail=detail,
        available=available,
        shortfall=shortfall,
        left=left,
    )
