"""The operator's own error is corrected by entries, never by edits, and not at the member's cost (S18)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Final, NamedTuple

from services.points.domain.adjusting import give
from services.points.domain.asked import Correct
from services.points.domain.facts import AdjustmentRefused, AnyFact, LotName, LotPart, PostingCorrected
from services.points.domain.moment import Moment
from services.points.domain.state import Adjustment, Lot, Posting, Wallet

WRITTEN_OFF_MAX: Final = 10_000
"""How much of what was spent is written off for a member and an incident; what is beyond waits for a decision."""
REPORTED_BONUS: Final = 300
"""What a member gets who reports the error."""


class _Component(NamedTuple):
    """What one rule gave by the wrong posting, in one lot or several, where returns refilled it; how much stands."""

    lots: list[Lot]
    stands: int

    @property
    def rule(self) -> str:
        return self.lots[0].rule

    def order(self) -> tuple[int, int, LotName]:
        """Return the place among components: first what does not count yet, then what is free."""
        pending, free = sum(lot.pending for lot in self.lots), sum(lot.free for lot in self.lots)
        return -pending, -free, self.lots[0].name


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
        funder=components[0].lots[0].funder if components else asked.partner,
    )
    wanted = Adjustment(asked.adjustment, asked.unit, 0, "posted", asked.reason, asked.partner)
    more = max(0, -excess) + bonus
    given = give(wallet, wanted, more, moment, asked.versions.program) if more else ()
    return given if given and isinstance(given[0], AdjustmentRefused) else (fact, *given)


def _components(wallet: Wallet, unit: str, posting: Posting | None, known: Adjustment | None) -> list[_Component]:
    """Return what the wrong posting gave, what is free of it first."""
    if posting is None:
        journal = known.journal if known is not None else 0
        own = [lot for lot in wallet.lots.values() if lot.name.journal == journal and lot.unit == unit]
        return [_Component([lot], lot.granted) for lot in own]
    of = next(of for of, each in wallet.postings.items() if each is posting)
    found = []
    for rule in dict.fromkeys(judged.rule for judged in posting.decision if judged.unit == unit):
        lots = [lot for lot in wallet.lots.values() if lot.rule == rule and (lot.partner, lot.activity) == of]
        if lots:
            stands = posting.granted(rule) - posting.clawed_back.get(rule, 0)
            found.append(_Component(sorted(lots, key=lambda lot: lot.name), stands))
    return sorted(found, key=_Component.order)


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
    for component in components:
        falls = missing = min(component.stands, excess)
        if falls <= 0:
            continue
        missing = _cover(component.lots, missing, attrgetter("pending"), pending)
        missing = _cover(component.lots, missing, attrgetter("free"), parts)
        spent += max(0, missing - sum(lot.expired for lot in component.lots))
        by_rule[component.rule] = falls
        excess -= falls
    return tuple(parts), tuple(pending), by_rule, spent


def _cover(lots: Iterable[Lot], missing: int, what: Callable[[Lot], int], parts: list[LotPart]) -> int:
    """Cover an amount from what there is of each lot; return what is not covered."""
    for lot in lots:
        part = min(what(lot), missing)
        if part > 0:
            parts.append(LotPart(lot.name, part))
            missing -= part
    return missing


def _refused(asked: Correct, code: str) -> AdjustmentRefused:
    return AdjustmentRefused(adjustment=asked.adjustment, unit=asked.unit, amount=0, code=code)
