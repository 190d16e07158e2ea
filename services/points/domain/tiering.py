"""Tiers in a wallet: what an activity counts, what a return takes back, and what time brings (S15).

The rules of climbing are in `laurel.program.climbing`, pure and shared with paper; here they meet the wallet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec

from laurel.calendars import local_date
from laurel.contracts.activity import ReportedActivity
from laurel.program import CompiledProgram
from laurel.program.bases import ActivityLike
from laurel.program.climbing import Climber, Counted, count, judged, looked_at_from, review, take_back
from laurel.program.document import Benefit
from laurel.program.outcomes import Outcomes
from laurel.program.progress import Progress, progress_of
from laurel.program.standing import (
    BEGINNING,
    AnyTierFact,
    Bucket,
    QualifyingCounted,
    QualifyingReturned,
    Standing,
    TierBook,
    TierChanged,
    TierFact,
    TierKept,
)
from laurel.program.tiers import CompiledTiers, seen_as
from laurel.values import AMOUNT_MAX
from services.points.domain.facts import AnyFact, RuleJudged
from services.points.domain.moment import Moment, Programs
from services.points.domain.state import Posting, Wallet

ANY_VERSION = 2**31


class Seen(NamedTuple):
    """A member as rules see it for one activity: its attributes, and the tier and tenure that count for it."""

    member: Mapping[str, Any]
    tier: str = ""
    tenure: int = 0
    segments: tuple[str, ...] = ()


def climber_of(wallet: Wallet, tiers: CompiledTiers, journal: int) -> Climber:
    """Return the member among the tiers of one version."""
    return Climber(tiers, wallet.tiers or TierBook(), wallet.enrolled_at or BEGINNING, journal)


def seen_for(wallet: Wallet, program: CompiledProgram, activity: ActivityLike) -> Seen:
    """Return how the rules see the member for an activity: by the tier of the instant that the program names (S9)."""
    tiers = program.tiers
    segments = wallet.segments.at(activity.occurred_at) if program.segments is not None else ()
    if tiers is None:
        return Seen(seen_as(wallet.attributes, "", 0, segments), segments=segments)
    at = tiers.judged_at(activity.occurred_at, activity.attributes)
    tier, tenure = judged(climber_of(wallet, tiers, 0), at)
    return Seen(seen_as(wallet.attributes, tier, tenure, segments), tier, tenure, segments)


def counts_of(
    wallet: Wallet,
    program: CompiledProgram,
    outcomes: Outcomes,
    activity: ReportedActivity,
    partner: str,
    moment: Moment,
    newest: int,
) -> list[AnyTierFact]:
    """Return what an activity counts towards tiers, and where that leads; `newest` is the last version that counts."""
    if program.tiers is None and program.segments is None:
        return []
    counted = [
        Counted(outcome.rule.id, outcome.rule.unit, outcome.computed)
        for outcome in outcomes.spoken()
        if outcome.rule.counts_only and outcome.computed > 0 and outcome.rule.to is None
    ]
    if not counted:
        return []
    for_tiers, for_segments = parted(program, counted)
    facts: list[AnyTierFact] = []
    if program.tiers is not None and for_tiers:
        climber = climber_of(wallet, program.tiers, moment.journal)
        now = tiers_now(wallet, moment, newest, activity.occurred_at)
        facts = count(climber, for_tiers, activity.id, partner, activity.occurred_at, moment.at, now=now)
    facts += [_by_day(program, each, activity, partner) for each in for_segments]
    return facts


def tiers_now(wallet: Wallet, moment: Moment, newest: int, occurred_at: datetime) -> CompiledTiers | None:
    """Return the tiers in force by now, among the versions that a message may be judged by."""
    program = moment.programs.in_force(wallet.program, max(occurred_at, moment.at), newest)
    return program.tiers if program is not None else None


def may_qualify(wallet: Wallet, qualified: Iterable[object]) -> bool:
    """Say whether each sum of what only counts is still an amount with what an activity counts."""
    more: dict[Bucket, int] = {}
    for fact in qualified:
        if isinstance(fact, QualifyingCounted):
            for bucket in fact.buckets:
                more[bucket] = more.get(bucket, 0) + fact.amount
    counts = wallet.tiers.counts if wallet.tiers is not None else {}
    return all(
        counts.get((bucket.unit, bucket.grain), {}).get(bucket.day, 0) + amount <= AMOUNT_MAX
        for bucket, amount in more.items()
    )


def counts_back(
    wallet: Wallet,
    program: CompiledProgram,
    posting: Posting,
    back: Iterable[RuleJudged],
    moment: Moment,
    newest: int,
) -> list[AnyTierFact]:
    """Return what a return takes back of what its original had counted, and where that leads.

    A tier is lost where neither the version by which it was reached nor the one in force now leaves it: the member does
    not stand on the thresholds of the version that judged the original.
    """
    if program.tiers is None and program.segments is None:
        return []
    amounts = {judged.rule: judged.amount for judged in back}
    taken = [(fact, amounts[fact.rule]) for fact in posting.qualified if amounts.get(fact.rule)]
    by_day = [(fact, amount) for fact, amount in taken if _is_of_segments(program, fact)]
    of_tiers = [each for each in taken if each not in by_day]
    facts: list[AnyTierFact] = []
    if program.tiers is not None and of_tiers:
        standing_by = _standing_by(wallet, program.tiers, moment, newest)
        tried = [
            take_back(climber_of(wallet, tiers, moment.journal), of_tiers, posting.journal, moment.at)
            for tiers in standing_by
        ]
        facts = max(tried, key=lambda found: _height(standing_by[0], found))
    return [*facts, *(_less_by_day(fact, amount) for fact, amount in by_day)]


def _standing_by(wallet: Wallet, tiers: CompiledTiers, moment: Moment, newest: int) -> list[CompiledTiers]:
    """Return the tiers by which a member stands: those of now, and those of when it reached its tier; else `tiers`."""
    standing = wallet.tiers.standing if wallet.tiers is not None else None
    earned = standing.earned if standing is not None else None
    instants = [moment.at] if earned is None else [moment.at, earned.since_at]
    versions = [moment.programs.in_force(wallet.program, instant, newest) for instant in instants]
    found = [version.tiers for version in versions if version is not None and version.tiers is not None]
    # Of a tier that it does not know a version has nothing to say.
    knowing = [each for each in found if earned is None or each.level(earned.tier).tier == earned.tier]
    return list(dict.fromkeys(knowing)) or [tiers]


def _height(tiers: CompiledTiers, facts: Iterable[object]) -> tuple[bool, int]:
    """Return what is best for a member of what a return may lead to: it stays where it is, else the higher tier."""
    change = changed(facts)
    return (True, 0) if change is None else (False, tiers.level(change.after).index)


def parted(program: CompiledProgram, counted: Sequence[Counted]) -> tuple[list[Counted], list[Counted]]:
    """Part what is counted into what tiers go by, and what segments do: those by day, and by a fact of their own.

    A unit may be both; where tiers count it by day as well, it is counted once.
    """
    tiers, segments = program.tiers, program.segments
    grains = {} if tiers is None else tiers.grains
    for_tiers = [each for each in counted if tiers is not None and (each.unit in grains or segments is None)]
    measured = frozenset[str]() if segments is None else segments.units
    for_segments = [each for each in counted if each.unit in measured and "day" not in grains.get(each.unit, ())]
    return for_tiers, for_segments


def _by_day(program: CompiledProgram, counted: Counted, activity: ReportedActivity, partner: str) -> QualifyingCounted:
    """Count for segments: on the day on which it happened."""
    return QualifyingCounted(
        unit=counted.unit,
        rule=counted.rule,
        amount=counted.amount,
        activity=activity.id,
        partner=partner,
        occurred_at=activity.occurred_at,
        buckets=(Bucket(counted.unit, "day", local_date(activity.occurred_at, program.zone)),),
    )


def _is_of_segments(program: CompiledProgram, fact: QualifyingCounted) -> bool:
    """Whether a fact counted for segments alone: by day, where no tier counts that unit so."""
    grains = {} if program.tiers is None else program.tiers.grains
    return tuple(bucket.grain for bucket in fact.buckets) == ("day",) and "day" not in grains.get(fact.unit, ())


def _less_by_day(fact: QualifyingCounted, amount: int) -> QualifyingReturned:
    """Take back what was counted for segments; whoever was judged meanwhile stays as judged."""
    return QualifyingReturned(
        unit=fact.unit,
        rule=fact.rule,
        amount=amount,
        of=fact.activity,
        partner=fact.partner,
        buckets=fact.buckets,
    )


def stands(wallet: Wallet, program: CompiledProgram) -> str:
    """Return the tier that the member has now; nothing where the program has none."""
    if program.tiers is None:
        return ""
    standing = wallet.tiers.standing if wallet.tiers is not None else None
    return program.tiers.first if standing is None else standing.tier


def tier_due_at(wallet: Wallet) -> datetime | None:
    """Return when time alone next looks at the member's tier."""
    standing = wallet.tiers.standing if wallet.tiers is not None and wallet.merged_into is None else None
    return None if standing is None else standing.due_at


def reviewed(wallet: Wallet, due_at: datetime, programs: Programs) -> tuple[AnyFact, ...]:
    """Return what the review that is due at an instant leads to, by the version in force then."""
    program = programs.in_force(wallet.program, due_at, ANY_VERSION)
    if program is not None and program.tiers is not None:
        return tuple(review(climber_of(wallet, program.tiers, wallet.version + 1), due_at))
    standing = wallet.tiers.standing if wallet.tiers is not None else None
    if standing is None:
        return ()
    # The program has given up its tiers: nobody falls, and nobody is looked at again.
    still = msgspec.structs.replace(standing, review_at=None, matched=None)
    return (TierKept(at=due_at, reason="reviewed", standing=still),)


def review_starts(versions: Iterable[CompiledProgram]) -> list[datetime]:
    """Return when versions start whose classes fall at the end of a month, and by other tiers than before.

    Members whom nothing touches are to be looked at by these then; whoever counts anything is anyway.
    """
    ordered = sorted(versions, key=lambda each: (each.effective_from, each.version))
    return [
        after.effective_from
        for before, after in pairwise(ordered)
        if after.tiers is not None and after.tiers.month_end and after.document.tiers != before.document.tiers
    ]


def looked_again(wallet: Wallet, at: datetime, programs: Programs) -> tuple[AnyFact, ...]:
    """Return when a member is looked at next, by the tiers that are in force at an instant."""
    program = programs.in_force(wallet.program, at, ANY_VERSION)
    if program is None or program.tiers is None or wallet.merged_into is not None:
        return ()
    return tuple(looked_at_from(climber_of(wallet, program.tiers, wallet.version + 1), at))


class Shown(NamedTuple):
    """Where a member stands, with all that is shown of it."""

    standing: Standing
    benefits: tuple[Benefit, ...]
    progress: tuple[Progress, ...]
    years: int
    years_from: int | None


def shown(wallet: Wallet, program: CompiledProgram | None, at: datetime) -> Shown | None:
    """Return where the member stands at an instant; None where the program has no tiers."""
    if program is None or program.tiers is None:
        return None
    climber = climber_of(wallet, program.tiers, wallet.version)
    standing = climber.standing
    return Shown(
        standing,
        program.tiers.level(standing.tier).benefits,
        tuple(progress_of(climber, at)),
        program.tiers.tenure(standing.elite_from, at),
        program.tiers.first_full_year(standing.elite_from),
    )


def moves_tiers(facts: Iterable[object]) -> bool:
    """Say whether facts move a member's counts or tier."""
    return any(isinstance(fact, TierFact) for fact in facts)


def changed(facts: Iterable[object]) -> TierChanged | None:
    """Return the last change of the tier among facts."""
    last = None
    for fact in facts:
        if isinstance(fact, TierChanged):
            last = fact
    return last
