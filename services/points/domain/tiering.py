"""Tiers in a wallet: what an activity counts, what a return takes back, and what time brings (S15).

The rules of climbing are in `laurel.program.climbing`, pure and shared with paper; here they meet the wallet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from laurel.contracts.activity import ReportedActivity
from laurel.program import CompiledProgram, RuleOutcome
from laurel.program.bases import ActivityLike
from laurel.program.climbing import Climber, Counted, Progress, count, judged, progress_of, review, take_back
from laurel.program.document import Benefit
from laurel.program.standing import (
    BEGINNING,
    AnyTierFact,
    Standing,
    TierBook,
    TierChanged,
    TierFact,
    TierKept,
)
from laurel.program.tiers import CompiledTiers, seen_as
from services.points.domain.facts import AnyFact, RuleJudged
from services.points.domain.moment import Programs
from services.points.domain.state import Posting, Wallet

ANY_VERSION = 2**31


class Seen(NamedTuple):
    """A member as rules see it for one activity: its attributes, and the tier and tenure that count for it."""

    member: Mapping[str, Any]
    tier: str = ""
    tenure: int = 0


def climber_of(wallet: Wallet, tiers: CompiledTiers, journal: int) -> Climber:
    """Return the member among the tiers of one version."""
    return Climber(tiers, wallet.tiers or TierBook(), wallet.enrolled_at or BEGINNING, journal)


def seen_for(wallet: Wallet, program: CompiledProgram, activity: ActivityLike) -> Seen:
    """Return how the rules see the member for an activity: by the tier of the instant that the program names (S9)."""
    tiers = program.tiers
    if tiers is None:
        return Seen(wallet.attributes)
    at = tiers.judged_at(activity.occurred_at, activity.attributes)
    tier, tenure = judged(climber_of(wallet, tiers, 0), at)
    return Seen(seen_as(wallet.attributes, tier, tenure), tier, tenure)


def counts_of(
    wallet: Wallet,
    program: CompiledProgram,
    outcomes: Sequence[RuleOutcome],
    activity: ReportedActivity,
    partner: str,
    at: datetime,
    journal: int,
) -> list[AnyTierFact]:
    """Return what an activity counts towards tiers, and where that leads."""
    if program.tiers is None:
        return []
    counted = [
        Counted(outcome.rule.id, outcome.rule.unit, outcome.computed)
        for outcome in outcomes
        if outcome.rule.counts_only and outcome.computed > 0 and outcome.rule.to is None
    ]
    if not counted:
        return []
    climber = climber_of(wallet, program.tiers, journal)
    return count(climber, counted, activity.id, partner, activity.occurred_at, at)


def counts_back(
    wallet: Wallet,
    program: CompiledProgram,
    posting: Posting,
    back: Iterable[RuleJudged],
    at: datetime,
    journal: int,
) -> list[AnyTierFact]:
    """Return what a return takes back of what its original had counted, and where that leads."""
    if program.tiers is None:
        return []
    counted = {fact.rule: fact for fact in posting.qualified}
    taken = [(counted[judged.rule], judged.amount) for judged in back if judged.rule in counted]
    return take_back(climber_of(wallet, program.tiers, journal), taken, posting.journal, at) if taken else []


def stands(wallet: Wallet, program: CompiledProgram) -> str:
    """Return the tier that the member has now; nothing where the program has none."""
    if program.tiers is None:
        return ""
    standing = wallet.tiers.standing if wallet.tiers is not None else None
    return program.tiers.first if standing is None else standing.tier


def tier_due_at(wallet: Wallet) -> datetime | None:
    """Return when time alone next looks at the member's tier."""
    standing = wallet.tiers.standing if wallet.tiers is not None else None
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
