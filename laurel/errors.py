"""The tree of errors, and the catalogue of every problem that a caller can be told.

LaurelError
├── Refused     an outcome of the domain: a code, a sentence, the facts that explain it
└── Problem     what a caller is told (RFC 9457): its code is a line of PROBLEMS
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class LaurelError(Exception):
    """The root of every error that Laurel raises on purpose."""


class Refused(LaurelError):  # noqa: N818  # named as the contract names it
    """An expected conflict: kept as an outcome where the catalogue says so."""

    def __init__(self, code: str, detail: str = "", **facts: object) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail
        self.facts = facts

    def problem(self) -> Problem:
        """Tell it as a problem, with its facts as further members."""
        return Problem(self.code, self.detail, extra=self.facts)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a document: where (a JSON Pointer), which kind, in a sentence."""

    pointer: str
    code: str
    detail: str

    def document(self) -> dict[str, str]:
        return {"pointer": self.pointer, "code": self.code, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """A line of the catalogue. What is `kept` is final under the request's id and shown by a later GET."""

    code: str
    status: int
    title: str
    kept: bool = False


def _kinds() -> Iterable[ProblemKind]:
    for status, kept, titles in (
        (400, False, _MALFORMED),
        (401, False, _UNAUTHENTICATED),
        (403, False, _FORBIDDEN),
        (404, False, _UNKNOWN),
        (405, False, _METHOD),
        (408, False, _TOO_SLOW),
        (409, True, _REFUSED),
        (409, False, _CONFLICTS),
        (410, False, _GONE),
        (413, False, _TOO_LARGE),
        (415, False, _UNSUPPORTED),
        (422, False, _INVALID),
        (429, False, _LIMITED),
        (500, False, _INTERNAL),
        (503, False, _UNAVAILABLE),
    ):
        for code, title in titles.items():
            yield ProblemKind(code, status, title, kept)


_MALFORMED = {
    "malformed": "The body cannot be read",
    "idempotency_key_missing": "This request needs an Idempotency-Key",
}
_UNAUTHENTICATED = {"unauthenticated": "The key is missing, wrong, expired or revoked"}
_FORBIDDEN = {"scope_missing": "The key lacks the scope for this"}
_UNKNOWN = {
    "not_found": "There is nothing here",
    "program_unknown": "There is no such program",
    "partner_unknown": "There is no such partner",
    "key_unknown": "There is no such key",
    "member_unknown": "There is no such member",
    "identifier_unknown": "The member has no such identifier",
    "activity_unknown": "There is no such activity",
    "batch_unknown": "There is no such batch",
    "reward_unknown": "There is no such reward",
    "resource_unknown": "There is no such resource",
    "redemption_unknown": "There is no such redemption",
    "hold_unknown": "There is no such hold",
    "voucher_unknown": "There is no such voucher",
    "adjustment_unknown": "There is no such adjustment",
    "transfer_unknown": "There is no such transfer",
    "exchange_unknown": "There is no such exchange",
    "household_unknown": "There is no such household",
    "webhook_unknown": "There is no such webhook",
    "delivery_unknown": "There is no such delivery",
}
_METHOD = {"method_not_allowed": "This path does not take that method"}
_TOO_SLOW = {"too_slow": "The body came too slowly"}
# Refusals that are outcomes: kept, and final under the id they were given to.
_REFUSED = {
    "member_exists": "The member is already enrolled",
    "identifier_taken": "The identifier belongs to another member",
    "identifier_blocked": "The identifier is blocked",
    "already_credited": "This was already credited",
    "claim_too_late": "The time to claim this is over",
    "program_closed": "The program no longer takes part in this",
    "over_returned": "More is returned than was bought",
    "needs_approval": "This is above the caller's limit and waits for approval",
    "already_corrected": "This was corrected already",
    "adjustment_decided": "There is nothing to decide about",
    "nothing_pending": "Nothing of this awaits approval",
    "match_limit": "The member has used its status matches",
    "proof_expired": "The proof is too old",
    "hold_released": "The hold was released",
    "hold_expired": "The hold has expired",
    "hold_captured": "The hold was captured",
    "insufficient_points": "There are not enough points",
    "sold_out": "The reward is sold out",
    "blacked_out": "The reward is not offered on that day",
    "not_eligible": "The member is not eligible",
    "limit_reached": "A limit is reached",
    "below_minimum": "This is below the minimum",
    "not_offered": "The program does not offer this",
    "key_used": "This was already used to redeem",
    "redemption_cancelled": "The redemption was cancelled",
    "partner_refused": "The partner that fulfils this has refused it",
    "voucher_spent": "The voucher is spent",
    "voucher_expired": "The voucher has expired",
    "voucher_void": "The voucher is void",
    "voucher_exceeds_basket": "The voucher exceeds the basket",
    "voucher_insufficient": "Less than that is left of the voucher",
    "voucher_not_here": "The voucher is used at its partner",
    "voucher_use_undone": "The use under this reference was undone; another use needs another reference",
    "discarded": "The request could not be processed and was discarded",
}
# Conflicts whose id stays free: the same request sent again is judged again.
_CONFLICTS = {
    "in_progress": "The same request is being recorded",
    "offset_mismatch": "The file was taken up to another place",
    "upload_complete": "The file is whole already",
    "effective_in_past": "A new version cannot take effect in the past",
    "program_exists": "The program already exists",
    "clock_behind": "Time never goes back",
    "member_not_active": "The member is not active",
    "partner_not_active": "The partner is not active",
    "currency_not_accepted": "The program does not accept this currency",
    "other_household": "The member belongs to another household",
    "webhook_disabled": "The webhook is disabled; enable it first",
    "hold_open": "The hold is open; capture or release it first",
    "redemption_ended": "The redemption has ended",
    "redemption_not_held": "Nothing of this redemption is held to be confirmed",
    "redemption_used": "What the redemption gave was used, or has ended",
}
_GONE = {"events_gone": "The events asked for are no longer kept"}
_TOO_LARGE = {"too_large": "The body is too large"}
_UNSUPPORTED = {"unsupported": "The body's media type or encoding is not supported"}
_INVALID = {
    "invalid": "The request is not valid",
    "idempotency_mismatch": "The id or key was used before with another body",
    "lines_do_not_sum": "The lines do not make the amount",
    "tenders_exceed_amount": "The tenders exceed the amount",
    "in_the_future": "The activity lies in the future",
}
_LIMITED = {"rate_limited": "Too many requests"}
_INTERNAL = {"internal": "Something went wrong here"}
_UNAVAILABLE = {
    "overloaded": "Too much is waiting",
    "clock_running": "The program's clock is being moved",
    "unavailable": "A part that this needs is not available",
}

PROBLEMS: dict[str, ProblemKind] = {kind.code: kind for kind in _kinds()}
"""Every code that a caller can be told, with its status and title."""


class Problem(LaurelError):  # noqa: N818  # named as the contract names it
    """What a caller is told. The code fixes status and title; `detail` explains this case of it."""

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        errors: Iterable[Fault] = (),
        extra: dict[str, Any] | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(code, detail)
        self.kind = PROBLEMS[code]
        self.detail = detail
        self.errors = tuple(errors)
        self.extra = dict(extra or {})
        self.retry_after_seconds = retry_after_seconds

    @property
    def code(self) -> str:
        return self.kind.code

    @property
    def status(self) -> int:
        return self.kind.status

    @property
    def title(self) -> str:
        return self.kind.title

    @property
    def kept(self) -> bool:
        return self.kind.kept

    def headers(self) -> dict[str, str]:
        """Return the headers that belong to the answer."""
        headers = {"content-type": "application/problem+json"}
        if self.retry_after_seconds is not None:
            headers["retry-after"] = str(self.retry_after_seconds)
        if self.status == 408:
            # What still comes of the body is nobody's business any more.
            headers["connection"] = "close"
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        return headers

    def document(self, instance: str = "") -> dict[str, Any]:
        """Return the document of RFC 9457. What explains the case never hides a standard member."""
        standard: dict[str, Any] = {
            "type": f"/problems/{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail or self.title,
            "instance": instance,
            "code": self.code,
            "errors": [fault.document() for fault in self.errors],
        }
        return {**standard, **{name: value for name, value in self.extra.items() if name not in standard}}


_NAMED: Final = frozenset({"member_unknown", "partner_unknown", "program_unknown", "identifier_blocked"})


@contextmanager
def named_at(pointer: str) -> Iterator[None]:
    """Have a problem with whoever is named say where in the body that is; several may be named in one."""
    try:
        yield
    except Problem as problem:
        if problem.code not in _NAMED or problem.errors:
            raise
        # What is wrong at the place: it is unknown, or blocked.
        what = problem.code.rpartition("_")[2]
        raise Problem(problem.code, problem.detail, errors=[Fault(pointer, what, problem.title)]) from None
