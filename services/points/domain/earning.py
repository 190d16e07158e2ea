"""An activity earns: each component of the program that fires makes one lot (S2, S4)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from laurel.contracts.activity import ReportedActivity
from laurel.program import CompiledProgram, RuleOutcome, basis_of
from services.points.domain.asked import Report
from services.points.domain.facts import (
    ActivityPosted,
    ActivityRefused,
    AnyFact,
    DebtPaid,
    LotName,
    LotPart,
    PointsGranted,
    RuleJudged,
)
from services.points.domain.moment import Moment
from services.points.domain.state import Wallet
from services.points.domain.tiering import counts_of, seen_for, stands


def earn(wallet: Wallet, asked: Report, activity: ReportedActivity, moment: Moment) -> tuple[AnyFact, ...]:
    """Judge by the version in force when it happened; grant, then let debts be paid (S11)."""
    program = moment.programs.in_force(wallet.program, activity.occurred_at, asked.versions.program)
    refusal = _refusal(wallet, activity, program, moment.at)
    if refusal is not None or program is None:
        code, detail = refusal or ("program_unknown", "No version of the program is published")
        return (ActivityRefused(activity=activity.id, partner=asked.partner, code=code, detail=detail),)
    seen = seen_for(wallet, program, activity)
    outcomes = program.evaluate(basis_of(activity, partner=asked.partner), seen.member)
    grants = _grants(program, outcomes, activity, asked.partner)
    posted = ActivityPosted(
        activity=activity.id,
        partner=asked.partner,
        type=activity.type,
        occurred_at=activity.occurred_at,
        version=program.version,
        decision=tuple([_judged(outcome) for outcome in outcomes]),
        active_until=_active_until(program, activity),
        member={name: wallet.attributes[name] for name in program.member_attributes if name in wallet.attributes},
        tier=seen.tier,
        tenure=seen.tenure,
        stands=stands(wallet, program),
    )
    counts = counts_of(wallet, program, outcomes, activity, asked.partner, moment.at, moment.journal)
    return (posted, *grants, *pay_debts(wallet, grants, moment.journal), *counts)


def _refusal(
    wallet: Wallet, activity: ReportedActivity, program: CompiledProgram | None, at: datetime
) -> tuple[str, str] | None:
    """Return why the activity cannot be judged, as code and detail."""
    if not wallet.exists:
        return "member_unknown", "The member is not enrolled"
    if wallet.status != "active":
        return "member_not_active", f"The member is {wallet.status}"
    if program is None:
        return "program_unknown", "No version of the program is published"
    if activity.currency is not None and activity.currency != program.currency:
        return "currency_not_accepted", f"The program counts {program.currency}, not {activity.currency}"
    if program.clock == "wall" and at >= program.claimable_until(activity.occurred_at):
        return "claim_too_late", f"It happened more than {program.late_claim_months} months ago"
    return None


def _judged(outcome: RuleOutcome) -> RuleJudged:
    """Keep what a rule made of the activity; caps, once there are any, come between computed and amount."""
    return RuleJudged(
        rule=outcome.rule.id,
        fired=outcome.fired,
        reason=outcome.reason,
        computed=outcome.computed,
        amount=outcome.computed,
        unit=outcome.rule.unit,
    )


def _active_until(program: CompiledProgram, activity: ReportedActivity) -> dict[str, datetime]:
    """Return, for units that expire by inactivity, how long this activity keeps them."""
    out: dict[str, datetime] = {}
    for unit in program.units:
        if program.keeps_alive(unit, activity.type):
            lapses_at = program.lapses_at(unit, activity.occurred_at)
            if lapses_at is not None:
                out[unit] = lapses_at
    return out


def _grants(
    program: CompiledProgram,
    outcomes: Sequence[RuleOutcome],
    activity: ReportedActivity,
    partner: str,
) -> list[PointsGranted]:
    grants: list[PointsGranted] = []
    for outcome in outcomes:
        if outcome.computed <= 0 or outcome.rule.counts_only:
            continue
        rule = outcome.rule
        grants.append(
            PointsGranted(
                lot=len(grants) + 1,
                unit=rule.unit,
                rule=rule.id,
                amount=outcome.computed,
                activity=activity.id,
                partner=partner,
                earned_at=activity.occurred_at,
                available_at=activity.occurred_at,
                funder=rule.funder,
                version=program.version,
                expires_at=program.expires_at(rule, activity.occurred_at),
            )
        )
    return grants


def pay_debts(wallet: Wallet, grants: Sequence[PointsGranted], journal: int) -> list[DebtPaid]:
    """Let what was just granted pay what is owed, first grant first (S11)."""
    parts: dict[str, list[LotPart]] = {}
    left = {unit: balance.owed for unit, balance in wallet.balances.items() if balance.owed}
    for grant in grants if left else ():
        paid = min(left.get(grant.unit, 0), grant.amount)
        if paid > 0:
            parts.setdefault(grant.unit, []).append(LotPart(LotName(journal, grant.lot), paid))
            left[grant.unit] -= paid
    return [DebtPaid(unit=unit, parts=tuple(paid)) for unit, paid in parts.items()]
