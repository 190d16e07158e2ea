"""What a message that moves several wallets can touch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

from laurel.program.sharing import gift_counters
from services.points.domain.asked import Asked, Exchange, Merge, Transfer
from services.points.ports import Needs, WalletKey

NEWEST: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""Names the newest window of a counter: a wallet's time never goes back, so no other can be meant."""

A_WEEK: Final = timedelta(days=7)
FIRST_DAY: Final = date(1970, 1, 1)
"""A day before which nothing is counted."""


def need_between(needs: Needs, key: WalletKey, others: Sequence[WalletKey], asked: Asked) -> None:
    """Add what is touched beside the wallets: lots that could pay, what limits have counted, or all that is open."""
    if isinstance(asked, Merge):
        needs.whole |= {key, *others}
        needs.counting[key] = FIRST_DAY
        for other in others:
            needs.counting[other] = min(asked.at.date() - A_WEEK, needs.counting.get(other, date.max))
    if isinstance(asked, Transfer | Exchange):
        want = (*key, asked.unit)
        needs.spending[want] = needs.spending.get(want, 0) + asked.amount
    if isinstance(asked, Transfer):
        needs.counters |= {(*key, counter, NEWEST) for counter in gift_counters(asked.unit, "given")}
        for other in others:
            needs.counters |= {(*other, counter, NEWEST) for counter in gift_counters(asked.unit, "received")}
