"""What the other services' events mean for the gateway: outcomes of requests, and what reads show.

Pure: one message in, what it tells out. Parts that are only handed on stay the JSON they came as. Whatever somebody
reads later is read here first, so that an event which is not what its type promises is found while it stands alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Protocol

import msgspec

from laurel.contracts import parking, points, redemption
from laurel.errors import PROBLEMS
from laurel.values import AMOUNT_MAX
from services.gateway import outcomes_vouchers as vouchers
from services.gateway.details import PROFILE, SEGMENTS, CounterTold, DetailSeen, counters_seen
from services.gateway.naming import (
    ACTIVITY,
    ADJUSTMENT,
    ADJUSTMENT_DECISION,
    BLOCK,
    CLAIM,
    HOLD,
    HOLD_CANCEL,
    HOLD_CAPTURE,
    HOLD_RELEASE,
    MATCH,
    MEMBER,
    MEMBER_CHANGE,
    MEMBER_CLOSE,
    PENDING_DECISION,
    REDEMPTION,
    REWARD,
    VOUCHER_REDEEM,
    VOUCHER_VOID,
    Correlation,
    parse_correlation,
)
from services.gateway.told_sharing import OTHER, SHARED, read_shared

PENDING: Final = "pending"
"""Not final: what a GET shows of a request whose outcome waits for something."""
POSTED: Final = "posted"
REFUSED: Final = "refused"
FREED: Final = "freed"

_EMPTY_LIST = msgspec.Raw(b"[]")
_NULL = msgspec.Raw(b"null")
_encode = msgspec.json.Encoder().encode


Counted = Annotated[int, msgspec.Meta(ge=-AMOUNT_MAX, le=AMOUNT_MAX)]


class Award(msgspec.Struct, gc=False):
    """What was granted of a unit."""

    unit: str
    amount: Counted


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
    """What came of a request. `body` is what a later GET shows; `awards` what was granted."""

    correlation: Correlation
    state: str
    code: str | None
    body: bytes
    awards: Sequence[Award] = ()


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
class ShareSeen:
    """How the wallet of another stands after an event of a member: known before that one's own event comes."""

    program: str
    member: str
    version: int
    balances: bytes
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
class OperationSeen:
    """How a hold, an adjustment or a transfer stands after an event."""

    program: str
    kind: str
    id: str
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
class MergeSeen:
    """Of which account a member is a part after an event; None: it is one of its own."""

    program: str
    member: str
    into: str | None
    place: Place


@dataclass(frozen=True, slots=True)
class TurnSeen:
    """A program's clock stands at `as_of` in points; it does so here when all that this moved is shown."""

    program: str
    as_of: datetime
    body: bytes


@dataclass(frozen=True, slots=True)
class Told:
    """Everything that one message tells."""

    outcome: Outcome | None = None
    summary: Summary | None = None
    redemption: RedemptionSeen | None = None
    reward: RewardSeen | None = None
    parked: Correlation | None = None
    operation: OperationSeen | None = None
    turned: TurnSeen | None = None
    details: Sequence[DetailSeen] = ()
    closed: tuple[str, str] | None = None
    """The program and member whom an event closes."""
    merged: MergeSeen | None = None
    shares: tuple[ShareSeen, ...] = ()


NOTHING: Final = Told()


def told_by(message: Heard) -> Told:
    """Read a message. Raises msgspec.MsgspecError or ValueError where it is not what its type promises."""
    read = _READERS.get(message.type)
    if read is None:
        return NOTHING
    if not message.body.isascii():
        # What is handed on is not looked into, so nobody else would notice.
        message.body.decode()
    return read(message)


# What points says. -------------------------------------------------------------------------------------------


class _SegmentSeen(msgspec.Struct):
    name: str
    since: str
    primary: bool = False
    until: str | None = None


class _Wallet(msgspec.Struct):
    balances: msgspec.Raw = _EMPTY_LIST
    version: int = 0
    tier_standing: msgspec.Raw = _NULL
    segments: list[_SegmentSeen] | None = None


class _Lifetime(msgspec.Struct, gc=False):
    earned: Counted = 0
    spent: Counted = 0
    expired: Counted = 0
    reversed: Counted = 0
    adjusted: Counted = 0


class _Balance(msgspec.Struct, gc=False):
    unit: str
    available: Counted
    pending: Counted = 0
    held: Counted = 0
    owed: Counted = 0
    lifetime: _Lifetime | None = None


class _Tier(msgspec.Struct, gc=False):
    name: str | None = None


class _Progress(msgspec.Struct, gc=False):
    counter: str
    until: str | None = None


class _TierStanding(msgspec.Struct):
    name: str
    years: int = 0
    years_from: int | None = None
    progress: list[_Progress] = msgspec.field(default_factory=list)


class _WalletOf(msgspec.Struct):
    member: str
    version: int
    balances: msgspec.Raw = _EMPTY_LIST
    tier_standing: msgspec.Raw = _NULL


class _Posted(_Wallet, kw_only=True):
    activity: str
    awards: msgspec.Raw = _EMPTY_LIST
    decision: msgspec.Raw = _EMPTY_LIST
    tier: msgspec.Raw = _NULL
    vouchers: msgspec.Raw = _EMPTY_LIST
    reversals: msgspec.Raw = _NULL
    counters: list[CounterTold] = msgspec.field(default_factory=list)
    others: msgspec.Raw = _EMPTY_LIST
    wallets: list[_WalletOf] = msgspec.field(default_factory=list)


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
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_awards = msgspec.json.Decoder(list[Award]).decode
_decode_balances = msgspec.json.Decoder(list[_Balance]).decode
_decode_tier = msgspec.json.Decoder(_Tier | None).decode
_decode_standing = msgspec.json.Decoder(_TierStanding | None).decode


def _awarded(message: Heard) -> Told:
    said = _read_posted(message)
    outcome, summary = _posted(message, said, None), _summary(message, said)
    return Told(outcome, summary, details=_details(message, said), shares=_shares(message, said))


def _clawed_back(message: Heard) -> Told:
    said = _read_posted(message)
    said.reversals, said.others = _joined(said.reversals, said.others), _EMPTY_LIST
    outcome, summary = _posted(message, said, said.reversals), _summary(message, said)
    return Told(outcome, summary, details=_details(message, said), shares=_shares(message, said))


def _details(message: Heard, said: _Posted) -> tuple[DetailSeen, ...]:
    if not said.counters:
        return _segments(message, said)
    place = _place(message.source, message.sequence)
    counters = counters_seen(message.program, message.member, said.counters, place.epoch, place.sequence)
    return (*counters, *_segments(message, said))


def _segments(message: Heard, said: _Wallet) -> tuple[DetailSeen, ...]:
    if said.segments is None:
        return ()
    place, body = _place(message.source, message.sequence), _encode(said.segments)
    return (DetailSeen(message.program, message.member, SEGMENTS, body, place.epoch, place.sequence),)


def _shares(message: Heard, said: _Posted) -> tuple[ShareSeen, ...]:
    return tuple(
        ShareSeen(
            message.program,
            each.member,
            each.version,
            _read_balances(each.balances),
            _read_standing(each.tier_standing),
        )
        for each in said.wallets
    )


def _read_posted(message: Heard) -> _Posted:
    said = _decode_posted(message.body)
    _decode_tier(said.tier)
    return said


def _is_of(correlation: Correlation, activity: str) -> bool:
    """Say whether a request reported an activity, or claimed it."""
    return correlation.key.kind in {ACTIVITY, CLAIM} and correlation.key.id == activity


def _joined(own: msgspec.Raw, others: msgspec.Raw) -> msgspec.Raw:
    """Put what others got, or gave back, behind what the member did."""
    more = _decode_list(others)
    return msgspec.Raw(_encode([*_decode_list(own), *more])) if more else own


def _posted(message: Heard, said: _Posted, reversals: msgspec.Raw | None) -> Outcome | None:
    correlation = parse_correlation(message.correlation)
    # One request may move several wallets; its outcome is the event of its own activity.
    if correlation is None or not _is_of(correlation, said.activity):
        return None
    awards = _joined(said.awards, said.others)
    answer = _Answer(said.activity, POSTED, awards, said.balances, said.decision, said.tier, said.vouchers, reversals)
    return Outcome(correlation, POSTED, None, _encode(answer), _decode_awards(awards))


class _Pending(_Wallet, kw_only=True):
    activity: str
    code: str
    awards: msgspec.Raw = _EMPTY_LIST
    decision: msgspec.Raw = _EMPTY_LIST


class _ToppedUp(msgspec.Struct):
    partner: str
    reference: str
    unit: str
    units: int
    amount: int
    currency: str
    block: dict[str, Any]
    code: str | None = None


_decode_pending = msgspec.json.Decoder(_Pending).decode
_decode_topped_up = msgspec.json.Decoder(_ToppedUp).decode


def _pending(message: Heard) -> Told:
    """An activity waits; what was asked has no outcome yet, but something to show."""
    said = _decode_pending(message.body)
    _decode_awards(said.awards)
    correlation = parse_correlation(message.correlation)
    outcome = None
    if correlation is not None and _is_of(correlation, said.activity):
        shown = {
            "id": said.activity,
            "state": PENDING,
            "reason": said.code,
            "awards": said.awards,
            "balances": said.balances,
            "decision": said.decision,
        }
        outcome = Outcome(correlation, PENDING, said.code, _encode(shown))
    return Told(outcome=outcome, summary=_summary(message, said))


class _Decided(_Wallet, kw_only=True):
    activity: str
    partner: str
    approved: bool
    amount: int = 0
    code: str | None = None


_decode_decided = msgspec.json.Decoder(_Decided).decode


def _pending_decided(message: Heard) -> Told:
    said = _decode_decided(message.body)
    correlation = parse_correlation(message.correlation)
    outcome = None
    if correlation is not None and correlation.key.kind == PENDING_DECISION:
        if said.code is not None:
            body = _refusal_body({"id": said.activity}, said.code, "", {"amount": said.amount})
            outcome = _refusal(correlation, said.code, body)
        else:
            shown = {"id": said.activity, "state": POSTED, "approved": said.approved, "amount": said.amount}
            outcome = Outcome(correlation, POSTED, None, _encode({**shown, "balances": said.balances}))
    return Told(outcome=outcome, summary=_summary(message, said))


def _topped_up(message: Heard) -> Told:
    said = _decode_topped_up(message.body)
    correlation = parse_correlation(message.correlation)
    if correlation is None or correlation.key.kind != BLOCK:
        return NOTHING
    named = {"partner": said.partner, "reference": said.reference}
    if said.code is not None:
        return Told(outcome=_refusal(correlation, said.code, _refusal_body(named, said.code, "", {"unit": said.unit})))
    paid = {"unit": said.unit, "units": said.units, "amount": said.amount, "currency": said.currency}
    body = _encode({**named, "state": POSTED, **paid, "block": said.block})
    return Told(outcome=Outcome(correlation, POSTED, None, body))


def _refused(message: Heard) -> Told:
    said = _decode_refused(message.body)
    correlation = parse_correlation(message.correlation)
    outcome = None
    if correlation is not None and _is_of(correlation, said.activity):
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


class _OfMember(_Wallet, kw_only=True):
    change: str
    person: str | None = None
    attributes: dict[str, str | int | bool] = msgspec.field(default_factory=dict)
    code: str = ""
    detail: str = ""


_decode_of_member = msgspec.json.Decoder(_OfMember).decode


def _member_changed(message: Heard) -> Told:
    said = _decode_of_member(message.body)
    body = _encode({"person": said.person, "attributes": said.attributes})
    place = _place(message.source, message.sequence)
    profile = DetailSeen(message.program, message.member, PROFILE, body, place.epoch, place.sequence)
    outcome = _of_member(message, said, MEMBER_CHANGE)
    return Told(outcome=outcome, summary=_summary(message, said), details=(profile,))


def _member_closed(message: Heard) -> Told:
    said = _decode_of_member(message.body)
    outcome = _of_member(message, said, MEMBER_CLOSE)
    return Told(outcome=outcome, summary=_summary(message, said), closed=(message.program, message.member))


def _change_refused(message: Heard) -> Told:
    said = _decode_of_member(message.body)
    outcome = None
    correlation = parse_correlation(message.correlation)
    if correlation is not None and correlation.key.kind in {MEMBER_CHANGE, MEMBER_CLOSE}:
        body = _refusal_body({"change": said.change}, said.code, said.detail, {})
        outcome = _refusal(correlation, said.code, body)
    return Told(outcome=outcome, summary=_summary(message, said))


def _of_member(message: Heard, said: _OfMember, kind: str) -> Outcome | None:
    correlation = parse_correlation(message.correlation)
    if correlation is None or correlation.key.kind != kind:
        return None
    return Outcome(correlation, POSTED, None, _encode({"change": said.change, "state": POSTED}))


class _TierChanged(_Wallet, kw_only=True):
    to: str
    since: str
    until: str | None = None
    match: str | None = None
    challenge: msgspec.Raw = _NULL


def _segment_changed(message: Heard) -> Told:
    said = _decode_wallet(message.body)
    return Told(summary=_summary(message, said), details=_segments(message, said))


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
        _read_balances(said.balances),
        _read_standing(said.tier_standing),
    )


def _read_balances(said: msgspec.Raw) -> bytes:
    """Return balances as they came, once it is known that they are some."""
    _decode_balances(said)
    return bytes(said)


def _read_standing(said: msgspec.Raw) -> bytes | None:
    return bytes(said) if _decode_standing(said) is not None else None


class _Standing(msgspec.Struct):
    state: str
    amount: int
    captured: int = 0
    cancelled: int = 0
    expires_at: str | None = None
    partner: str | None = None
    reference: str | None = None
    lots: msgspec.Raw = _EMPTY_LIST


class _OfHold(_Wallet, kw_only=True):
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


def _points_held(message: Heard) -> Told:
    return _of_hold(message, HOLD)


def _points_captured(message: Heard) -> Told:
    return _of_hold(message, HOLD_CAPTURE)


def _points_released(message: Heard) -> Told:
    # What a capture leaves over is released by the capture, which answers for both.
    return _of_hold(message, HOLD_RELEASE)


def _points_restored(message: Heard) -> Told:
    return _of_hold(message, HOLD_CANCEL)


def _of_hold(message: Heard, kind: str) -> Told:
    said = _decode_of_hold(message.body)
    summary = _summary(message, said)
    if said.standing is None:
        return Told(summary=summary)
    body = _encode(_hold_shown(message, said, said.standing))
    correlation = parse_correlation(message.correlation)
    outcome = None
    if correlation is not None and correlation.key.kind == kind:
        outcome = Outcome(correlation, POSTED, None, body)
    return Told(outcome=outcome, summary=summary, operation=_hold_seen(message, said, said.standing.state, body))


def _hold_refused(message: Heard) -> Told:
    said = _decode_hold_refused(message.body)
    summary = _summary(message, said)
    correlation = parse_correlation(message.correlation)
    if correlation is not None and correlation.key.kind != _HOLD_KINDS.get(said.asked):
        correlation = None
    facts = {} if said.code != "insufficient_points" else {
        "unit": said.unit, "available": said.available, "shortfall": said.shortfall,
    }  # fmt: skip
    body = _refusal_body({"hold": said.hold}, said.code, "", facts)
    seen = None
    if said.standing is not None and said.standing.state == REFUSED:
        seen = _hold_seen(message, said, REFUSED, body)
    outcome = _refusal(correlation, said.code, body) if correlation is not None else None
    return Told(outcome=outcome, summary=summary, operation=seen)


def _hold_seen(message: Heard, said: _OfHold, state: str, body: bytes) -> OperationSeen:
    return OperationSeen(message.program, HOLD, said.hold, state, body, _place(message.source, message.sequence))


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


class _Adjusted(_Wallet, kw_only=True):
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
    lots: msgspec.Raw = _EMPTY_LIST


class _HeldBack(_Adjusted, kw_only=True):
    code: str
    available: int = 0
    shortfall: int = 0


_decode_adjusted = msgspec.json.Decoder(_Adjusted).decode
_decode_held_back = msgspec.json.Decoder(_HeldBack).decode
_ADJUSTMENTS = (ADJUSTMENT, ADJUSTMENT_DECISION)


def _points_adjusted(message: Heard) -> Told:
    said = _decode_adjusted(message.body)
    body = _encode(_adjustment_shown(message, said))
    correlation = parse_correlation(message.correlation)
    outcome = None
    if correlation is not None and correlation.key.kind in _ADJUSTMENTS:
        outcome = Outcome(correlation, POSTED, None, body)
    return Told(outcome, _summary(message, said), operation=_adjustment_seen(message, said, body))


def _adjustment_held_back(message: Heard) -> Told:
    said = _decode_held_back(message.body)
    correlation = parse_correlation(message.correlation)
    short = {"available": said.available, "shortfall": said.shortfall} if said.code == "insufficient_points" else {}
    facts = {"unit": said.unit, "amount": said.amount, **short}
    refusal = _refusal_body({"adjustment": said.adjustment}, said.code, "", facts)
    outcome = None
    if correlation is not None and correlation.key.kind in _ADJUSTMENTS:
        outcome = _refusal(correlation, said.code, refusal)
    body = refusal if said.state == REFUSED else _encode(_adjustment_shown(message, said))
    return Told(outcome, _summary(message, said), operation=_adjustment_seen(message, said, body))


def _adjustment_seen(message: Heard, said: _Adjusted, body: bytes) -> OperationSeen:
    place = _place(message.source, message.sequence)
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


def _shared(message: Heard) -> Told:
    """Points that went between two wallets: the half of whom they came from answers."""
    summary = _summary(message, _decode_wallet(message.body))
    shared = read_shared(message.type, message.program, message.member, message.body)
    place = _place(message.source, message.sequence)
    correlation = parse_correlation(message.correlation)
    # What a merged account passes on later is caused by something else, which answers for itself.
    if correlation is not None and correlation.key.kind != shared.kind:
        correlation = None
    if shared.code is not None:
        body = _refusal_body({shared.kind: shared.id}, shared.code, shared.detail, shared.facts or {})
        seen = OperationSeen(message.program, shared.kind, shared.id, REFUSED, body, place)
        return Told(_refusal(correlation, shared.code, body) if correlation is not None else None, summary,
                    operation=seen)  # fmt: skip
    if shared.shown is None:
        return Told(summary=summary)
    outcome = None
    if correlation is not None:
        outcome = Outcome(correlation, POSTED, None, _encode({**shared.shown, OTHER: shared.other}))
    seen = OperationSeen(message.program, shared.kind, shared.id, POSTED, _encode(shared.shown), place)
    merged = None
    if shared.part_of is not None:
        merged = MergeSeen(message.program, message.member, shared.part_of[0], place)
    return Told(outcome, summary, operation=seen, merged=merged)


class _Turned(msgspec.Struct):
    as_of: datetime
    released: int = 0
    holds_timed_out: int = 0
    lots_expired: int = 0
    tiers_changed: int = 0
    converted: int = 0


_decode_turned = msgspec.json.Decoder(_Turned).decode


def _clock_turned(message: Heard) -> Told:
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
    return Told(turned=TurnSeen(message.program, said.as_of, _encode(shown)))


# What redemption says. ---------------------------------------------------------------------------------------


class _Price(msgspec.Struct):
    unit: str
    amount: int


class _Voucher(msgspec.Struct, gc=False):
    voucher: str


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
_decode_vouchers = msgspec.json.Decoder(list[_Voucher]).decode
_decode_document = msgspec.json.Decoder(dict[str, Any]).decode


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
    _decode_vouchers(said.vouchers)
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
    return Summary(message.program, message.member, place, wallet.version, _read_balances(wallet.balances), None)


def _reward_published(message: Heard) -> Told:
    said = _decode_published(message.body)
    _decode_document(said.document)
    correlation = parse_correlation(message.correlation)
    document = bytes(said.document)
    outcome = None
    if correlation is not None and correlation.key.kind == REWARD:
        outcome = Outcome(correlation, POSTED, None, document)
    place = _place(message.source, message.sequence)
    return Told(outcome=outcome, reward=RewardSeen(message.program, said.reward, document, place))


def _voucher_moved(message: Heard) -> Told:
    said = vouchers.decode(message.body)
    body = _encode(vouchers.shown(message.type, said, message.member))
    correlation = _asked_of_voucher(message, vouchers.deed_of(message.type))
    return Told(outcome=Outcome(correlation, POSTED, None, body)) if correlation is not None else NOTHING


def _voucher_refused(message: Heard) -> Told:
    said = vouchers.decode(message.body)
    correlation = _asked_of_voucher(message, said.asked)
    code = said.code or "voucher_unknown"
    body = _refusal_body({"voucher": said.voucher}, code, "", {})
    return Told(outcome=_refusal(correlation, code, body)) if correlation is not None else NOTHING


def _asked_of_voucher(message: Heard, deed: str) -> Correlation | None:
    correlation = parse_correlation(message.correlation)
    kind = VOUCHER_REDEEM if deed == vouchers.REDEEM else VOUCHER_VOID
    return correlation if correlation is not None and correlation.key.kind == kind else None


# What is told of messages that cannot be processed. ----------------------------------------------------------


def _message_parked(message: Heard) -> Told:
    return Told(parked=parse_correlation(message.correlation))


def _message_discarded(message: Heard) -> Told:
    correlation = parse_correlation(message.correlation)
    if correlation is None:
        return NOTHING
    # What is asked under a key of its caller's is named by its route, which knows which one it was.
    name = _NAMED.get(correlation.key.kind)
    named = {name: correlation.key.id} if name is not None else {}
    return Told(outcome=_refusal(correlation, "discarded", _refusal_body(named, "discarded", "", {})))


_NAMED: Final = {ACTIVITY: "id", CLAIM: "id", MEMBER: "id", REWARD: "id", MATCH: "match"}


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
    points.MemberChanged.TYPE: _member_changed,
    points.MemberClosed.TYPE: _member_closed,
    points.MemberChangeRefused.TYPE: _change_refused,
    points.PointsAwarded.TYPE: _awarded,
    points.PointsCapped.TYPE: _moved,
    points.ActivityPending.TYPE: _pending,
    points.ActivityRefused.TYPE: _refused,
    points.PointsAvailable.TYPE: _moved,
    points.BlockToppedUp.TYPE: _topped_up,
    points.PendingDecided.TYPE: _pending_decided,
    points.PointsClawedBack.TYPE: _clawed_back,
    points.PointsHeld.TYPE: _points_held,
    points.HoldRefused.TYPE: _hold_refused,
    points.PointsCaptured.TYPE: _points_captured,
    points.PointsReleased.TYPE: _points_released,
    points.PointsRestored.TYPE: _points_restored,
    points.ClockTurned.TYPE: _clock_turned,
    points.PointsAdjusted.TYPE: _points_adjusted,
    points.AdjustmentHeldBack.TYPE: _adjustment_held_back,
    points.PointsExpired.TYPE: _moved,
    points.PointsConverted.TYPE: _moved,
    points.TierChanged.TYPE: _tier_changed,
    points.TierKept.TYPE: _moved,
    points.TierMatchRefused.TYPE: _match_refused,
    points.SegmentChanged.TYPE: _segment_changed,
    **dict.fromkeys(SHARED, _shared),
    redemption.RewardPublished.TYPE: _reward_published,
    redemption.RedemptionHeld.TYPE: _held,
    redemption.RedemptionFulfilled.TYPE: _fulfilled,
    redemption.RedemptionRefused.TYPE: _redemption_refused,
    redemption.RedemptionCancelled.TYPE: _cancelled,
    redemption.VoucherRedeemed.TYPE: _voucher_moved,
    redemption.VoucherUndone.TYPE: _voucher_moved,
    redemption.VoucherVoided.TYPE: _voucher_moved,
    redemption.VoucherRefused.TYPE: _voucher_refused,
    parking.MessageParked.TYPE: _message_parked,
    parking.MessageDiscarded.TYPE: _message_discarded,
}

TYPES: Final = frozenset(_READERS)
"""Every type that tells the gateway something."""

ANSWERS: Final = frozenset(
    {
        points.MemberEnrolled.TYPE,
        points.MemberChanged.TYPE,
        points.MemberClosed.TYPE,
        points.MemberChangeRefused.TYPE,
        points.PointsAwarded.TYPE,
        points.ActivityPending.TYPE,
        points.ActivityRefused.TYPE,
        points.BlockToppedUp.TYPE,
        points.PendingDecided.TYPE,
        points.PointsClawedBack.TYPE,
        points.PointsHeld.TYPE,
        points.HoldRefused.TYPE,
        points.PointsCaptured.TYPE,
        points.PointsReleased.TYPE,
        points.PointsRestored.TYPE,
        points.PointsAdjusted.TYPE,
        points.AdjustmentHeldBack.TYPE,
        points.TierChanged.TYPE,
        points.TierMatchRefused.TYPE,
        *SHARED,
        redemption.RewardPublished.TYPE,
        redemption.RedemptionFulfilled.TYPE,
        redemption.RedemptionRefused.TYPE,
        redemption.VoucherRedeemed.TYPE,
        redemption.VoucherUndone.TYPE,
        redemption.VoucherVoided.TYPE,
        redemption.VoucherRefused.TYPE,
        parking.MessageDiscarded.TYPE,
    }
)
"""The types that can be the outcome of a request."""
