"""What redemption's events of vouchers show: the voucher as it stands after them, without its code."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import msgspec

from laurel.contracts import redemption
from services.gateway.naming import (
    VOUCHER_REDEEM,
    VOUCHER_VOID,
    Correlation,
    RequestKey,
    idempotency_id,
    parse_correlation,
)
from services.gateway.told.telling import (
    FREED,
    NOTHING,
    POSTED,
    Heard,
    Outcome,
    Told,
    Undone,
    encode,
    refusal,
    refusal_body,
)

REDEEM: Final = "redeem"
VOID: Final = "void"
USE_UNDONE: Final = "voucher_use_undone"


class _VoucherSaid(msgspec.Struct, kw_only=True):
    """A voucher as an event tells it."""

    voucher: str
    suffix: str
    value: int | None = None
    currency: str | None = None
    expires_at: str | None = None
    issued_at: str | None = None
    redemption: str | None = None
    conversion: str | None = None
    state: str | None = None
    left: int | None = None
    percent: int | None = None
    product: str | None = None
    parts: bool = False
    reference: str | None = None
    amount: int | None = None
    paid_in: str | None = None
    code: str | None = None
    asked: str = ""
    partner: str = ""
    used_by: str | None = None


_decode = msgspec.json.Decoder(_VoucherSaid).decode

_STATES: Final = {
    redemption.VoucherRedeemed.TYPE: (REDEEM, "spent"),
    redemption.VoucherUndone.TYPE: (VOID, "issued"),
    redemption.VoucherVoided.TYPE: (VOID, "void"),
}


def _deed_of(type_: str) -> str:
    """Return what was asked where an event of that type is the answer."""
    return _STATES[type_][0]


def _shown(type_: str, said: _VoucherSaid, member: str) -> dict[str, Any]:
    """Return the voucher in the contract's shape, but for its code, which no event carries."""
    # Events of before do not say how the voucher stands after them; it was used whole.
    state = said.state or _STATES[type_][1]
    worthless = None if said.value is None else 0
    left = said.left if said.state is not None else said.value if state == "issued" else worthless
    shown: dict[str, Any] = {
        "voucher": said.voucher,
        "suffix": said.suffix,
        "state": state,
        "value": said.value,
        "left": left,
        "currency": said.currency,
        "issued_at": said.issued_at,
        "expires_at": said.expires_at,
        "member": member,
        "redemption": said.redemption,
        "conversion": said.conversion,
        "percent": said.percent,
        "product": said.product,
        "parts": said.parts,
    }
    if _STATES[type_][0] == REDEEM:
        shown["use"] = {"reference": said.reference, "amount": said.amount, "currency": said.paid_in}
    return shown


def voucher_moved(message: Heard) -> Told:
    said = _decode(message.body)
    body = encode(_shown(message.type, said, message.member))
    correlation = _asked_of_voucher(message, _deed_of(message.type))
    outcome = Outcome(correlation, POSTED, None, body) if correlation is not None else None
    undone = _use_undone(message.program, said) if message.type == redemption.VoucherUndone.TYPE else None
    return Told(outcome=outcome, undone=undone) if outcome is not None or undone is not None else NOTHING


def _use_undone(program: str, said: _VoucherSaid) -> Undone | None:
    """Return the request for the use that is no more; with an amount only that part of it came back."""
    if said.amount is not None or not said.reference:
        return None
    name = f"{said.voucher}:{idempotency_id(said.reference)}"
    key = RequestKey(program, VOUCHER_REDEEM, said.used_by or said.partner, name)
    return Undone(key, USE_UNDONE, refusal_body({"voucher": said.voucher}, USE_UNDONE, "", {}))


def voucher_refused(message: Heard) -> Told:
    said = _decode(message.body)
    correlation = _asked_of_voucher(message, said.asked)
    code = said.code or "voucher_unknown"
    facts = {"left": said.left} if code == "voucher_insufficient" else {}
    body = refusal_body({"voucher": said.voucher}, code, "", facts)
    if correlation is None:
        return NOTHING
    outcome = refusal(correlation, code, body)
    # What stands in the way of undoing may be gone later, so that may be asked again, as of a redemption.
    return Told(outcome=replace(outcome, state=FREED) if said.asked == VOID else outcome)


def _asked_of_voucher(message: Heard, deed: str) -> Correlation | None:
    correlation = parse_correlation(message.correlation)
    kind = VOUCHER_REDEEM if deed == REDEEM else VOUCHER_VOID
    return correlation if correlation is not None and correlation.key.kind == kind else None
