"""An activity earns: each component of the program that fires makes one lot (S2, S4)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final

from laurel.contracts.activity import ReportedActivity
from laurel.program import CompiledProgram, RuleOutcome, basis_of
from laurel.program.bases import ActivityLike
from laurel.program.outcomes import TOLD_WHOLE_MAX, Outcomes, Silent
from laurel.values import AMOUNT_MAX
from services.points.domain.asked import Report
from services.points.domain.birthdays import await_birthday
from services.points.domain.capping import cap, may_count, spent_limits
from services.points.domain.concerning import have_room, name_referrer, shares_of
from services.points.domain.facts import (
    ActivityPosted,
    ActivityRefused,
    AnyFact,
    BudgetDrawn,
    Counted,
    DebtPaid,
    KeyTaken,
    LotsExpired,
    PendingReleased,
    PointsRevived,
    RuleJudged,
)
from services.points.domain.funding import fund
from services.points.domain.granting import fits, pay, points_of, summed
from services.points.domain.limiting import people_counted
from services.points.domain.moment import Moment
from services.points.domain.partnering import away
from services.points.domain.pending import release_by_event
from services.points.domain.reviving import revive
from services.points.domain.segmenting import joined
from services.points.domain.shared import Credit, Shared, key_name
from services.points.domain.state import Wallet
from services.points.domain.tiering import Seen, counts_of, may_qualify, seen_for, stands

_NOTHING: Final[Mapping[str, int]] = MappingProxyType({})


def earn(wallet: Wallet, asked: Report, activity: ReportedActivity, moment: Moment) -> tuple[AnyFact, ...]:
    """Judge by the version in force when it happened; grant, then let debts be paid (S11)."""
    program = moment.programs.in_force(wallet.program, activity.occurred_at, asked.versions.program)
    terms = moment.programs.terms(wallet.program, asked.partner, asked.versions.partners)
    refusal = _refusal(wallet, asked, activity, program) or away(terms, activity.occurred_at)
    if refusal is not None or program is None:
        code, detail = refusal or ("program_unknown", "No version of the program is published")
        return (ActivityRefused(activity=activity.id, partner=asked.partner, code=code, detail=detail),)
    key = key_name(program, activity.exclusive_key) if activity.exclusive_key is not None else None
    credit = moment.shared.keys.get(key) if key is not None else None
    if credit is not None:
        return (_already_credited(asked, activity, credit),)
    seen = seen_for(wallet, program, activity)
    others = moment.others
    of = (asked.partner, activity.of) if activity.of is not None else None
    keeps = _active_until(program, activity)
    released = release_by_event(wallet, activity.type, of, moment.at, activity.id, asked.partner)
    released += revive(wallet, activity, asked.partner, keeps, _owed_after(wallet, released), moment.at)
    outcomes, decision, counted = weigh(
        program, wallet, activity, asked.partner, moment.shared, seen, others, released=_summed_up(released)
    )
    granted = points_of(
        program,
        [
            (program.rules[place], decision[place].amount)
            for place in outcomes.told
            if decision[place].amount > 0 and program.rules[place].to is None
        ],
        activity=activity.id,
        partner=asked.partner,
        occurred_at=activity.occurred_at,
    )
    grants, funded = fund(wallet, granted, activity.id, asked.partner, asked.versions.partners, moment)
    # What a cap cuts is told before it is cut, and what is counted is told though no lot is made of it.
    is_told = program.is_capped or program.only_counts
    has_room = fits(wallet, summed(grants)) and (not others or have_room(program, decision, others))
    is_too_much = is_told and any(each.computed > AMOUNT_MAX for each in outcomes.spoken())
    qualified = counts_of(wallet, program, outcomes, activity, asked.partner, moment, asked.versions.program)
    if not has_room or is_too_much or not (may_count(counted) and may_qualify(wallet, qualified)):
        detail = f"A member's points of a unit, and what was ever earned of it, end at {AMOUNT_MAX}"
        return (ActivityRefused(activity=activity.id, partner=asked.partner, code="limit_reached", detail=detail),)
    is_brief = len(decision) > TOLD_WHOLE_MAX
    posted = ActivityPosted(
        activity=activity.id,
        partner=asked.partner,
        type=activity.type,
        occurred_at=activity.occurred_at,
        version=program.version,
        decision=tuple([decision[place] for place in outcomes.told] if is_brief else decision),
        active_until=keeps,
        member={name: wallet.attributes[name] for name in program.member_attributes if name in wallet.attributes},
        counted=counted,
        tier=seen.tier,
        tenure=seen.tenure,
        stands=stands(wallet, program),
        segments=seen.segments,
        shares=shares_of(program, decision, others) if others else (),
        brief=is_brief,
    )
    named: list[AnyFact] = [*name_referrer(wallet, activity, others)] if others else []
    if program.birthdays is not None:
        named += await_birthday(wallet, program, moment.at)
    taken = () if key is None else (KeyTaken(group=key.group, key=key.key),)
    drawn = _drawn(program, decision) if program.budgeted else ()
    paid = pay(_owed_after(wallet, released), grants, moment.journal)
    joins = joined(wallet, program, activity)
    people = people_counted(program, wallet, counted)
    return (posted, *named, *taken, *drawn, *people, *funded, *released, *grants, *paid, *qualified, *joins)


def weigh(
    program: CompiledProgram,
    wallet: Wallet,
    activity: ActivityLike,
    partner: str | None,
    shared: Shared,
    seen: Seen | None = None,
    others: Collection[str] = (),
    *,
    released: Mapping[str, int] = _NOTHING,
) -> tuple[Outcomes, list[RuleJudged], tuple[Counted, ...]]:
    """Return what each rule makes of an activity, what caps and limits leave of it, and the counters that it moves.

    `others` are those who are there besides the member, by their roles; `released` is what of each unit the activity
    lets count that waited for it, or had ended without it, which is outstanding before it earns.
    """
    member = (seen or seen_for(wallet, program, activity)).member
    basis = basis_of(activity, partner=partner)
    spent = spent_limits(program, wallet, activity, shared) if program.limited else ()
    outcomes = program.evaluate(basis, member, spent=spent)
    if program.roles:
        outcomes = program.without(outcomes, others)
    decision = _silence(outcomes.silent).copy()
    for place in outcomes.told:
        decision[place] = _judged(outcomes[place])
    if program.counts or program.is_capped:
        return outcomes, *cap(program, wallet, member, activity, outcomes, decision, shared, released)
    return outcomes, decision, ()


def _drawn(program: CompiledProgram, decision: Sequence[RuleJudged]) -> list[BudgetDrawn]:
    """Return what is drawn from budgets, which the grants of one activity take up once for each rule."""
    granted = [(rule.id, decision[rule.index].amount) for rule in program.budgeted if not rule.counts_only]
    return [BudgetDrawn(rule=rule, amount=amount) for rule, amount in granted if amount]


def _already_credited(asked: Report, activity: ReportedActivity, credit: Credit) -> ActivityRefused:
    return ActivityRefused(
        activity=activity.id,
        partner=asked.partner,
        code="already_credited",
        detail=f"This was credited in {credit.program}",
        facts={"credited": {"program": credit.program}},
    )


def _refusal(
    wallet: Wallet, asked: Report, activity: ReportedActivity, program: CompiledProgram | None
) -> tuple[str, str] | None:
    """Return why the activity cannot be judged, as code and detail."""
    if not wallet.exists:
        return "member_unknown", "The member is not enrolled"
    # What would have ended something of an account's own past, had it come early, is judged there; all that is left
    # there goes on to the account that it became a part of.
    is_of_its_past = wallet.merged_into is not None and (asked.partner, activity.of) in wallet.postings
    if wallet.status != "active" and not is_of_its_past:
        return "member_not_active", f"The member is {wallet.status}"
    if program is None:
        return "program_unknown", "No version of the program is published"
    return not_taken(program, activity, asked.at)


def not_taken(program: CompiledProgram, activity: ActivityLike, at: datetime) -> tuple[str, str] | None:
    """Return why the program does not take the activity.

    Late is what was accepted late: `at` is the message's own. In a sandbox that is the last instant its clock was set
    to, or the activity's own time before there was one, so that nothing is late then.
    """
    if activity.currency is not None and activity.currency != program.currency:
        return "currency_not_accepted", f"The program counts {program.currency}, not {activity.currency}"
    if program.closes_at is not None and program.is_closed_at(activity.occurred_at):
        return "program_closed", f"The program closed on {program.closes_at.astimezone(program.zone):%Y-%m-%d}"
    if at >= program.claimable_until(activity.occurred_at):
        return "claim_too_late", f"It happened more than {program.late_claim_months} months ago"
    return None


def _silence(silent: Silent) -> list[RuleJudged]:
    """Return what is kept of rules that find nothing, made once for all activities that they are silent about."""
    if not silent.derived:
        silent.derived = [_judged(outcome) for outcome in silent.outcomes]
    return silent.derived


def _judged(outcome: RuleOutcome) -> RuleJudged:
    """Keep what a rule made of the activity; caps, where there are any, come between computed and amount."""
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


def _summed_up(released: Sequence[AnyFact]) -> Mapping[str, int]:
    """Return how much more of each unit is outstanding once what is released counts, or has ended."""
    more: dict[str, int] = {}
    for fact in released:
        if isinstance(fact, PendingReleased | PointsRevived | LotsExpired):
            sign = -1 if isinstance(fact, LotsExpired) else 1
            more[fact.unit] = more.get(fact.unit, 0) + sign * sum(part.amount for part in fact.parts)
    return more


def _owed_after(wallet: Wallet, released: Sequence[AnyFact]) -> dict[str, int]:
    """Return what is owed of each unit once what is released has paid."""
    owed = {unit: balance.owed for unit, balance in wallet.balances.items() if balance.owed}
    for fact in released:
        if isinstance(fact, DebtPaid):
            owed[fact.unit] -= sum(part.amount for part in fact.parts)
    return owed
