"""What a message that moves several wallets can touch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from laurel.program.sharing import gift_counters
from services.points.domain.asked import Asked, Exchange, Transfer
from services.points.ports import Needs, WalletKey

NEWEST: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""Names the newest window of a counter: a wallet's time never goes back, so no other can be meant."""


def need_between(needs: Needs, key: WalletKey, others: Sequence[WalletKey], asked: Asked) -> None:
    """Add what giving or exchanging touches: lots that could pay, and what limits have counted."""
    if isinstance(asked, Transfer | Exchange):
        want = (*key, asked.unit)
        needs.spending[want] = needs.spending.get(want, 0) + asked.amount
    if isinstance(asked, Transfer):
        needs.counters |= {(*key, counter, NEWEST) for counter in gift_counters(asked.unit, "given")}
        for other in others:
            needs.counters |= {(*other, counter, NEWEST) for counter in gift_counters(asked.unit, "received")}
