"""A voucher's time is over: from the local midnight after its last good day it is worth nothing."""

from __future__ import annotations

from services.redemption.domain.facts import AnyFact, VoucherExpired
from services.redemption.domain.heard import VoucherEnds
from services.redemption.domain.moment import Moment
from services.redemption.domain.state import State
from services.redemption.domain.vouchers import VoucherKey, VoucherState


def end(state: State, heard: VoucherEnds, moment: Moment) -> tuple[AnyFact, ...]:
    """End a voucher that is still good by its state; one that moved on since somebody looked is left alone."""
    voucher = state.vouchers.get(VoucherKey(heard.program, heard.member or "", heard.voucher))
    if voucher is None or voucher.state is not VoucherState.ISSUED or not voucher.is_over(moment.at):
        return ()
    return (VoucherExpired(voucher=heard.voucher),)
