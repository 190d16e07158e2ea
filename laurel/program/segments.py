"""The segments of a program, ready to ask: when they are judged, over which days, and who belongs to them then.

Pure: a judgement is given what was measured of a member, and the cuts that a ranking of all members came to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from laurel.calendars import days_after, local_date, local_midnight, months_after
from laurel.program.belonging import Belonging, SegmentBook, SegmentsChanged

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from laurel.program.document import Judged, Segment

_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS: Final = {"month": 1, "quarter": 3, "year": 12}
_replace = msgspec.structs.replace


class Days(NamedTuple):
    """From a day to just before another."""

    first: date
    end: date


class Cut(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a ranking of `size` members came to: the measure that takes a member in, and the one that lets it stay."""

    size: int = 0
    top: int | None = None
    keeps: int | None = None


@dataclass(frozen=True, slots=True)
class CompiledSum:
    """So much of a unit within some weeks, months or days before the judgement."""

    unit: str
    weeks: int | None
    months: int | None
    days: int | None
    least: int

    def window(self, day: date) -> Days:
        """Return the days that a judgement at the midnight of a day looks at."""
        if self.months is not None:
            return Days(months_after(day, -self.months), day)
        return Days(days_after(day, -(7 * self.weeks if self.weeks is not None else self.days or 0)), day)


@dataclass(frozen=True, slots=True)
class CompiledRank:
    """Those who come first by a unit of some months, among members who were active in each of the last quarters."""

    unit: str
    months: int
    top: Fraction | None
    keeps: Fraction | None
    active_quarters: int
    over: str | None = None
    """The other program whose members are ranked, if they are not those of this one."""

    def window(self, day: date) -> Days:
        return Days(months_after(day, -self.months), day)

    def quarters(self, day: date) -> tuple[Days, ...]:
        """Return the quarters in each of which there must be something, the latest first."""
        starts = [months_after(day, -3 * number) for number in range(self.active_quarters + 1)]
        return tuple(Days(first, end) for end, first in pairwise(starts))

    @staticmethod
    def place(share: Fraction, size: int) -> int:
        """Return the last place that counts as within a share of so many members: at least the first."""
        return max(int(share * size), 1)


@dataclass(frozen=True, slots=True)
class CompiledSegment:
    """One segment: either a sum or a rank judges it, or neither, where members only join it."""

    name: str
    sum: CompiledSum | None
    rank: CompiledRank | None
    judged: Judged | None
    lasts_days: int | None
    excludes: frozenset[str]
    joins_on: frozenset[str]
    joins_from: str | None

    @property
    def over(self) -> str | None:
        """The other program that it looks at."""
        return self.rank.over if self.rank is not None else None

    def is_judged_on(self, day: date) -> bool:
        """Whether the first moment of a day is one at which it is judged."""
        judged = self.judged
        if judged is None:
            return False
        if judged.every == "week":
            return day.weekday() == _WEEKDAYS.index(judged.on or "monday")
        return day.day == 1 and (day.month - 1) % _MONTHS[judged.every] == 0


@dataclass(frozen=True, slots=True, eq=False)
class CompiledSegments:
    """The segments of one version of a program."""

    zone: ZoneInfo
    segments: tuple[CompiledSegment, ...]
    units: frozenset[str]
    """What they measure in this program, counted by day."""
    units_of_others: frozenset[tuple[str, str]] = frozenset()
    """What they measure in other programs, each with the program."""

    @classmethod
    def from_document(cls, segments: Sequence[Segment], zone: ZoneInfo) -> CompiledSegments:
        """Compile the segments of a document that load_program gave."""
        compiled = tuple(_compiled(segment) for segment in segments)
        measures = [
            (each.unit, segment.over)
            for segment in compiled
            for each in (segment.sum, segment.rank)
            if each is not None
        ]
        own = frozenset(unit for unit, over in measures if over is None)
        return cls(zone, compiled, own, frozenset((over, unit) for unit, over in measures if over is not None))

    def judged_on(self, day: date) -> tuple[CompiledSegment, ...]:
        """Return the segments that are judged at the first moment of a day."""
        return tuple(segment for segment in self.segments if segment.is_judged_on(day))

    def joined(self, book: SegmentBook, activity_type: str, occurred_at: datetime) -> SegmentsChanged | None:
        """Return what an activity leads to by which members join a segment; nothing where it does not invite them."""
        there = set(book.at(occurred_at))
        for segment in self.segments:
            invites = segment.joins_from
            if activity_type not in segment.joins_on or segment.name in there:
                continue
            if invites is None or invites in there:
                left = (invites,) if invites is not None else ()
                return _changed(book, occurred_at, "joined", [self._belonging(segment, occurred_at)], left)
        return None

    def judge(
        self, book: SegmentBook, at: datetime, measures: Mapping[str, int], cuts: Mapping[str, Cut]
    ) -> SegmentsChanged | None:
        """Judge a member at a local midnight; None where nothing changes.

        `measures` are those of the member by segment, as far as it is to be thought of at all. Who leaves is decided
        first, because members of one segment may be excluded from another. A segment whose ranking over another program
        came to no cut at all, because there is nothing to rank there, is not judged: nobody enters, nobody leaves.
        """
        due = [each for each in self.judged_on(local_date(at, self.zone)) if each.over is None or each.name in cuts]
        before = {each.segment for each in book.held}
        known = {segment.name for segment in self.segments}
        left = [name for name in sorted(before) if name not in known]
        left += [each.name for each in due if each.name in before and not _stays(each, measures, cuts)]
        stay = before - set(left)
        entered = [
            self._belonging(each, at)
            for each in due
            if each.name not in stay and not each.excludes & stay and _enters(each, measures, cuts)
        ]
        # Who leaves and is taken in at one instant has only another end.
        again = {each.segment for each in entered}
        primary = _primary(due, stay | again, measures)
        return _changed(book, at, "judged", entered, tuple(name for name in left if name not in again), primary)

    def _belonging(self, segment: CompiledSegment, at: datetime) -> Belonging:
        if segment.lasts_days is None:
            return Belonging(segment.name, at)
        ends_on = days_after(local_date(at, self.zone), segment.lasts_days)
        return Belonging(segment.name, at, local_midnight(ends_on, self.zone))


def ended(book: SegmentBook, at: datetime) -> SegmentsChanged | None:
    """Return what is over by itself at an instant."""
    over = tuple(each.segment for each in book.held if each.until_at is not None and each.until_at <= at)
    return _changed(book, at, "ended", [], over) if over else None


def _stays(segment: CompiledSegment, measures: Mapping[str, int], cuts: Mapping[str, Cut]) -> bool:
    measure = measures.get(segment.name)
    if segment.rank is None:
        return segment.sum is not None and measure is not None and measure >= segment.sum.least
    cut = cuts.get(segment.name, Cut())
    bound = cut.keeps if segment.rank.keeps is not None else cut.top
    return measure is not None and bound is not None and measure >= bound


def _enters(segment: CompiledSegment, measures: Mapping[str, int], cuts: Mapping[str, Cut]) -> bool:
    measure = measures.get(segment.name)
    if segment.rank is None:
        return segment.sum is not None and measure is not None and measure >= segment.sum.least
    top = cuts.get(segment.name, Cut()).top
    return measure is not None and top is not None and measure >= top


def _primary(due: Sequence[CompiledSegment], held: set[str], measures: Mapping[str, int]) -> str | None:
    """Return the club whose threshold is exceeded most, of equals the first in the document; None where none is due."""
    ratios = {
        each.name: Fraction(measures[each.name], each.sum.least)
        for each in due
        if each.sum is not None and each.name in held and each.name in measures
    }
    return max(ratios, key=lambda name: ratios[name]) if ratios else None


def _changed(
    book: SegmentBook,
    at: datetime,
    reason: str,
    entered: Sequence[Belonging],
    left: tuple[str, ...],
    primary: str | None = None,
) -> SegmentsChanged | None:
    """Return the fact; without another primary club the present one stays it."""
    new = {each.segment: each for each in entered}
    held = [each for each in book.held if each.segment not in left and each.segment not in new]
    held = sorted((*held, *new.values()), key=lambda each: each.segment)
    chosen = primary or next((each.segment for each in book.held if each.primary), None)
    marked = tuple(_replace(each, primary=each.segment == chosen) for each in held)
    if marked == book.held:
        return None
    before = {each.segment for each in book.held}
    fresh = tuple(name for name in new if name not in before)
    gone = tuple(name for name in left if name in before)
    return SegmentsChanged(at=at, reason=reason, held=marked, entered=fresh, left=gone)


def _compiled(segment: Segment) -> CompiledSegment:
    summed, rank, joins = segment.sum, segment.rank, segment.joins
    return CompiledSegment(
        name=segment.segment,
        sum=None
        if summed is None
        else CompiledSum(summed.unit, summed.weeks, summed.months, summed.days, summed.least),
        rank=None
        if rank is None
        else CompiledRank(
            rank.unit,
            rank.months,
            None if rank.top is None else rank.top / 100,
            None if rank.keeps is None else rank.keeps / 100,
            rank.active_quarters,
            rank.over,
        ),
        judged=segment.judged,
        lasts_days=segment.lasts_days,
        excludes=frozenset(segment.excludes),
        joins_on=frozenset(joins.on if joins is not None else ()),
        joins_from=joins.from_ if joins is not None else None,
    )


ONE_DAY: Final = timedelta(days=1)


def judgement_days(after: date, through: date) -> Sequence[date]:
    """Return the days after one, up to another, at whose first moment something may be judged."""
    return [after + ONE_DAY * number for number in range(1, (through - after).days + 1)]
