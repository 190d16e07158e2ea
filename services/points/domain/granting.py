"""Amounts become lots, which pay what is owed first, as long as totals stay amounts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from laurel.program import CompiledProgram
from laurel.program.rules import CompiledRule
from laurel.values import AMOUNT_MAX
from services.points.domain.facts import DebtPaid, LotName, LotPart, PointsGranted
from services.points.domain.state import Balance, Wallet


def points_of(
    program: CompiledProgram,
    amounts: Iterable[tuple[CompiledRule, int]],
    *,
    activity: str,
    partner: str,
    occurred_at: datetime,
) -> list[PointsGranted]:
    """Return a lot for each amount of points above zero."""
    grants: list[PointsGranted] = []
    for rule, amount in amounts:
        if amount <= 0 or rule.counts_only:
            continue
        grants.append(
            PointsGranted(
                lot=len(grants) + 1,
                unit=rule.unit,
                rule=rule.id,
                amount=amount,
                activity=activity,
                partner=partner,
                earned_at=occurred_at,
                available_at=program.available_at(rule, occurred_at),
                funder=rule.funder,
                version=program.version,
                expires_at=program.expires_at(rule, occurred_at),
                awaits=rule.pending.awaits if rule.pending is not None else "",
            )
        )
    return grants


def fits(wallet: Wallet, more: Mapping[str, int]) -> bool:
    """Say whether the totals, with so much more of each unit, are still amounts: what ledger and events can hold.

    All or nothing: an award that was cut to what fits would be one that no rule computes.
    """
    return all(amount <= room(wallet.balance(unit)) for unit, amount in more.items())


def room(balance: Balance) -> int:
    """Return how much more of a unit a member can earn; what is pending will be there as well one day.

    What ever came in bounds all other totals: no more can be spent, expire or come back.
    """
    return AMOUNT_MAX - balance.pending - max(balance.earned + max(balance.adjusted, 0), balance.available)


def takes(balance: Balance, amount: int) -> bool:
    """Say whether totals are still amounts with so much more that is not earned: given by somebody's decision."""
    ever = balance.earned + max(balance.adjusted + amount, 0)
    return balance.pending + max(ever, balance.available + amount) <= AMOUNT_MAX


def owes(balance: Balance, amount: int) -> bool:
    """Say whether totals are still amounts once so much is taken by somebody's decision, and owed if it is not there.

    A return cannot be refused for that, so there must be room for all that may still come back.
    """
    owed = balance.owed + max(amount - balance.available, 0)
    return owed + balance.earned - balance.reversed <= AMOUNT_MAX and balance.adjusted - amount >= -AMOUNT_MAX


def summed(grants: Iterable[PointsGranted]) -> dict[str, int]:
    """Add grants up, unit by unit."""
    more: dict[str, int] = {}
    for grant in grants:
        more[grant.unit] = more.get(grant.unit, 0) + grant.amount
    return more


def pay(owed: Mapping[str, int], grants: Sequence[PointsGranted], journal: int) -> list[DebtPaid]:
    """Let grants of a journal pay what is owed of each unit, first grant first; pending ones do not count yet (S11)."""
    parts: dict[str, list[LotPart]] = {}
    left = dict(owed)
    for grant in grants if left else ():
        if grant.is_pending:
            continue
        paid = min(left.get(grant.unit, 0), grant.amount)
        if paid > 0:
            parts.setdefault(grant.unit, []).append(LotPart(LotName(journal, grant.lot), paid))
            left[grant.unit] -= paid
    return [DebtPaid(unit=unit, parts=tuple(paid)) for unit, paid in parts.items()]
