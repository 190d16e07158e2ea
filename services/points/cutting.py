"""Where a batch is cut: before what has to see the messages ahead of it written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from services.points.decoding import Step, judged_by
from services.points.domain.asked import DecidePending, Merge, Report
from services.points.domain.converting import next_date
from services.points.ports import ProgramBook


def cut(steps: Sequence[Step], programs: ProgramBook) -> Iterable[Sequence[Step]]:
    """Cut a batch into parts that can each be loaded at once."""
    for part in _before_returns(steps):
        yield from _between_conversions(part, programs)


def _before_returns(steps: Sequence[Step]) -> Iterable[Sequence[Step]]:
    """Cut a batch before a return whose original is in it: what it takes back is loaded once that is written.

    The same holds for what is decided about an original's pending points.

    A merge stands alone, because who comes after it may belong to somebody else.
    """
    seen: set[tuple[str, str, str]] = set()
    start = 0
    for index, step in enumerate(steps):
        if isinstance(step.asked, Merge):
            if start < index:
                yield steps[start:index]
            yield steps[index : index + 1]
            start = index + 1
            seen.clear()
            continue
        name = _original(step)
        if name in seen:
            yield steps[start:index]
            start = index
            seen.clear()
        if step.activity is not None and isinstance(step.asked, Report):
            seen.add((step.key.program, step.asked.partner, step.activity.id))
    if start < len(steps):
        yield steps[start:]


def _original(step: Step) -> tuple[str, str, str] | None:
    """Return the name of the activity that a message takes back, decides about, or releases the shares of."""
    if isinstance(step.asked, DecidePending):
        return step.key.program, step.asked.partner, step.asked.activity
    if step.activity is not None and (step.takes_back or step.releases) and isinstance(step.asked, Report):
        return step.key.program, step.asked.partner, step.activity.of or ""
    return None


def _between_conversions(steps: Sequence[Step], programs: ProgramBook) -> Iterable[Sequence[Step]]:
    """Cut a batch where a date of conversion lies between its messages: what it converts is loaded whole."""
    dates: dict[str, datetime | None] = {}
    start = 0
    for index, step in enumerate(steps):
        program, asked = step.key.program, step.asked
        if not programs.conversions(program):
            continue
        until = asked.at if programs.runs_by_itself(program) else judged_by(asked, program).as_of
        date = next_date(program, until, programs) if until is not None else None
        if dates.setdefault(program, date) != date:
            yield steps[start:index]
            start, dates = index, {program: date}
    if start < len(steps):
        yield steps[start:]
