"""Two accounts become one, and two again: what the one has goes to the other, which answers for it from then on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from laurel.program import CompiledProgram
from laurel.program.climbing import join, part
from laurel.program.rebasing import buckets_of, joined_counts, rebased
from laurel.program.standing import AnyTierFact
from services.points.domain.asked import Merge, Unmerge
from services.points.domain.covering import cover
from services.points.domain.facts import (
    COUNTING,
    ActivityReturned,
    AnyFact,
    BonusTakenBack,
    Counted,
    DebtPaid,
    LotName,
    LotPart,
    MemberAbsorbed,
    MemberMerged,
    MemberParted,
    MemberUnmerged,
    MergeRefused,
    PointsClawedBack,
    PointsReceived,
    PointsSent,
)
from services.points.domain.granting import owes, takes
from services.points.domain.moment import Moment
from services.points.domain.releasing import first
from services.points.domain.state import Lot, Wallet
from services.points.domain.tiering import ANY_VERSION, climber_of
from services.points.domain.transferring import LOTS_MAX, Halves, inactive, kind_of, pay_with, received_lots

_Own = tuple[str, str, str]
"""Partner, activity and rule: what a return takes back first."""


def merge(wallets: Sequence[Wallet], asked: Merge, moments: Sequence[Moment]) -> Halves:
    """Move all that the first wallet has, owes and has counted to the second; not while anything of it is held."""
    leaving, staying = wallets
    code, detail = _refusal(leaving, staying)
    if code:
        return ((MergeRefused(merge=asked.merge, into=asked.into, code=code, detail=detail),), ())
    program = moments[1].programs.in_force(staying.program, moments[1].at, asked.versions.program)
    counted = _counted(program, leaving, staying, moments[1].at) if program is not None else ()
    tiers: list[AnyTierFact] = []
    if program is not None and program.tiers is not None and leaving.tiers is not None:
        here = climber_of(leaving, program.tiers, moments[0].journal)
        tiers = join(climber_of(staying, program.tiers, moments[1].journal), here, moments[1].at)
    left, arrived = _move(leaving, staying, asked.merge, moments)
    return (
        (MemberMerged(merge=asked.merge, into=staying.member, journal=moments[1].journal), *left),
        (
            MemberAbsorbed(merge=asked.merge, member=leaving.member, journal=moments[0].journal, counted=counted),
            *arrived,
            *tiers,
        ),
    )


def pass_on(
    leaving: Wallet,
    staying: Wallet,
    cause: str,
    came: Iterable[AnyFact],
    decided: Iterable[AnyFact],
    moments: Sequence[Moment],
) -> Halves:
    """Let what a decision left in an account that is a part of another go there, with what it counted or took back.

    `came` is what came to the account of that: what was `decided` there, or in one that is a part of it.
    """
    came, decided = tuple(came), tuple(decided)
    program = moments[1].programs.in_force(staying.program, moments[1].at, ANY_VERSION)
    counted: tuple[Counted, ...] = ()
    tiers: list[AnyTierFact] = []
    if program is not None:
        moved = [each for fact in came if isinstance(fact, COUNTING) for each in fact.counted]
        counted = _rebased(program, staying, ((each, each.amount) for each in moved))
        if program.tiers is not None:
            climber = climber_of(staying, program.tiers, moments[1].journal)
            tiers = part(climber, rebased(buckets_of(came), climber.enrolled), moments[1].at)
    first = {
        (back.partner, back.of, fact.rule)
        for back in decided
        if isinstance(back, ActivityReturned)
        for fact in decided
        if isinstance(fact, PointsClawedBack)
    }
    # A bonus lies with another activity than comes back.
    first |= {(fact.partner, fact.activity, fact.rule) for fact in decided if isinstance(fact, BonusTakenBack)}
    backs = [fact for fact in decided if isinstance(fact, PointsClawedBack)]
    excused = tuple(gone.part for back in backs for gone in back.elsewhere if gone.member == staying.member)
    left, arrived = _move(leaving, staying, cause, moments, first)
    if not (left or counted or tiers or excused):
        return ((), ())
    return (
        (MemberMerged(cause, staying.member, moments[1].journal), *left),
        (
            MemberAbsorbed(cause, leaving.member, moments[0].journal, counted, excused),
            *arrived,
            *tiers,
        ),
    )


def unmerge(wallets: Sequence[Wallet], asked: Unmerge, moments: Sequence[Moment]) -> Halves:
    """Give back what is left of what the account brought, and of what it had counted; the rest stays."""
    coming, staying = wallets
    code = "" if coming.merged_into == staying.member else "not_eligible"
    code = code or inactive(staying) or ""
    if code:
        return ((MergeRefused(merge=asked.merge, into=asked.into, code=code, asked="unmerge"),), ())
    program = moments[1].programs.in_force(staying.program, moments[1].at, asked.versions.program)
    counted = _counted(program, coming, staying, moments[1].at, sign=-1) if program is not None else ()
    tiers: list[AnyTierFact] = []
    if program is not None and program.tiers is not None and coming.tiers is not None:
        climber = climber_of(staying, program.tiers, moments[1].journal)
        tiers = part(climber, joined_counts(coming.tiers, climber.enrolled, sign=-1), moments[1].at)
    brought = [lot for lot in sorted(staying.lots.values(), key=Lot.order) if lot.name.journal in coming.passed_on]
    homes = _homes(coming, brought)
    left, arrived = _move_home(staying, coming, brought, homes, asked.merge, moments)
    ended = [lot for lot in brought if lot.expired > 0]
    expired = tuple(LotPart(homes[lot.name][0].name, lot.expired) for lot in ended)
    there = tuple(LotPart(lot.name, lot.expired) for lot in ended)
    return (
        (MemberUnmerged(asked.merge, staying.member, moments[1].journal, expired), *arrived),
        (
            MemberParted(asked.merge, coming.member, moments[0].journal, counted, there),
            *left,
            *tiers,
        ),
    )


def went_to(facts: Iterable[AnyFact], names: Collection[LotName]) -> set[tuple[str, int]]:
    """Return to whom, and into which journal there, any of these lots went on."""
    return {
        (fact.member, fact.journal)
        for fact in facts
        if isinstance(fact, PointsSent) and any(part.name in names for part in fact.parts)
    }


def _refusal(leaving: Wallet, staying: Wallet) -> tuple[str, str]:
    code = inactive(leaving) or inactive(staying)
    if code is not None:
        return code, ""
    if leaving is staying:
        return "not_eligible", "An account cannot become a part of itself"
    if any(balance.held or balance.pending for balance in leaving.balances.values()) or any(
        hold.state == "held" for hold in leaving.holds.values()
    ):
        return "hold_open", ""
    if sum(1 for lot in leaving.lots.values() if lot.free > 0) > LOTS_MAX:
        return "limit_reached", "These are more lots than can move at once"
    for unit, balance in leaving.balances.items():
        theirs = staying.balance(unit)
        if not takes(theirs, balance.available) or not owes(theirs, balance.owed):
            return "limit_reached", "A member cannot have, or owe, so many points"
    return "", ""


def _move(
    leaving: Wallet, staying: Wallet, cause: str, moments: Sequence[Moment], first: Collection[_Own] = ()
) -> tuple[list[AnyFact], list[AnyFact]]:
    """Move what can be spent, and what is owed, which is paid there from what the account brought, if it is there."""
    lots = sorted((lot for lot in leaving.lots.values() if lot.free > 0), key=Lot.order)
    left, arrived = _move_lots(leaving, staying, lots, cause, moments)
    for unit, balance in leaving.balances.items():
        if balance.owed and not any(lot.unit == unit for lot in lots):
            left.append(_sent(staying, unit, 0, (), cause, moments[1].journal, balance.owed))
            arrived.append(_received(leaving, unit, 0, cause, moments[0].journal, None, balance.owed))
            arrived += _pay(staying, unit, balance.owed, first)
    return left, arrived


def _move_lots(
    leaving: Wallet, staying: Wallet, lots: Sequence[Lot], cause: str, moments: Sequence[Moment]
) -> tuple[list[AnyFact], list[AnyFact]]:
    left: list[AnyFact] = []
    arrived: list[AnyFact] = []
    parts = {unit: tuple(LotPart(lot.name, lot.free) for lot in lots if lot.unit == unit) for unit in _units(lots)}
    made = received_lots(leaving, [each for unit in parts.values() for each in unit], None)
    for unit, taken in parts.items():
        amount = sum(each.amount for each in taken)
        left.append(_sent(staying, unit, amount, taken, cause, moments[1].journal))
        until = leaving.balance(unit).active_until
        arrived.append(_received(leaving, unit, amount, cause, moments[0].journal, until))
    return left, [*arrived, *made, *pay_with(staying, made, moments[1].journal)]


def _homes(coming: Wallet, brought: Iterable[Lot]) -> dict[LotName, list[LotPart]]:
    """Return of which parts of the account's own lots each was made that it brought."""
    homes: dict[LotName, list[LotPart]] = {}
    for lot in brought:
        kind = (*kind_of(lot), lot.activity)
        parts = coming.passed_on[lot.name.journal]
        own = [(part, coming.lots[part.name]) for part in parts]
        homes[lot.name] = [part for part, each in own if (*kind_of(each), each.activity) == kind]
    return homes


def _move_home(
    staying: Wallet,
    coming: Wallet,
    brought: Sequence[Lot],
    homes: Mapping[LotName, list[LotPart]],
    cause: str,
    moments: Sequence[Moment],
) -> tuple[list[AnyFact], list[AnyFact]]:
    """Let what is left go back to the very lots it came from, so that a return finds it there as if it never left."""
    left: list[AnyFact] = []
    arrived: list[AnyFact] = []
    free = [lot for lot in brought if lot.free > 0]
    for unit in _units(free):
        lots = [lot for lot in free if lot.unit == unit]
        taken = tuple(LotPart(lot.name, lot.free) for lot in lots)
        parts = tuple(part for lot in lots for part in first(homes[lot.name], lot.free))
        amount = sum(part.amount for part in taken)
        left.append(_sent(coming, unit, amount, taken, cause, moments[0].journal))
        until = staying.balance(unit).active_until
        arrived.append(_received(staying, unit, amount, cause, moments[1].journal, until, parts=parts))
        debt = first(parts, coming.balance(unit).owed)
        if debt:
            arrived.append(DebtPaid(unit=unit, parts=debt))
    return left, arrived


def _units(lots: Iterable[Lot]) -> list[str]:
    return list(dict.fromkeys(lot.unit for lot in lots))


def _pay(staying: Wallet, unit: str, owed: int, first: Collection[_Own]) -> list[AnyFact]:
    """Pay a debt that came: of a return, from what is left of the points that are taken back, then as any is (S10)."""
    lots = staying.spendable(unit)
    lots.sort(key=lambda lot: (lot.partner, lot.activity, lot.rule) not in first)
    parts, _ = cover(lots, owed)
    return [DebtPaid(unit=unit, parts=parts)] if parts else []


def _sent(
    to: Wallet, unit: str, amount: int, parts: tuple[LotPart, ...], cause: str, journal: int, owed: int = 0
) -> PointsSent:
    return PointsSent(
        transfer=cause, unit=unit, amount=amount, program=to.program, member=to.member, journal=journal, parts=parts,
        owed=owed,
    )  # fmt: skip


def _received(
    of: Wallet,
    unit: str,
    amount: int,
    cause: str,
    journal: int,
    until: datetime | None,
    owed: int = 0,
    parts: tuple[LotPart, ...] = (),
) -> PointsReceived:
    return PointsReceived(
        transfer=cause, unit=unit, amount=amount, program=of.program, member=of.member, journal=journal,
        active_until=until, owed=owed, parts=parts,
    )  # fmt: skip


def _counted(
    program: CompiledProgram, other: Wallet, wallet: Wallet, at: datetime, *, sign: int = 1
) -> tuple[Counted, ...]:
    """Return what another account counted in windows for which anything may still be reported."""
    open_ = [
        (
            Counted(each.counter, each.start, 0, 0, each.end, each.unit, each.limit, given=each.given_in != 0),
            sign * each.counted,
        )
        for each in other.counters.values()
        if each.counted and (each.end is None or at < program.claimable_until(each.end))
    ]
    return _rebased(program, wallet, open_)


def _rebased(program: CompiledProgram, wallet: Wallet, moved: Iterable[tuple[Counted, int]]) -> tuple[Counted, ...]:
    """Return counters as a wallet counts them: an account year of somebody else is counted where it began."""
    sums: dict[tuple[str, datetime], tuple[Counted, int]] = {}
    for each, amount in moved:
        start, end = each.start, each.end
        if each.counter.endswith("/account_year"):
            start, end = program.windows.of("account_year", each.start, enrolled_at=wallet.enrolled_at)
        before = sums.get((each.counter, start))
        given = each.given or (before is not None and before[0].given)
        moving = Counted(each.counter, start, 0, 0, end, each.unit, each.limit, each.refills, given)
        sums[each.counter, start] = (moving, amount + (before[1] if before is not None else 0))
    return tuple(
        Counted(
            each.counter, each.start, amount, wallet.counted(each.counter, each.start) + amount, each.end, each.unit,
            _limit(wallet, each), each.refills, each.given,
        )
        for each, amount in sums.values()
        if amount
    )  # fmt: skip


def _limit(wallet: Wallet, each: Counted) -> int | None:
    known = next((c for key, c in wallet.counters.items() if key == (each.counter, each.start)), None)
    return known.limit if known is not None else each.limit
