"""Where a case's one member stands in the program's tiers, as time and what it does move it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from laurel.calendars import local_date
from laurel.errors import Refused
from laurel.program.climbing import Climber, Counted, count, join, judged, match_tier, part, review, take_back
from laurel.program.rebasing import joined_counts
from laurel.program.standing import QualifyingCounted, TierBook
from laurel.program.tiers import seen_as

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from laurel.contracts.activity import Activity
    from laurel.program.cases import Matching
    from laurel.program.compiled import CompiledProgram
    from laurel.program.rehearsing_paper import Posted
    from laurel.program.standing import AnyTierFact


class StandingOnPaper:
    """The tier of one member; in a program without tiers nothing happens here."""

    def __init__(self, program: CompiledProgram, enrolled_at: datetime) -> None:
        self._tiers = program.tiers
        self._zone = program.zone
        self._enrolled_at = enrolled_at
        self._book = TierBook()
        self._steps = 0

    def step(self) -> None:
        """Begin what is one decision."""
        self._steps += 1

    def look(self, until: datetime) -> None:
        """Let time look at the tier, as often as it is due."""
        climber = self._climber()
        while climber is not None and (standing := self._book.standing) is not None:
            if standing.due_at is None or standing.due_at > until:
                return
            self._move(review(climber, standing.due_at))

    def match(self, match: Matching) -> None:
        """Give the tier that a rival gave. Raises `Refused`."""
        climber = self._climber()
        if climber is None:
            raise Refused("not_eligible")
        self._move(match_tier(climber, match.tier, match.dated, match.at))

    def absorb(self, other: StandingOnPaper, at: datetime) -> None:
        """Count what another account has counted, and stand where the better of the two stood."""
        climber, theirs = self._climber(), other._climber()
        if climber is not None and theirs is not None:
            self._move(join(climber, theirs, at))

    def part_from(self, other: StandingOnPaper, at: datetime) -> None:
        """Count it no more."""
        climber = self._climber()
        if climber is not None:
            self._move(part(climber, joined_counts(other._book, climber.enrolled, sign=-1), at))

    def count(self, given: Sequence[Counted], posted: Posted, at: datetime) -> None:
        """Count towards the tiers what rules gave by an activity."""
        climber = self._climber()
        if climber is None:
            return
        given = [each for each in given if each.unit in climber.tiers.grains]
        if given:
            activity = posted.activity
            facts = count(climber, given, activity.id, "", activity.occurred_at, at)
            posted.counted |= {fact.rule: fact for fact in facts if isinstance(fact, QualifyingCounted)}
            posted.counted_in = self._steps
            self._move(facts)

    def take_back(self, taken: Sequence[tuple[QualifyingCounted, int]], counted_in: int, at: datetime) -> None:
        """Count less by what came back."""
        climber = self._climber()
        if climber is not None and taken:
            self._move(take_back(climber, taken, counted_in, at))

    def seen_for(
        self, activity: Activity, attributes: Mapping[str, Any], segments: tuple[str, ...]
    ) -> Mapping[str, Any]:
        """Return the member as conditions see it for an activity."""
        climber = self._climber()
        if climber is None:
            return seen_as(attributes, "", 0, segments)
        at = climber.tiers.judged_at(activity.occurred_at, activity.attributes)
        return seen_as(attributes, *judged(climber, at), segments)

    def seen(self, at: datetime) -> dict[str, Any]:
        """Return where the member stands; nothing where there are no tiers."""
        climber = self._climber()
        if climber is None:
            return {}
        standing, tiers = climber.standing, climber.tiers
        until_at = standing.until_at
        day, enrolled = climber.day(at), climber.enrolled
        return {
            "name": standing.tier,
            "since": local_date(standing.since_at, self._zone),
            "until": None if until_at is None else local_date(until_at, self._zone) - timedelta(days=1),
            "years": tiers.tenure(standing.elite_from, at),
            "benefits": tuple(benefit.name for benefit in tiers.level(standing.tier).benefits),
            "counters": {name: counter.value(self._book, day, enrolled) for name, counter in tiers.counters.items()},
        }

    def _climber(self) -> Climber | None:
        return None if self._tiers is None else Climber(self._tiers, self._book, self._enrolled_at, self._steps)

    def _move(self, facts: Sequence[AnyTierFact]) -> None:
        for fact in facts:
            self._book.apply(self._steps, fact)
