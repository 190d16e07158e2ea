"""What vouchers paid for came back: the use is undone, or its share comes back as a voucher with the old end."""

from __future__ import annotations

import base64
import hashlib

from laurel.rounding import scaled
from services.redemption.domain.facts import AnyFact, VoucherGivenBack, VoucherIssued, VoucherUndone
from services.redemption.domain.heard import Money, PointsClawedBack, ShareReturned, UseReturned
from services.redemption.domain.moment import Moment
from services.redemption.domain.state import State
from services.redemption.domain.vouchers import Use, UseKey, Voucher, VoucherKey, VoucherState


def leave(_state: State, _heard: PointsClawedBack, _moment: Moment) -> tuple[AnyFact, ...]:
    """Decide nothing about a return itself: it is told to each voucher that paid."""
    return ()


def give_back(state: State, heard: UseReturned, _moment: Moment) -> tuple[AnyFact, ...]:
    """Undo a use of which all came back; of a part say how far it is, and restore what can be used in parts."""
    found = _found(state, heard)
    if found is None:
        return ()
    voucher, use = found
    if _is_whole(heard):
        return (VoucherUndone(voucher=heard.voucher, reference=heard.reference, partner=heard.partner),)
    restored = _share(use, heard) if voucher.parts else 0
    return (
        VoucherGivenBack(
            voucher=heard.voucher,
            reference=heard.reference,
            partner=heard.partner,
            upto=heard.after,
            restored=restored,
        ),
    )


def issue_share(state: State, heard: ShareReturned, moment: Moment) -> tuple[AnyFact, ...]:
    """Issue a voucher of the part that came back, where the old one is used whole; it ends when the old one does."""
    found = _found(state, heard)
    if found is None or VoucherKey(heard.program, heard.member or "", heard.share) in state.vouchers:
        return ()
    voucher, use = found
    amount = _share(use, heard)
    if voucher.parts or _is_whole(heard) or not amount or use.currency is None:
        return ()
    (blank,) = moment.blanks
    return (
        VoucherIssued(
            voucher=heard.share,
            number=1,
            suffix=blank.suffix,
            value=Money(amount, use.currency),
            expires_at=voucher.expires_at,
            not_above_basket=voucher.not_above_basket,
            issued_at=heard.at,
            share_of=heard.voucher,
        ),
    )


def share_id(voucher: str, partner: str, reference: str, activity: str) -> str:
    """Return the id of the voucher that a return makes of a use: the same return can only ever make the same one."""
    name = f"{voucher}\n{partner}\n{reference}\n{activity}".encode()
    return "v-" + base64.b32encode(hashlib.sha256(name).digest()[:15]).decode().lower()


def _found(state: State, heard: UseReturned) -> tuple[Voucher, Use] | None:
    """Return the use, unless it was undone meanwhile, is given back up to there, or its voucher is dead."""
    voucher = state.vouchers.get(VoucherKey(heard.program, heard.member or "", heard.voucher))
    use = voucher.uses.get(UseKey(heard.partner, heard.reference)) if voucher is not None else None
    if voucher is None or use is None or use.upto >= heard.after or voucher.state is VoucherState.VOID:
        return None
    return voucher, use


def _is_whole(heard: UseReturned) -> bool:
    return heard.before == 0 and heard.after == heard.amount


def _share(use: Use, heard: UseReturned) -> int:
    """Return what of a use comes back. All parts make the whole."""
    if use.amount is None:
        return 0
    upto, before = (scaled(use.amount, each, heard.amount, "half_up") for each in (heard.after, heard.before))
    return upto - before
