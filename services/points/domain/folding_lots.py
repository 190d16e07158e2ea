"""How points move in and out of a wallet's lots; what each function is named for has happened."""

from __future__ import annotations

from services.points.domain import facts as f
from services.points.domain import pending_state as pending
from services.points.domain.facts import LotName, LotPart
from services.points.domain.state import Balance, Lot, Wallet


def granted(wallet: Wallet, journal: int, fact: f.PointsGranted) -> None:
    if fact.of_journal:
        wallet.refusals[fact.of_journal, fact.rule].left -= fact.amount
        posting = wallet.postings.get((fact.partner, fact.activity))
        if posting is not None:
            posting.take(fact)
    if fact.awaits or fact.unfunded:
        lot = _make_lot(wallet, journal, fact)
        lot.remaining, lot.pending = 0, fact.amount
        lot.awaits, lot.unfunded = fact.awaits, fact.unfunded
        pending.granted(wallet, lot)
    else:
        _new_lot(wallet, journal, fact).earned += fact.amount


def renewed(wallet: Wallet, journal: int, fact: f.LotRenewed) -> None:
    _new_lot(wallet, journal, fact).spent -= fact.amount


def received_lot(wallet: Wallet, journal: int, fact: f.LotReceived) -> None:
    _new_lot(wallet, journal, fact).adjusted += fact.amount


def adjusted_lot(wallet: Wallet, journal: int, fact: f.LotAdjusted) -> None:
    _new_lot(wallet, journal, fact).adjusted += fact.amount


def received(wallet: Wallet, _journal: int, fact: f.PointsReceived) -> None:
    wallet.count(fact.counted)
    if fact.parts:
        amount = take(wallet, fact.parts, remaining=1)
        balance = wallet.moving(fact.unit)
        balance.available += amount
        balance.adjusted += amount
        for part in fact.parts:
            balance.ends_with(wallet.lots[part.name].expires_at, part.amount)
    if fact.owed:
        balance = wallet.moving(fact.unit)
        balance.owed += fact.owed
        balance.adjusted -= fact.owed
    if fact.active_until is not None:
        balance = wallet.moving(fact.unit)
        if balance.active_until is None or fact.active_until > balance.active_until:
            balance.active_until = fact.active_until


def sent(wallet: Wallet, _journal: int, fact: f.PointsSent) -> None:
    wallet.count(fact.counted)
    amount = take(wallet, fact.parts, remaining=-1)
    balance = wallet.moving(fact.unit)
    balance.available -= amount
    balance.owed -= fact.owed
    balance.adjusted += fact.owed - amount
    if wallet.merged_into == fact.member:
        wallet.passed_on[fact.journal] = (*wallet.passed_on.get(fact.journal, ()), *fact.parts)


def converted(wallet: Wallet, _journal: int, fact: f.PointsConverted) -> None:
    amount = take(wallet, fact.parts, remaining=-1)
    balance = wallet.moving(fact.unit)
    balance.available -= amount
    balance.spent += amount


def debt_paid(wallet: Wallet, _journal: int, fact: f.DebtPaid) -> None:
    amount = take(wallet, fact.parts, remaining=-1)
    balance = wallet.moving(fact.unit)
    balance.available -= amount
    balance.owed -= amount


def clawed_back(wallet: Wallet, _journal: int, fact: f.PointsClawedBack) -> None:
    amount = take(wallet, fact.taken, remaining=-1)
    balance = wallet.moving(fact.unit)
    balance.available -= amount
    balance.owed += fact.owed
    balance.reversed += amount + fact.owed
    pending.take(wallet, fact.unit, fact.pending)
    for part in fact.excused:
        wallet.lots[part.name].expired -= part.amount
    if fact.expired and fact.origin is not None and not fact.excused:
        wallet.lots[fact.origin].expired -= fact.expired - _excused_elsewhere(fact)


def _excused_elsewhere(fact: f.PointsClawedBack) -> int:
    return sum(part.amount for part in fact.there) + sum(gone.part.amount for gone in fact.elsewhere)


def expired(wallet: Wallet, _journal: int, fact: f.LotsExpired) -> None:
    amount = take(wallet, fact.parts, remaining=-1)
    for part in fact.parts:
        wallet.lots[part.name].expired += part.amount
    balance = wallet.moving(fact.unit)
    balance.available -= amount
    balance.expired += amount


def revived(wallet: Wallet, _journal: int, fact: f.PointsRevived) -> None:
    amount = take(wallet, fact.parts, remaining=1)
    for part in fact.parts:
        wallet.lots[part.name].expired -= part.amount
    balance = wallet.moving(fact.unit)
    balance.available += amount
    balance.expired -= amount


def _new_lot(
    wallet: Wallet, journal: int, fact: f.PointsGranted | f.LotRenewed | f.LotAdjusted | f.LotReceived
) -> Balance:
    """Make the lot, and let its points be available; the caller says where they came from."""
    _make_lot(wallet, journal, fact)
    balance = wallet.moving(fact.unit)
    balance.available += fact.amount
    balance.ends_with(fact.expires_at, fact.amount)
    return balance


def _make_lot(
    wallet: Wallet, journal: int, fact: f.PointsGranted | f.LotRenewed | f.LotAdjusted | f.LotReceived
) -> Lot:
    name = LotName(journal, fact.lot)
    lot = wallet.lots[name] = Lot(
        name,
        fact.unit,
        fact.rule,
        fact.activity,
        fact.partner,
        fact.amount,
        fact.amount,
        0,
        fact.earned_at,
        fact.available_at,
        fact.expires_at,
        fact.funder,
        fact.version,
    )
    return lot


def take(wallet: Wallet, parts: tuple[LotPart, ...], *, held: int = 0, remaining: int = 0) -> int:
    """Move `held` and `remaining` of each part's lot by the part's amount times the given sign; return the sum."""
    total = 0
    for part in parts:
        lot = wallet.lots[part.name]
        lot.held += held * part.amount
        lot.remaining += remaining * part.amount
        total += part.amount
    return total
