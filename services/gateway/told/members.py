"""What became of members: enrolled, changed, closed, and where they stand."""

from __future__ import annotations

import msgspec

from services.gateway.details import PROFILE, DetailSeen
from services.gateway.naming import MATCH, MEMBER, MEMBER_CHANGE, MEMBER_CLOSE, MEMBER_ERASE, parse_correlation
from services.gateway.told.telling import POSTED, Heard, Outcome, Summary, Told, encode, place_of, refusal, refusal_body
from services.gateway.told.wallets import NULL, Wallet, summary_of


class _Enrolled(msgspec.Struct):
    version: int = 0


class _OfMember(Wallet, kw_only=True):
    change: str
    person: str | None = None
    attributes: dict[str, str | int | bool] = msgspec.field(default_factory=dict)
    code: str = ""
    detail: str = ""


class _Erased(_OfMember, kw_only=True):
    of: str | None = None
    accounts: list[str] = msgspec.field(default_factory=list)


class _TierChanged(Wallet, kw_only=True):
    to: str
    since: str
    until: str | None = None
    match: str | None = None
    challenge: msgspec.Raw = NULL


class _MatchRefused(Wallet, kw_only=True):
    match: str
    code: str
    detail: str = ""


_decode_enrolled = msgspec.json.Decoder(_Enrolled).decode


_decode_of_member = msgspec.json.Decoder(_OfMember).decode


_decode_erased = msgspec.json.Decoder(_Erased).decode


_decode_tier_changed = msgspec.json.Decoder(_TierChanged).decode


_decode_match_refused = msgspec.json.Decoder(_MatchRefused).decode


def enrolled(message: Heard) -> Told:
    said = _decode_enrolled(message.body)
    correlation = parse_correlation(message.correlation)
    if correlation is not None and correlation.key.kind != MEMBER:
        correlation = None
    return Told(
        outcome=Outcome(correlation, POSTED, None, b"") if correlation is not None else None,
        summary=Summary(message.program, message.member, place_of(message.source, message.sequence), said.version,
                        None, None),
    )  # fmt: skip


def member_changed(message: Heard) -> Told:
    said = _decode_of_member(message.body)
    body = encode({"person": said.person, "attributes": said.attributes})
    place = place_of(message.source, message.sequence)
    profile = DetailSeen(message.program, message.member, PROFILE, body, place.epoch, place.sequence)
    outcome = _of_member(message, said, MEMBER_CHANGE)
    return Told(outcome=outcome, summary=summary_of(message, said), details=(profile,))


def member_closed(message: Heard) -> Told:
    said = _decode_of_member(message.body)
    outcome = _of_member(message, said, MEMBER_CLOSE)
    return Told(outcome=outcome, summary=summary_of(message, said), closed=(message.program, message.member))


def member_erased(message: Heard) -> Told:
    """The member's own account answers for those that are a part of it, which are forgotten in the same breath."""
    said = _decode_erased(message.body)
    outcome = _of_member(message, said, MEMBER_ERASE) if said.of is None else None
    erased = tuple((message.program, member) for member in (message.member, *said.accounts))
    return Told(outcome=outcome, summary=summary_of(message, said), erased=erased)


def change_refused(message: Heard) -> Told:
    said = _decode_of_member(message.body)
    outcome = None
    correlation = parse_correlation(message.correlation)
    if correlation is not None and correlation.key.kind in {MEMBER_CHANGE, MEMBER_CLOSE, MEMBER_ERASE}:
        body = refusal_body({"change": said.change}, said.code, said.detail, {})
        outcome = refusal(correlation, said.code, body)
    return Told(outcome=outcome, summary=summary_of(message, said))


def _of_member(message: Heard, said: _OfMember, kind: str) -> Outcome | None:
    correlation = parse_correlation(message.correlation)
    if correlation is None or correlation.key.kind != kind:
        return None
    return Outcome(correlation, POSTED, None, encode({"change": said.change, "state": POSTED}))


def tier_changed(message: Heard) -> Told:
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
        outcome = Outcome(correlation, POSTED, None, encode(shown))
    return Told(outcome=outcome, summary=summary_of(message, said))


def match_refused(message: Heard) -> Told:
    said = _decode_match_refused(message.body)
    outcome = None
    correlation = parse_correlation(message.correlation)
    if correlation is not None and correlation.key.kind == MATCH:
        body = refusal_body({"match": said.match}, said.code, said.detail, {})
        outcome = refusal(correlation, said.code, body)
    return Told(outcome=outcome, summary=summary_of(message, said))
