"""Vouchers as deciders see them, and the one way in which they move: by facts, as sagas do.

A voucher that a redemption made stands in its saga's facts; what becomes of it, and all of one that points became,
stands in facts of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(slots=True)
class Voucher:
    """One voucher. `reference` is whom it was spent for, by `used_by`; nothing unless it is spent."""

    key: VoucherKey
    state: VoucherState
    suffix: str
    issued_at: datetime
    value: int | None = None
    currency: str | None = None
    expires_at: datetime | None = None
    not_above_basket: bool = False
    redemption: str = ""
    conversion: str = ""
    turned_to: datetime | None = None
    reference: str = ""
    used_by: str = ""
    step: int = 0

    def is_over(self, now: datetime | None) -> bool:
        """Say whether its time was over by then, so that no outcome depends on when a timer ran."""
        if self.state is VoucherState.EXPIRED:
            return True
        return self.expires_at is not None and now is not None and self.expires_at <= now


def issued(key: VoucherKey, fact: f.VoucherIssued) -> Voucher:
    """Return the voucher that a conversion made."""
    assert fact.issued_at is not None
    return Voucher(
        key,
        VoucherState.ISSUED,
        fact.suffix,
        fact.issued_at,
        fact.value.amount if fact.value else None,
        fact.value.currency if fact.value else None,
        fact.expires_at,
        fact.not_above_basket,
        conversion=fact.conversion,
        turned_to=fact.turned_to,
    )


def move(voucher: Voucher, fact: f.VoucherFact) -> None:
    """Move by one fact. Facts are trusted."""
    _MOVE[type(fact)](voucher, fact)


def _redeemed(voucher: Voucher, fact: f.VoucherRedeemed) -> None:
    voucher.state, voucher.reference, voucher.used_by = VoucherState.SPENT, fact.reference, fact.partner


def _undone(voucher: Voucher, _fact: f.VoucherUndone) -> None:
    voucher.state, voucher.reference, voucher.used_by = VoucherState.ISSUED, "", ""


def _voided(voucher: Voucher, _fact: f.VoucherVoided) -> None:
    voucher.state = VoucherState.VOID


def _expired(voucher: Voucher, _fact: f.VoucherExpired) -> None:
    voucher.state = VoucherState.EXPIRED


def _stays(_voucher: Voucher, _fact: f.VoucherRefused) -> None:
    """Move nothing: the refusal is kept, that is all."""


_MOVE: dict[type, Callable[[Voucher, Any], None]] = {
    f.VoucherRedeemed: _redeemed,
    f.VoucherUndone: _undone,
    f.VoucherVoided: _voided,
    f.VoucherExpired: _expired,
    f.VoucherRefused: _stays,
}
