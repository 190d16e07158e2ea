"""A return takes back what the activity earned, line by line (S10), from its own lots first; the rest is owed."""

from __future__ import annotations

from collections.abc import Iterable

from laurel.contracts.activity import ReportedActivity
from laurel.errors import Refused
from laurel.program import RuleOutcome, basis_less_returns, plus_return
from laurel.program.tiers import seen_as
from services.points.domain.asked import Report, decode_activity
from services.points.domain.facts import (
    ActivityRefused,
    ActivityReturned,
    AnyFact,
    LotName,
    LotPart,
    PointsClawedBack,
    RuleJudged,
)
from services.points.domain.moment import Moment
from services.points.domain.state import Lot, Posting, Wallet
from services.points.domain.tiering import counts_back, stands


def take_back(wallet: Wallet, asked: Report, activity: ReportedActivity, moment: Moment) -> tuple[AnyFact, ...]:
    """Judge what is left of the original by the version that judged it; claw back what it would not have earned."""
    posting = wallet.postings.get((asked.partner, activity.of or ""))
    if posting is None:
        return _refused(asked, activity, "activity_unknown", f"No activity {activity.of} was posted here")
    program = moment.programs.version(wallet.program, posting.version)
    if program is None:
        message = f"version {posting.version} of {wallet.program}, which judged {activity.of}, is not known"
        raise AssertionError(message)
    original = decode_activity(posting.body)
    try:
        returned = plus_return(original, posting.returned, activity)
    except Refused as refusal:
        return _refused(asked, activity, refusal.code, refusal.detail)
    basis = basis_less_returns(original, returned, partner=asked.partner)
    member = seen_as(posting.member, posting.tier, posting.tenure)
    back = _due_back(posting, program.evaluate(basis, member))
    clawbacks = _claw_back(wallet, posting, [pair for pair in back if not program.units[pair[0].unit].counts_only])
    counts = counts_back(wallet, program, posting, [judged for judged, _ in back], moment.at, moment.journal)
    return (
        ActivityReturned(
            activity=activity.id,
            partner=asked.partner,
            of=activity.of or "",
            of_journal=posting.journal,
            version=posting.version,
            occurred_at=activity.occurred_at,
            returned=returned,
            decision=tuple(judged for judged, _ in back),
            stands=stands(wallet, program),
        ),
        *clawbacks,
        *counts,
    )


def _refused(asked: Report, activity: ReportedActivity, code: str, detail: str) -> tuple[AnyFact, ...]:
    return (ActivityRefused(activity=activity.id, partner=asked.partner, code=code, detail=detail),)


def _due_back(posting: Posting, kept: Iterable[RuleOutcome]) -> list[tuple[RuleJudged, RuleJudged]]:
    """Return per component what this return takes back, beside what the original had granted.

    keep = min(granted, award for what is kept, before caps); what earlier returns took is not taken again.
    """
    keeps = {outcome.rule.id: outcome.computed for outcome in kept}
    out = []
    for granted in posting.decision:
        keep = min(granted.amount, keeps.get(granted.rule, 0))
        amount = granted.amount - keep - posting.clawed_back.get(granted.rule, 0)
        if amount > 0:
            judged = RuleJudged(
                rule=granted.rule, fired=True, reason="returned", computed=keep, amount=amount, unit=granted.unit
            )
            out.append((judged, granted))
    return out


def _claw_back(
    wallet: Wallet, posting: Posting, back: Iterable[tuple[RuleJudged, RuleJudged]]
) -> list[PointsClawedBack]:
    """Lay what goes back over lots: the component's own, then others in spending order; the rest is owed.

    What of the own lot has expired is not asked for. Points in an open hold are not touched (S11).
    """
    own = {lot.rule: lot for lot in wallet.lots.values() if lot.name.journal == posting.journal}
    used: dict[LotName, int] = {}
    out = []
    for judged, _ in back:
        origin = own[judged.rule]
        taken, missing = _take([origin], judged.amount, used)
        expired = min(missing, origin.expired)
        others = [lot for lot in wallet.spendable(judged.unit) if lot.name != origin.name]
        more, owed = _take(others, missing - expired, used)
        out.append(
            PointsClawedBack(
                unit=judged.unit,
                rule=judged.rule,
                funder=origin.funder,
                amount=judged.amount,
                taken=(*taken, *more),
                expired=expired,
                owed=owed,
                origin=origin.name,
            )
        )
    return out


def _take(lots: Iterable[Lot], amount: int, used: dict[LotName, int]) -> tuple[list[LotPart], int]:
    """Cover an amount from lots of which `used` is already spoken for, and speak for what is taken."""
    parts: list[LotPart] = []
    missing = amount
    for lot in lots:
        part = min(lot.free - used.get(lot.name, 0), missing)
        if part > 0:
            parts.append(LotPart(lot.name, part))
            used[lot.name] = used.get(lot.name, 0) + part
            missing -= part
    return parts, missing
