"""A use of a voucher is undone, or a voucher is dead from now on."""

from __future__ import annotations

from services.redemption.domain.facts import AnyFact, VoucherRefused, VoucherUndone, VoucherVoided
from services.redemption.domain.heard import VoidVoucher
from services.redemption.domain.moment import Moment
from services.redemption.domain.state import State
from services.redemption.domain.using import now_of, voucher_of
from services.redemption.domain.vouchers import Voucher, VoucherState


def void(state: State, heard: VoidVoucher, moment: Moment) -> tuple[AnyFact, ...]:
    """With a reference undo that use: the voucher is good again, until its old end. Without one it is dead."""
    voucher = voucher_of(state, heard)
    reference = heard.reference
    if reference is not None and _is_use(voucher, heard):
        return (VoucherUndone(voucher=heard.voucher, reference=reference, partner=heard.partner),)
    code: str | None
    if voucher.state is VoucherState.SPENT:
        code = "voucher_spent"
    elif voucher.state is VoucherState.VOID:
        code = "voucher_void" if reference is not None else None
    elif voucher.is_over(now_of(heard, moment)):
        code = "voucher_expired"
    else:
        # There is no such use to undo.
        code = "voucher_unknown" if reference is not None else None
    if code is None:
        return (VoucherVoided(voucher=heard.voucher, partner=heard.partner),)
    return (
        VoucherRefused(
            voucher=heard.voucher, code=code, asked="void", reference=reference or "", partner=heard.partner
        ),
    )


def _is_use(voucher: Voucher, heard: VoidVoucher) -> bool:
    """Say whether the voucher is spent for that reference, by who asks; an operator may undo anybody's use."""
    if voucher.state is not VoucherState.SPENT or voucher.reference != heard.reference:
        return False
    return heard.anybodys or voucher.used_by == heard.partner
