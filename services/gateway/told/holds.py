"""What became of points that are held."""

from __future__ import annotations

from typing import Any

import msgspec

from services.gateway.naming import HOLD, HOLD_CANCEL, HOLD_CAPTURE, HOLD_RELEASE, parse_correlation
from services.gateway.told.telling import (
    POSTED,
    REFUSED,
    Heard,
    OperationSeen,
    Outcome,
    Told,
    encode,
    place_of,
    refusal,
    refusal_body,
)
from services.gateway.told.wallets import EMPTY_LIST, Wallet, summary_of


class _Standing(msgspec.Struct):
    state: str
    amount: int
    captured: int = 0
    cancelled: int = 0
    expires_at: str | None = None
    partner: str | None = None
    reference: str | None = None
    lots: msgspec.Raw = EMPTY_LIST


class _OfHold(Wallet, kw_only=True):
    hold: str
    unit: str
    amount: int
    standing: _Standing | None = None


class _HoldRefused(_OfHold, kw_only=True):
    code: str
    available: int = 0
    shortfall: int = 0
    asked: str = "hold"


_decode_of_hold = msgspec.json.Decoder(_OfHold).decode


_decode_hold_refused = msgspec.json.Decoder(_HoldRefused).decode


_HOLD_KINDS = {"hold": HOLD, "capture": HOLD_CAPTURE, "release": HOLD_RELEASE, "cancel": HOLD_CANCEL}


def points_held(message: Heard) -> Told:
    return _of_hold(message, HOLD)


def points_captured(message: Heard) -> Told:
    return _of_hold(message, HOLD_CAPTURE)


def points_released(message: Heard) -> Told:
    # What a capture leaves over is released by the capture, which answers for both.
    return _of_hold(message, HOLD_RELEASE)


def points_restored(message: Heard) -> Told:
    return _of_hold(message, HOLD_CANCEL)


def _of_hold(message: Heard, kind: str) -> Told:
    said = _decode_of_hold(message.body)
    summary = summary_of(message, said)
    if said.standing is None:
        return Told(summary=summary)
    body = encode(_hold_shown(message, said, said.standing))
    correlation = parse_correlation(message.correlation)
    outcome = None
    if correlation is not None and correlation.key.kind == kind:
        outcome = Outcome(correlation, POSTED, None, body)
    return Told(outcome=outcome, summary=summary, operation=_hold_seen(message, said, said.standing.state, body))


def hold_refused(message: Heard) -> Told:
    said = _decode_hold_refused(message.body)
    summary = summary_of(message, said)
    correlation = parse_correlation(message.correlation)
    if correlation is not None and correlation.key.kind != _HOLD_KINDS.get(said.asked):
        correlation = None
    facts = {} if said.code != "insufficient_points" else {
        "unit": said.unit, "available": said.available, "shortfall": said.shortfall,
    }  # fmt: skip
    body = refusal_body({"hold": said.hold}, said.code, "", facts)
    seen = None
    if said.standing is not None and said.standing.state == REFUSED:
        seen = _hold_seen(message, said, REFUSED, body)
    outcome = refusal(correlation, said.code, body) if correlation is not None else None
    return Told(outcome=outcome, summary=summary, operation=seen)


def _hold_seen(message: Heard, said: _OfHold, state: str, body: bytes) -> OperationSeen:
    return OperationSeen(message.program, HOLD, said.hold, state, body, place_of(message.source, message.sequence))


def _hold_shown(message: Heard, said: _OfHold, standing: _Standing) -> dict[str, Any]:
    return {
        "hold": said.hold,
        "state": standing.state,
        "member": message.member,
        "unit": said.unit,
        "amount": standing.amount,
        "captured": standing.captured,
        "cancelled": standing.cancelled,
        "expires_at": standing.expires_at,
        "partner": standing.partner,
        "reference": standing.reference,
        "lots": standing.lots,
    }
