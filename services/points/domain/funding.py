"""What a partner pays for in advance is granted from its block, or waits until that covers it.

Nothing is ever given back to a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from services.points.domain.facts import (
    AnyFact,
    BlockDrawn,
    FundingAwaited,
    FundingGiven,
    PointsGranted,
)
from services.points.domain.moment import Moment
from services.points.domain.partnering import is_prepaid
from services.points.domain.pending import release
from services.points.domain.pending_state import DATE
from services.points.domain.state import Wallet
from services.points.domain.tiering import stands


class Funded(NamedTuple):
    """The grants of an activity as their blocks cover them, and what that means for the blocks."""

    grants: Sequence[PointsGranted]
    facts: Sequence[AnyFact]


def fund(
    wallet: Wallet, grants: Sequence[PointsGranted], activity: str, partner: str, newest: int, moment: Moment
) -> Funded:
    """Draw what funders pay in advance; where one block does not cover its part, the whole activity waits there."""
    prepaying = moment.programs.prepaying(wallet.program)
    if not prepaying:
        return Funded(grants, ())
    wanted: dict[tuple[str, str], int] = {}
    for grant in grants:
        if grant.funder in prepaying and is_prepaid(moment.programs.terms(wallet.program, grant.funder, newest)):
            name = (grant.funder, grant.unit)
            wanted[name] = wanted.get(name, 0) + grant.amount
    facts, lacking = draw(wallet, wanted, moment)
    if lacking is None:
        return Funded(grants, facts)
    waiting = _wait(wallet, activity, partner, lacking, moment)
    return Funded([msgspec.structs.replace(grant, unfunded=True) for grant in grants], (waiting,))


def draw(
    wallet: Wallet, wanted: dict[tuple[str, str], int], moment: Moment
) -> tuple[list[BlockDrawn], tuple[str, str] | None]:
    """Return what is drawn from blocks, or the first of them that does not cover its part."""
    for funder, unit in sorted(wanted):
        if wanted[funder, unit] > moment.shared.block(wallet.program, funder, unit).left:
            return [], (funder, unit)
    drawn = [BlockDrawn(funder=funder, unit=unit, amount=amount) for (funder, unit), amount in sorted(wanted.items())]
    return drawn, None


def give_funds(wallet: Wallet, journal: int, newest: int, moment: Moment, *, reference: str) -> tuple[AnyFact, ...]:
    """Cover what the activity of a journal was granted, as far as it was not returned since.

    What awaits nothing else becomes available. Where another block does not cover it, it waits there; where the same
    does not, it stays where it is.
    """
    waiting = wallet.unfunded.get(journal)
    if waiting is None:
        return ()
    posting = wallet.postings[waiting.partner, waiting.activity]
    lots = [lot for lot in wallet.lots.values() if lot.name.journal == journal and lot.pending and lot.unfunded]
    wanted: dict[tuple[str, str], int] = {}
    for lot in lots:
        if is_prepaid(moment.programs.terms(wallet.program, lot.funder, newest)):
            wanted[lot.funder, lot.unit] = wanted.get((lot.funder, lot.unit), 0) + lot.pending
    drawn, lacking = draw(wallet, wanted, moment)
    if lacking == (waiting.funder, waiting.unit):
        return ()
    if lacking is not None:
        return (_wait(wallet, waiting.activity, waiting.partner, lacking, moment, of_journal=journal),)
    program = moment.programs.version(wallet.program, posting.version)
    given = FundingGiven(
        activity=waiting.activity,
        partner=waiting.partner,
        of_journal=journal,
        version=posting.version,
        reference=reference,
        stands=stands(wallet, program) if program is not None else "",
    )
    ripe = [lot for lot in lots if not lot.awaits or (lot.awaits == DATE and lot.available_at <= moment.at)]
    return (given, *drawn, *release(wallet, ripe, moment.at, "funding", waiting.activity, waiting.partner))


def _wait(
    wallet: Wallet, activity: str, partner: str, lacking: tuple[str, str], moment: Moment, *, of_journal: int = 0
) -> FundingAwaited:
    funder, unit = lacking
    number = moment.shared.block(wallet.program, funder, unit).queued + 1
    return FundingAwaited(
        activity=activity, partner=partner, funder=funder, unit=unit, number=number, of_journal=of_journal
    )
