"""What was said of a wallet is said again from its journals, for whoever has lost what it heard. Pure.

The journals are folded in their order over an empty wallet, as `laurel verify` folds them, and of each is told what
was told when it was written: one piece of code says both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from services.points import announcing
from services.points.domain.ending import ends_next, units_moved
from services.points.domain.facts import ActivityPosted, ActivityReturned
from services.points.domain.folding import fold
from services.points.domain.moment import Programs
from services.points.domain.state import Wallet
from services.points.domain.tiering import ANY_VERSION, moves_tiers, shown
from services.points.journaling import adjustments_of, copy_of, holds_of
from services.points.ports import Announcement, Decided, Journal


class Retelling:
    """Tells the journals of one wallet again, one after another."""

    def __init__(self, programs: Programs, program: str, member: str) -> None:
        self._programs = programs
        self.wallet = Wallet(program, member)

    def tell(self, journal: Journal, shared: Sequence[Journal]) -> Iterator[Announcement]:
        """Move the wallet by the next journal and yield what was said of it; `shared` is what it meant for others."""
        wallet = journal.wallet = self.wallet
        wallet.version, wallet.at = journal.number, journal.at
        # So they are read from the table; one that this journal moves first comes behind.
        wallet.balances = dict(sorted(wallet.balances.items()))
        for fact in journal.facts:
            fold(wallet, journal.number, fact)
        for unit in set(units_moved(wallet, journal.facts)):
            balance = wallet.balance(unit)
            balance.next_expiry_at, balance.next_expiry_amount = ends_next(wallet, unit)
        standing = None
        if moves_tiers(journal.facts):
            program = self._programs.in_force(wallet.program, journal.at, ANY_VERSION)
            standing = shown(wallet, program, journal.at)
        decided = Decided(
            None,
            journal,
            [copy_of(balance) for balance in wallet.balances.values()],
            journal.number,
            holds=holds_of(wallet, journal.facts, journal.kind),
            adjustments=adjustments_of(wallet, journal.facts, journal.kind),
            standing=standing,
            shared=[Decided(None, each, [], each.number) for each in shared],
        )
        yield from announcing.announce(decided, self._programs)

    def shares(self, journal: Journal) -> list[tuple[str, str, int]]:
        """Name the journals in which others got something for what a journal posts, or for what it takes back."""
        first = journal.facts[0] if journal.facts else None
        if isinstance(first, ActivityPosted):
            return [(self.wallet.program, share.member, share.journal) for share in first.shares]
        if isinstance(first, ActivityReturned):
            posting = self.wallet.postings.get((first.partner, first.of))
            shares = posting.shares if posting is not None else ()
            return [(self.wallet.program, share.member, share.journal) for share in shares]
        return []
