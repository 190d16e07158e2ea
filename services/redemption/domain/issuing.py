"""Points have become a voucher: it is issued, once, however often that is told."""

from __future__ import annotations

from services.redemption.domain.facts import AnyFact, VoucherIssued
from services.redemption.domain.heard import Money, PointsConverted
from services.redemption.domain.moment import Moment
from services.redemption.domain.state import State
from services.redemption.domain.vouchers import VoucherKey


def issue(state: State, heard: PointsConverted, moment: Moment) -> tuple[AnyFact, ...]:
    """Issue the voucher that points named; one that is there already is that voucher."""
    assert heard.member is not None
    if VoucherKey(heard.program, heard.member, heard.voucher) in state.vouchers:
        return ()
    (blank,) = moment.blanks
    return (
        VoucherIssued(
            voucher=heard.voucher,
            number=1,
            suffix=blank.suffix,
            value=Money(heard.value, heard.currency),
            expires_at=heard.expires_at,
            conversion=heard.conversion,
            not_above_basket=heard.not_above_basket,
            issued_at=heard.due_at,
            turned_to=heard.turned_to,
        ),
    )
