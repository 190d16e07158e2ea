"""Partners are let into a program: vetted by their scores, and what is said of them is published in versions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from services.gateway.asking import clock_running
from services.gateway.saying import partner_published
from services.gateway.store import audit, partner_terms, programs
from services.gateway.store.audit import digest
from services.gateway.store.partner_terms import TermsRow

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from laurel.contracts.http import JoinPartner
    from laurel.io.unit import UnitOfWork, Work
    from services.gateway.store.audit import AuditRow

SCORES: Final = ("brand_fit", "customers", "information_system", "service", "database_marketing")
TOTAL_LEAST: Final = 18
SCORE_LEAST: Final = 3


def vetted(scores: dict[str, int] | None) -> dict[str, Any]:
    """Return what the scores come to, and each reason for which they do not suffice; without scores nobody passed."""
    if scores is None:
        return {"total": None, "passed": False, "reasons": ["not_scored"]}
    total = sum(scores[name] for name in SCORES)
    reasons = [f"{name}_below_{SCORE_LEAST}" for name in SCORES if scores[name] < SCORE_LEAST]
    if total < TOTAL_LEAST:
        reasons.append(f"total_below_{TOTAL_LEAST}")
    return {"total": total, "passed": not reasons, "reasons": reasons}


async def join(
    unit: UnitOfWork,
    program: str,
    partner: str,
    asked: JoinPartner,
    clock: Callable[[], datetime],
    traceparent: str,
    change: AuditRow | None = None,
) -> tuple[TermsRow, bool]:
    """Say something of a partner; return the version that this is, and whether it is the first of that partner.

    What is not named stays. Passing scores approve an applicant, and nobody is approved against its scores. What is
    said without `since` holds from the program's now on, but the first of it from the beginning.
    """
    async with unit.begin() as work:
        head = await programs.lock_head(work.connection, program)
        assert head is not None  # the route has seen it, and programs are never removed
        if head.turning_to is not None:
            raise clock_running()
        before = await partner_terms.newest(work.connection, program, partner)
        scores = _scores(asked, before)
        state = _state(asked, before, scores)
        billing = asked.billing or (before.billing if before is not None else "netting")
        since = asked.since
        if since is None and before is not None:
            now = head.as_of if head.is_manual else clock()
            since = before.since if state == before.state else now
        known = msgspec.json.encode(scores) if scores is not None else None
        row = TermsRow(program, head.partners + 1, partner, state, since, billing, known, clock())
        if before is not None and _said(before) == _said(row):
            return before, False
        await publish_terms(work, row, traceparent)
        if change is not None:
            old = digest(_said(before)) if before is not None else None
            await audit.add(work.connection, [replace(change, before=old, after=digest(_said(row)))])
    return row, before is None


async def publish_terms(work: Work, row: TermsRow, traceparent: str) -> None:
    """Add a version, and say it."""
    await partner_terms.add(work.connection, row)
    work.say(partner_published(row, traceparent))


def _scores(asked: JoinPartner, before: TermsRow | None) -> dict[str, int] | None:
    if asked.scores is not None:
        return {name: getattr(asked.scores, name) for name in SCORES}
    if before is not None and before.scores is not None:
        return msgspec.json.decode(before.scores, type=dict[str, int])
    return None


def _state(asked: JoinPartner, before: TermsRow | None, scores: dict[str, int] | None) -> str:
    passed = scores is not None and vetted(scores)["passed"]
    if before is None and asked.state is None and scores is None and asked.billing is not None:
        # Until something else is said of it, a partner with a key takes part.
        return "approved"
    state = asked.state or (before.state if before is not None else "applicant")
    if asked.state is None and state == "applicant" and passed:
        return "approved"
    if asked.state == "approved" and scores is not None and not passed:
        return "applicant"
    return state


def _said(row: TermsRow) -> tuple[object, ...]:
    return (row.state, row.since, row.billing, row.scores)
