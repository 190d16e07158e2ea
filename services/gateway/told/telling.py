"""What a message may tell, and how a refusal is worded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Protocol

import msgspec

from laurel.errors import PROBLEMS
from laurel.values import AMOUNT_MAX
from services.gateway.details import DetailSeen
from services.gateway.naming import Correlation, RequestKey

PENDING: Final = "pending"
"""Not final: what a GET shows of a request whose outcome waits for something."""


POSTED: Final = "posted"


REFUSED: Final = "refused"


FREED: Final = "freed"


Counted = Annotated[int, msgspec.Meta(ge=-AMOUNT_MAX, le=AMOUNT_MAX)]


class Award(msgspec.Struct, gc=False):
    """What was granted of a unit."""

    unit: str
    amount: Counted


class Unlisted(msgspec.Struct):
    """By what version the rules speak that a decision leaves out, and of what."""

    version: int
    type: str
    occurred_at: datetime


class GivenBack(msgspec.Struct):
    """What a return gave back of a tender that names something."""

    kind: str
    ref: str
    amount: int


class ToldIn(msgspec.Struct):
    """The event by which an outcome was told. It is kept with the outcome, and shown to nobody."""

    member: str
    source: str
    sequence: int


TOLD_IN: Final = b'"told_in":'
"""How an outcome that keeps it is known without reading it."""


class Shown(msgspec.Struct):
    """What a return gave back, and the event that told of it."""

    given_back: list[GivenBack]
    told_in: ToldIn


_decode_shown = msgspec.json.Decoder(Shown).decode


def told_of(outcome: bytes) -> bytes:
    """Return of an outcome that gave something back what has to be known to see whether reads show it."""
    return msgspec.json.encode(_decode_shown(outcome))


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
class Undone:
    """A request that was posted and whose effect is no more; from now on it is answered by that code."""

    key: RequestKey
    code: str
    body: bytes


@dataclass(frozen=True, slots=True)
class DeedSeen:
    """What somebody did by hand with a message, for the audit. `id` is the same however often it is told."""

    id: str
    at: datetime
    actor: str
    program: str
    action: str
    target: str
    message: str
    note: str


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
    erased: tuple[tuple[str, str], ...] = ()
    """The programs and members of whom nobody is to know any more who they are."""
    merged: MergeSeen | None = None
    also: Outcome | None = None
    """What becomes of another request, which waited for another end of the same thing."""
    shares: tuple[ShareSeen, ...] = ()
    deed: DeedSeen | None = None
    undone: Undone | None = None


NOTHING: Final = Told()


encode = msgspec.json.Encoder().encode


def refusal(correlation: Correlation, code: str, body: bytes) -> Outcome:
    kind = PROBLEMS.get(code)
    # A code that this version does not know is a refusal all the same, and final.
    kept = kind is None or kind.kept
    return Outcome(correlation, REFUSED if kept else FREED, code, body)


def refusal_body(named: dict[str, str], code: str, detail: str, facts: dict[str, Any]) -> bytes:
    kind = PROBLEMS.get(code)
    told = detail or (kind.title if kind is not None else code)
    return encode({**facts, **named, "state": REFUSED, "code": code, "detail": told})


def place_of(source: str, sequence: int) -> Place:
    return Place(int(source.rpartition("/")[2]), sequence)
