"""Points are changed by a person's decision: goodwill, service recovery, a correction; above a limit it waits."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from laurel.calendars import local_date, local_midnight, months_after
from services.points.domain.asked import Adjust, DecideAdjustment
from services.points.domain.covering import cover
from services.points.domain.facts import (
    AdjustmentRefused,
    AdjustmentRejected,
    AdjustmentWaiting,
    AnyFact,
    DebtPaid,
    LotAdjusted,
    LotName,
    LotPart,
    PointsAdjusted,
)
from services.points.domain.granting import owes, takes
from services.points.domain.moment import Moment
from services.points.domain.state import Adjustment, Wallet

CORRECTION = "correction"
"""The reason for which a balance may go below zero (design rule 7); any other takes what is there or nothing."""
GOODWILL: Final = frozenset({"goodwill", "service_recovery"})
"""The reasons for which what is given makes up for something; in every program it lasts as long (annex A)."""
GOODWILL_MONTHS: Final = 12


def adjust(wallet: Wallet, asked: Adjust, moment: Moment) -> tuple[AnyFact, ...]:
    """Give or take; what is above the caller's limit waits for somebody whose limit suffices."""
    if asked.adjustment in wallet.adjustments:
        return ()
    if wallet.status != "active":
        code = "member_not_active" if wallet.exists else "member_unknown"
        return (AdjustmentRefused(adjustment=asked.adjustment, unit=asked.unit, amount=asked.amount, code=code),)
    wanted = Adjustment(
        asked.adjustment, asked.unit, asked.amount, "waiting", asked.reason, asked.partner, asked.expires_at
    )
    if asked.limit is not None and abs(asked.amount) > asked.limit:
        return (_waiting(wanted),)
    return post(wallet, wanted, moment, asked.versions.program)


def decide(wallet: Wallet, asked: DecideAdjustment, moment: Moment) -> tuple[AnyFact, ...]:
    """Do what waits, or give it up; of a correction, what is given up is written off."""
    known = wallet.adjustments.get(asked.adjustment)
    if known is None or not known.waiting:
        return (_refused(asked.adjustment, known, "adjustment_decided"),)
    if asked.limit is not None and abs(known.waiting) > asked.limit:
        return (_refused(asked.adjustment, known, "needs_approval"),)
    if not asked.approve:
        return (
            AdjustmentRejected(
                adjustment=known.adjustment,
                unit=known.unit,
                amount=known.waiting,
                written_off=known.waiting if known.corrects else 0,
                funder=known.partner,
            ),
        )
    if known.corrects:
        return _take(wallet, known, known.waiting, may_owe=True)
    if wallet.status != "active":
        return (_refused(asked.adjustment, known, "member_not_active"),)
    return post(wallet, known, moment, asked.versions.program)


def post(wallet: Wallet, wanted: Adjustment, moment: Moment, newest: int) -> tuple[AnyFact, ...]:
    """Give a new lot, or take from lots in spending order; of a unit that is no points there is nothing to take."""
    if wanted.amount < 0:
        program = moment.programs.in_force(wallet.program, moment.at, newest)
        unit = program.units.get(wanted.unit) if program is not None else None
        # Of a unit that the program has given up, members still have what they had.
        if unit.counts_only if unit is not None else wanted.unit not in wallet.balances:
            return (_refused(wanted.adjustment, wanted, "not_offered"),)
        return _take(wallet, wanted, -wanted.amount, may_owe=wanted.reason == CORRECTION)
    if wanted.reason in GOODWILL and wanted.expires_at is None:
        wanted = replace(wanted, expires_at=_goodwill_until(wallet, moment))
    given = give(wallet, wanted, wanted.amount, moment, newest)
    if isinstance(given[0], AdjustmentRefused):
        return given
    adjusted = PointsAdjusted(
        adjustment=wanted.adjustment,
        unit=wanted.unit,
        amount=wanted.amount,
        reason=wanted.reason,
        partner=wanted.partner,
        expires_at=wanted.expires_at,
    )
    return (adjusted, *given)


def give(
    wallet: Wallet, wanted: Adjustment, amount: int, moment: Moment, newest: int, *, lot: int = 1
) -> tuple[AnyFact, ...]:
    """Make a lot that pays what is owed first. Its end is the one asked for, to midnight, or that of its unit.

    Or refuse, and nothing else: where the version in force has no points of that unit, the member has too many, or
    they would have ended before they are given.
    """
    program = moment.programs.in_force(wallet.program, moment.at, newest)
    if program is None or wanted.unit not in program.units or program.units[wanted.unit].counts_only:
        return (_refused(wanted.adjustment, wanted, "not_offered"),)
    if not takes(wallet.balance(wanted.unit), amount):
        return (_refused(wanted.adjustment, wanted, "limit_reached"),)
    expires_at = program.unit_expires_at(wanted.unit, moment.at)
    if wanted.expires_at is not None:
        zone = program.zone
        expires_at = local_midnight(local_date(wanted.expires_at - timedelta(microseconds=1), zone) + _ONE_DAY, zone)
        if expires_at <= moment.at:
            # It waited for too long, or the member's time lies ahead of the program's.
            return (_refused(wanted.adjustment, wanted, "not_offered"),)
    made = LotAdjusted(
        lot=lot,
        unit=wanted.unit,
        rule="adjustment",
        amount=amount,
        activity=wanted.adjustment,
        partner=wanted.partner,
        earned_at=moment.at,
        available_at=moment.at,
        funder=wanted.partner,
        version=program.version,
        expires_at=expires_at,
    )
    paid = min(amount, wallet.balance(wanted.unit).owed)
    if not paid:
        return (made,)
    return (made, DebtPaid(unit=wanted.unit, parts=(LotPart(LotName(moment.journal, lot), paid),)))


_ONE_DAY = timedelta(days=1)


def _goodwill_until(wallet: Wallet, moment: Moment) -> datetime:
    zone = moment.programs.zone(wallet.program)
    return local_midnight(months_after(local_date(moment.at, zone), GOODWILL_MONTHS), zone)


def _take(wallet: Wallet, wanted: Adjustment, amount: int, *, may_owe: bool) -> tuple[AnyFact, ...]:
    balance = wallet.balance(wanted.unit)
    if not owes(balance, amount):
        return (_refused(wanted.adjustment, wanted, "limit_reached"),)
    parts, missing = cover(wallet.spendable(wanted.unit), amount)
    if missing and not may_owe:
        return (
            AdjustmentRefused(
                adjustment=wanted.adjustment,
                unit=wanted.unit,
                amount=wanted.amount,
                code="insufficient_points",
                available=balance.available,
                shortfall=amount - balance.available + balance.owed,
            ),
        )
    return (
        PointsAdjusted(
            adjustment=wanted.adjustment,
            unit=wanted.unit,
            amount=-amount,
            reason=wanted.reason,
            partner=wanted.partner,
            parts=parts,
            owed=missing,
        ),
    )


def _waiting(wanted: Adjustment) -> AdjustmentWaiting:
    return AdjustmentWaiting(
        adjustment=wanted.adjustment,
        unit=wanted.unit,
        amount=wanted.amount,
        reason=wanted.reason,
        partner=wanted.partner,
        expires_at=wanted.expires_at,
    )


def _refused(name: str, known: Adjustment | None, code: str) -> AdjustmentRefused:
    unit, amount = (known.unit, known.amount) if known is not None else ("", 0)
    return AdjustmentRefused(adjustment=name, unit=unit, amount=amount, code=code)
