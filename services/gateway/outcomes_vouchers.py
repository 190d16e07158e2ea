"""What redemption's events of vouchers show: the voucher as it stands after them, without its code."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from laurel.contracts import redemption

REDEEM: Final = "redeem"
VOID: Final = "void"


class VoucherSaid(msgspec.Struct, kw_only=True):
    """A voucher as an event tells it."""

    voucher: str
    suffix: str
    value: int | None = None
    currency: str | None = None
    expires_at: str | None = None
    issued_at: str | None = None
    redemption: str | None = None
    conversion: str | None = None
    reference: str | None = None
    code: str | None = None
    asked: str = ""


decode = msgspec.json.Decoder(VoucherSaid).decode

_STATES: Final = {
    redemption.VoucherRedeemed.TYPE: (REDEEM, "spent"),
    redemption.VoucherUndone.TYPE: (VOID, "issued"),
    redemption.VoucherVoided.TYPE: (VOID, "void"),
}


def deed_of(type_: str) -> str:
    """Return what was asked where an event of that type is the answer."""
    return _STATES[type_][0]


def shown(type_: str, said: VoucherSaid, member: str) -> dict[str, Any]:
    """Return the voucher in the contract's shape, but for its code, which no event carries."""
    state = _STATES[type_][1]
    worthless = None if said.value is None else 0
    return {
        "voucher": said.voucher,
        "suffix": said.suffix,
        "state": state,
        "value": said.value,
        "left": said.value if state == "issued" else worthless,
        "currency": said.currency,
        "issued_at": said.issued_at,
        "expires_at": said.expires_at,
        "member": member,
        "redemption": said.redemption,
        "conversion": said.conversion,
    }
