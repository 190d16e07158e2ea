"""How a member rises, stays and falls among the tiers: pure functions of what was counted and of time (S15).

Each takes a book and returns the facts that move it. Rising takes effect at once, dated when the activity happened,
but never before the last change, so that what is decided later finds one history.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from laurel.calendars import (
    calendar_year,
    days_after,
    local_date,
    local_midnight,
    months_after,
    years_after,
)
from laurel.errors import Refused
from laurel.program.rebasing import joined_counts
from laurel.program.standing import (
    AnyTierFact,
    Bucket,
    Held,
    Matched,
    QualifyingCounted,
    QualifyingJoined,
    QualifyingReturned,
    Standing,
    TierBook,
    TierChanged,
    TierKept,
)

if TYPE_CHECKING:
    from laurel.program.tiers import CompiledLevel, CompiledMatch, CompiledTiers

_replace = msgspec.structs.replace
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Counted:
    """What one rule counts of an activity."""

    rule: str
    unit: str
    amount: int


@dataclass(frozen=True, slots=True)
class Climber:
    """One member among the tiers of one version, at one moment: `journal` is the one that is being decided."""

    tiers: CompiledTiers
    book: TierBook
    enrolled_at: datetime
    journal: int

    @property
    def enrolled(self) -> date:
        return local_date(self.enrolled_at, self.tiers.zone)

    @property
    def standing(self) -> Standing:
        """Return where the member stands; before anything happened, on the first tier since it enrolled."""
        return self.book.standing or Standing(self.tiers.first, self.enrolled_at)

    def earned(self, standing: Standing) -> Held:
        """Return what it stands on by its own counts."""
        return standing.earned or Held(self.tiers.first, self.enrolled_at)

    def day(self, instant: datetime) -> date:
        return local_date(instant, self.tiers.zone)


def judged(climber: Climber, at: datetime) -> tuple[str, int]:
    """Return the tier and the years of tenure that count for something that happened at an instant (S9)."""
    stood = climber.book.stood_at(at)
    if stood is None:
        return climber.tiers.first, 0
    return climber.tiers.level(stood.tier).tier, climber.tiers.tenure(stood.elite_from, at)


def count(
    climber: Climber,
    counted: Iterable[Counted],
    activity: str,
    partner: str,
    occurred_at: datetime,
    at: datetime,
    *,
    now: CompiledTiers | None = None,
) -> list[AnyTierFact]:
    """Count an activity, and let the member rise, or keep what it has, by what is there then.

    `now` are the tiers in force by now, where they are others than when it happened.
    """
    facts: list[AnyTierFact] = []
    standing = climber.standing
    in_tier = climber.book.standing is None or occurred_at >= standing.since_at
    for each in counted:
        buckets = climber.tiers.buckets(each.unit, occurred_at, climber.enrolled, in_tier=in_tier)
        challenge = each.amount if _counts_for_match(standing.matched, each.unit, occurred_at) else 0
        facts.append(
            QualifyingCounted(
                unit=each.unit,
                rule=each.rule,
                amount=each.amount,
                activity=activity,
                partner=partner,
                occurred_at=occurred_at,
                buckets=buckets,
                challenge=challenge,
            )
        )
    by_now = climber if now is None else replace(climber, tiers=now)
    return [*facts, *_after(climber, by_now, facts, occurred_at, at)] if facts else facts


def take_back(
    climber: Climber, taken: Iterable[tuple[QualifyingCounted, int]], counted_in: int, at: datetime
) -> list[AnyTierFact]:
    """Take back what no longer qualifies of an activity that journal `counted_in` counted, and what it had led to.

    What was counted since the tier before the present one went into reaching that, and is not asked for again.
    """
    facts: list[AnyTierFact] = []
    days: list[date] = []
    matched = climber.standing.matched
    for original, amount in taken:
        buckets = tuple(
            bucket for bucket in original.buckets if bucket.grain != "tier" or counted_in > climber.book.journal
        )
        days.append(climber.day(original.occurred_at))
        challenge = amount if _counts_for_match(matched, original.unit, original.occurred_at) else 0
        if matched is not None and challenge:
            challenge = min(challenge, matched.done)
        facts.append(
            QualifyingReturned(
                unit=original.unit,
                rule=original.rule,
                amount=amount,
                of=original.activity,
                partner=original.partner,
                buckets=buckets,
                challenge=challenge,
            )
        )
    if not facts:
        return facts
    trial = _tried(climber, facts)
    standing = _less(climber, trial, days[0], at)
    if not climber.tiers.month_end:
        standing = _up_to(replace(climber, book=trial), standing, at)
    return [*facts, *_moved(climber, trial, standing, at, "returned")]


def review(climber: Climber, due_at: datetime) -> list[AnyTierFact]:
    """Look at the member at the instant when time alone asks for it; always puts off the next look."""
    standing = climber.standing
    if standing.review_at is not None and standing.review_at <= due_at:
        looked_at = _reviewed(climber, _settled(standing), due_at)
        return _moved(climber, climber.book, looked_at, due_at, "reviewed")
    matched = standing.matched
    if matched is not None and not matched.over and not matched.kept and matched.until_at <= due_at:
        ended = _replace(standing, matched=_replace(matched, over=True))
        return _moved(climber, climber.book, ended, due_at, "match_failed")
    return []


def looked_at_from(climber: Climber, at: datetime) -> list[AnyTierFact]:
    """Say when a class that falls at the end of a month is looked at next, where it was to go by other tiers before."""
    tiers, standing = climber.tiers, climber.standing
    earned = climber.earned(standing).tier
    if not tiers.month_end or tiers.level(earned).tier != earned:
        return []
    looked_at = _replace(standing, review_at=_month_end(climber, climber.book, standing, climber.day(at)))
    return _moved(climber, climber.book, looked_at, at, "reviewed")


def match_tier(
    climber: Climber,
    tier: str,
    dated: date,
    at: datetime,
    *,
    issuer: str = "",
    until: date | None = None,
    needs: int | None = None,
) -> list[AnyTierFact]:
    """Give a rival's tier at once, for a time; raises Refused with `match_limit`, `proof_expired`, `not_eligible`.

    `until`, the last good day, and `needs` stand instead of the program's own where the caller may say so.
    """
    terms, standing, today = climber.tiers.match, climber.standing, climber.day(at)
    level = climber.tiers.level(tier)
    if terms is None or level.tier != tier or level.index <= climber.tiers.level(standing.tier).index:
        raise Refused("not_eligible", f"{tier} is no tier that can be matched for this member")
    if standing.matched_on is not None and today < years_after(standing.matched_on, terms.again_after_years):
        raise Refused("match_limit", f"A tier was matched on {standing.matched_on}")
    if not months_after(today, -terms.proof_months) <= dated <= today:
        raise Refused("proof_expired", f"The proof is of {dated}, and may be {terms.proof_months} months old")
    end = until + _ONE_DAY if until is not None else days_after(today, terms.lasts_days)
    matched = Matched(
        tier=tier,
        since_at=at,
        until_at=max(local_midnight(end, climber.tiers.zone), at),
        counter=terms.counter.name,
        unit=terms.counter.unit,
        needs=needs if needs is not None else challenge_of(level, terms),
        issuer=issuer,
        dated=dated,
    )
    return _moved(climber, climber.book, _replace(standing, matched=matched, matched_on=today), at, "matched")


def challenge_of(level: CompiledLevel, terms: CompiledMatch) -> int:
    """Return how much of a counter keeps a matched tier: its share of what the tier needs, rounded up."""
    whole = next((least for counter, least in level.needs if counter.name == terms.counter.name), 0)
    share = terms.percent / 100 * whole
    return -(-share.numerator // share.denominator)


def _counts_for_match(matched: Matched | None, unit: str, occurred_at: datetime) -> bool:
    return matched is not None and matched.unit == unit and matched.since_at <= occurred_at < matched.until_at


def _tried(climber: Climber, facts: Iterable[AnyTierFact]) -> TierBook:
    trial = climber.book.copy()
    for fact in facts:
        trial.apply(climber.journal, fact)
    return trial


def _after(
    climber: Climber, by_now: Climber, facts: list[AnyTierFact], occurred_at: datetime, at: datetime
) -> Iterator[AnyTierFact]:
    """Return what follows from what was just counted, by the tiers of when it happened and by those of now."""
    trial = _tried(climber, facts)
    standing = trial.standing or climber.standing
    now = max(occurred_at, at)
    reached_at = _not_before(climber, occurred_at)
    raised = _raised(climber, trial, standing, occurred_at, now)
    if raised is standing and climber.day(now) != climber.day(occurred_at):
        # What is reported late may only now, together with what came after it, be enough.
        raised = _raised(by_now, trial, standing, now, now)
        reached_at = now if raised is not standing else reached_at
    raised = _challenge_met(climber, raised, occurred_at)
    if by_now.tiers.month_end:
        raised = _replace(raised, review_at=_month_end(by_now, trial, raised, by_now.day(now)))
    yield from _moved(climber, trial, raised, reached_at, "reached")


def _not_before(climber: Climber, instant: datetime) -> datetime:
    stood = climber.book.stood
    return max(instant, stood[-1].at) if stood else instant


def _raised(climber: Climber, book: TierBook, standing: Standing, when: datetime, now: datetime) -> Standing:
    """Return the standing that the counts of a day lead up to; the same where they lead nowhere, or to what is over."""
    tiers, day, enrolled = climber.tiers, climber.day(when), climber.enrolled
    earned = climber.earned(standing)
    present = tiers.level(earned.tier)
    if tiers.one_step:
        above = tiers.levels[present.index + 1 : present.index + 2]
        fitting = above[0] if above and above[0].fits(book, day, enrolled) else tiers.levels[0]
    else:
        fitting = tiers.fitting(book, day, enrolled)
    until_at = tiers.end_of(fitting, day, enrolled)
    if until_at is not None and until_at <= now:
        return standing
    if fitting.index > present.index:
        return _earning(climber, standing, Held(fitting.tier, _not_before(climber, when), until_at), day)
    longer = until_at is not None and earned.until_at is not None and until_at > earned.until_at
    if fitting.index == present.index and longer and not fitting.keeps:
        return _earning(climber, standing, _replace(earned, until_at=until_at), day)
    return standing


def _earning(climber: Climber, standing: Standing, held: Held, day: date) -> Standing:
    """Put what was earned in place, and keep what a return of this season's counts leads back to."""
    season = calendar_year(day)[0]
    before = standing.before if standing.season == season else climber.earned(standing)
    elite_from = standing.elite_from if standing.elite_from is not None else held.since_at
    return _replace(
        _settled(standing), earned=held, before=before, season=season, elite_from=elite_from, review_at=held.until_at
    )


def _up_to(climber: Climber, standing: Standing, at: datetime) -> Standing:
    """Return what has become of a standing that is led back to by now: its end may have come meanwhile."""
    while standing.review_at is not None and standing.review_at <= at:
        standing = _reviewed(climber, _settled(standing), standing.review_at)
    return standing


def _settled(standing: Standing) -> Standing:
    """Let a match go that was kept: what is earned now stands on its own feet."""
    matched = standing.matched
    return _replace(standing, matched=None) if matched is not None and matched.kept else standing


def _challenge_met(climber: Climber, standing: Standing, occurred_at: datetime) -> Standing:
    """Turn a match that was kept into a tier that was earned; matched time then counts as tenure."""
    matched = standing.matched
    if matched is None or matched.kept or matched.done < matched.needs:
        return standing
    level = climber.tiers.level(matched.tier)
    elite_from = min(standing.elite_from, matched.since_at) if standing.elite_from is not None else matched.since_at
    if climber.tiers.level(climber.earned(standing).tier).index >= level.index:
        return _replace(standing, matched=None, elite_from=elite_from)
    until_at = climber.tiers.end_of(level, climber.day(occurred_at), climber.enrolled)
    return _replace(
        standing,
        earned=Held(matched.tier, matched.since_at, until_at),
        before=None,
        season=None,
        matched=_replace(matched, kept=True, beneath=standing.earned),
        elite_from=elite_from,
        review_at=until_at,
    )


def _challenge_lost(climber: Climber, standing: Standing, matched: Matched, at: datetime) -> Standing:
    """Let the match be as it was before what kept it came back: running, or over."""
    held = matched.beneath or Held(climber.tiers.first, climber.enrolled_at)
    elite_from = standing.elite_from if climber.tiers.level(held.tier).index else None
    undone = _replace(matched, kept=False, beneath=None, over=matched.until_at <= at)
    return _replace(standing, earned=held, matched=undone, elite_from=elite_from, review_at=held.until_at)


def _less(climber: Climber, book: TierBook, day: date, at: datetime) -> Standing:
    """Return the standing once counts of a day are fewer: what is left reaches, or what was held before, if better.

    A review that came since stands, and where classes fall at the end of a month, or step by step, a return only
    takes progress.
    """
    tiers, enrolled = climber.tiers, climber.enrolled
    standing = book.standing or climber.standing
    if tiers.month_end:
        return _replace(standing, review_at=_month_end(climber, book, standing, climber.day(at)))
    matched = standing.matched
    if matched is not None and matched.kept and matched.done < matched.needs:
        return _challenge_lost(climber, standing, matched, at)
    if tiers.one_step or standing.before is None or standing.season != calendar_year(day)[0]:
        return standing
    earned, before = climber.earned(standing), standing.before
    present, fitting = tiers.level(earned.tier), tiers.fitting(book, day, enrolled)
    if fitting.index >= present.index:
        return standing
    if fitting.index and fitting.index >= tiers.level(before.tier).index:
        held = Held(fitting.tier, at, tiers.end_of(fitting, day, enrolled))
        return _replace(standing, earned=held, review_at=held.until_at)
    held = before if before.tier == earned.tier else _replace(before, since_at=at)
    elite_from = standing.elite_from if tiers.level(before.tier).index else None
    return _replace(standing, earned=held, before=None, season=None, elite_from=elite_from, review_at=held.until_at)


def _reviewed(climber: Climber, standing: Standing, due_at: datetime) -> Standing:
    """Return the standing after a review, which looks at the day before it."""
    tiers, enrolled, book = climber.tiers, climber.enrolled, climber.book
    present = tiers.level(climber.earned(standing).tier)
    day = climber.day(due_at) - _ONE_DAY
    if tiers.month_end:
        fitting = tiers.fitting(book, day, enrolled)
        if fitting.index < present.index:
            standing = _fallen(standing, fitting, due_at, None)
        return _replace(standing, review_at=_month_end(climber, book, standing, day))
    if present.index and present.is_kept(book, day, enrolled):
        until_at = tiers.end_of(present, day, enrolled)
        if until_at is not None and until_at <= due_at:
            until_at = tiers.end_of(present, climber.day(due_at), enrolled)
        held = _replace(climber.earned(standing), until_at=until_at)
        return _replace(standing, earned=held, before=None, season=None, review_at=until_at)
    lowest = 0 if tiers.steps_down is None else max(0, present.index - tiers.steps_down)
    below = [level for level in tiers.levels[lowest : present.index] if level.fits(book, day, enrolled)]
    level = below[-1] if below else tiers.levels[lowest]
    until_at = tiers.end_of(level, day, enrolled)
    if until_at is not None and until_at <= due_at:
        until_at = tiers.end_of(level, climber.day(due_at), enrolled)
    return _fallen(standing, level, due_at, until_at)


def _fallen(standing: Standing, level: CompiledLevel, at: datetime, until_at: datetime | None) -> Standing:
    held = Held(level.tier, at, until_at)
    elite_from = standing.elite_from if level.index else None
    return _replace(standing, earned=held, before=None, season=None, elite_from=elite_from, review_at=held.until_at)


def _month_end(climber: Climber, book: TierBook, standing: Standing, day: date) -> datetime | None:
    """Return the first end of a month at which the earned tier will no longer fit, if nothing more happens."""
    level = climber.tiers.level(climber.earned(standing).tier)
    last = level.holds_through(book, day, climber.enrolled) if level.index else None
    if last is None:
        return None
    last = max(last, day - _ONE_DAY)
    first_of_next = months_after(date(last.year, last.month, 1), 1)
    # The last day of its month is looked at in that review, and the tier still fits it.
    if first_of_next - _ONE_DAY == last:
        first_of_next = months_after(first_of_next, 1)
    return local_midnight(first_of_next, climber.tiers.zone)


def _moved(climber: Climber, book: TierBook, standing: Standing, at: datetime, reason: str) -> list[AnyTierFact]:
    """Say what became of a standing: nothing, a change of the tier, or of something about it."""
    before = book.standing or climber.standing
    earned, matched = climber.earned(standing), standing.matched
    held = earned
    if matched is not None and not matched.over and not matched.kept:
        levels = climber.tiers
        if levels.level(matched.tier).index > levels.level(earned.tier).index:
            held = Held(matched.tier, matched.since_at, matched.until_at)
    at = _not_before(climber, at)
    if held.tier == before.tier:
        standing = _replace(standing, tier=held.tier, since_at=before.since_at, until_at=held.until_at)
        return [] if standing == before else [TierKept(at=at, reason=reason, standing=standing)]
    standing = _replace(standing, tier=held.tier, since_at=at, until_at=held.until_at)
    return [TierChanged(before=before.tier, after=held.tier, at=at, reason=reason, standing=standing)]


def join(climber: Climber, other: Climber, at: datetime) -> list[AnyTierFact]:
    """Count what another account counted, and stand where the better of the two stood, or higher."""
    counts = joined_counts(other.book, climber.enrolled)
    facts: list[AnyTierFact] = [QualifyingJoined(counts)] if counts else []
    trial = _tried(climber, facts)
    standing = _raised(climber, trial, _better(climber, other), at, at)
    if climber.tiers.month_end:
        standing = _replace(standing, review_at=_month_end(climber, trial, standing, climber.day(at)))
    return [*facts, *_moved(climber, trial, standing, at, "merged")]


def part(climber: Climber, counts: tuple[tuple[Bucket, int], ...], at: datetime) -> list[AnyTierFact]:
    """Count something no more that another account had counted; the tier stays until it is looked at again.

    Where that account has counted something late, there is more of it here as well, and the member rises by that.
    """
    if not counts:
        return []
    facts: list[AnyTierFact] = [QualifyingJoined(counts)]
    standing, trial = climber.standing, _tried(climber, facts)
    is_more = any(amount > 0 for _, amount in counts)
    if is_more:
        standing = _raised(climber, trial, standing, at, at)
    if climber.tiers.month_end:
        standing = _replace(standing, review_at=_month_end(climber, trial, standing, climber.day(at)))
    if is_more or climber.tiers.month_end:
        facts += _moved(climber, trial, standing, at, "merged" if is_more else "unmerged")
    return facts


def _better(climber: Climber, other: Climber) -> Standing:
    """Return what is best of two standings: what was earned, what was matched, and how long without a break."""
    mine, theirs, tiers = climber.standing, other.standing, climber.tiers
    better = mine
    if tiers.level(climber.earned(mine).tier).index < tiers.level(other.earned(theirs).tier).index:
        better = _replace(_settled(mine), earned=theirs.earned, before=None, season=None, review_at=theirs.review_at)
    running = theirs.matched is not None and not theirs.matched.over and not theirs.matched.kept
    if running and (better.matched is None or better.matched.over):
        better = _replace(better, matched=theirs.matched)
    on = [each for each in (mine.matched_on, theirs.matched_on) if each is not None]
    elite = [each for each in (mine.elite_from, theirs.elite_from) if each is not None]
    return _replace(better, matched_on=max(on, default=None), elite_from=min(elite, default=None))
