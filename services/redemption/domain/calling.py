"""How a partner that fulfils is asked, and how its answers are read: what is certain, and what is to be read back.

Whatever is not said, signed and in time is unknown; and what is unknown is asked about, never undone. Asking for
fulfilment again under the same id is safe, so that is done where the partner says that it knows nothing of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit, urlunsplit

import msgspec
from msgspec import Meta

from services.redemption.domain.heard import Fulfilment
from services.redemption.domain.state import SagaKey

FIRST_PAUSE_MS: Final = 500
PAUSE_MS_MAX: Final = 600_000
CHANCES: Final = 1000
LEASE_SECONDS: Final = 15
"""For how long after the end of its wait for an answer a process may be silent before another asks."""
_DOUBLED_MAX: Final = 12
_OK: Final = range(200, 300)
_NOT_FOUND: Final = 404
_HAS_NO_PLACE: Final = frozenset({404, 405, 410, 501})


class Verdict(StrEnum):
    """What an answer comes to. The first two end the redemption."""

    FULFILLED = "fulfilled"
    REFUSED = "refused"
    PENDING = "pending"
    NOT_THERE = "not_there"
    FAILED = "failed"
    MALFORMED = "malformed"
    WRONGLY_SIGNED = "wrongly_signed"
    UNREACHABLE = "unreachable"
    ADDRESS_REFUSED = "address_refused"
    TOLD = "told"


class Question(StrEnum):
    """What a partner is asked: to fulfil, or what became of that; or it is told that it was taken back."""

    FULFIL = "post"
    READ_BACK = "get"
    CANCELLED = "cancelled"

    @property
    def method(self) -> str:
        """Return how it is asked."""
        return "GET" if self is Question.READ_BACK else "POST"

    @classmethod
    def after(cls, attempts: int, verdict: str | None) -> Question:
        """Return what to ask next for a fulfilment. Of an attempt without a verdict nobody knows how far it came."""
        return cls.FULFIL if attempts == 0 or verdict in _NEVER_GOT_IT else cls.READ_BACK


_NEVER_GOT_IT: Final = frozenset({Verdict.NOT_THERE, Verdict.ADDRESS_REFUSED})


@dataclass(frozen=True, slots=True)
class Call:
    """One question to a partner, the `attempt`th of its saga."""

    key: SagaKey
    attempt: int
    question: Question
    terms: Fulfilment
    reward: str
    quantity: int
    gives_codes: bool
    saga_at: datetime
    deadline: datetime
    delayed: bool
    place: str = ""
    by: str = ""


class Said(msgspec.Struct, frozen=True):
    """What a partner says. Further fields are not looked at."""

    state: Literal["fulfilled", "refused", "pending"]
    reference: Annotated[str, Meta(max_length=128, pattern=r"^[^\x00-\x1f]*$")] = ""
    code: Annotated[str, Meta(max_length=64, pattern=r"^[a-z0-9_.-]*$")] = ""
    codes: tuple[Annotated[str, Meta(min_length=4, max_length=64, pattern=r"^[\x21-\x7e]+$")], ...] = ()


@dataclass(frozen=True, slots=True)
class Read:
    """An answer as it was read."""

    verdict: Verdict
    detail: str = ""
    said: Said | None = None


_decode = msgspec.json.Decoder(Said).decode


def read_answer(call: Call, status: int, body: bytes, *, signed: bool) -> Read:
    """Say what an answer comes to."""
    if call.question is Question.CANCELLED:
        return _read_told(status, signed=signed)
    if status == _NOT_FOUND and call.question is Question.READ_BACK:
        return Read(Verdict.NOT_THERE)
    if status not in _OK:
        return Read(Verdict.FAILED, f"answered {status}")
    if not signed:
        return Read(Verdict.WRONGLY_SIGNED)
    try:
        said = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return Read(Verdict.MALFORMED, str(error)[:200])
    fault = _fault(call, said)
    return Read(Verdict.MALFORMED, fault) if fault else Read(Verdict(said.state), said=said)


def _read_told(status: int, *, signed: bool) -> Read:
    """Say whether a partner has heard of a cancellation. One that has no place for that need not be told again."""
    if status in _HAS_NO_PLACE:
        return Read(Verdict.NOT_THERE, f"answered {status}")
    if status not in _OK:
        return Read(Verdict.FAILED, f"answered {status}")
    return Read(Verdict.TOLD if signed else Verdict.WRONGLY_SIGNED)


def place_of(url: str) -> str:
    """Return where a partner is reached, which is what its limits count by: host and port, whatever the path."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2].lower()
    except ValueError:
        return url


def address_of(url: str, question: Question, order: str) -> str:
    """Return where a question goes: an order has a place of its own below the partner's, whatever query that has."""
    if question is Question.FULFIL:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    below = f"/{order}/cancel" if question is Question.CANCELLED else f"/{order}"
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + below, fragment=""))


def _fault(call: Call, said: Said) -> str:
    """Say what makes no sense."""
    if said.codes and (not call.gives_codes or said.state != "fulfilled"):
        return "it gives codes for what has none"
    if said.codes and (len(said.codes) != call.quantity or len(set(said.codes)) != len(said.codes)):
        return f"it gives {len(set(said.codes))} codes for {call.quantity} pieces"
    return "it refuses without a code" if said.state == "refused" and not said.code else ""


def pause_before(attempt: int, chance: int) -> timedelta:
    """Return how long to wait after so many attempts: ever longer, and by `chance` (of `CHANCES`) not all at once."""
    longest = min(FIRST_PAUSE_MS * 2 ** min(attempt - 1, _DOUBLED_MAX), PAUSE_MS_MAX)
    return timedelta(milliseconds=longest // 2 + longest * chance // (2 * CHANCES))
