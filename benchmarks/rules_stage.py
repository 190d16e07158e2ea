"""The points stage with programs of 3, 40 and 300 rules, in one run: what rules cost where everything else is done too.

Each turn is one of `points_stage`, on servers of its own: from events on Kafka to a committed ledger and published
events. The three take turns with the same baskets, there and back (3, 40, 300, 300, 40, 3), so that a machine that
changes its pace weighs on all alike.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg

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
)
from benchmarks.results import bar
from benchmarks.servers import Servers, servers
from benchmarks.workers import at_work, watched

SHARES_MIN = {40: 0.85, 300: 0.6}
"""Of the rate with the fewest rules: 15 and 40 % slower."""

_THERE_AND_BACK = 2


@dataclass(slots=True)
class Turned:
    """One program, and what its turns gave."""

    rules: int
    count: int = 0
    seconds: float = 0.0
    rates: list[float] = field(default_factory=list)
    cpu: list[dict[str, float]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    lots: float = 0.0

    @property
    def rate(self) -> float:
        return self.count / self.seconds if self.seconds else 0.0


async def run(count: int, households: int | None, tell: Callable[[str], None]) -> dict[str, Any]:
    """Measure all of them, each with `count` baskets in two turns; `households` None: those who bought them."""
    size = count // _THERE_AND_BACK
    members = household_ids(households) if households is not None else _buyers(size)
    turns = [Turned(rules) for rules in SIZES]
    for turn in (*turns, *reversed(turns)):
        tell(f"{turn.rules} rules, {size:,} baskets")
        await _take(turn, size, members, households)
    least = turns[0]
    return {
        "name": "points-rules",
        "what": "the points stage with 3, 40 and 300 rules",
        "activities": size * _THERE_AND_BACK,
        "workers": WORKERS,
        "long_enough": all(turn.seconds >= SHORTEST_SECONDS for turn in turns),
        "programs": [_document(turn) for turn in turns],
        "faults": [fault for turn in turns for fault in turn.faults],
        "bars": [
            bar(
                f"rate with {turn.rules} rules, as a share of that with {least.rules}",
                turn.rate / (least.rate or 1),
                wanted,
            )
            for turn in turns
            if (wanted := SHARES_MIN.get(turn.rules))
        ],
    }


def _buyers(count: int) -> list[str]:
    """Name those whose baskets these are."""
    return sorted({event.member for event in real_baskets("any", count)})


async def _take(turn: Turned, size: int, members: Sequence[str], households: int | None) -> None:
    """Let one program have its turn: its baskets lie on the topic before the workers start."""
    name, document = program_of(turn.rules)
    async with servers() as place:
        feed = Feed(place.kafka, name)
        await feed.publish_program(json.dumps(document))
        enrolled = await feed.produce(enrolments(name, members))
        async with published_by(place) as published, at_work(place, points=WORKERS):
            if not await until_done(place, published, enrolled, [], []):
                raise RuntimeError("The members were not enrolled in time")
            await all_marked(place)
        await feed.produce(real_baskets(name, size, households=households))
        samples: list[Counted] = []
        async with (
            published_by(place) as published,
            at_work(place, points=WORKERS) as workers,
            watched(place, workers) as watch,
        ):
            await until_done(place, published, enrolled + size, samples, workers)
            await all_marked(place)
        faults, journals, refused = await verify_ledger(place)
        if journals != enrolled + size or refused:
            faults.append(f"{name}: {journals} journals, {refused} refused, {enrolled + size} were asked for")
        turn.lots = round(await _lots(place) / size, 2)
    found = rates(samples, WINDOW_SECONDS)
    turn.count += found.count
    turn.seconds += found.seconds
    turn.rates.append(round(found.mean, 1))
    turn.cpu.append(cpu_a_thousand(watch, size))
    turn.faults += faults


async def _lots(place: Servers) -> int:
    connection = await asyncpg.connect(place.databases.auditor)
    try:
        return int(await connection.fetchval("select count(*) from points.lots"))
    finally:
        await connection.close()


def _document(turn: Turned) -> dict[str, Any]:
    return {
        "rules": turn.rules,
        "rate": round(turn.rate, 1),
        "rates": turn.rates,
        "seconds": round(turn.seconds, 2),
        "lots_a_basket": turn.lots,
        "cpu_seconds_a_thousand": turn.cpu,
    }
