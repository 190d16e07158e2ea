"""A till as it is: of ten requests seven report what was bought, two read a member, one redeems; each kind by itself.

The sender and what it sends are those of `till` and `redeem`; only that they come together is this file's.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import redeem, till
from benchmarks.openloop import STRETCH_SECONDS
from benchmarks.results import bar
from benchmarks.running import Running, broker, running_after_tpcb
from benchmarks.sending import send
from benchmarks.servers import bench_dir
from benchmarks.watching import Watch

ACTIVITY, READ, REDEMPTION = "activity", "read", "redemption"
TEN = (ACTIVITY, ACTIVITY, READ, ACTIVITY, ACTIVITY, REDEMPTION, ACTIVITY, READ, ACTIVITY, ACTIVITY)
"""What comes in which order, over and over."""
_DONE = {ACTIVITY: "201", READ: "200", REDEMPTION: "201"}
_BASE = f"/v1/programs/{till.PROGRAM}"
_NUMBER = 7
"""So that the ids of baskets are none of the till's own runs."""


@dataclass(frozen=True, slots=True)
class Load:
    """A rate of all kinds together, and what activities and reads are held to."""

    name: str
    rate: int
    p50_ms_max: float
    p99_ms_max: float
    read_p99_ms_max: float


LOADS = (Load("mixed-100", 100, 20, 50, 10), Load("mixed-200", 200, 30, 80, 15))


async def run(
    seconds: int, tpcb_seconds: int, tell: Callable[[str], None], *, real_kafka: bool = False
) -> list[dict[str, Any]]:
    """Measure every load, each on a `laurel up` of its own, with the embedded broker or beside a real Apache Kafka."""
    rows = []
    for load in LOADS:
        with bench_dir() as data_dir, broker(data_dir, real=real_kafka) as arguments:
            measured = running_after_tpcb(data_dir, load.name, tpcb_seconds, tell, *arguments)
            async with measured as (place, before):
                tell(f"{load.name}, enrolling, and giving {redeem.BUYERS} buyers their points")
                await till.enrol(place)
                await redeem.prepare(place)
                tell(load.name)
                rows.append({**await _measure(place, load, seconds), "tpcb_before": before})
    return rows


async def _measure(place: Running, load: Load, seconds: int) -> dict[str, Any]:
    warm_up = load.rate * till.WARM_UP_SECONDS
    file = place.data_dir / f"{load.name}.ndjson"
    await asyncio.to_thread(_write, file, warm_up + load.rate * seconds)
    async with Watch(place.pids, families=("postgres",)) as watch:
        told = await send(place, file, rate=load.rate, warm_up=warm_up, keyed=load.name)
    return {
        "name": load.name,
        **told,
        "processes": watch.document(),
        "timeline": watch.timeline(STRETCH_SECONDS),
        "bars": _bars(load, told),
    }


def _bars(load: Load, told: dict[str, Any]) -> list[dict[str, Any]]:
    kinds = told["kinds"]
    done = sum(kinds[kind]["statuses"].get(status, 0) for kind, status in _DONE.items())
    everything = told["answered"] + told["unanswered"]
    at_most = (
        ("activities p50", kinds[ACTIVITY]["p50_ms"], load.p50_ms_max),
        ("activities p99", kinds[ACTIVITY]["p99_ms"], load.p99_ms_max),
        ("reads p99", kinds[READ]["p99_ms"], load.read_p99_ms_max),
    )
    return [
        *(bar(f"{name} at {load.rate}/s", seen, most, at_most=True, unit=" ms") for name, seen, most in at_most),
        bar("done, in per cent", 100 * done / (everything or 1), 100, unit=" %"),
    ]


def _write(path: Path, count: int) -> None:
    with path.open("w", encoding="utf-8") as sink:
        for ask in asks(count):
            sink.write(json.dumps(ask) + "\n")


def asks(count: int) -> Iterator[dict[str, Any]]:
    """Give so many requests as the sender reads them."""
    baskets = till.bodies(_NUMBER, count)
    for number in range(count):
        kind = TEN[number % len(TEN)]
        if kind == ACTIVITY:
            yield {"kind": kind, "path": f"{_BASE}/activities", "body": json.loads(next(baskets))}
        elif kind == READ:
            yield {"kind": kind, "method": "GET", "path": f"{_BASE}/members/{till.household(number)}"}
        else:
            body = {"member": f"buyer-{number // len(TEN) % redeem.BUYERS}", "reward": "plain", "id": f"mixed-{number}"}
            yield {"kind": kind, "path": f"/v1/programs/{redeem.PROGRAM}/redemptions", "body": body}
