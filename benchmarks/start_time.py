"""How long `laurel up` takes until it is ready, at first and when it ran before, and what it costs at rest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from benchmarks.results import bar
from benchmarks.running import running
from benchmarks.servers import bench_dir
from benchmarks.watching import Watch

STARTS = 3
SETTLE_SECONDS = 5
REST_SECONDS = 10


async def run(tell: Callable[[str], None]) -> dict[str, Any]:
    """Start three times in one data directory; the first makes the cluster and the schemas."""
    seconds = []
    with bench_dir() as data_dir:
        for number in range(STARTS):
            tell("first start" if number == 0 else f"start {number + 1}")
            async with running(data_dir) as place:
                seconds.append(round(place.start_seconds, 2))
                if number == STARTS - 1:
                    tell("resting")
                    await asyncio.sleep(SETTLE_SECONDS)
                    async with Watch(place.pids, families=("postgres",)) as watch:
                        await asyncio.sleep(REST_SECONDS)
    return {
        "name": "start",
        "first_seconds": seconds[0],
        "again_seconds": seconds[1:],
        "cores_at_rest": round(sum(each.cpu_seconds for each in watch.watched) / watch.seconds, 3),
        "bars": [
            bar("first start of an installed Laurel", seconds[0], 10, at_most=True, unit=" s"),
            bar("start again", max(seconds[1:]), 10, at_most=True, unit=" s"),
        ],
    }
