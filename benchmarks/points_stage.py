"""The points stage by itself: from events on Kafka to a committed ledger and published events, two workers.

Everything is on the topic before the workers start, so they are never short of work and nothing else takes the
processor. What is watched is what they have published: one event for each activity, which they say only after
its commit. The end of the work is read from the wallets.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import asyncpg
from aiokafka import TopicPartition

from benchmarks.beside import beside
from benchmarks.feed import Event, Feed, enrolments, household_ids, one_liners, real_baskets
from benchmarks.machine import ROOT
from benchmarks.numbers import Counted, rates, stretches
from benchmarks.results import bar
from benchmarks.servers import Servers, servers
from benchmarks.watching import Watch
from benchmarks.workers import at_work, watched
from laurel.contracts.registry import POINTS_TOPIC
from laurel.embedded.children import Child
from laurel.io.kafka import new_consumer, stop_quietly
from laurel.io.topics import PARTITIONS

WORKERS = 2
WINDOW_SECONDS = 10.0
SHORTEST_SECONDS = 30.0
STRETCH_SECONDS = 5.0
_EVERY_SECONDS = 0.25
_QUIET_SECONDS = 1.0
_STALLED_SECONDS = 60.0
_LONGEST_SECONDS = 300.0
# A rebalance may have some events said twice; more than that is not the work that was asked for.
_SAID_TWICE_SHARE = 0.02
# A wallet's version is the number of its last journal, and journals are numbered without gap.
_JOURNALS = "select coalesce(sum(version), 0)::bigint from points.wallets"


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to load the stage, and what it is held to."""

    name: str
    what: str
    households: int | None
    events: Callable[[str, int, int | None], Iterator[Event]]
    rate_min: float
    ratio_min: float = 0.0
    program: str = "grocery"

    def with_at_most(self, households: int | None) -> Variant:
        """Return it with fewer households, for a look that need not mean anything."""
        if households is None or self.households is None:
            return self
        return replace(self, households=min(self.households, households))


def _baskets(program: str, count: int, households: int | None) -> Iterator[Event]:
    return real_baskets(program, count, households=households)


def _one_line(program: str, count: int, households: int | None) -> Iterator[Event]:
    return one_liners(program, count, households or 1)


VARIANTS = (
    Variant("points", "real baskets, 2,469 households", None, _baskets, 6_000),
    Variant("points-250k", "real baskets over 250,000 members", 250_000, _baskets, 4_000),
    Variant("points-one-line", "one-line activities over 100,000 members", 100_000, _one_line, 7_000, 1.75),
    # Segments, counted sums, points that end by inactivity and a statement, beside what the other program does.
    Variant("points-clubcard", "real baskets, `clubcard` complete", None, _baskets, 6_000, program="clubcard"),
)


async def run(variant: Variant, count: int, tpcb_seconds: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Measure one variant on servers of its own, with TPC-B on the same Postgres before and after."""
    async with servers() as place, beside(place, tpcb_seconds, tell) as measured:
        program = variant.program
        feed = Feed(place.kafka, program)
        await feed.publish_program(_in_dollars((ROOT / "programs" / f"{program}.yaml").read_text(encoding="utf-8")))
        tell("enrolling")
        enrolled = await feed.produce(enrolments(program, household_ids(variant.households)))
        async with published_by(place) as published, at_work(place, points=WORKERS):
            if not await until_done(place, published, enrolled, [], []):
                raise RuntimeError("The members were not enrolled in time")
            # What is published but not yet marked would be published again by the next workers, and counted.
            await all_marked(place)
        tell(f"producing {count:,} activities")
        await feed.produce(variant.events(program, count, variant.households))
        tell("working")
        samples: list[Counted] = []
        async with (
            published_by(place) as published,
            at_work(place, points=WORKERS) as workers,
            watched(place, workers) as watch,
        ):
            complete = await until_done(place, published, enrolled + count, samples, workers)
            await all_marked(place)
        tell("checking the ledger")
        faults, journals, refused = await verify_ledger(place)
        if complete and journals != enrolled + count:
            faults.append(f"{journals} journals, {enrolled} enrolments and {count} activities")
        if samples and samples[-1].count > count * (1 + _SAID_TWICE_SHARE):
            faults.append(f"{samples[-1].count} events published for {count} activities: the rate means nothing")
    found = rates(samples, WINDOW_SECONDS)
    return {
        "name": variant.name,
        "what": variant.what,
        "activities": count,
        "workers": WORKERS,
        "complete": complete,
        "seconds": round(found.seconds, 2),
        "rate": round(found.mean, 1),
        "rate_first": round(found.first, 1),
        "rate_last": round(found.last, 1),
        "long_enough": found.seconds >= SHORTEST_SECONDS,
        **measured.document(found.mean),
        "processes": watch.document(),
        "timeline": [
            {"rate": round(rate), **processors}
            for rate, processors in zip(
                stretches(samples, STRETCH_SECONDS), watch.timeline(STRETCH_SECONDS), strict=False
            )
        ],
        "cpu_seconds_a_thousand": cpu_a_thousand(watch, count),
        "journals": journals,
        "refused": refused,
        "faults": faults,
        "bars": [
            bar(variant.what, found.mean, variant.rate_min, unit="/s"),
            *(
                [bar("as a multiple of TPC-B", measured.ratio(found.mean), variant.ratio_min)]
                if variant.ratio_min
                else []
            ),
            bar("last 10 s as a share of the first", found.last / (found.first or 1), 0.9),
            *(
                bar(f"memory of {process.name}", process.peak_mb, 200, at_most=True, unit=" MB")
                for process in watch.watched
                if process.name.startswith("points")
            ),
        ],
    }


def _in_dollars(text: str) -> str:
    """Return a program in the currency in which the baskets are paid."""
    return text.replace("GBP", "USD")


@asynccontextmanager
async def published_by(place: Servers) -> AsyncIterator[Callable[[], Any]]:
    """Give a function that tells how many events points has published, by the ends of its partitions."""
    consumer = new_consumer(place.kafka, None)
    await consumer.start()
    partitions = [TopicPartition(POINTS_TOPIC, number) for number in range(PARTITIONS)]

    async def count() -> int:
        return sum((await consumer.end_offsets(partitions)).values())

    try:
        yield count
    finally:
        await stop_quietly(consumer)


async def until_done(
    place: Servers,
    published: Callable[[], Any],
    journals: int,
    samples: list[Counted],
    workers: list[Child],
) -> bool:
    """Sample until there are so many journals; give up when nothing moves for a minute or it takes too long.

    The database is asked only when the topic has stopped growing, for asking it costs what is being measured.
    """
    connection = await asyncpg.connect(place.databases.auditor)
    try:
        started = moved = perf_counter()
        begin = last = await published()
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            count = await published()
            now = perf_counter()
            samples.append(Counted(now - started, count - begin))
            if count != last:
                last, moved = count, now
            elif now - moved > _QUIET_SECONDS and await connection.fetchval(_JOURNALS) >= journals:
                return True
            for worker in workers:
                if not worker.running:
                    words = worker.last_words()
                    raise RuntimeError(f"{worker.name} ended (exit code {worker.exit_code}):\n{words}")
            if now - moved > _STALLED_SECONDS or now - started > _LONGEST_SECONDS:
                return False
    finally:
        await connection.close()


async def all_marked(place: Servers) -> None:
    """Wait until everything is marked as published, which the relay gathers for a moment."""
    connection = await asyncpg.connect(place.databases.auditor)
    try:
        for _ in range(200):
            left = await connection.fetchval("select true from points.outbox_open limit 1")
            if not left:
                return
            await asyncio.sleep(0.1)
    finally:
        await connection.close()


async def verify_ledger(place: Servers) -> tuple[list[str], int, int]:
    """Prove the ledger; return what does not hold, how many journals there are, and how many were refused."""
    from services.points.verifying import Finding, verify

    connection = await asyncpg.connect(place.databases.auditor)
    faults: list[str] = []
    journals = 0
    try:
        async for found in verify(connection):
            if isinstance(found, Finding):
                faults.append(f"{found.proof}: {found.where}: {found.what}")
            else:
                journals = found
        refused = await connection.fetchval("select count(*) from points.activities where code is not null")
    finally:
        await connection.close()
    return faults, journals, int(refused)


def cpu_a_thousand(watch: Watch, count: int) -> dict[str, float]:
    """Tell the processor time of a thousand activities, by who used it."""
    shares: dict[str, float] = {"python": 0.0}
    for process in watch.watched:
        name = "python" if process.name.startswith("points") else process.name
        shares[name] = shares.get(name, 0.0) + process.cpu_seconds
    return {name: round(seconds / count * 1_000, 4) for name, seconds in shares.items()}
