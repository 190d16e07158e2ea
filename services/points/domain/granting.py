"""Amounts become lots, which pay what is owed first, as long as totals stay amounts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from laurel.program import CompiledProgram
from laurel.program.rules import CompiledRule
from laurel.values import AMOUNT_MAX
from services.points.domain.facts import DebtPaid, LotName, LotPart, PointsGranted
from services.points.domain.state import Wallet


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
    for unit, amount in more.items():
        balance = wallet.balance(unit)
        # More can be available than was ever earned only where somebody adjusted it. What is pending will be there as
        # well one day.
        if amount + balance.pending + max(balance.earned, balance.available) > AMOUNT_MAX:
            return False
    return True


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
