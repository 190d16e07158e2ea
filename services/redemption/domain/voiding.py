"""A use of a voucher is undone, or a voucher is dead from now on."""

from __future__ import annotations

from services.redemption.domain.facts import AnyFact, VoucherRefused, VoucherUndone, VoucherVoided
from services.redemption.domain.heard import VoidVoucher
from services.redemption.domain.moment import Moment
from services.redemption.domain.state import State
from services.redemption.domain.using import now_of, voucher_of
from services.redemption.domain.vouchers import UseKey, Voucher, VoucherState


def void(state: State, heard: VoidVoucher, moment: Moment) -> tuple[AnyFact, ...]:
    """With a reference undo that use: what it paid is good again, until the old end. Without one it is dead."""
    voucher = voucher_of(state, heard)
    reference = heard.reference
    key = _use(voucher, heard)
    if key is not None and voucher.uses[key].upto and not voucher.parts:
        # A voucher of its own was issued for the part that came back.
        return (
            VoucherRefused(
                voucher=heard.voucher,
                code="over_returned",
                asked="void",
                reference=key.reference,
                partner=heard.partner,
            ),
        )
    if key is not None and voucher.state is not VoucherState.VOID:
        return (
            VoucherUndone(
                voucher=heard.voucher, reference=key.reference, partner=heard.partner, used_by=_another(key, heard)
            ),
        )
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


def _use(voucher: Voucher, heard: VoidVoucher) -> UseKey | None:
    """Return the use for that reference by who asks; an operator may undo anybody's, its own before others'."""
    uses = [key for key in voucher.uses if key.reference == heard.reference]
    own = [key for key in uses if key.partner == heard.partner]
    return min(own or (uses if heard.anybodys else own), default=None)


def _another(key: UseKey, heard: VoidVoucher) -> str:
    return key.partner if key.partner != heard.partner else ""
