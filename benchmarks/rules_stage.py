"""The points stage with programs of 3, 40 and 300 rules, in one run: what rules cost where everything else is done too.

The three are programs of one Laurel with households of their own, given the same baskets. They take turns, there and
back (3, 40, 300, 300, 40, 3), so that what grows through a run weighs on all alike; each turn is one of
`points_stage`, from events on Kafka to a committed ledger and published events.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from benchmarks.feed import Feed, enrolments, household_ids, real_baskets
from benchmarks.made_programs import SIZES, program_of
from benchmarks.numbers import Counted, rates
from benchmarks.points_stage import (
    SHORTEST_SECONDS,
    WINDOW_SECONDS,
    WORKERS,
    all_marked,
    cpu_a_thousand,
    published_by,
    until_done,
    verify_ledger,
    workers_of,
)
from benchmarks.results import bar
from benchmarks.servers import Servers, servers
from benchmarks.watching import Watch

SHARES_MIN = {40: 0.85, 300: 0.6}
"""Of the rate with the fewest rules: 15 and 40 % slower."""

_THERE_AND_BACK = 2


@dataclass(slots=True)
class Turned:
    """One program, its feed, and what its turns gave."""

    rules: int
    feed: Feed
    name: str
    count: int = 0
    seconds: float = 0.0
    cpu: list[dict[str, float]] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return self.count / self.seconds if self.seconds else 0.0


async def run(count: int, households: int | None, tell: Callable[[str], None]) -> dict[str, Any]:
    """Measure all of them, each with `count` baskets in two turns; `households` None: those who bought them."""
    size = count // _THERE_AND_BACK
    async with servers() as place:
        turns = [await _publish(place, rules) for rules in SIZES]
        members = _members(size * _THERE_AND_BACK, households)
        tell("enrolling")
        expected = sum([await turn.feed.produce(enrolments(turn.name, members)) for turn in turns])
        async with published_by(place) as published, workers_of(place):
            if not await until_done(place, published, expected, [], []):
                raise RuntimeError("The members were not enrolled in time")
            await all_marked(place)
        faults: list[str] = []
        for way in range(_THERE_AND_BACK):
            for turn in turns if way % 2 == 0 else reversed(turns):
                tell(f"{turn.rules} rules, {size:,} baskets")
                expected += size
                if not await _take(place, turn, way * size, size, households, expected):
                    faults.append(f"{turn.name}: not done in time")
        tell("checking the ledger")
        found, journals, refused = await verify_ledger(place)
        faults += found
        if journals != expected:
            faults.append(f"{journals} journals, {expected} were asked for")
    least = turns[0]
    return {
        "name": "points-rules",
        "what": "the points stage with 3, 40 and 300 rules",
        "activities": size * _THERE_AND_BACK,
        "workers": WORKERS,
        "long_enough": all(turn.seconds >= SHORTEST_SECONDS for turn in turns),
        "programs": [_document(turn) for turn in turns],
        "refused": refused,
        "faults": faults,
        "bars": [
            bar(f"rate with {turn.rules} rules, as a share of that with {least.rules}", turn.rate / least.rate, wanted)
            for turn in turns
            if (wanted := SHARES_MIN.get(turn.rules))
        ],
    }


def _members(count: int, households: int | None) -> list[str]:
    """Name those whose baskets these are."""
    if households is not None:
        return household_ids(households)
    return sorted({event.member for event in real_baskets("any", count)})


async def _publish(place: Servers, rules: int) -> Turned:
    name, document = program_of(rules)
    feed = Feed(place.kafka, name)
    await feed.publish_program(json.dumps(document))
    return Turned(rules, feed, name)


async def _take(place: Servers, turn: Turned, start: int, size: int, households: int | None, journals: int) -> bool:
    """Let one program have its turn: its baskets lie on the topic before the workers start."""
    events = real_baskets(turn.name, start + size, households=households)
    await turn.feed.produce(islice(events, start, None))
    samples: list[Counted] = []
    async with published_by(place) as published, workers_of(place) as workers:
        pids = {**place.pids, **{worker.name: worker.pid for worker in workers}}
        async with Watch(pids, families=("postgres",)) as watch:
            complete = await until_done(place, published, journals, samples, workers)
        await all_marked(place)
    found = rates(samples, WINDOW_SECONDS)
    turn.count += found.count
    turn.seconds += found.seconds
    turn.rates.append(round(found.mean, 1))
    turn.cpu.append(cpu_a_thousand(watch, size))
    return complete


def _document(turn: Turned) -> dict[str, Any]:
    return {
        "rules": turn.rules,
        "rate": round(turn.rate, 1),
        "rates": turn.rates,
        "seconds": round(turn.seconds, 2),
        "cpu_seconds_a_thousand": turn.cpu,
    }
