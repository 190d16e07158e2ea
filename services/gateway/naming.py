"""What identifies a request, and the correlation id under which its outcome comes back."""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime

OPERATOR: Final = "operator"
"""The partner that runs everything."""

ACTIVITY: Final = "activity"
MEMBER: Final = "member"
ENROLMENT: Final = "enrolment"
"""Who was enrolled under an `Idempotency-Key`. Nobody is asked by it, so it has no correlation."""
REWARD: Final = "reward"
RESOURCE: Final = "resource"
REDEMPTION: Final = "redemption"
REDEMPTION_CONFIRM: Final = "redemption_confirm"
REDEMPTION_CANCEL: Final = "redemption_cancel"
HOLD: Final = "hold"
HOLD_CAPTURE: Final = "hold_capture"
HOLD_RELEASE: Final = "hold_release"
HOLD_CANCEL: Final = "hold_cancel"
CLOCK: Final = "clock"
ADJUSTMENT: Final = "adjustment"
ADJUSTMENT_DECISION: Final = "adjustment_decision"
MATCH: Final = "match"
VOUCHER_REDEEM: Final = "voucher_redeem"
VOUCHER_VOID: Final = "voucher_void"
MEMBER_CHANGE: Final = "member_change"
MEMBER_CLOSE: Final = "member_close"
MEMBER_ERASE: Final = "member_erase"
TRANSFER: Final = "transfer"
EXCHANGE: Final = "exchange"
MERGE: Final = "merge"
UNMERGE: Final = "unmerge"
HOUSEHOLD: Final = "household"
BLOCK: Final = "block"
CLAIM: Final = "claim"
PENDING_DECISION: Final = "pending_decision"

_LETTERS: Final = {
    ACTIVITY: "a",
    MEMBER: "m",
    REWARD: "w",
    RESOURCE: "ws",
    REDEMPTION: "r",
    REDEMPTION_CONFIRM: "rc",
    REDEMPTION_CANCEL: "rx",
    HOLD: "h",
    HOLD_CAPTURE: "hc",
    HOLD_RELEASE: "hr",
    HOLD_CANCEL: "hx",
    CLOCK: "t",
    ADJUSTMENT: "j",
    ADJUSTMENT_DECISION: "jd",
    MATCH: "s",
    VOUCHER_REDEEM: "vr",
    VOUCHER_VOID: "vv",
    MEMBER_CHANGE: "mc",
    MEMBER_CLOSE: "mx",
    MEMBER_ERASE: "me",
    TRANSFER: "g",
    EXCHANGE: "e",
    MERGE: "mg",
    UNMERGE: "mu",
    HOUSEHOLD: "hh",
    BLOCK: "b",
    CLAIM: "c",
    PENDING_DECISION: "pd",
}
_KINDS: Final = {letter: kind for kind, letter in _LETTERS.items()}
_PARTS: Final = 4


class RequestKey(NamedTuple):
    """The natural key of a request: within one program, kind and partner an id means one thing for ever.

    Its order is the order in which request rows are locked.
    """

    program: str
    kind: str
    partner: str
    id: str


class Correlation(NamedTuple):
    """A request and which attempt of it: an id that a refusal left free may be asked again."""

    key: RequestKey
    attempt: int

    def __str__(self) -> str:
        key = self.key
        return f"{_LETTERS[key.kind]}:{key.program}:{key.partner}:{self.attempt}:{key.id}"


def correlations_of(kind: str) -> str:
    """Return what the correlations of a kind of request begin with."""
    return f"{_LETTERS[kind]}:"


def parse_correlation(text: str) -> Correlation | None:
    """Read what `str(Correlation)` wrote; None for anything that is not ours.

    Programs and partners hold no colon, so the id, which may, comes last.
    """
    parts = text.split(":", _PARTS)
    if len(parts) != _PARTS + 1 or not parts[3].isdecimal() or parts[0] not in _KINDS:
        return None
    letter, program, partner, attempt, id_ = parts
    return Correlation(RequestKey(program, _KINDS[letter], partner, id_), int(attempt))


def idempotency_id(key: str) -> str:
    """An `Idempotency-Key` is the caller's own text; only its hash is kept and travels."""
    return hashlib.sha256(key.encode()).hexdigest()


_ALPHABET: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


def new_id(prefix: str) -> str:
    """An opaque id that sorts roughly by time (which keeps indexes small) and cannot be guessed."""
    return f"{prefix}-{_base36(time.time_ns() // 1_000_000, 9)}{_base36(secrets.randbits(64), 13)}"


def id_of_fact(prefix: str, at: datetime, *named: object) -> str:
    """An id that sorts like those above, the same for whoever makes it of the same."""
    digest = hashlib.sha256(repr(named).encode()).digest()
    return f"{prefix}-{_base36(int(at.timestamp() * 1_000), 9)}{_base36(int.from_bytes(digest[:8]), 13)}"


def _base36(number: int, width: int) -> str:
    digits: list[str] = []
    for _ in range(width):
        number, digit = divmod(number, 36)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
