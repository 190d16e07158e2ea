"""How adjustments and corrections move a wallet; what each function is named for has happened."""

from __future__ import annotations

from services.points.domain import facts as f
from services.points.domain import pending_state as pending
from services.points.domain.folding_lots import take
from services.points.domain.state import Adjustment, Wallet


def waiting(wallet: Wallet, _journal: int, fact: f.AdjustmentWaiting) -> None:
    wallet.adjustments[fact.adjustment] = Adjustment(
        fact.adjustment,
        fact.unit,
        fact.amount,
        "waiting",
        fact.reason,
        fact.partner,
        fact.expires_at,
        waiting=fact.amount,
    )


def adjusted(wallet: Wallet, journal: int, fact: f.PointsAdjusted) -> None:
    amount = take(wallet, fact.parts, remaining=-1)
    if amount or fact.owed:
        balance = wallet.moving(fact.unit)
        balance.available -= amount
        balance.owed += fact.owed
        balance.adjusted -= amount + fact.owed
    known = wallet.adjustments.setdefault(
        fact.adjustment, Adjustment(fact.adjustment, fact.unit, fact.amount, "posted", fact.reason, fact.partner)
    )
    known.state, known.waiting, known.owed = "posted", 0, fact.owed
    known.expires_at = fact.expires_at or known.expires_at
    if known.corrects:
        known.amount += fact.amount
        known.reversed += amount
    known.journal = known.journal or journal


def adjustment_refused(wallet: Wallet, _journal: int, fact: f.AdjustmentRefused) -> None:
    wallet.adjustments.setdefault(fact.adjustment, Adjustment(fact.adjustment, fact.unit, fact.amount, "refused"))


def adjustment_rejected(wallet: Wallet, _journal: int, fact: f.AdjustmentRejected) -> None:
    known = wallet.adjustments[fact.adjustment]
    known.waiting = 0
    known.written_off += fact.written_off
    if not known.corrects:
        known.state = "rejected"


def corrected(wallet: Wallet, journal: int, fact: f.PostingCorrected) -> None:
    amount = take(wallet, fact.parts, remaining=-1)
    if amount:
        balance = wallet.moving(fact.unit)
        balance.available -= amount
        balance.adjusted -= amount
    pending.take(wallet, fact.unit, fact.pending)
    note_correction(wallet, fact)
    if not fact.of_journal:
        wallet.adjustments[fact.of].corrected = True
    wallet.adjustments[fact.adjustment] = Adjustment(
        fact.adjustment,
        fact.unit,
        fact.amount,
        "posted",
        fact.reason,
        fact.partner,
        waiting=fact.waiting,
        corrects=fact.of,
        journal=journal,
        reversed=amount,
        written_off=fact.written_off,
        bonus=fact.bonus,
    )


def note_correction(wallet: Wallet, fact: f.PostingCorrected) -> None:
    """Let a posting know that it was corrected, so that a return does not take the same again."""
    posting = wallet.postings.get((fact.of_partner, fact.of)) if fact.of_journal else None
    if posting is not None:
        posting.corrected = True
        for rule, falls in fact.by_rule.items():
            posting.clawed_back[rule] = posting.clawed_back.get(rule, 0) + falls
