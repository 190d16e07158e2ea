"""What the other services' events mean for the gateway: outcomes of requests, and what reads show.

Pure: one message in, what it tells out. Parts that are only handed on stay the JSON they came as.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec

from laurel.contracts import parking, points, redemption
from laurel.errors import PROBLEMS
from services.gateway.naming import ACTIVITY, MATCH, MEMBER, REDEMPTION, REWARD, Correlation, parse_correlation

POSTED: Final = "posted"
REFUSED: Final = "refused"
FREED: Final = "freed"

_EMPTY_LIST = msgspec.Raw(b"[]")
_NULL = msgspec.Raw(b"null")
_encode = msgspec.json.Encoder().encode


class Heard(Protocol):
    """A message as far as outcomes read it."""

    @property
    def source(self) -> str: ...
    @property
    def sequence(self) -> int: ...
    @property
    def type(self) -> str: ...
    @property
    def program(self) -> str: ...
    @property
    def member(self) -> str: ...
    @property
    def correlation(self) -> str: ...
    @property
    def body(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a request. `body` is what a later GET shows; `awards` the JSON of what was granted."""

    correlation: Correlation
    state: str
    code: str | None
    body: bytes
    awards: bytes = b"[]"


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a source's numbering an event stands; a higher epoch is a restored backup and always newer."""

    epoch: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Summary:
    """How a member's wallet stands after an event. None: the event does not say."""

    program: str
    member: str
    place: Place
    version: int
    balances: bytes | None
    tier: bytes | None


@dataclass(frozen=True, slots=True)
class RedemptionSeen:
    """How a redemption stands after an event."""

    program: str
    redemption: str
    state: str
    body: bytes
    place: Place


@dataclass(frozen=True, slots=True)
class RewardSeen:
    """A reward as it is offered after an event."""

    program: str
    reward: str
    document: bytes
    place: Place


@dataclass(frozen=True, slots=True)
class Told:
    """Everything that one message tells."""

    outcome: Outcome | None = None
    summary: Summary | None = None
    redemption: RedemptionSeen | None = None
    reward: RewardSeen | None = None
    parked: Correlation | None = None


NOTHING: Final = Told()


def told_by(message: Heard) -> Told:
    """Read a message. Raises msgspec.MsgspecError or ValueError where it is not what its type promises."""
    read = _READERS.get(message.type)
    return read(message) if read is not None else NOTHING


# What points says. -------------------------------------------------------------------------------------------


class _Wallet(msgspec.Struct):
    balances: msgspec.Raw = _EMPTY_LIST
    version: int = 0
    standing: msgspec.Raw = _NULL


class _Posted(_Wallet, kw_only=True):
    activity: str
    awards: msgspec.Raw = _EMPTY_LIST
    decision: msgspec.Raw = _EMPTY_LIST
    tier: msgspec.Raw = _NULL
    vouchers: msgspec.Raw = _EMPTY_LIST
    reversals: msgspec.Raw = _NULL


class _Refused(_Wallet, kw_only=True):
    activity: str
    code: str
    detail: str = ""
    facts: dict[str, Any] = msgspec.field(default_factory=dict)


class _Enrolled(msgspec.Struct):
    version: int = 0


class _Answer(msgspec.Struct, omit_defaults=True):
    """An activity as the contract shows it."""

    id: str
    state: str
    awards: msgspec.Raw
    balances: msgspec.Raw
    decision: msgspec.Raw
    # Fields at their default are left out, so these have defaults that never occur.
    tier: msgspec.Raw | None = None
    vouchers: msgspec.Raw | None = None
    reversals: msgspec.Raw | None = None


_decode_wallet = msgspec.json.Decoder(_Wallet).decode
_decode_posted = msgspec.json.Decoder(_Posted).decode
_decode_refused = msgspec.json.Decoder(_Refused).decode
_decode_enrolled = msgspec.json.Decoder(_Enrolled).decode


def _awarded(message: Heard) -> Told:
    said = _decode_posted(message.body)
    return Told(outcome=_posted(message, said, None), summary=_summary(message, said))


def _clawed_back(message: Heard) -> Told:
    said = _decode_posted(message.body)
    return Told(outcome=_posted(message, said, said.reversals), summary=_summary(message, said))


def _posted(message: Heard, said: _Posted, reversals: msgspec.Raw | None) -> Outcome | None:
    correlation = parse_correlation(message.correlation)
    # One request may move several wallets; its outcome is the event of its own activity.
    if correlation is None or correlation.key.kind != ACTIVITY or correlation.key.id != said.activity:
        return None
    answer = _Answer(
        said.activity, POSTED, said.awards, said.balances, said.decision, said.tier, said.vouchers, reversals
    )
    return Outcome(correlation, POSTED, None, _encode(answer), bytes(said.awards))


def _refused(message: Heard) -> Told:
    said = _decode_refused(message.body)
    correlation = parse_correlation(message.correlation)
    outcome = None
    if correlation is not None and correlation.key.kind == ACTIVITY and correlation.key.id == said.activity:
        body = _refusal_body({"id": said.activity}, said.code, said.detail, said.facts)
        outcome = _refusal(correlation, said.code, body)
    return Told(outcome=outcome, summary=_summary(message, said))


def _enrolled(message: Heard) -> Told:
    said = _decode_enrolled(message.body)
    correlation = parse_correlation(message.correlation)
    if correlation is not None and correlation.key.kind != MEMBER:
        correlation = None
    return Told(
        outcome=Outcome(correlation, POSTED, None, b"") if correlation is not None else None,
        summary=Summary(message.program, message.member, _place(message.source, message.sequence), said.version,
                        None, None),
    )  # fmt: skip


def _moved(message: Heard) -> Told:
    """An event that answers no request of ours, and moves a wallet."""
    return Told(summary=_summary(message, _decode_wallet(message.body)))


class _TierChanged(_Wallet, kw_only=True):
    to: str
    since: str
    until: str | None = None
    match: str | None = None
    challenge: msgspec.Raw = _NULL


class _MatchRefused(_Wallet, kw_only=True):
    match: str
    code: str
    detail: str = ""


_decode_tier_changed = msgspec.json.Decoder(_TierChanged).decode
_decode_match_refused = msgspec.json.Decoder(_MatchRefused).decode


def _tier_changed(message: Heard) -> Told:
    said = _decode_tier_changed(message.body)
    outcome = None
    correlation = parse_correlation(message.correlation)
    if correlation is not None and correlation.key.kind == MATCH and said.match is not None:
        shown = {
            "match": said.match,
            "state": POSTED,
            "tier": said.to,
            "since": said.since,
            "until": said.until,
            "challenge": said.challenge,
        }
        outcome = Outcome(correlation, POSTED, None, _encode(shown))
    return Told(outcome=outcome, summary=_summary(message, said))


def _match_refused(message: Heard) -> Told:
    said = _decode_match_refused(message.body)
    outcome = None
    correlation = parse_correlation(message.correlation)
    if correlation is not None and correlation.key.kind == MATCH:
        body = _refusal_body({"match": said.match}, said.code, said.detail, {})
        outcome = _refusal(correlation, said.code, body)
    return Told(outcome=outcome, summary=_summary(message, said))


def _summary(message: Heard, said: _Wallet) -> Summary | None:
    if not message.member:
        return None
    return Summary(
        message.program,
        message.member,
        _place(message.source, message.sequence),
        said.version,
        bytes(said.balances),
        bytes(said.standing) if bytes(said.standing) != b"null" else None,
    )


# What redemption says. ---------------------------------------------------------------------------------------


class _Price(msgspec.Struct):
    unit: str
    amount: int


class _WalletSeen(msgspec.Struct):
    source: str
    sequence: int
    balances: msgspec.Raw = _EMPTY_LIST
    version: int = 0


class _Redeemed(msgspec.Struct, kw_only=True):
    redemption: str
    reward: str
    price: _Price | None = None
    points: int = 0
    lots: msgspec.Raw = _EMPTY_LIST
    vouchers: msgspec.Raw = _EMPTY_LIST
    code: str | None = None
    detail: str | None = None
    facts: dict[str, Any] = msgspec.field(default_factory=dict)
    wallet: _WalletSeen | None = None


class _Published(msgspec.Struct):
    reward: str
    document: msgspec.Raw


_decode_redeemed = msgspec.json.Decoder(_Redeemed).decode
_decode_published = msgspec.json.Decoder(_Published).decode


def _held(message: Heard) -> Told:
    return _redeemed(message, "holding", final=False)


def _fulfilled(message: Heard) -> Told:
    return _redeemed(message, "fulfilled", final=True)


def _redemption_refused(message: Heard) -> Told:
    return _redeemed(message, "refused", final=True)


def _cancelled(message: Heard) -> Told:
    return _redeemed(message, "cancelled", final=False)


def _redeemed(message: Heard, state: str, *, final: bool) -> Told:
    said = _decode_redeemed(message.body)
    correlation = parse_correlation(message.correlation)
    shown: dict[str, Any] = {
        "redemption": said.redemption,
        "state": state,
        "member": message.member or None,
        "reward": said.reward,
        "price": said.price,
        "points": said.points,
        "to_pay": None,
        "lots": said.lots,
        "vouchers": said.vouchers,
    }
    outcome = None
    if correlation is not None and correlation.key.kind != REDEMPTION:
        correlation = None
    body = _encode(shown)
    if state == "refused":
        unit = {"unit": said.price.unit} if said.price is not None else {}
        named = {"redemption": said.redemption, "reward": said.reward}
        body = _refusal_body(named, said.code or "not_eligible", said.detail or "", {**unit, **said.facts})
        if correlation is not None:
            outcome = _refusal(correlation, said.code or "not_eligible", body)
    elif final and correlation is not None:
        outcome = Outcome(correlation, POSTED, None, body)
    seen = RedemptionSeen(message.program, said.redemption, state, body, _place(message.source, message.sequence))
    return Told(outcome=outcome, summary=_wallet_seen(message, said.wallet), redemption=seen)


def _wallet_seen(message: Heard, wallet: _WalletSeen | None) -> Summary | None:
    """The points event that this one builds on, so that balances are shown in the same breath."""
    if wallet is None or not message.member:
        return None
    place = _place(wallet.source, wallet.sequence)
    return Summary(message.program, message.member, place, wallet.version, bytes(wallet.balances), None)


def _reward_published(message: Heard) -> Told:
    said = _decode_published(message.body)
    correlation = parse_correlation(message.correlation)
    document = bytes(said.document)
    outcome = None
    if correlation is not None and correlation.key.kind == REWARD:
        outcome = Outcome(correlation, POSTED, None, document)
    place = _place(message.source, message.sequence)
    return Told(outcome=outcome, reward=RewardSeen(message.program, said.reward, document, place))


# What is told of messages that cannot be processed. ----------------------------------------------------------


def _message_parked(message: Heard) -> Told:
    return Told(parked=parse_correlation(message.correlation))


def _message_discarded(message: Heard) -> Told:
    correlation = parse_correlation(message.correlation)
    if correlation is None:
        return NOTHING
    # A redemption is asked under a key of its caller's; which one it was, its route knows.
    named = {} if correlation.key.kind == REDEMPTION else {_NAMED.get(correlation.key.kind, "id"): correlation.key.id}
    return Told(outcome=_refusal(correlation, "discarded", _refusal_body(named, "discarded", "", {})))


_NAMED: Final = {MATCH: "match"}


def _refusal(correlation: Correlation, code: str, body: bytes) -> Outcome:
    kind = PROBLEMS.get(code)
    # A code that this version does not know is a refusal all the same, and final.
    kept = kind is None or kind.kept
    return Outcome(correlation, REFUSED if kept else FREED, code, body)


def _refusal_body(named: dict[str, str], code: str, detail: str, facts: dict[str, Any]) -> bytes:
    kind = PROBLEMS.get(code)
    told = detail or (kind.title if kind is not None else code)
    return _encode({**facts, **named, "state": REFUSED, "code": code, "detail": told})


def _place(source: str, sequence: int) -> Place:
    return Place(int(source.rpartition("/")[2]), sequence)


_READERS: Final[dict[str, Callable[[Heard], Told]]] = {
    points.MemberEnrolled.TYPE: _enrolled,
    points.PointsAwarded.TYPE: _awarded,
    points.ActivityRefused.TYPE: _refused,
    points.PointsClawedBack.TYPE: _clawed_back,
    points.PointsHeld.TYPE: _moved,
    points.HoldRefused.TYPE: _moved,
    points.PointsCaptured.TYPE: _moved,
    points.PointsReleased.TYPE: _moved,
    points.PointsExpired.TYPE: _moved,
    points.TierChanged.TYPE: _tier_changed,
    points.TierKept.TYPE: _moved,
    points.TierMatchRefused.TYPE: _match_refused,
    redemption.RewardPublished.TYPE: _reward_published,
    redemption.RedemptionHeld.TYPE: _held,
    redemption.RedemptionFulfilled.TYPE: _fulfilled,
    redemption.RedemptionRefused.TYPE: _redemption_refused,
    redemption.RedemptionCancelled.TYPE: _cancelled,
    parking.MessageParked.TYPE: _message_parked,
    parking.MessageDiscarded.TYPE: _message_discarded,
}

TYPES: Final = frozenset(_READERS)
"""Every type that tells the gateway something."""

ANSWERS: Final = frozenset(
    {
        points.MemberEnrolled.TYPE,
        points.PointsAwarded.TYPE,
        points.ActivityRefused.TYPE,
        points.PointsClawedBack.TYPE,
        points.TierChanged.TYPE,
        points.TierMatchRefused.TYPE,
        redemption.RewardPublished.TYPE,
        redemption.RedemptionFulfilled.TYPE,
        redemption.RedemptionRefused.TYPE,
        parking.MessageDiscarded.TYPE,
    }
)
"""The types that can be the outcome of a request."""
