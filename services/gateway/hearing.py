"""What others hear of what the services say: which events, who may hear them, and how they look. Pure.

An event is told outside as one CloudEvents JSON, alike to a stream and to a webhook.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

import msgspec

from laurel.contracts.points import MemberChanged, MemberEnrolled
from laurel.contracts.registry import POINTS_TOPIC, REDEMPTION_TOPIC, TOPICS
from services.gateway.naming import parse_correlation

OUTSIDE: Final = frozenset(
    kind.name
    for topic in (POINTS_TOPIC, REDEMPTION_TOPIC)
    for kind in TOPICS[topic]
    if not kind.name.removesuffix(".v1").endswith("requested")
)
"""Every type that others may hear; what one service asks of another is not among them."""

TELLS_ATTRIBUTES: Final = frozenset({MemberEnrolled.TYPE, MemberChanged.TYPE})
"""Types that carry a member's attributes: outside they tell only of those that the program declares."""

EVERYTHING: Final = "*"
_PATTERN: Final = re.compile(r"(?:[a-z_]+\.)*(?:\*|[a-z_]+(?:\.v[0-9]+)?)")
_MEMBERS_OWN: Final = ("member.", "tier.", "segment.")
"""What a partner may hear of a member whoever caused it, as it may read it. A refusal changes nothing of a member."""
_REFUSED: Final = "_refused"
_LEADS_BACK: Final = ("causationid", "correlationid", "traceparent")
"""What names the request that led to an event, and with it whose it was."""
_UNDISCLOSED: Final = "undisclosed"


class Heard(Protocol):
    """A message as far as others hear of it."""

    @property
    def source(self) -> str: ...
    @property
    def sequence(self) -> int: ...
    @property
    def type(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def program(self) -> str: ...
    @property
    def member(self) -> str: ...
    @property
    def correlation(self) -> str: ...
    @property
    def causation(self) -> str: ...
    @property
    def traceparent(self) -> str: ...
    @property
    def body(self) -> bytes: ...
    @property
    def headers(self) -> Mapping[str, bytes]: ...


class NewEvent(NamedTuple):
    """An event that is to be kept for others; it has no position yet."""

    program: str
    member: str
    type: str
    partner: str | None
    source: str
    sequence: int
    event: bytes


class Event(NamedTuple):
    """An event at its position."""

    position: int
    program: str
    member: str
    type: str
    partner: str | None
    event: bytes


class _Told(msgspec.Struct):
    partner: str | None = None


_read = msgspec.json.Decoder(_Told).decode
_encode = msgspec.json.Encoder().encode


def event_of(message: Heard, declared: Collection[str] = ()) -> NewEvent | None:
    """Return what others hear of a message, None where that is nothing.

    `declared` names the attributes of members that may be told outside.
    Raises msgspec.MsgspecError or ValueError for a body that is no JSON object.
    """
    if message.type not in OUTSIDE:
        return None
    named = _read(message.body).partner
    asked = parse_correlation(message.correlation)
    # Whose request led to it; what no caller asked for may still name a partner, such as points paid in advance.
    partner = asked.key.partner if asked is not None else named
    attributes = {
        "specversion": "1.0",
        "id": message.id,
        "source": message.source,
        "type": message.type,
        "time": message.headers["ce_time"].decode(),
        "subject": message.member,
        "partitionkey": f"{message.program}:{message.member}",
        "sequence": str(message.sequence),
        "causationid": message.causation,
        "correlationid": message.correlation,
        "traceparent": message.traceparent,
        "datacontenttype": "application/json",
    }
    start = _encode({name: value for name, value in attributes.items() if value})
    body = _with_only(message.body, declared) if message.type in TELLS_ATTRIBUTES else message.body
    # A line break in JSON is only white space; in a stream of events it would end a line.
    body = body.replace(b"\r", b" ").replace(b"\n", b" ") if b"\n" in body else body
    body.decode()
    event = b'%s,"data":%s}' % (start[:-1], body)
    return NewEvent(message.program, message.member, message.type, partner, message.source, message.sequence, event)


def _with_only(body: bytes, declared: Collection[str]) -> bytes:
    told = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    attributes = msgspec.json.decode(told.get("attributes", b"{}"), type=dict[str, msgspec.Raw])
    if attributes.keys() <= set(declared):
        return body
    kept = {name: value for name, value in attributes.items() if name in declared}
    return _encode({**told, "attributes": kept})


def is_pattern(text: str) -> bool:
    """Say whether this names types that there are: `points.awarded.v1`, `points.awarded`, `points.*` or `*`."""
    return _PATTERN.fullmatch(text) is not None and any(_names(text, name) for name in OUTSIDE)


@dataclass(slots=True)
class Wish:
    """What somebody wants to hear, and may."""

    types: Sequence[str]
    programs: frozenset[str]
    """`*` among them: all."""
    partner: str | None
    """Whose events it may hear beside what members' own are; None: everybody's."""
    member: str | None = None
    _types: dict[str, bool] = field(default_factory=dict)

    def hears(self, event: Event) -> bool:
        """Say whether an event is to be told."""
        if self.member is not None and event.member != self.member:
            return False
        if event.program not in self.programs and EVERYTHING not in self.programs:
            return False
        if self.partner is not None and event.partner != self.partner and not _is_members_own(event.type):
            return False
        wanted = self._types.get(event.type)
        if wanted is None:
            wanted = self._types[event.type] = any(_names(pattern, event.type) for pattern in self.types)
        return wanted

    def told(self, event: bytes, partner: str | None) -> bytes:
        """Return an event as it is told here; of what another partner's request led to, without what names that."""
        return event if self.partner is None or partner in {None, "", self.partner} else _without_cause(event)


def _is_members_own(type_: str) -> bool:
    return type_.startswith(_MEMBERS_OWN) and not type_.rpartition(".v")[0].endswith(_REFUSED)


def _without_cause(event: bytes) -> bytes:
    told = msgspec.json.decode(event, type=dict[str, msgspec.Raw])
    for name in _LEADS_BACK:
        told.pop(name, None)
    data = msgspec.json.decode(told["data"], type=dict[str, msgspec.Raw])
    cause = _encode({"kind": _UNDISCLOSED, "id": _UNDISCLOSED})
    return _encode({**told, "data": {**data, "cause": msgspec.Raw(cause)}})


def _names(pattern: str, type_: str) -> bool:
    if pattern == EVERYTHING:
        return True
    if pattern.endswith(".*"):
        return type_.startswith(pattern[:-1])
    return pattern in {type_, type_.rpartition(".v")[0]}
