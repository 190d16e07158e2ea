"""Points of one program become points of another, at the rate that was agreed, rounded down (S2)."""

from __future__ import annotations

from collections.abc import Sequence

from laurel.program import CompiledProgram
from laurel.program.sharing import CompiledExchange
from laurel.values import AMOUNT_MAX
from services.points.domain.asked import Exchange
from services.points.domain.covering import cover
from services.points.domain.facts import AnyFact, LotReceived, PointsReceived, PointsSent, TransferRefused
from services.points.domain.granting import takes
from services.points.domain.moment import Moment
from services.points.domain.state import Wallet
from services.points.domain.transferring import LOTS_MAX, Halves, inactive, pay_with, short_of


def exchange(wallets: Sequence[Wallet], asked: Exchange, moments: Sequence[Moment]) -> Halves:
    """Take the amount from what expires first, and make one lot of the other program's points, or refuse."""
    giver, receiver = wallets
    here, there = moments
    code = inactive(giver) or inactive(receiver)
    if code is not None:
        return _refused(asked, code)
    program = there.programs.in_force(receiver.program, there.at, asked.to_versions.program)
    terms = _terms(giver, asked, here)
    if terms is None or program is None or terms.into not in program.units or program.units[terms.into].counts_only:
        return _refused(asked, "not_offered")
    if program.is_closed_at(there.at):
        return _refused(asked, "program_closed")
    refused = _too_little(asked, terms) or _too_much(giver, receiver, asked, terms)
    if refused is not None:
        return refused
    parts, missing = cover(giver.spendable(asked.unit), asked.amount)
    if missing:
        message = f"{missing} of {asked.amount} {asked.unit} are in no loaded lot of {giver.member}"
        raise AssertionError(message)
    if len(parts) > LOTS_MAX:
        return _refused(asked, "limit_reached", detail="These are more lots than can be exchanged at once")
    arrives = terms.arrives(asked.amount)
    sent = PointsSent(
        transfer=asked.exchange,
        unit=asked.unit,
        amount=asked.amount,
        program=receiver.program,
        member=receiver.member,
        journal=there.journal,
        parts=parts,
        into=terms.into,
        arrived=arrives,
    )
    received = PointsReceived(
        transfer=asked.exchange,
        unit=terms.into,
        amount=arrives,
        program=giver.program,
        member=giver.member,
        journal=here.journal,
        active_until=program.lapses_at(terms.into, there.at),
        out_of=asked.unit,
        left=asked.amount,
    )
    lot = _lot(asked, terms, program, arrives, there)
    return ((sent,), (received, lot, *pay_with(receiver, [lot], there.journal)))


def _terms(giver: Wallet, asked: Exchange, here: Moment) -> CompiledExchange | None:
    program = here.programs.in_force(giver.program, here.at, asked.versions.program)
    return None if program is None else program.exchanges.get((asked.unit, asked.to_program))


def _lot(asked: Exchange, terms: CompiledExchange, program: CompiledProgram, amount: int, there: Moment) -> LotReceived:
    """Make points that arise with the exchange: good as long as the other program lets them be, and paid as agreed."""
    return LotReceived(
        lot=1,
        unit=terms.into,
        rule="exchange",
        amount=amount,
        activity=asked.exchange,
        partner=terms.funder,
        earned_at=there.at,
        available_at=there.at,
        funder=terms.funder,
        version=program.version,
        expires_at=program.unit_expires_at(terms.into, there.at),
        account=f"exchanged:{asked.program}",
        price=terms.price,
        currency=terms.currency,
    )


def _too_little(asked: Exchange, terms: CompiledExchange) -> Halves | None:
    if asked.amount < terms.least:
        return _refused(asked, "below_minimum", detail=f"At least {terms.least} are exchanged at once")
    if asked.amount % terms.step:
        return _refused(asked, "below_minimum", detail=f"Only whole steps of {terms.step} are exchanged")
    if terms.arrives(asked.amount) == 0:
        return _refused(asked, "below_minimum", detail="Nothing would come of it")
    return None


def _too_much(giver: Wallet, receiver: Wallet, asked: Exchange, terms: CompiledExchange) -> Halves | None:
    short = short_of(giver, asked.unit, asked.amount)
    if short is not None:
        available, shortfall = short
        return _refused(asked, "insufficient_points", available=available, shortfall=shortfall)
    arrives = terms.arrives(asked.amount)
    if arrives > AMOUNT_MAX or not takes(receiver.balance(terms.into), arrives):
        return _refused(asked, "limit_reached", detail=f"A member's points end at {AMOUNT_MAX}")
    return None


def _refused(asked: Exchange, code: str, *, detail: str = "", available: int = 0, shortfall: int = 0) -> Halves:
    refusal: AnyFact = TransferRefused(
        transfer=asked.exchange,
        unit=asked.unit,
        amount=asked.amount,
        program=asked.to_program,
        member=asked.to_member,
        code=code,
        detail=detail,
        available=available,
        shortfall=shortfall,
    )
    return ((refusal,), ())
