"""A birthday comes by itself: an activity that nobody reports, once a year, at the program's time of the day."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from laurel.contracts.activity import ReportedActivity
from laurel.program import CompiledProgram, basis_of
from laurel.program.birthdays import BIRTHDAY
from services.points.domain.facts import ActivityPosted, AnyFact, BirthdayAwaited, RuleJudged
from services.points.domain.granting import fits, pay, points_of, summed
from services.points.domain.moment import Moment, Programs
from services.points.domain.state import Wallet
from services.points.domain.tiering import ANY_VERSION, counts_of, seen_for, stands

NEVER: Final = datetime.max.replace(tzinfo=UTC)
"""When nobody's birthday is."""


def await_birthday(wallet: Wallet, program: CompiledProgram | None, after: datetime) -> list[BirthdayAwaited]:
    """Look forward to the next birthday, where the program cares and nobody does yet."""
    if program is None or program.birthdays is None or wallet.birthday_at is not None:
        return []
    at = program.birthdays.next_after(wallet.attributes, after)
    return [] if at is None else [BirthdayAwaited(at=at)]


def await_another(
    wallet: Wallet, program: CompiledProgram | None, attributes: Mapping[str, Any], at: datetime
) -> list[BirthdayAwaited]:
    """Look forward to another birthday where a change says that the member was born on another day.

    It is not before the year of the one that was awaited: in an earlier one the member had its birthday.
    """
    birthdays = program.birthdays if program is not None else None
    if birthdays is None or attributes.get(birthdays.attribute) == wallet.attributes.get(birthdays.attribute):
        return []
    awaited = wallet.birthday_at
    year = (at if awaited is None or awaited >= NEVER else awaited).astimezone(birthdays.zone).year
    following = birthdays.next_in_or_after(year, attributes, at)
    return [] if following is None else [BirthdayAwaited(at=following)]


def birthday_due(wallet: Wallet, until: datetime) -> datetime | None:
    """Return when the next birthday is, by `until`."""
    return wallet.birthday_at if wallet.birthday_at is not None and wallet.birthday_at <= until else None


def celebrate(wallet: Wallet, at: datetime, programs: Programs) -> tuple[AnyFact, ...]:
    """Let the rules judge a birthday, by the version in force then; the next one is in a later year.

    It counts to no cap and no limit: it comes once a year whatever they say. Who has left is given nothing, nor who was
    awaited on a day that is not its birthday any more.
    """
    program = programs.in_force(wallet.program, at, ANY_VERSION)
    if program is None or program.birthdays is None:
        # The program has given them up; it may take them up again.
        return (BirthdayAwaited(at=at.replace(year=at.year + 1, day=min(at.day, 28))),)
    local = at.astimezone(program.zone)
    is_today = program.birthdays.is_on_day_of(wallet.attributes, at)
    following = program.birthdays.next_in_or_after(local.year + is_today, wallet.attributes, at)
    awaited = BirthdayAwaited(at=NEVER if following is None else following)
    if not is_today or wallet.status in {"closed", "erased"}:
        return (awaited,)
    activity = ReportedActivity(id=f"{BIRTHDAY}-{local.year}", type=BIRTHDAY, member=wallet.member, occurred_at=at)
    seen = seen_for(wallet, program, activity)
    outcomes = program.without(program.evaluate(basis_of(activity), seen.member), ())
    decision = [
        RuleJudged(
            rule=outcome.rule.id,
            fired=outcome.fired,
            reason=outcome.reason,
            computed=outcome.computed,
            amount=outcome.computed,
            unit=outcome.rule.unit,
        )
        for outcome in outcomes
    ]
    earning = [outcome.rule for outcome in outcomes if outcome.computed and not outcome.rule.counts_only]
    partner = earning[0].funder if earning else program.program
    grants = points_of(
        program,
        [(outcome.rule, outcome.computed) for outcome in outcomes],
        activity=activity.id,
        partner=partner,
        occurred_at=at,
    )
    journal = wallet.version + 1
    if not fits(wallet, summed(grants)):
        return (awaited,)
    posted = ActivityPosted(
        activity=activity.id,
        partner=partner,
        type=BIRTHDAY,
        occurred_at=at,
        version=program.version,
        decision=tuple(decision),
        tier=seen.tier,
        tenure=seen.tenure,
        stands=stands(wallet, program),
    )
    owed = {unit: balance.owed for unit, balance in wallet.balances.items() if balance.owed}
    qualified = counts_of(wallet, program, outcomes, activity, partner, Moment(at, journal, programs), ANY_VERSION)
    return (awaited, posted, *grants, *pay(owed, grants, journal), *qualified)
