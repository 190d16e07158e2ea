"""A capture is undone, whole or in part: points go back to the lots they came from, with their old end (S13)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from laurel.calendars import days_after, local_date, local_midnight
from services.points.domain.asked import CancelHold, CancelSagaHold
from services.points.domain.capturing import ImpossibleRequestError
from services.points.domain.facts import AnyFact, DebtPaid, LotName, LotPart, LotRenewed, LotsExpired, PointsRestored
from services.points.domain.moment import Moment
from services.points.domain.refusing import refuse
from services.points.domain.releasing import first
from services.points.domain.state import Hold, Lot, Wallet

RENEWED_DAYS: Final = 90
"""How long points are good that come back, by the provider's fault, after their lots have ended."""


def cancel(wallet: Wallet, asked: CancelHold, moment: Moment) -> tuple[AnyFact, ...]:
    """Undo the capture of a caller's hold, whole or in part."""
    known = wallet.holds.get(asked.hold)
    if known is None or known.saga or known.state not in {"captured", "cancelled"}:
        return refuse(wallet, asked.hold, "cancel")
    amount = asked.amount if asked.amount is not None else known.captured
    if not 0 < amount <= known.captured:
        return refuse(wallet, asked.hold, "cancel", code="over_returned", available=known.captured)
    return undo(wallet, known, amount, asked.by, moment)


def cancel_saga(wallet: Wallet, asked: CancelSagaHold, moment: Moment) -> tuple[AnyFact, ...]:
    """Undo the capture of a redemption's hold, as the step that cannot be refused. What is cancelled stays so."""
    known = wallet.holds.get(asked.hold)
    if known is not None and known.saga and known.state == "cancelled":
        return ()
    if known is None or not known.saga or known.state != "captured":
        message = f"hold {asked.hold} of {wallet.member} is {known.state if known else 'unknown'}, not captured"
        raise ImpossibleRequestError(message)
    return undo(wallet, known, known.captured, asked.by, moment)


def undo(
    wallet: Wallet, known: Hold, amount: int, by: str, moment: Moment, *, by_return: str = ""
) -> tuple[AnyFact, ...]:
    """Give points of a capture back. Of a part, what would have lasted longest comes back: it was spent last.

    What has ended since expires at once where the member chose, and lies in a new lot where the provider is to blame.
    """
    back = tuple(reversed(first(reversed(known.parts), amount)))
    ended = {part.name for part in back if _has_ended(wallet, part, moment.at)}
    gone = tuple(part for part in back if part.name in ended)
    good = tuple(part for part in back if part.name not in ended)
    renews = by == "provider"
    out: list[AnyFact] = [
        PointsRestored(
            hold=known.hold,
            unit=known.unit,
            amount=amount,
            by=by,
            parts=good if renews else back,
            renewed=gone if renews else (),
            by_return=by_return,
        )
    ]
    renewed: list[LotRenewed] = []
    if renews:
        renewed = _renew(wallet, known.hold, gone, moment)
        out += renewed
    elif gone:
        out.append(LotsExpired(unit=known.unit, parts=gone))
    fresh = [LotPart(LotName(moment.journal, lot.lot), lot.amount) for lot in renewed]
    debt = first([*good, *fresh], wallet.balance(known.unit).owed)
    if debt:
        out.append(DebtPaid(unit=known.unit, parts=debt))
    return tuple(out)


def _has_ended(wallet: Wallet, part: LotPart, at: datetime) -> bool:
    end = wallet.end_of(wallet.lots[part.name])
    return end is not None and end <= at


def _renew(wallet: Wallet, hold: str, parts: Iterable[LotPart], moment: Moment) -> list[LotRenewed]:
    """Put what has ended into new lots, one for all that share rule, version, partner and funder (S16)."""
    sums: dict[tuple[str, int, str, str], tuple[Lot, int]] = {}
    for part in parts:
        lot = wallet.lots[part.name]
        key = (lot.rule, lot.version, lot.partner, lot.funder)
        before = sums.get(key)
        sums[key] = (lot, part.amount) if before is None else (before[0], before[1] + part.amount)
    zone = moment.programs.zone(wallet.program)
    expires_at = local_midnight(days_after(local_date(moment.at, zone), RENEWED_DAYS), zone)
    return [
        LotRenewed(
            lot=number,
            unit=lot.unit,
            rule=lot.rule,
            amount=amount,
            activity=hold,
            partner=lot.partner,
            earned_at=moment.at,
            available_at=moment.at,
            funder=lot.funder,
            version=lot.version,
            hold=hold,
            expires_at=expires_at,
        )
        for number, (lot, amount) in enumerate(sums.values(), 1)
    ]
