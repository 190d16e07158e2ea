"""A voucher is used at a till: once, or in parts until nothing is left; the same reference again is the same use."""

from __future__ import annotations

from datetime import datetime

from laurel.rounding import scaled
from services.redemption.domain.answering import ImpossibleMessageError
from services.redemption.domain.facts import AnyFact, VoucherRedeemed, VoucherRefused
from services.redemption.domain.heard import AskOfVoucher, Money, UseVoucher
from services.redemption.domain.moment import Moment
from services.redemption.domain.state import State
from services.redemption.domain.vouchers import UseKey, Voucher, VoucherKey, VoucherState


def use(state: State, heard: UseVoucher, moment: Moment) -> tuple[AnyFact, ...]:
    """Use the voucher, or say why not. A use that stands is said again, whatever became of the voucher since."""
    voucher = voucher_of(state, heard)
    before = voucher.uses.get(UseKey(heard.partner, heard.reference))
    if before is not None:
        return (_used(heard, moment, before.amount, before.currency),)
    code = _closed(voucher, now_of(heard, moment)) or _too_much(voucher, heard)
    if code is not None:
        return (
            VoucherRefused(
                voucher=heard.voucher,
                code=code,
                asked="redeem",
                reference=heard.reference,
                partner=heard.partner,
                left=voucher.left,
            ),
        )
    return (_used(heard, moment, *_paid(voucher, heard)),)


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


def _used(heard: UseVoucher, moment: Moment, amount: int | None, currency: str | None) -> VoucherRedeemed:
    return VoucherRedeemed(
        voucher=heard.voucher,
        reference=heard.reference,
        partner=heard.partner,
        at=moment.at,
        basket=heard.basket,
        paid=Money(amount, currency) if amount is not None and currency is not None else None,
    )


def _closed(voucher: Voucher, now: datetime | None) -> str | None:
    """Say why the voucher is of no use to anybody here, if it is not."""
    if voucher.elsewhere:
        return "voucher_not_here"
    if voucher.state is VoucherState.SPENT:
        return "voucher_spent"
    if voucher.state is VoucherState.VOID:
        return "voucher_void"
    return "voucher_expired" if voucher.is_over(now) else None


def _too_much(voucher: Voucher, heard: UseVoucher) -> str | None:
    """Say why it cannot pay what is asked, if it cannot."""
    amount, _ = _paid(voucher, heard)
    if voucher.remaining is None or amount is None:
        return None
    if amount > voucher.remaining:
        return "voucher_insufficient"
    if voucher.not_above_basket and not _fits(amount, voucher.currency, heard.basket):
        return "voucher_exceeds_basket"
    return None


def _paid(voucher: Voucher, heard: UseVoucher) -> tuple[int | None, str | None]:
    """Return what the use pays: the amount asked for, all that is left, or a share of the basket, rounded down (S2)."""
    if voucher.percent is not None:
        if heard.basket is None:
            raise ImpossibleMessageError(f"voucher {heard.voucher} is worth a share of a basket that nobody names")
        return scaled(heard.basket.amount, voucher.percent, 100, "down"), heard.basket.currency
    if voucher.value is None:
        return None, None
    if heard.amount is None:
        return voucher.remaining, voucher.currency
    if not voucher.parts and heard.amount != voucher.value:
        raise ImpossibleMessageError(f"voucher {heard.voucher} is used whole, {heard.amount} were asked for")
    return heard.amount, voucher.currency


def _fits(amount: int, currency: str | None, basket: Money | None) -> bool:
    return basket is not None and basket.currency == currency and basket.amount >= amount
