"""Vouchers as deciders see them, and the one way in which they move: by facts, as sagas do.

A voucher that a redemption made stands in its saga's facts; what becomes of it, and all of one that points became,
stands in facts of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from services.redemption.domain import facts as f


class VoucherState(StrEnum):
    """What became of a voucher. Only a use can be undone."""

    ISSUED = "issued"
    SPENT = "spent"
    EXPIRED = "expired"
    VOID = "void"


class VoucherKey(NamedTuple):
    """Names a voucher within its member, whose lock is the lock of the voucher too."""

    program: str
    member: str
    voucher: str


class UseKey(NamedTuple):
    """Names a use of a voucher: by whom and what for."""

    partner: str
    reference: str


@dataclass(slots=True)
class Use:
    """A use that stands: what it paid; nothing where it was for a product.

    `upto`: how far a tender that names it was given back by returns; so much of the amount was `restored` by them.
    """

    amount: int | None = None
    currency: str | None = None
    upto: int = 0
    restored: int = 0


@dataclass(slots=True)
class Voucher:
    """One voucher. Of its uses those are here that the messages of a batch name.

    `remaining` is what its uses have left of `value`, whatever its state.
    """

    key: VoucherKey
    state: VoucherState
    suffix: str
    issued_at: datetime
    value: int | None = None
    remaining: int | None = None
    currency: str | None = None
    percent: int | None = None
    product: str | None = None
    expires_at: datetime | None = None
    not_above_basket: bool = False
    parts: bool = False
    elsewhere: bool = False
    redemption: str = ""
    conversion: str = ""
    turned_to: datetime | None = None
    step: int = 0
    share_of: str = ""
    uses: dict[UseKey, Use] = field(default_factory=dict)

    @property
    def left(self) -> int | None:
        """Return what it is still worth."""
        if self.value is None:
            return None
        return self.remaining if self.state is VoucherState.ISSUED else 0

    def is_over(self, now: datetime | None) -> bool:
        """Say whether its time was over by then, so that no outcome depends on when a timer ran."""
        if self.state is VoucherState.EXPIRED:
            return True
        return self.expires_at is not None and now is not None and self.expires_at <= now


def issued(key: VoucherKey, fact: f.VoucherIssued, at: datetime | None = None) -> Voucher:
    """Return the voucher that a conversion made, or at that instant a redemption."""
    issued_at = fact.issued_at or at
    assert issued_at is not None
    value = fact.value.amount if fact.value else None
    return Voucher(
        key,
        VoucherState.ISSUED,
        fact.suffix,
        issued_at,
        value,
        value,
        fact.value.currency if fact.value else None,
        fact.percent,
        fact.product,
        fact.expires_at,
        fact.not_above_basket,
        fact.parts,
        fact.elsewhere,
        conversion=fact.conversion,
        turned_to=fact.turned_to,
        share_of=fact.share_of,
    )


def move(voucher: Voucher, fact: f.VoucherFact) -> None:
    """Move by one fact. Facts are trusted."""
    _MOVE[type(fact)](voucher, fact)


def _redeemed(voucher: Voucher, fact: f.VoucherRedeemed) -> None:
    key = UseKey(fact.partner, fact.reference)
    if key in voucher.uses:
        return  # the first answer was given again
    if voucher.remaining is None:
        voucher.uses[key] = Use(fact.paid.amount, fact.paid.currency) if fact.paid is not None else Use()
        voucher.state = VoucherState.SPENT
        return
    paid = fact.paid.amount if fact.paid is not None else voucher.remaining
    voucher.uses[key] = Use(paid, voucher.currency)
    voucher.remaining -= paid
    if voucher.remaining == 0:
        voucher.state = VoucherState.SPENT


def _undone(voucher: Voucher, fact: f.VoucherUndone) -> None:
    key = UseKey(fact.used_by or fact.partner, fact.reference)
    if key not in voucher.uses:
        # Facts of before did not say whose use an operator undid; there was only one.
        (key,) = voucher.uses
    use = voucher.uses.pop(key)
    if voucher.remaining is not None:
        voucher.remaining += (use.amount or 0) - use.restored
    if voucher.state is VoucherState.SPENT:
        voucher.state = VoucherState.ISSUED


def _given_back(voucher: Voucher, fact: f.VoucherGivenBack) -> None:
    use = voucher.uses[UseKey(fact.partner, fact.reference)]
    use.upto = fact.upto
    if fact.restored:
        assert voucher.remaining is not None
        use.restored += fact.restored
        voucher.remaining += fact.restored
        if voucher.state is VoucherState.SPENT:
            voucher.state = VoucherState.ISSUED


def _voided(voucher: Voucher, _fact: f.VoucherVoided) -> None:
    voucher.state = VoucherState.VOID


def _expired(voucher: Voucher, _fact: f.VoucherExpired) -> None:
    voucher.state = VoucherState.EXPIRED


def _stays(_voucher: Voucher, _fact: f.VoucherRefused) -> None:
    """Move nothing: the refusal is kept, that is all."""


_MOVE: dict[type, Callable[[Voucher, Any], None]] = {
    f.VoucherRedeemed: _redeemed,
    f.VoucherUndone: _undone,
    f.VoucherGivenBack: _given_back,
    f.VoucherVoided: _voided,
    f.VoucherExpired: _expired,
    f.VoucherRefused: _stays,
}
