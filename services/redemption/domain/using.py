"""A voucher is used at a till: once, whoever asks how often; the same reference again is the same use."""

from __future__ import annotations

from datetime import datetime

from services.redemption.domain.answering import ImpossibleMessageError
from services.redemption.domain.facts import AnyFact, VoucherRedeemed, VoucherRefused
from services.redemption.domain.heard import AskOfVoucher, Money, UseVoucher
from services.redemption.domain.moment import Moment
from services.redemption.domain.state import State
from services.redemption.domain.vouchers import Voucher, VoucherKey, VoucherState


def use(state: State, heard: UseVoucher, moment: Moment) -> tuple[AnyFact, ...]:
    """Spend the voucher, or say why not."""
    voucher = voucher_of(state, heard)
    code = _refusal(voucher, heard, now_of(heard, moment))
    if code is not None:
        return (
            VoucherRefused(
                voucher=heard.voucher, code=code, asked="redeem", reference=heard.reference, partner=heard.partner
            ),
        )
    return (
        VoucherRedeemed(
            voucher=heard.voucher, reference=heard.reference, partner=heard.partner, at=moment.at, basket=heard.basket
        ),
    )


def voucher_of(state: State, heard: AskOfVoucher) -> Voucher:
    """Return the voucher that is asked about. Whoever asks was told its id by us, so it is there."""
    voucher = state.vouchers.get(VoucherKey(heard.program, heard.member or "", heard.voucher))
    if voucher is None:
        message = f"voucher {heard.voucher} of {heard.member} was never issued"
        raise ImpossibleMessageError(message)
    return voucher


def now_of(heard: AskOfVoucher, moment: Moment) -> datetime | None:
    """Return the program's now; on a manual clock that was never set nothing is over."""
    return heard.versions.as_of if moment.program.manual else moment.at


def _refusal(voucher: Voucher, heard: UseVoucher, now: datetime | None) -> str | None:
    if voucher.state is VoucherState.SPENT:
        same = (voucher.reference, voucher.used_by) == (heard.reference, heard.partner)
        return None if same else "voucher_spent"
    if voucher.state is VoucherState.VOID:
        return "voucher_void"
    if voucher.is_over(now):
        return "voucher_expired"
    if voucher.not_above_basket and not _fits(voucher, heard.basket):
        return "voucher_exceeds_basket"
    return None


def _fits(voucher: Voucher, basket: Money | None) -> bool:
    return basket is not None and basket.currency == voucher.currency and basket.amount >= (voucher.value or 0)
