"""What an activity would earn, judged as it would be if it were reported now. Nothing is locked, nothing written."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from laurel.contracts.activity import QuotedActivity
from laurel.errors import Problem
from laurel.program import CompiledProgram, RuleOutcome
from laurel.values import AMOUNT_MAX
from services.points.domain.capping import counters_at
from services.points.domain.concerning import others_of, takes_part
from services.points.domain.earning import not_taken, weigh
from services.points.domain.facts import RuleJudged
from services.points.domain.moment import Programs
from services.points.domain.partnering import away
from services.points.domain.paying import credited_to
from services.points.domain.shared import BudgetName, Credit, KeyName, PersonName, Shared, key_name
from services.points.domain.state import Wallet
from services.points.domain.tiering import ANY_VERSION


class QuoteViews(Protocol):
    """What a quote reads."""

    async def budgets(self, program: str) -> dict[BudgetName, int]: ...
    async def people(self, program: str, person: str) -> dict[PersonName, int]: ...
    async def credited(self, key: KeyName) -> Credit | None: ...
    async def accounts(self, program: str, members: Collection[str]) -> dict[str, Wallet]: ...
    async def wallet(self, program: str, member: str, counters: Sequence[tuple[str, datetime]]) -> Wallet: ...


class NewestPrograms(Programs, Protocol):
    """Programs of which the newest version can be asked for."""

    def newest(self, program: str) -> CompiledProgram | None: ...


async def quote(
    views: QuoteViews, programs: NewestPrograms, program: str, activity: QuotedActivity, at: datetime | None
) -> dict[str, Any]:
    """Say what the activity would earn at an instant, and why; raises the problem that would refuse it.

    `at` is None where nothing is late.
    """
    judging = _version_for(programs, program, activity)
    if activity.type != "return":
        _refuse(
            not_taken(judging, activity, at or activity.occurred_at)
            or away(programs.terms(program, activity.partner or "", ANY_VERSION), activity.occurred_at)
        )
    if activity.exclusive_key is not None:
        credit = await views.credited(key_name(judging, activity.exclusive_key))
        if credit is not None:
            extra = {"credited": {"program": credit.program}}
            raise Problem("already_credited", f"This was credited in {credit.program}", extra=extra)
    wallet, others = Wallet(program, ""), dict[str, Wallet]()
    if isinstance(activity.member, str):
        wallet, others = await _concerned(views, judging, activity, activity.member)
    people = await views.people(program, wallet.person) if judging.limited_by_person and wallet.person else {}
    shared = Shared(budgets=await views.budgets(program) if judging.budgeted else {}, people=people)
    outcomes, decision, _ = weigh(judging, wallet, activity, None, shared, others=others)
    if any(outcome.computed > AMOUNT_MAX for outcome in outcomes):
        raise Problem("limit_reached", f"An award ends at {AMOUNT_MAX}")
    return _quoted(judging, outcomes, decision, activity, wallet.member or None, others)


async def _concerned(
    views: QuoteViews, judging: CompiledProgram, activity: QuotedActivity, member: str
) -> tuple[Wallet, dict[str, Wallet]]:
    """Return who would be credited, and the others whom the activity concerns, by role."""
    program = judging.program
    payee = credited_to(judging, activity, member)
    if payee != member:
        payee = (await views.accounts(program, [payee]))[payee].member
    wallet = await views.wallet(program, payee, counters_at(judging, activity) if judging.counts else [])
    if not wallet.exists:
        raise Problem("member_unknown", "No such member")
    if wallet.status != "active":
        raise Problem("member_not_active", f"The member is {wallet.status}")
    names = others_of(judging.roles, activity, wallet)
    accounts = await views.accounts(program, set(names.values())) if names else {}
    others = {role: accounts[name] for role, name in names.items()}
    return wallet, {
        role: other for role, other in others.items() if other.member != wallet.member and takes_part(wallet, other)
    }


def _refuse(reason: tuple[str, str] | None) -> None:
    if reason is not None:
        raise Problem(*reason)


def _version_for(programs: NewestPrograms, program: str, activity: QuotedActivity) -> CompiledProgram:
    newest = programs.newest(program)
    found = programs.in_force(program, activity.occurred_at, newest.version) if newest is not None else None
    if found is None:
        raise Problem("program_unknown", "No such program")
    return found


def _quoted(
    judging: CompiledProgram,
    outcomes: Sequence[RuleOutcome],
    decision: Sequence[RuleJudged],
    activity: QuotedActivity,
    member: str | None,
    others: Mapping[str, Wallet],
) -> dict[str, Any]:
    """Say what the activity would earn: awards without lots, and the decision."""
    awards = [
        {
            "member": member if outcome.rule.to is None else others[outcome.rule.to].member,
            "rule": outcome.rule.id,
            "unit": outcome.rule.unit,
            "amount": judged.amount,
            "state": "available" if outcome.rule.pending is None else "pending",
            "available_at": judging.available_at(outcome.rule, activity.occurred_at),
            "expires_at": judging.expires_at(outcome.rule, activity.occurred_at),
            "funding": [{"partner": outcome.rule.funder, "amount": judged.amount}],
        }
        for outcome, judged in zip(outcomes, decision, strict=True)
        if judged.amount > 0 and not outcome.rule.counts_only
    ]
    return {
        # The member's own come first, as when it is posted.
        "awards": sorted(awards, key=lambda each: "" if each["member"] == member else str(each["member"])),
        "decision": [judged.shown() for judged in decision],
        "version": judging.version,
    }
