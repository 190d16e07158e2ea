"""What became of adjustments."""

from __future__ import annotations

from typing import Any

import msgspec

from services.gateway.naming import ADJUSTMENT, ADJUSTMENT_DECISION, parse_correlation
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


class _Adjusted(Wallet, kw_only=True):
    adjustment: str
    unit: str
    amount: int
    state: str
    partner: str | None = None
    corrects: str | None = None
    reversed: int = 0
    written_off: int = 0
    waiting: int = 0
    bonus: int = 0
    owed: int = 0
    expires_at: str | None = None
    lots: msgspec.Raw = EMPTY_LIST


class _HeldBack(_Adjusted, kw_only=True):
    code: str
    available: int = 0
    shortfall: int = 0


_decode_adjusted = msgspec.json.Decoder(_Adjusted).decode


_decode_held_back = msgspec.json.Decoder(_HeldBack).decode


_ADJUSTMENTS = (ADJUSTMENT, ADJUSTMENT_DECISION)


def points_adjusted(message: Heard) -> Told:
    said = _decode_adjusted(message.body)
    body = encode(_adjustment_shown(message, said))
    correlation = parse_correlation(message.correlation)
    outcome = None
    if correlation is not None and correlation.key.kind in _ADJUSTMENTS:
        outcome = Outcome(correlation, POSTED, None, body)
    return Told(outcome, summary_of(message, said), operation=_adjustment_seen(message, said, body))


def adjustment_held_back(message: Heard) -> Told:
    said = _decode_held_back(message.body)
    correlation = parse_correlation(message.correlation)
    short = {"available": said.available, "shortfall": said.shortfall} if said.code == "insufficient_points" else {}
    facts = {"unit": said.unit, "amount": said.amount, **short}
    why = refusal_body({"adjustment": said.adjustment}, said.code, "", facts)
    outcome = None
    if correlation is not None and correlation.key.kind in _ADJUSTMENTS:
        outcome = refusal(correlation, said.code, why)
    body = why if said.state == REFUSED else encode(_adjustment_shown(message, said))
    return Told(outcome, summary_of(message, said), operation=_adjustment_seen(message, said, body))


def _adjustment_seen(message: Heard, said: _Adjusted, body: bytes) -> OperationSeen:
    place = place_of(message.source, message.sequence)
    return OperationSeen(message.program, ADJUSTMENT, said.adjustment, said.state, body, place)


def _adjustment_shown(message: Heard, said: _Adjusted) -> dict[str, Any]:
    return {
        "adjustment": said.adjustment,
        "state": said.state,
        "member": message.member,
        "unit": said.unit,
        "amount": said.amount,
        "partner": said.partner,
        "corrects": said.corrects,
        "reversed": said.reversed,
        "written_off": said.written_off,
        "waiting": said.waiting,
        "bonus": said.bonus,
        "owed": said.owed,
        "expires_at": said.expires_at,
        "lots": said.lots,
        "balances": said.balances,
    }
