"""The operator's own error is corrected by entries, never by edits, and not at the member's cost (S18)."""

from __future__ import annotations

from typing import Final, NamedTuple

from services.points.domain.adjusting import give
from services.points.domain.asked import Correct
from services.points.domain.facts import AdjustmentRefused, AnyFact, LotPart, PostingCorrected
from services.points.domain.moment import Moment
from services.points.domain.state import Adjustment, Lot, Posting, Wallet

WRITTEN_OFF_MAX: Final = 10_000
"""How much of what was spent is written off for a member and an incident; what is beyond waits for a decision."""
REPORTED_BONUS: Final = 300
"""What a member gets who reports the error."""


class _Component(NamedTuple):
    """A lot of the wrong posting, and how much of its grant stands."""

    lot: Lot
    stands: int


def correct(wallet: Wallet, asked: Correct, moment: Moment) -> tuple[AnyFact, ...]:
    """Take back what is unspent of what was posted too much; the spent part is written off, up to a limit.

    What had expired is not asked for. What was posted too little is given. Each posting is corrected once.
    """
    if asked.adjustment in wallet.adjustments:
        return ()
    posting = wallet.postings.get((asked.of_partner, asked.of))
    known = wallet.adjustments.get(asked.of)
    if posting is None and (known is None or known.state != "posted" or known.corrects):
        return (_refused(asked, "activity_unknown"),)
    if (posting is not None and posting.corrected) or (posting is None and known is not None and known.corrected):
        return (_refused(asked, "already_corrected"),)
    components = _components(wallet, asked.unit, posting, known)
    stands = sum(component.stands for component in components)
    excess = stands - asked.should_be
    bonus = REPORTED_BONUS if asked.reported_by == "member" else 0
    parts, pending, by_rule, spent = _take_back(components, excess)
    written_off = min(spent, WRITTEN_OFF_MAX)
    fact = PostingCorrected(
        adjustment=asked.adjustment,
        unit=asked.unit,
        amount=-sum(part.amount for part in parts) + max(0, -excess) + bonus,
        reason=asked.reason,
        partner=asked.partner,
        of=asked.of,
        of_partner=asked.of_partner if posting is not None else "",
        of_journal=posting.journal if posting is not None else 0,
        should_be=asked.should_be,
        parts=parts,
        by_rule=by_rule,
        written_off=written_off,
        waiting=spent - written_off,
        bonus=bonus,
        pending=pending,
        funder=components[0].lot.funder if components else asked.partner,
    )
    wanted = Adjustment(asked.adjustment, asked.unit, 0, "posted", asked.reason, asked.partner)
    more = max(0, -excess) + bonus
    given = give(wallet, wanted, more, moment, asked.versions.program) if more else ()
    return (fact, *given)


def _components(wallet: Wallet, unit: str, posting: Posting | None, known: Adjustment | None) -> list[_Component]:
    """Return the lots of the wrong posting, what is free of them first."""
    found = []
    journal = posting.journal if posting is not None else known.journal if known is not None else 0
    for lot in wallet.lots.values():
        if lot.name.journal != journal or lot.unit != unit:
            continue
        back = posting.clawed_back.get(lot.rule, 0) if posting is not None else 0
        found.append(_Component(lot, lot.granted - back))
    return sorted(found, key=lambda component: (-component.lot.pending, -component.lot.free, component.lot.name))


def _take_back(
    components: list[_Component], excess: int
) -> tuple[tuple[LotPart, ...], tuple[LotPart, ...], dict[str, int], int]:
    """Lay the excess over the components; return what is taken, what of it does not count yet, how much of each rule
    falls, and what was spent.
    """
    parts: list[LotPart] = []
    pending: list[LotPart] = []
    by_rule: dict[str, int] = {}
    spent = 0
    for lot, stands in components:
        falls = min(stands, excess)
        if falls <= 0:
            continue
        waiting = min(lot.pending, falls)
        if waiting:
            pending.append(LotPart(lot.name, waiting))
        taken = min(lot.free, falls - waiting)
        if taken:
            parts.append(LotPart(lot.name, taken))
        spent += max(0, falls - waiting - taken - lot.expired)
        by_rule[lot.rule] = by_rule.get(lot.rule, 0) + falls
        excess -= falls
    return tuple(parts), tuple(pending), by_rule, spent


def _refused(asked: Correct, code: str) -> AdjustmentRefused:
    return AdjustmentRefused(adjustment=asked.adjustment, unit=asked.unit, amount=0, code=code)
