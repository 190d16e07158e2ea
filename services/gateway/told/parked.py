"""What is told of messages that cannot be processed."""

from __future__ import annotations

from typing import Final

from services.gateway.naming import ACTIVITY, CLAIM, MATCH, MEMBER, REWARD, parse_correlation
from services.gateway.told.telling import NOTHING, Heard, Told, refusal, refusal_body


def message_parked(message: Heard) -> Told:
    return Told(parked=parse_correlation(message.correlation))


def message_discarded(message: Heard) -> Told:
    correlation = parse_correlation(message.correlation)
    if correlation is None:
        return NOTHING
    # What is asked under a key of its caller's is named by its route, which knows which one it was.
    name = _NAMED.get(correlation.key.kind)
    named = {name: correlation.key.id} if name is not None else {}
    return Told(outcome=refusal(correlation, "discarded", refusal_body(named, "discarded", "", {})))


_NAMED: Final = {ACTIVITY: "id", CLAIM: "id", MEMBER: "id", REWARD: "id", MATCH: "match"}
