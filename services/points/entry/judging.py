"""Members are judged: all of a program at one instant, in steps that can stop and go on anywhere.

Segments are judged at midnights. When a version starts by whose tiers classes fall at the end of a month, all members
are looked at by these: each knows when it is looked at next, and knew it by other tiers until then.

On a wall clock a timer looks for what is due; a manual clock is turned through its judgements in their order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from functools import partial
from typing import Protocol

from laurel.calendars import local_date, local_midnight
from laurel.io.database import Connection
from laurel.io.health import Health
from laurel.io.keeping import keep_doing
from laurel.io.telemetry import logger
from laurel.io.unit import UnitOfWork
from laurel.program.segments import CompiledSegment
from services.points.domain.facts import AnyFact
from services.points.domain.moment import Programs
from services.points.domain.segmenting import ANY_VERSION, Judgement, next_judgement
from services.points.entry.consumers import sayings_of
from services.points.ports import Announcement, OpenJudgement, Store, WalletKey
from services.points.road import Road

PART = "judge"
log = logger(__name__)


class JudgingStore(Store, Protocol):
    """A store that also knows how far judgements are."""

    async def judged_until(self, program: str, units: Sequence[tuple[str, str]]) -> datetime | None:
        """Return the instant of the last judgement, or the day of the first thing counted of programs' units."""

    async def first_unjudged(self, program: str, instants: Sequence[datetime]) -> datetime | None:
        """Return the first of some instants that no judgement was noted for."""

    async def begin_judgement(self, program: str, at: datetime, *, is_done: bool = False) -> None:
        """Note that members are to be judged, or that up to then there is nothing to judge."""

    async def open_judgement(self, programs: Sequence[str]) -> OpenJudgement | None:
        """Take hold of a judgement that is not done, and that nobody else has hold of."""

    async def measure(
        self, judgement: OpenJudgement, segments: Sequence[CompiledSegment], day: date, limit: int
    ) -> OpenJudgement:
        """Measure the next members; after the last of them, rank all. Return how the judgement stands then.

        `segments` that are ranked over another program follow when all others are measured.
        """

    async def to_judge(
        self,
        judgement: OpenJudgement,
        due: Sequence[CompiledSegment],
        known: Sequence[str],
        limit: int,
        *,
        tiers: bool = False,
    ) -> tuple[dict[WalletKey, dict[str, int]], bool]:
        """Return the next members to be judged with what was measured of them, and whether they are the last.

        With `tiers` all who have risen are among them.
        """

    async def clear(self, judgement: OpenJudgement, limit: int) -> None:
        """Forget the next of what was measured in other programs; once there is none, the judgement is done."""


class JudgedPrograms(Programs, Protocol):
    """Programs, of which those can be listed whose members are judged."""

    def to_judge(self) -> list[str]: ...
    def review_starts(self, program: str) -> list[datetime]: ...
    def units_of_segments(self, program: str) -> list[tuple[str, str]]: ...


class Judge:
    """Takes judgements step by step, inside the caller's transaction."""

    def __init__(self, road: Road, programs: JudgedPrograms, *, batch_max: int) -> None:
        self._road = road
        self._programs = programs
        self._batch_max = batch_max

    async def find(self, store: JudgingStore, program: str, until: datetime) -> OpenJudgement | None:
        """Take hold of a program's first judgement by an instant that is not done; None where there is none.

        Where time passes by itself, a program is judged from the first look at it on; what was before is not made up.
        """
        if not self._is_judged(program, until):
            return None
        found = await store.open_judgement([program])
        if found is not None:
            return found
        at = await self.next_at(store, program, until)
        if at is None:
            return None
        await store.begin_judgement(program, at)
        return await store.open_judgement([program])

    async def next_at(self, store: JudgingStore, program: str, until: datetime) -> datetime | None:
        """Return when a program's members are judged next, by an instant; nothing is begun on a manual clock."""
        if not self._is_judged(program, until):
            return None
        starts = self._starts(program, until)
        of_segments = await self._next_of_segments(store, program, until)
        of_tiers = await store.first_unjudged(program, starts) if starts else None
        return min((each for each in (of_segments, of_tiers) if each is not None), default=None)

    def _starts(self, program: str, until: datetime) -> list[datetime]:
        return [start for start in self._programs.review_starts(program) if start <= until]

    def _is_judged(self, program: str, until: datetime) -> bool:
        return bool(self._starts(program, until)) or self._programs.has_segments(program)

    async def _next_of_segments(self, store: JudgingStore, program: str, until: datetime) -> datetime | None:
        if not self._programs.has_segments(program):
            return None
        by_itself = self._programs.runs_by_itself(program)
        after = await store.judged_until(program, [] if by_itself else self._programs.units_of_segments(program))
        if after is None and by_itself:
            await store.begin_judgement(program, until, is_done=True)
        return None if after is None else next_judgement(self._programs, program, after, until)

    async def step(
        self, store: JudgingStore, found: OpenJudgement, *, turned_to: datetime | None = None
    ) -> tuple[list[AnyFact], list[Announcement]]:
        """Take the next step of a judgement: measure some members, or judge some; of few members both at once."""
        program = self._programs.in_force(found.program, found.at, ANY_VERSION)
        assert program is not None  # it was begun by a version
        day = local_date(found.at, program.zone)
        segments = program.segments.segments if program.segments is not None else ()
        if found.state == "clearing":
            await store.clear(found, self._batch_max)
            return [], []
        is_midnight = found.at == local_midnight(day, program.zone)
        due = [
            each
            for each in (segments if is_midnight else ())
            if each.is_judged_on(day) and self._can_be_judged(found, each)
        ]
        if found.state != "judging":
            found = await store.measure(found, due, day, self._batch_max)
        if found.state != "judging":
            return [], []
        by_tiers = found.at in self._programs.review_starts(found.program)
        known = [segment.name for segment in segments]
        measures, _ = await store.to_judge(found, due, known, self._batch_max, tiers=by_tiers)
        if not measures:
            return [], []
        judgement = Judgement(program, found.at, found.cuts, segments=is_midnight, tiers=by_tiers)
        return await self._road.run_judgement(store, judgement, measures, turned_to=turned_to)

    def _can_be_judged(self, found: OpenJudgement, segment: CompiledSegment) -> bool:
        """Whether there is anything to rank: over another program only where it is known, and counts that by day.

        Once members are judged, what was ranked says so, whatever is published meanwhile.
        """
        rank = segment.rank
        if rank is None or rank.over is None:
            return True
        if found.state == "judging":
            return segment.name in found.cuts
        other = self._programs.in_force(rank.over, found.at, ANY_VERSION)
        by_tiers = other is not None and other.tiers is not None and "day" in other.tiers.grains.get(rank.unit, ())
        if by_tiers or (rank.over, rank.unit) in self._programs.units_of_segments(rank.over):
            return True
        # Said at the first step, not at each of them.
        if found.state != "measuring" or found.after:
            return False
        log.warning(
            "a segment is not judged: there is nothing to rank over the other program",
            program=found.program,
            segment=segment.name,
            over=rank.over,
            unit=rank.unit,
            reason="unknown_program" if other is None else "not_counted",
            at=found.at.isoformat(),
        )
        return False


def _now() -> datetime:
    return datetime.now(UTC)


class JudgementTimer:
    """Judges members of programs whose time passes by itself."""

    def __init__(
        self,
        unit: UnitOfWork,
        judge: Judge,
        programs: JudgedPrograms,
        ledger: Callable[[Connection], JudgingStore],
        health: Health,
        *,
        interval_seconds: float,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._unit = unit
        self._judge = judge
        self._programs = programs
        self._ledger = ledger
        self._health = health
        self._interval_seconds = interval_seconds
        self._now = now

    async def run(self) -> None:
        """Judge what is due, again and again, until cancelled; trouble is told and waited out."""
        await keep_doing(self.run_once, partial(asyncio.sleep, self._interval_seconds), self._health, PART)

    async def run_once(self) -> int:
        """Take all steps that are due now; return how many there were."""
        steps = 0
        for program in self._programs.to_judge():
            while self._programs.runs_by_itself(program) and await self._step(program):
                steps += 1
        return steps

    async def _step(self, program: str) -> bool:
        async with self._unit.begin() as work:
            store = self._ledger(work.connection)
            found = await self._judge.find(store, program, self._now())
            if found is None:
                return False
            _, announcements = await self._judge.step(store, found)
            work.say_all(sayings_of(announcements))
        return True
