"""How far a member is on its way to the next tier: what each counter shows, and what more of it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import NamedTuple

from laurel.program.climbing import Climber
from laurel.values import AMOUNT_MAX


class Progress(NamedTuple):
    """How far a counter is: what it shows, in which window, and which tier asks for more of it next."""

    counter: str
    value: int
    first: date | None
    last: date | None
    tier: str | None
    needs: int | None


def progress_of(climber: Climber, at: datetime) -> Iterator[Progress]:
    """Return what each counter shows on the day of an instant."""
    tiers, day, enrolled = climber.tiers, climber.day(at), climber.enrolled
    earned = tiers.level(climber.earned(climber.standing).tier)
    for name, counter in tiers.counters.items():
        first, last = counter.bounds(day, enrolled)
        above = (
            (level.tier, least)
            for level in tiers.levels[earned.index + 1 :]
            for asked, least in level.needs
            if asked.name == name
        )
        tier, needs = next(above, (None, None))
        yield Progress(
            name,
            # Each of the days that a window rolls over may hold as much as an amount can say.
            min(max(0, counter.value(climber.book, day, enrolled)), AMOUNT_MAX),
            None if first == date.min else first,
            None if last == date.max else last,
            tier,
            needs,
        )
