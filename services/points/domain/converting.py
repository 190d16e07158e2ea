"""Points become vouchers at certain dates: what was posted before, in whole steps; what is left is carried.

`Wallet.converts_at` says when time next has to look. It is no part of the ledger but a bound that follows from it:
too early costs a look, too late would miss a voucher. It moves past an instant in the transaction in which the
conversion of that instant is written, so nobody is met twice.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

from services.points.domain.covering import cover
from services.points.domain.facts import LOT_MAKING, AnyFact, PointsConverted
from services.points.domain.moment import Programs
from services.points.domain.state import Wallet
from services.points.domain.tiering import ANY_VERSION


def convert(wallet: Wallet, due_at: datetime, programs: Programs) -> tuple[AnyFact, ...]:
    """Return what the conversions that are due at an instant make of the points there are, and look ahead of it."""
    wallet.converts_at = None
    program = programs.in_force(wallet.program, due_at, ANY_VERSION)
    facts: list[AnyFact] = []
    for conversion in program.conversions if program is not None else ():
        if not conversion.is_due_at(due_at):
            continue
        # As if done on time: of what was reported ahead of its day nothing was there yet.
        lots = [lot for lot in wallet.spendable(conversion.unit) if lot.earned_at < due_at]
        made = conversion.of(sum(lot.free for lot in lots))
        if made is None:
            continue
        parts, _ = cover(lots, made.amount)
        facts.append(
            PointsConverted(
                conversion=conversion.name,
                unit=conversion.unit,
                amount=made.amount,
                parts=parts,
                voucher=voucher_id(wallet, conversion.name, due_at),
                value=made.value,
                currency=conversion.currency,
                due_at=due_at,
                version=program.version if program is not None else 0,
                expires_at=conversion.expires_at(due_at),
                not_above_basket=conversion.not_above_basket,
            )
        )
    if not facts:
        # Where there are facts, whoever applies them looks ahead.
        look_ahead(wallet, due_at, programs)
    return tuple(facts)


def voucher_id(wallet: Wallet, conversion: str, due_at: datetime) -> str:
    """Return the id of the voucher. The same conversion can only ever make the same id, so none is issued twice."""
    name = "\n".join((wallet.program, wallet.member, conversion, f"{due_at:%Y-%m-%dT%H:%M:%SZ}")).encode()
    return "v-" + hashlib.sha256(name).hexdigest()[:30]


def look_ahead(wallet: Wallet, since: datetime, programs: Programs, *, included: bool = False) -> None:
    """Say when time next has to look, if there are points enough; up to `since` all is done.

    `included`: but for what is due at that very moment, because something else that is due then came first.
    """
    conversions = programs.conversions(wallet.program)
    if not conversions or wallet.status == "erased":
        # A voucher would be nobody's.
        return
    ends = [
        conversion.next_from(since) if included else conversion.next_after(since)
        for conversion in conversions
        if wallet.balance(conversion.unit).available >= conversion.least
    ]
    first = min((end for end in ends if end is not None), default=None)
    if first is None:
        wallet.converts_at = None
    elif wallet.converts_at is None or first < wallet.converts_at:
        wallet.converts_at = first


def next_date(program: str, since: datetime, programs: Programs) -> datetime | None:
    """Return the first moment after an instant at which anything of a program is converted."""
    ends = [conversion.next_after(since) for conversion in programs.conversions(program)]
    return min((end for end in ends if end is not None), default=None)


def earliest(facts: tuple[AnyFact, ...]) -> datetime | None:
    """Return when the first of the points was earned that facts grant.

    On a manual clock that was never set, nothing is done yet that falls due after it.
    """
    return min((fact.earned_at for fact in facts if isinstance(fact, LOT_MAKING)), default=None)
