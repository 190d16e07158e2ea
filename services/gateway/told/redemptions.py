"""What redemption says of redemptions and rewards."""

from __future__ import annotations

from typing import Any

import msgspec

from services.gateway.naming import REDEMPTION, RESOURCE, REWARD, parse_correlation
from services.gateway.told.telling import (
    NOTHING,
    POSTED,
    Heard,
    Outcome,
    RedemptionSeen,
    RewardSeen,
    Summary,
    Told,
    encode,
    place_of,
    refusal,
    refusal_body,
)
from services.gateway.told.wallets import EMPTY_LIST, NULL, read_balances


class _Price(msgspec.Struct):
    unit: str
    amount: int


class _Voucher(msgspec.Struct, gc=False):
    voucher: str


class _WalletSeen(msgspec.Struct):
    source: str
    sequence: int
    balances: msgspec.Raw = EMPTY_LIST
    version: int = 0


class _Redeemed(msgspec.Struct, kw_only=True):
    redemption: str
    reward: str
    price: _Price | None = None
    points: int = 0
    to_pay: msgspec.Raw = NULL
    quantity: int = 0
    party: int = 0
    beneficiary: str | None = None
    lots: msgspec.Raw = EMPTY_LIST
    vouchers: msgspec.Raw = EMPTY_LIST
    code: str | None = None
    detail: str | None = None
    facts: dict[str, Any] = msgspec.field(default_factory=dict)
    wallet: _WalletSeen | None = None


class _Published(msgspec.Struct):
    reward: str
    document: msgspec.Raw


_decode_redeemed = msgspec.json.Decoder(_Redeemed).decode


_decode_published = msgspec.json.Decoder(_Published).decode


_decode_vouchers = msgspec.json.Decoder(list[_Voucher]).decode


_decode_document = msgspec.json.Decoder(dict[str, Any]).decode


def held(message: Heard) -> Told:
    return _redeemed(message, "holding", final=False)


def fulfilled(message: Heard) -> Told:
    return _redeemed(message, "fulfilled", final=True)


def redemption_refused(message: Heard) -> Told:
    return _redeemed(message, "refused", final=True)


def cancelled(message: Heard) -> Told:
    return _redeemed(message, "cancelled", final=False)


def _redeemed(message: Heard, state: str, *, final: bool) -> Told:
    said = _decode_redeemed(message.body)
    _decode_vouchers(said.vouchers)
    correlation = parse_correlation(message.correlation)
    shown: dict[str, Any] = {
        "redemption": said.redemption,
        "state": state,
        "member": message.member or None,
        "reward": said.reward,
        "price": said.price,
        "points": said.points,
        "to_pay": said.to_pay,
        "quantity": said.quantity,
        "party": said.party,
        "beneficiary": said.beneficiary,
        "lots": said.lots,
        "vouchers": said.vouchers,
    }
    outcome = None
    if correlation is not None and correlation.key.kind != REDEMPTION:
        correlation = None
    body = encode(shown)
    if state == "refused":
        unit = {"unit": said.price.unit} if said.price is not None else {}
        named = {"redemption": said.redemption, "reward": said.reward}
        body = refusal_body(named, said.code or "not_eligible", said.detail or "", {**unit, **said.facts})
        if correlation is not None:
            outcome = refusal(correlation, said.code or "not_eligible", body)
    elif final and correlation is not None:
        outcome = Outcome(correlation, POSTED, None, body)
    seen = RedemptionSeen(message.program, said.redemption, state, body, place_of(message.source, message.sequence))
    return Told(outcome=outcome, summary=_wallet_seen(message, said.wallet), redemption=seen)


def _wallet_seen(message: Heard, wallet: _WalletSeen | None) -> Summary | None:
    """The points event that this one builds on, so that balances are shown in the same breath."""
    if wallet is None or not message.member:
        return None
    place = place_of(wallet.source, wallet.sequence)
    return Summary(message.program, message.member, place, wallet.version, read_balances(wallet.balances), None)


class _ResourceSaid(msgspec.Struct):
    resource: str
    document: msgspec.Raw


_decode_resource = msgspec.json.Decoder(_ResourceSaid).decode


def resource_published(message: Heard) -> Told:
    said = _decode_resource(message.body)
    _decode_document(said.document)
    correlation = parse_correlation(message.correlation)
    if correlation is None or correlation.key.kind != RESOURCE:
        return NOTHING
    return Told(outcome=Outcome(correlation, POSTED, None, bytes(said.document)))


def reward_published(message: Heard) -> Told:
    said = _decode_published(message.body)
    _decode_document(said.document)
    correlation = parse_correlation(message.correlation)
    document = bytes(said.document)
    outcome = None
    if correlation is not None and correlation.key.kind == REWARD:
        outcome = Outcome(correlation, POSTED, None, document)
    place = place_of(message.source, message.sequence)
    return Told(outcome=outcome, reward=RewardSeen(message.program, said.reward, document, place))
