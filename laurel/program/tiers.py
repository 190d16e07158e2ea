"""The tiers of a program, ready to ask: what counts towards them, which one fits, how long one lasts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from laurel.calendars import account_year, calendar_year, days_after, local_date, local_midnight, months_after
from laurel.program.document import AccountYear
from laurel.program.expiry import expires_on
from laurel.program.scopes import SEGMENTS, TENURE, TIER
from laurel.program.standing import EVER, Bucket, Grain, TierBook

if TYPE_CHECKING:
    from fractions import Fraction
    from zoneinfo import ZoneInfo

    from laurel.program.document import Benefit, Counter, Level, Match, Tiers

_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class CompiledCounter:
    """A unit that counts, over a window of which each day belongs to one."""

    name: str
    unit: str
    window: Literal["calendar_year", "account_year", "rolling", "lifetime"]
    months: int | None
    days: int | None
    counts_months: bool
    grain: Grain

    def value(self, book: TierBook, day: date, enrolled: date) -> int:
        """Return what the counter shows on a day."""
        counts = book.counts.get((self.unit, self.grain))
        if not counts:
            return 0
        if self.grain in {"day", "tier"}:
            first, _ = self.bounds(day, enrolled)
            asked = (self.unit, self.grain, first, day, self.counts_months)
            value = book.seen.get(asked)
            if value is None:
                inside = [each for each, amount in counts.items() if amount and first <= each <= day]
                if self.counts_months:
                    value = len({(each.year, each.month) for each in inside})
                else:
                    value = sum([counts[each] for each in inside])
                book.seen[asked] = value
            return value
        return counts.get(self.bucket_day(day, enrolled), 0)

    def bucket_day(self, day: date, enrolled: date) -> date:
        """Return the day under which something of a day is kept."""
        if self.grain == "calendar_year":
            return calendar_year(day)[0]
        if self.grain == "account_year":
            return account_year(enrolled, day)[0]
        return EVER if self.grain == "ever" else day

    def bounds(self, day: date, enrolled: date) -> tuple[date, date]:
        """Return the first and the last day of the window that a day lies in; a rolling one ends with the day."""
        if self.window == "calendar_year":
            first, after = calendar_year(day)
            return first, after - _ONE_DAY
        if self.window == "account_year":
            first, after = account_year(enrolled, day)
            return first, after - _ONE_DAY
        if self.window == "lifetime":
            return date.min, date.max
        if self.months is not None:
            return first_of_rolling(day, self.months), day
        return day - timedelta(days=(self.days or 1) - 1), day

    def holds_through(self, least: int, book: TierBook, day: date, enrolled: date) -> date | None:
        """Return the last day on which the counter still shows `least`, if nothing more happens; None for ever.

        Where a return has left less than that, it is the day before.
        """
        if self.value(book, day, enrolled) < least:
            return day - _ONE_DAY
        if self.window == "lifetime":
            return None
        if self.window != "rolling":
            return self.bounds(day, enrolled)[1]
        counts = book.counts.get((self.unit, self.grain), {})
        reached = 0
        seen: set[tuple[int, int]] = set()
        last = day
        for each in sorted((each for each, amount in counts.items() if amount and each <= day), reverse=True):
            if self.counts_months:
                seen.add((each.year, each.month))
                reached = len(seen)
            else:
                reached += counts[each]
            last = each
            if reached >= least:
                break
        if self.months is not None:
            return months_after(last, self.months) - _ONE_DAY
        return days_after(last, self.days or 1) - _ONE_DAY


@lru_cache(maxsize=4096)
def first_of_rolling(day: date, months: int) -> date:
    """Return the first day that some months to a day reach back to: what was then is good for one day more."""
    first = months_after(day, -months)
    while months_after(first, months) <= day:
        first += _ONE_DAY
    return first


@dataclass(frozen=True, slots=True)
class CompiledLevel:
    """One tier. `keeps` is empty where a review asks for the needs again."""

    index: int
    tier: str
    needs: tuple[tuple[CompiledCounter, int], ...]
    keeps: tuple[tuple[CompiledCounter, int | None, int | None], ...]
    lasts: Any
    benefits: tuple[Benefit, ...]

    def fits(self, book: TierBook, day: date, enrolled: date) -> bool:
        """Whether everything that it needs is there on a day."""
        return all(counter.value(book, day, enrolled) >= least for counter, least in self.needs)

    def is_kept(self, book: TierBook, day: date, enrolled: date) -> bool:
        """Whether a review that looks at a day lets it stay."""
        if not self.keeps:
            return self.fits(book, day, enrolled)
        for counter, least, most in self.keeps:
            value = counter.value(book, day, enrolled)
            if (least is not None and value < least) or (most is not None and value > most):
                return False
        return True

    def holds_through(self, book: TierBook, day: date, enrolled: date) -> date | None:
        """Return the last day on which its needs are there, if nothing more happens; None for ever."""
        ends = [counter.holds_through(least, book, day, enrolled) for counter, least in self.needs]
        return min((end for end in ends if end is not None), default=None)


@dataclass(frozen=True, slots=True)
class CompiledMatch:
    """On what terms a rival's tier is matched."""

    proof_months: int
    lasts_days: int
    again_after_years: int
    counter: CompiledCounter
    percent: Fraction


@dataclass(frozen=True, slots=True, eq=False)
class CompiledTiers:
    """The tiers of one version of a program. `days_back` is how far its rolling windows reach."""

    zone: ZoneInfo
    counters: Mapping[str, CompiledCounter]
    levels: tuple[CompiledLevel, ...]
    one_step: bool
    month_end: bool
    steps_down: int | None
    judged_by: str | None
    match: CompiledMatch | None
    days_back: int

    @classmethod
    def from_document(cls, tiers: Tiers, zone: ZoneInfo) -> CompiledTiers:
        """Compile the tiers of a document that load_program gave."""
        counters = {name: _counter(name, counter) for name, counter in tiers.counters.items()}
        return cls(
            zone=zone,
            counters=counters,
            levels=tuple(_level(index, level, tiers, counters) for index, level in enumerate(tiers.levels)),
            one_step=tiers.climbs == "one_step",
            month_end=tiers.falls == "month_end",
            steps_down=tiers.steps_down,
            judged_by=None if tiers.judged_at == "occurred_at" else tiers.judged_at.removeprefix("attributes."),
            match=None if tiers.match is None else _match(tiers.match, counters),
            days_back=max((31 * (each.months or 0) + (each.days or 0) for each in counters.values()), default=0),
        )

    @property
    def first(self) -> str:
        """Return the tier that everybody has."""
        return self.levels[0].tier

    @property
    def grains(self) -> Mapping[str, frozenset[Grain]]:
        """Return how finely each unit is counted."""
        found: dict[str, frozenset[Grain]] = {}
        for counter in self.counters.values():
            found[counter.unit] = found.get(counter.unit, frozenset()) | {counter.grain}
        return found

    def level(self, tier: str | None) -> CompiledLevel:
        """Return a tier; one that this version does not know counts as the first."""
        for level in self.levels:
            if level.tier == tier:
                return level
        return self.levels[0]

    def fitting(self, book: TierBook, day: date, enrolled: date) -> CompiledLevel:
        """Return the highest tier whose needs are there on a day."""
        for level in reversed(self.levels):
            if level.fits(book, day, enrolled):
                return level
        return self.levels[0]

    def end_of(self, level: CompiledLevel, day: date, enrolled: date) -> datetime | None:
        """Return until when a tier lasts that was reached, or kept, on a day."""
        if level.lasts is None or level.index == 0:
            return None
        if isinstance(level.lasts, AccountYear):
            end: date | None = account_year(enrolled, account_year(enrolled, day)[1])[1]
        else:
            end = expires_on(level.lasts, day)
        return None if end is None else local_midnight(end, self.zone)

    def buckets(self, unit: str, occurred_at: datetime, enrolled: date, *, in_tier: bool) -> tuple[Bucket, ...]:
        """Return where something that happened is counted; `in_tier`: after the present tier was reached."""
        day = local_date(occurred_at, self.zone)
        found: dict[Bucket, None] = {}
        for counter in self.counters.values():
            if counter.unit == unit and (in_tier or counter.grain != "tier"):
                found[Bucket(unit, counter.grain, counter.bucket_day(day, enrolled))] = None
        return tuple(found)

    def judged_at(self, occurred_at: datetime, attributes: Mapping[str, Any]) -> datetime:
        """Return the instant whose tier an activity earns by; its own where it names none that can be read."""
        value = attributes.get(self.judged_by) if self.judged_by is not None else None
        if not isinstance(value, str):
            return occurred_at
        try:
            instant = datetime.fromisoformat(value)
        except ValueError:
            return occurred_at
        return occurred_at if instant.tzinfo is None or instant > occurred_at else instant

    def tenure(self, elite_from: datetime | None, at: datetime) -> int:
        """Return how many calendar years, complete and without a break, lie between."""
        first = self.first_full_year(elite_from)
        return 0 if first is None else max(0, local_date(at, self.zone).year - first)

    def first_full_year(self, elite_from: datetime | None) -> int | None:
        """Return the first calendar year that lies wholly behind an instant."""
        if elite_from is None:
            return None
        day = local_date(elite_from, self.zone)
        return day.year + (local_midnight(date(day.year, 1, 1), self.zone) < elite_from)


def seen_as(attributes: Mapping[str, Any], tier: str, tenure: int, segments: tuple[str, ...] = ()) -> Mapping[str, Any]:
    """Return a member as rules see it where there are tiers or segments."""
    seen = {**attributes, TIER: tier, TENURE: tenure} if tier else attributes
    return {**seen, SEGMENTS: segments} if segments else seen


def _counter(name: str, counter: Counter) -> CompiledCounter:
    grains: dict[str, Grain] = {
        "calendar_year": "calendar_year", "account_year": "account_year", "rolling": "day", "lifetime": "ever",
    }  # fmt: skip
    return CompiledCounter(
        name=name,
        unit=counter.unit,
        window=counter.window,
        months=counter.months,
        days=counter.days,
        counts_months=counter.counts == "months",
        grain="tier" if counter.since_tier else grains[counter.window],
    )


def _level(index: int, level: Level, tiers: Tiers, counters: Mapping[str, CompiledCounter]) -> CompiledLevel:
    return CompiledLevel(
        index=index,
        tier=level.tier,
        needs=tuple((counters[name], least) for name, least in level.needs.items()),
        keeps=tuple((counters[name], bounds.least, bounds.most) for name, bounds in level.keeps.items()),
        lasts=level.lasts or tiers.lasts,
        benefits=level.benefits,
    )


def _match(match: Match, counters: Mapping[str, CompiledCounter]) -> CompiledMatch:
    return CompiledMatch(
        proof_months=match.proof_months,
        lasts_days=match.lasts_days,
        again_after_years=match.again_after_years,
        counter=counters[match.challenge.counter],
        percent=match.challenge.percent,
    )


def names_of(levels: Sequence[CompiledLevel]) -> tuple[str, ...]:
    """Return the names of tiers, from the first to the highest."""
    return tuple(level.tier for level in levels)
