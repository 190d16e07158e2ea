"""What is told of messages that cannot be processed."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from services.gateway.naming import (
    ACTIVITY,
    CLAIM,
    MATCH,
    MEMBER,
    REWARD,
    id_of_fact,
    parse_correlation,
)
from services.gateway.told.telling import DeedSeen, Heard, Told, refusal, refusal_body


def message_parked(message: Heard) -> Told:
    return Told(parked=parse_correlation(message.correlation))


def message_retried(message: Heard) -> Told:
    return Told(deed=_deed(message, "message.retried"))


def message_discarded(message: Heard) -> Told:
    deed = _deed(message, "message.discarded")
    correlation = parse_correlation(message.correlation)
    if correlation is None:
        return Told(deed=deed)
    # What is asked under a key of its caller's is named by its route, which knows which one it was.
    name = _NAMED.get(correlation.key.kind)
    named = {name: correlation.key.id} if name is not None else {}
    return Told(outcome=refusal(correlation, "discarded", refusal_body(named, "discarded", "", {})), deed=deed)


class _Cause(msgspec.Struct):
    id: str


class _Done(msgspec.Struct):
    at: datetime
    cause: _Cause
    source: str
    sequence: int
    detail: str = ""
    actor: str | None = None


_decode = msgspec.json.Decoder(_Done).decode


def _deed(message: Heard, action: str) -> DeedSeen:
    """What a person did with a message that a service had parked."""
    done = _decode(message.body)
    service = message.source.partition("/")[2].partition(".")[0]
    return DeedSeen(
        id_of_fact("au", done.at, message.source, message.program, message.member, message.sequence),
        done.at,
        done.actor or "",
        message.program,
        action,
        f"{service} {done.source} {done.sequence}",
        done.cause.id,
        done.detail,
    )


_NAMED: Final = {ACTIVITY: "id", CLAIM: "id", MEMBER: "id", REWARD: "id", MATCH: "match"}
