"""How holds move a wallet; what each function is named for has happened."""

from __future__ import annotations

from services.points.domain import facts as f
from services.points.domain.folding_lots import take
from services.points.domain.state import Hold, Wallet, less


def held(wallet: Wallet, _journal: int, fact: f.PointsHeld) -> None:
    amount = take(wallet, fact.parts, held=1)
    balance = wallet.moving(fact.unit)
    balance.available -= amount
    balance.held += amount
    wallet.holds[fact.hold] = Hold(
        fact.hold,
        fact.unit,
        fact.amount,
        "held",
        fact.parts,
        fact.saga,
        fact.expires_at,
        fact.partner,
        fact.reference,
        waits_until=fact.waits_until,
    )
    end = fact.expires_at
    if end is not None and (wallet.hold_expires_at is None or end < wallet.hold_expires_at):
        wallet.hold_expires_at = end


def hold_refused(wallet: Wallet, _journal: int, fact: f.HoldRefused) -> None:
    if fact.asked == "hold":
        wallet.holds.setdefault(fact.hold, Hold(fact.hold, fact.unit, fact.amount, "refused", (), fact.saga))


def captured(wallet: Wallet, _journal: int, fact: f.PointsCaptured) -> None:
    amount = take(wallet, fact.parts, held=-1, remaining=-1)
    balance = wallet.moving(fact.unit)
    balance.held -= amount
    balance.spent += amount
    hold = wallet.holds[fact.hold]
    hold.state, hold.parts, hold.captured = "captured", fact.parts, amount


def released(wallet: Wallet, _journal: int, fact: f.PointsReleased) -> None:
    amount = take(wallet, fact.parts, held=-1)
    if fact.parts:
        balance = wallet.moving(fact.unit)
        balance.held -= amount
        balance.available += amount
    hold = wallet.holds.setdefault(fact.hold, Hold(fact.hold, fact.unit, fact.amount, "released", ()))
    if not fact.rest:
        hold.state = fact.state


def restored(wallet: Wallet, _journal: int, fact: f.PointsRestored) -> None:
    amount = take(wallet, fact.parts, remaining=1)
    balance = wallet.moving(fact.unit)
    balance.available += amount
    balance.spent -= amount
    hold = wallet.holds[fact.hold]
    hold.captured -= fact.amount
    hold.cancelled += fact.amount
    hold.parts = less(hold.parts, (*fact.parts, *fact.renewed))
    if not hold.captured:
        hold.state = "cancelled"
