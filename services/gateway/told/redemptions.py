"""What redemption says of redemptions and rewards."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from services.gateway.naming import (
    REDEMPTION,
    REDEMPTION_CANCEL,
    REDEMPTION_CONFIRM,
    RESOURCE,
    REWARD,
    Correlation,
    parse_correlation,
)
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
    expires_at: str | None = None
    by: str | None = None
    request: str = ""
    reference: str = ""
    delayed: bool = False


class _AskRefused(msgspec.Struct, kw_only=True):
    redemption: str
    asked: str
    code: str
    detail: str | None = None
    facts: dict[str, Any] = msgspec.field(default_factory=dict)


class _Published(msgspec.Struct):
    reward: str
    document: msgspec.Raw


_decode_redeemed = msgspec.json.Decoder(_Redeemed).decode


_decode_ask_refused = msgspec.json.Decoder(_AskRefused).decode


_decode_published = msgspec.json.Decoder(_Published).decode


_decode_vouchers = msgspec.json.Decoder(list[_Voucher]).decode


_decode_document = msgspec.json.Decoder(dict[str, Any]).decode


def held(message: Heard) -> Told:
    return _redeemed(message, "holding", REDEMPTION)


def fulfilling(message: Heard) -> Told:
    """It answers nobody: whoever redeems or confirms waits for what the partner says."""
    return _redeemed(message, "fulfilling")


def fulfilled(message: Heard) -> Told:
    """It answers whoever redeems or confirms; both, where an operator has confirmed what a partner did not say."""
    told = _redeemed(message, "fulfilled", REDEMPTION, REDEMPTION_CONFIRM)
    waited = _asked(_decode_redeemed(message.body).request, REDEMPTION, REDEMPTION_CONFIRM)
    if waited is None or told.redemption is None:
        return told
    return replace(told, also=Outcome(waited, POSTED, None, told.redemption.body))


def redemption_refused(message: Heard) -> Told:
    """It answers whoever redeems or confirms."""
    said = _decode_redeemed(message.body)
    _decode_vouchers(said.vouchers)
    code = said.code or "not_eligible"
    unit = {"unit": said.price.unit} if said.price is not None else {}
    named = {"redemption": said.redemption, "reward": said.reward}
    body = refusal_body(named, code, said.detail or "", {**unit, **said.facts})
    asked = _asked(message.correlation, REDEMPTION, REDEMPTION_CONFIRM)
    outcome = refusal(asked, code, body) if asked is not None else None
    return Told(outcome, _wallet_seen(message, said.wallet), _seen(message, said, "refused", body))


def cancelled(message: Heard) -> Told:
    """It answers whoever cancels, and tells those who wait for another end of it."""
    told = _redeemed(message, "cancelled", REDEMPTION_CANCEL)
    said = _decode_redeemed(message.body)
    code = "redemption_cancelled"
    named = {"redemption": said.redemption, "reward": said.reward}
    asked = _asked(said.request, REDEMPTION, REDEMPTION_CONFIRM)
    also = refusal(asked, code, refusal_body(named, code, "", {})) if asked is not None else None
    return replace(told, also=also)


def ask_refused(message: Heard) -> Told:
    """Whoever asked for it is told why not; the redemption stays as it is."""
    said = _decode_ask_refused(message.body)
    kind = REDEMPTION_CANCEL if said.asked == "cancel" else REDEMPTION_CONFIRM
    asked = _asked(message.correlation, kind)
    body = refusal_body({"redemption": said.redemption}, said.code, said.detail or "", said.facts)
    return Told(outcome=refusal(asked, said.code, body)) if asked is not None else NOTHING


def _redeemed(message: Heard, state: str, *kinds: str) -> Told:
    """Read how a redemption stands; of these kinds are the requests that it answers."""
    said = _decode_redeemed(message.body)
    _decode_vouchers(said.vouchers)
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
    if state == "holding":
        shown["expires_at"] = said.expires_at
    if said.reference:
        shown["reference"] = said.reference
    if said.delayed:
        shown["delayed"] = True
    if state == "cancelled":
        shown["by"] = said.by
    body = encode(shown)
    asked = _asked(message.correlation, *kinds)
    outcome = Outcome(asked, POSTED, None, body) if asked is not None else None
    return Told(outcome, _wallet_seen(message, said.wallet), _seen(message, said, state, body))


def _asked(correlation: str, *kinds: str) -> Correlation | None:
    """Return the request, where it is of such a kind."""
    parsed = parse_correlation(correlation)
    return parsed if parsed is not None and parsed.key.kind in kinds else None


def _seen(message: Heard, said: _Redeemed, state: str, body: bytes) -> RedemptionSeen:
    return RedemptionSeen(message.program, said.redemption, state, body, place_of(message.source, message.sequence))


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
