"""How pending points move a wallet: they stand outside every sum until they are released."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.points.domain import facts as f

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from services.points.domain.facts import LotPart
    from services.points.domain.state import Lot, Wallet

DATE = "date"
APPROVAL = "approval"
"""What a lot may await, besides an activity."""


def granted(wallet: Wallet, lot: Lot) -> None:
    """Let a new lot count as pending."""
    wallet.moving(lot.unit).pending += lot.pending
    _note_release(wallet, lot)


def take(wallet: Wallet, unit: str, parts: Iterable[LotPart]) -> None:
    """Let parts of pending lots be nothing any more."""
    for part in parts:
        wallet.lots[part.name].pending -= part.amount
        wallet.moving(unit).pending -= part.amount


def released(wallet: Wallet, _journal: int, fact: f.PendingReleased) -> None:
    """Let pending points count; only now are they earned."""
    balance = wallet.moving(fact.unit)
    for part in fact.parts:
        lot = wallet.lots[part.name]
        lot.pending -= part.amount
        lot.remaining += part.amount
        lot.awaits = ""
        balance.pending -= part.amount
        balance.available += part.amount
        balance.earned += part.amount
        balance.ends_with(lot.expires_at, part.amount)


def given_up(wallet: Wallet, _journal: int, fact: f.PendingGivenUp) -> None:
    """Take the points away; the lot awaits nothing any more, and a return does not take them again."""
    take(wallet, fact.unit, (fact.part,))
    wallet.lots[fact.part.name].awaits = ""
    note_given_up(wallet, fact)


def note_given_up(wallet: Wallet, fact: f.PendingGivenUp) -> None:
    """Let the posting know, if it is at hand."""
    for posting in wallet.postings.values():
        if posting.journal == fact.posted_in:
            posting.give_up(fact.rule, fact.part.amount)


def note_theirs(wallet: Wallet, fact: f.PendingDecided) -> None:
    """Let the posting know what others gave up of it, so that a return does not ask them for it again."""
    posting = wallet.postings.get((fact.partner, fact.activity)) if fact.theirs else None
    if posting is not None:
        for rule, amount in fact.theirs.items():
            posting.give_up(rule, amount)


def awaited(wallet: Wallet, journal: int, fact: f.FundingAwaited) -> None:
    """Note the place in the queue."""
    wallet.unfunded[fact.of_journal or journal] = fact


def funded(wallet: Wallet, _journal: int, fact: f.FundingGiven) -> None:
    """Leave the queue; what awaits a date besides goes on awaiting it."""
    wallet.unfunded.pop(fact.of_journal, None)
    for name, lot in wallet.lots.items():
        if name.journal == fact.of_journal and lot.unfunded:
            lot.unfunded = False
            _note_release(wallet, lot)


def drawn(wallet: Wallet, _journal: int, fact: f.BlockDrawn) -> None:
    """Add up what was drawn."""
    name = (fact.funder, fact.unit)
    wallet.blocks[name] = wallet.blocks.get(name, 0) + fact.amount


def moves_at(wallet: Wallet, lot: Lot) -> datetime | None:
    """Return when time moves a pending lot: its date comes, or its end comes before what it awaits."""
    if not lot.pending or not lot.awaits or lot.unfunded:
        return None
    return lot.available_at if lot.awaits == DATE else wallet.end_of(lot)


def ends_waiting_at(wallet: Wallet, lot: Lot) -> datetime | None:
    """Return when a lot that awaits an activity or approval ends; one that awaits a date comes first, then it ends."""
    return None if lot.awaits == DATE else moves_at(wallet, lot)


def _note_release(wallet: Wallet, lot: Lot) -> None:
    at = moves_at(wallet, lot)
    if at is not None and (wallet.releases_at is None or at < wallet.releases_at):
        wallet.releases_at = at
