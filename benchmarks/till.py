"""The till: `POST activities` with `Prefer: wait` at a set rate, from the moment it was due to the posted points."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.openloop import STRETCH_SECONDS
from benchmarks.results import bar
from benchmarks.running import Running, broker, running_after_tpcb
from benchmarks.sending import send
from benchmarks.servers import bench_dir
from benchmarks.watching import Watch
from laurel.replaying.complete_journey import baskets, products
from laurel.replaying.gateway import Gateway
from laurel.replaying.mapping import Enrolment, encode, purchase
from laurel.replaying.sending import HowToSend, Replay
from laurel.replaying.summary import ReplaySummary

PROGRAM = "grocery"
HOUSEHOLDS = 500
WARM_UP_SECONDS = 3
# The households at the till are not those of the batch.
_TILL = 1_000_000
_BATCH_BEGINS_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Load:
    """A rate, and what it is held to."""

    name: str
    rate: int
    p50_ms_max: float | None
    p99_ms_max: float
    beside_batch: bool = False


LOADS = (
    Load("till-100", 100, 20, 50),
    Load("till-200", 200, 30, 80),
    Load("till-50-batch", 50, None, 100, beside_batch=True),
)


async def run(
    seconds: int, tpcb_seconds: int, tell: Callable[[str], None], *, real_kafka: bool = False
) -> list[dict[str, Any]]:
    """Measure every load, each on a `laurel up` of its own, with the embedded broker or beside a real Apache Kafka."""
    rows = []
    for number, load in enumerate(LOADS):
        with bench_dir() as data_dir, broker(data_dir, real=real_kafka) as arguments:
            measured = running_after_tpcb(data_dir, load.name, tpcb_seconds, tell, *arguments)
            async with measured as (place, before):
                tell(f"{load.name}, enrolling")
                await enrol(place)
                tell(load.name)
                rows.append({**await _measure(place, load, number, seconds), "tpcb_before": before})
    return rows


async def _measure(place: Running, load: Load, number: int, seconds: int) -> dict[str, Any]:
    count = load.rate * (seconds + WARM_UP_SECONDS)
    file = place.data_dir / f"{load.name}.ndjson"
    await asyncio.to_thread(_write_bodies, file, number, count)
    async with _batch(place, beside=load.beside_batch) as still_running:
        async with Watch(place.pids, families=("postgres",)) as watch:
            told = await send(
                place,
                file,
                rate=load.rate,
                warm_up=load.rate * WARM_UP_SECONDS,
                path=f"/v1/programs/{PROGRAM}/activities",
            )
        ran_beside = still_running()
    posted = told["statuses"].get("201", 0)
    everything = told["answered"] + told["unanswered"]
    bars = [bar(f"p99 at {load.rate}/s", told["p99_ms"], load.p99_ms_max, at_most=True, unit=" ms")]
    if load.p50_ms_max is not None:
        bars.insert(0, bar(f"p50 at {load.rate}/s", told["p50_ms"], load.p50_ms_max, at_most=True, unit=" ms"))
    bars.append(bar("answered 201, in per cent", 100 * posted / (everything or 1), 100, unit=" %"))
    return {
        "name": load.name,
        **told,
        "batch_ran_to_the_end": ran_beside if load.beside_batch else None,
        "processes": watch.document(),
        "timeline": watch.timeline(STRETCH_SECONDS),
        "bars": bars,
    }


def _write_bodies(path: Path, number: int, count: int) -> None:
    with path.open("wb") as sink:
        for body in bodies(number, count):
            sink.write(body + b"\n")


def bodies(number: int, count: int) -> Iterator[bytes]:
    """Give real baskets under ids of their own, spread over the households of the till."""
    known = products()
    for position, basket in enumerate(islice(baskets(), count)):
        told = replace(basket, id=basket.id * 10 + number, household=_TILL + (position * 7 + number) % HOUSEHOLDS)
        yield encode(purchase(told, known))


def household(number: int) -> str:
    """Name a household of the till."""
    return f"hh-{_TILL + number % HOUSEHOLDS}"


async def enrol(place: Running) -> None:
    """Enrol the households of the till."""
    key = place.key_file.read_text(encoding="utf-8").strip()
    numbers = iter(range(HOUSEHOLDS))
    async with Gateway(place.status.gateway, key) as gateway, asyncio.TaskGroup() as lanes:

        async def lane() -> None:
            for number in numbers:
                enrolment = Enrolment(member=household(number), enrolled_at="2017-01-01T00:00:00-05:00")
                await gateway.send("POST", f"/v1/programs/{PROGRAM}/members", encode(enrolment))

        for _ in range(8):
            lanes.create_task(lane())


@asynccontextmanager
async def _batch(place: Running, *, beside: bool) -> AsyncIterator[Callable[[], bool]]:
    """Send batches of real baskets meanwhile, if asked; give a function that says whether they still run."""
    if not beside:
        yield lambda: False
        return
    key = place.key_file.read_text(encoding="utf-8").strip()
    known = await asyncio.to_thread(products)
    others = (replace(basket, id=basket.id * 10 + 9) for basket in baskets())
    async with Gateway(place.status.gateway, key) as gateway:
        sending = asyncio.Event()

        def progress(so_far: ReplaySummary) -> None:
            if so_far.sent:
                sending.set()

        replay = Replay(gateway, PROGRAM, known, HowToSend(batch_size=5_000), progress)
        task = asyncio.create_task(replay.run(others))
        # The households of the first batch are enrolled before it is sent.
        await asyncio.wait_for(sending.wait(), _BATCH_BEGINS_SECONDS)
        try:
            yield lambda: not task.done()
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
