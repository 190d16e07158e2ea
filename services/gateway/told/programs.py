"""What is said of a whole program: its clock, and what partners paid in advance."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from services.gateway.naming import BLOCK, parse_correlation
from services.gateway.told.telling import NOTHING, POSTED, Heard, Outcome, Told, TurnSeen, encode, refusal, refusal_body


class _ToppedUp(msgspec.Struct):
    partner: str
    reference: str
    unit: str
    units: int
    amount: int
    currency: str
    block: dict[str, Any]
    code: str | None = None


class _Turned(msgspec.Struct):
    as_of: datetime
    released: int = 0
    holds_timed_out: int = 0
    lots_expired: int = 0
    tiers_changed: int = 0
    converted: int = 0


_decode_topped_up = msgspec.json.Decoder(_ToppedUp).decode


_decode_turned = msgspec.json.Decoder(_Turned).decode


def topped_up(message: Heard) -> Told:
    said = _decode_topped_up(message.body)
    correlation = parse_correlation(message.correlation)
    if correlation is None or correlation.key.kind != BLOCK:
        return NOTHING
    named = {"partner": said.partner, "reference": said.reference}
    if said.code is not None:
        return Told(outcome=refusal(correlation, said.code, refusal_body(named, said.code, "", {"unit": said.unit})))
    paid = {"unit": said.unit, "units": said.units, "amount": said.amount, "currency": said.currency}
    body = encode({**named, "state": POSTED, **paid, "block": said.block})
    return Told(outcome=Outcome(correlation, POSTED, None, body))


def clock_turned(message: Heard) -> Told:
    """Say what a turn brought about in points; what it did to vouchers redemption tells who finishes it."""
    said = _decode_turned(message.body)
    shown = {
        "as_of": said.as_of,
        "released": said.released,
        "holds_timed_out": said.holds_timed_out,
        "lots_expired": said.lots_expired,
        "vouchers_expired": 0,
        "tiers_changed": said.tiers_changed,
        "converted": said.converted,
        "vouchers_issued": 0,
    }
    return Told(turned=TurnSeen(message.program, said.as_of, encode(shown)))
