"""What happened between two wallets: each has its own journal of it, and each half names the other."""

from __future__ import annotations

from datetime import datetime

from services.points.domain.fact import Counted, Fact, LotPart

TRANSFERRED = "transferred"
"""The account through which points pass from one wallet to another of the same program; it sums to nothing."""


class PointsSent(Fact, frozen=True, tag=True):
    """Points left this wallet for another one, whose journal of it is `journal`.

    Where the other counts another unit, `arrived` of `into` is what came of it there. `counted` is what the member has
    given in its windows. With an account that became a part of another goes what is `owed`.
    """

    transfer: str
    unit: str
    amount: int
    program: str
    member: str
    journal: int
    parts: tuple[LotPart, ...]
    counted: tuple[Counted, ...] = ()
    into: str = ""
    arrived: int = 0
    owed: int = 0

    @property
    def account(self) -> str:
        """Return the account that they went to."""
        return f"exchanged:{self.program}" if self.into else TRANSFERRED


class PointsReceived(Fact, frozen=True, tag=True):
    """Points came from another wallet, whose journal of it is `journal`; they lie in the lots that follow.

    What an account gets back that became one of its own again is in `parts` of the lots that it had brought.
    `left` of `out_of` is what it gave for them, where it counts another unit. `active_until` keeps points that end by
    inactivity at least as long as they were good there.
    """

    transfer: str
    unit: str
    amount: int
    program: str
    member: str
    journal: int
    counted: tuple[Counted, ...] = ()
    active_until: datetime | None = None
    out_of: str = ""
    left: int = 0
    owed: int = 0
    parts: tuple[LotPart, ...] = ()


class LotReceived(Fact, frozen=True, tag=True):
    """Points that came from another wallet lie in a new lot, with the dates, funder and price that they had there.

    It is named after the transfer and no activity: a return of the one that granted them has no claim to it. What an
    exchange made has the price that was agreed for it.
    """

    lot: int
    unit: str
    rule: str
    amount: int
    activity: str
    partner: str
    earned_at: datetime
    available_at: datetime
    funder: str
    version: int
    expires_at: datetime | None = None
    account: str = TRANSFERRED
    price: str = ""
    currency: str = ""


class TransferRefused(Fact, frozen=True, tag=True):
    """Points were not given to `member` of `program`; `left` is what may be given still, where a limit says so."""

    transfer: str
    unit: str
    amount: int
    program: str
    member: str
    code: str
    detail: str = ""
    available: int = 0
    shortfall: int = 0
    left: int | None = None
