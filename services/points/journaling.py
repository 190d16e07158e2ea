"""Facts become a journal: what kind it is of, what caused it, and what is kept beside it as it stood then."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from laurel.errors import PROBLEMS
from services.points.decoding import Step
from services.points.domain.asked import Asked, Report
from services.points.domain.facts import (
    ADJUSTING,
    HOLD_MOVING,
    ActivityPosted,
    ActivityRefused,
    ActivityReturned,
    AnyFact,
    BirthdayAwaited,
    PendingDecided,
    PendingReleased,
    PointsConverted,
    PointsReleased,
)
from services.points.domain.segmenting import changes_segments
from services.points.domain.state import Adjustment, Balance, Hold, Wallet
from services.points.domain.tiering import moves_tiers
from services.points.ports import Incoming, Journal, Remembered, Waiting

_ADJUSTING = frozenset({"adjustment", "correction"})
_WITHOUT_HOLDS = frozenset(
    {
        "activity",
        "birthday",
        "change",
        "close",
        "conversion",
        "end_of_pending",
        "enrolment",
        "erase",
        "exchange",
        "expiry",
        "funding",
        "merge",
        "release_of_pending",
        "return",
        "return_of_share",
        "segment",
        "share",
        "status_match",
        "tier_review",
        "transfer",
        "unmerge",
    }
)


def journal_of(step: Step, wallet: Wallet, at: datetime, facts: tuple[AnyFact, ...]) -> Journal:
    """Make the row of a decision; an activity's row keeps the activity as it was sent."""
    kind, asked, message = step.decider.kind, step.asked, step.message.id
    if not isinstance(asked, Report) or step.activity is None:
        return Journal(wallet, wallet.version, kind, _cause(asked), at, facts, at, message=message)
    refusal = facts[0] if isinstance(facts[0], ActivityRefused) else None
    code = refusal.code if refusal is not None else None
    version: Any = getattr(facts[0], "version", 0)
    return Journal(
        wallet,
        wallet.version,
        "return" if step.activity.type == "return" or isinstance(facts[0], ActivityReturned) else kind,
        step.activity.id,
        at,
        facts,
        step.activity.occurred_at,
        partner=asked.partner,
        version=version,
        message=message,
        body=bytes(asked.activity),
        hash=asked.hash,
        code=code,
        kept=code is None or PROBLEMS[code].kept,
        correlation=step.message.correlation,
        traceparent=step.message.traceparent,
    )


def due_journal(wallet: Wallet, at: datetime, facts: tuple[AnyFact, ...], due_at: datetime) -> Journal:
    """Make the row of what time alone brought about; it happened when it was due."""
    first = facts[0]
    kind, cause = "expiry", f"{due_at:%Y-%m-%dT%H:%M:%SZ}"
    if isinstance(first, PendingReleased):
        kind = "release_of_pending"
    elif isinstance(first, PendingDecided):
        kind = "end_of_pending"
    elif isinstance(first, BirthdayAwaited):
        kind = "birthday"
    elif isinstance(first, PointsReleased):
        kind, cause = "hold_timeout", first.hold
    elif isinstance(first, PointsConverted):
        kind = "conversion"
    elif moves_tiers(facts):
        kind = "tier_review"
    elif changes_segments(facts):
        kind = "segment"
    return Journal(wallet, wallet.version, kind, cause, at, facts, due_at)


def funding_journal(
    waiting: Waiting, wallet: Wallet, at: datetime, facts: tuple[AnyFact, ...]
) -> tuple[Journal, Incoming]:
    """Make the row of an activity's funding, which answers the message that reported it."""
    journal = Journal(
        wallet,
        wallet.version,
        "funding",
        waiting.activity,
        at,
        facts,
        at,
        partner=waiting.partner,
        version=getattr(facts[0], "version", 0),
        message=waiting.message,
        correlation=waiting.correlation,
        traceparent=waiting.traceparent,
    )
    answered = Remembered(
        "", waiting.message, waiting.program, waiting.member, waiting.correlation, waiting.traceparent
    )
    return journal, answered


def share_journal(message: Incoming, journal: Journal) -> tuple[Journal, Incoming]:
    """Make the row of what a message meant for another: it is no activity of theirs, and answers nobody."""
    kind = {"return": "return_of_share", "approval": "approval_of_share"}.get(journal.kind, "share")
    shared = replace(journal, kind=kind, body=None, hash="", correlation="", kept=True)
    return shared, Remembered("", message.id, message.program, message.member, "", message.traceparent)


def shares_named(journal: Journal) -> list[tuple[str, str, int]]:
    """Return the journals in which others have a share of what a journal posted."""
    first = journal.facts[0] if journal.facts else None
    if not isinstance(first, ActivityPosted):
        return []
    return [(journal.wallet.program, share.member, share.journal) for share in first.shares]


def cause_of(step: Step) -> str:
    """Return the name of what a message asks for, which its journals are found by."""
    return step.activity.id if step.activity is not None else _cause(step.asked)


def _cause(asked: Asked) -> str:
    for name in ("hold", "adjustment", "match", "change", "transfer", "exchange", "merge", "household", "activity"):
        named = getattr(asked, name, None)
        if named:
            return str(named)
    return asked.member or ""


def holds_of(wallet: Wallet, facts: tuple[AnyFact, ...], kind: str) -> dict[str, Hold]:
    """Return copies of the holds that facts speak of, as they stand now; what is earned speaks of none."""
    if kind in _WITHOUT_HOLDS:
        return {}
    return {
        fact.hold: replace(wallet.holds[fact.hold])
        for fact in facts
        if isinstance(fact, HOLD_MOVING) and fact.hold in wallet.holds
    }


def adjustments_of(wallet: Wallet, facts: tuple[AnyFact, ...], kind: str) -> dict[str, Adjustment]:
    """Return the same of adjustments."""
    if kind not in _ADJUSTING:
        return {}
    return {
        fact.adjustment: replace(wallet.adjustments[fact.adjustment]) for fact in facts if isinstance(fact, ADJUSTING)
    }


def copy_of(balance: Balance) -> Balance:
    """Return a balance as it stands, for what is told of it later."""
    return Balance(
        balance.unit,
        balance.available,
        balance.pending,
        balance.held,
        balance.owed,
        balance.earned,
        balance.spent,
        balance.expired,
        balance.reversed,
        balance.adjusted,
        balance.active_until,
    )
