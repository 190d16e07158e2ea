"""What became of activities: posted, taken back, waiting, refused."""

from __future__ import annotations

from typing import Any

import msgspec

from services.gateway.details import CounterTold, DetailSeen, counters_seen
from services.gateway.naming import ACTIVITY, CLAIM, PENDING_DECISION, Correlation, parse_correlation
from services.gateway.told.telling import (
    PENDING,
    POSTED,
    Award,
    Counted,
    GivenBack,
    Heard,
    Outcome,
    ShareSeen,
    Told,
    ToldIn,
    Unlisted,
    encode,
    place_of,
    refusal,
    refusal_body,
)
from services.gateway.told.wallets import (
    EMPTY_LIST,
    NULL,
    Wallet,
    read_balances,
    read_standing,
    segments_of,
    summary_of,
)


class _Tier(msgspec.Struct, gc=False):
    name: str | None = None


class _WalletOf(msgspec.Struct):
    member: str
    version: int
    balances: msgspec.Raw = EMPTY_LIST
    tier_standing: msgspec.Raw = NULL


class _TenderBack(msgspec.Struct):
    kind: str
    ref: str
    before: Counted
    after: Counted


class _Posted(Wallet, kw_only=True):
    activity: str
    awards: msgspec.Raw = EMPTY_LIST
    decision: msgspec.Raw = EMPTY_LIST
    tier: msgspec.Raw = NULL
    vouchers: msgspec.Raw = EMPTY_LIST
    reversals: msgspec.Raw = NULL
    counters: list[CounterTold] = msgspec.field(default_factory=list)
    others: msgspec.Raw = EMPTY_LIST
    unlisted: Unlisted | None = None
    wallets: list[_WalletOf] = msgspec.field(default_factory=list)
    tenders: list[_TenderBack] = msgspec.field(default_factory=list)


class _Refused(Wallet, kw_only=True):
    activity: str
    code: str
    detail: str = ""
    facts: dict[str, Any] = msgspec.field(default_factory=dict)


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
    unlisted: Unlisted | None = None
    given_back: list[GivenBack] | None = None
    told_in: ToldIn | None = None


class _Pending(Wallet, kw_only=True):
    activity: str
    code: str
    awards: msgspec.Raw = EMPTY_LIST
    decision: msgspec.Raw = EMPTY_LIST
    unlisted: Unlisted | None = None


class _Decided(Wallet, kw_only=True):
    activity: str
    partner: str
    approved: bool
    amount: int = 0
    code: str | None = None
    counters: list[CounterTold] = msgspec.field(default_factory=list)


_decode_posted = msgspec.json.Decoder(_Posted).decode


_decode_refused = msgspec.json.Decoder(_Refused).decode


_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


_decode_awards = msgspec.json.Decoder(list[Award]).decode


_decode_tier = msgspec.json.Decoder(_Tier | None).decode


_decode_pending = msgspec.json.Decoder(_Pending).decode


_decode_decided = msgspec.json.Decoder(_Decided).decode


def awarded(message: Heard) -> Told:
    said = _read_posted(message)
    outcome, summary = _posted(message, said, None), summary_of(message, said)
    return Told(outcome, summary, details=_details(message, said), shares=_shares(message, said))


def clawed_back(message: Heard) -> Told:
    said = _read_posted(message)
    said.reversals, said.others = _joined(said.reversals, said.others), EMPTY_LIST
    outcome, summary = _posted(message, said, said.reversals), summary_of(message, said)
    return Told(outcome, summary, details=_details(message, said), shares=_shares(message, said))


def pending(message: Heard) -> Told:
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
            **({"unlisted": said.unlisted} if said.unlisted is not None else {}),
        }
        outcome = Outcome(correlation, PENDING, said.code, encode(shown))
    return Told(outcome=outcome, summary=summary_of(message, said))


def pending_decided(message: Heard) -> Told:
    said = _decode_decided(message.body)
    correlation = parse_correlation(message.correlation)
    outcome = None
    if correlation is not None and correlation.key.kind == PENDING_DECISION:
        if said.code is not None:
            body = refusal_body({"id": said.activity}, said.code, "", {"amount": said.amount})
            outcome = refusal(correlation, said.code, body)
        else:
            shown = {"id": said.activity, "state": POSTED, "approved": said.approved, "amount": said.amount}
            outcome = Outcome(correlation, POSTED, None, encode({**shown, "balances": said.balances}))
    return Told(outcome=outcome, summary=summary_of(message, said), details=_details(message, said))


def refused(message: Heard) -> Told:
    said = _decode_refused(message.body)
    correlation = parse_correlation(message.correlation)
    outcome = None
    if correlation is not None and _is_of(correlation, said.activity):
        body = refusal_body({"id": said.activity}, said.code, said.detail, said.facts)
        outcome = refusal(correlation, said.code, body)
    return Told(outcome=outcome, summary=summary_of(message, said))


def _read_posted(message: Heard) -> _Posted:
    said = _decode_posted(message.body)
    _decode_tier(said.tier)
    return said


def _posted(message: Heard, said: _Posted, reversals: msgspec.Raw | None) -> Outcome | None:
    correlation = parse_correlation(message.correlation)
    # One request may move several wallets; its outcome is the event of its own activity.
    if correlation is None or not _is_of(correlation, said.activity):
        return None
    awards = _joined(said.awards, said.others)
    answer = _Answer(
        said.activity, POSTED, awards, said.balances, said.decision, said.tier, said.vouchers, reversals, said.unlisted
    )
    if said.tenders:
        answer.given_back = [GivenBack(each.kind, each.ref, each.after - each.before) for each in said.tenders]
        answer.told_in = ToldIn(message.member, message.source, message.sequence)
    return Outcome(correlation, POSTED, None, encode(answer), _decode_awards(awards))


def _joined(own: msgspec.Raw, others: msgspec.Raw) -> msgspec.Raw:
    """Put what others got, or gave back, behind what the member did."""
    more = _decode_list(others)
    return msgspec.Raw(encode([*_decode_list(own), *more])) if more else own


def _is_of(correlation: Correlation, activity: str) -> bool:
    """Say whether a request reported an activity, or claimed it."""
    return correlation.key.kind in {ACTIVITY, CLAIM} and correlation.key.id == activity


def _details(message: Heard, said: _Posted | _Decided) -> tuple[DetailSeen, ...]:
    if not said.counters:
        return segments_of(message, said)
    place = place_of(message.source, message.sequence)
    counters = counters_seen(message.program, message.member, said.counters, place.epoch, place.sequence)
    return (*counters, *segments_of(message, said))


def _shares(message: Heard, said: _Posted) -> tuple[ShareSeen, ...]:
    return tuple(
        ShareSeen(
            message.program,
            each.member,
            each.version,
            read_balances(each.balances),
            read_standing(each.tier_standing),
        )
        for each in said.wallets
    )
