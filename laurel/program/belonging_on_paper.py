"""The segments of a case's one member: clubs are judged by adding up, day by day; a ranking needs others and is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING

from laurel.calendars import local_date, local_midnight
from laurel.program.belonging import SegmentBook, SegmentsChanged
from laurel.program.segments import ended, judgement_days

if TYPE_CHECKING:
    from laurel.program.compiled import CompiledProgram

Counted = Callable[[], Mapping[tuple[str, date], int]]
"""Returns what was counted of each unit on each day, less what came back."""


class SegmentsOnPaper:
    """Which segments the member belongs to, as time passes."""

    def __init__(self, program: CompiledProgram, since: datetime, counted: Counted) -> None:
        self._program = program
        self._at = since
        self._counted = counted
        self.book = SegmentBook()

    def pass_time(self, until: datetime) -> None:
        """Judge at each midnight at which something is judged, and let end what is over."""
        segments, zone = self._program.segments, self._program.zone
        if segments is None or until < self._at:
            return
        for day in judgement_days(local_date(self._at, zone), local_date(until, zone)):
            at = local_midnight(day, zone)
            if at <= until and segments.judged_on(day):
                self._end(at)
                self._move(segments.judge(self.book, at, self._measures(day), {}))
        self._end(until)
        self._at = until

    def join(self, activity_type: str, occurred_at: datetime) -> None:
        """Let an activity take the member in."""
        if self._program.segments is not None:
            self._move(self._program.segments.joined(self.book, activity_type, occurred_at))

    def seen(self) -> dict[str, bool]:
        """Return the segments, and whether each is the primary one."""
        return {each.segment: each.primary for each in self.book.held}

    def _end(self, until: datetime) -> None:
        while self.book.ends_at is not None and self.book.ends_at <= until:
            self._move(ended(self.book, self.book.ends_at))

    def _measures(self, day: date) -> dict[str, int]:
        counted = self._counted()
        measures = {}
        for segment in self._program.segments.segments if self._program.segments is not None else ():
            if segment.sum is not None:
                first, end = segment.sum.window(day)
                unit = segment.sum.unit
                measures[segment.name] = sum(
                    amount for (name, on), amount in counted.items() if name == unit and first <= on < end
                )
        return measures

    def _move(self, fact: SegmentsChanged | None) -> None:
        if fact is not None:
            self.book.apply(fact)
