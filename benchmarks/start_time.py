"""How long `laurel up` takes until it is ready: with nothing there yet, and when it ran before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.results import bar
from benchmarks.running import running
from benchmarks.servers import bench_dir


async def run(tell: Callable[[str], None]) -> dict[str, Any]:
    """Start three times in one data directory; the first makes the cluster and the schemas."""
    seconds = []
    with bench_dir() as data_dir:
        for number in range(3):
            tell("first start" if number == 0 else f"start {number + 1}")
            async with running(data_dir) as place:
                seconds.append(round(place.start_seconds, 2))
    return {
        "name": "start",
        "first_seconds": seconds[0],
        "again_seconds": seconds[1:],
        "bars": [
            bar("first start of an installed Laurel", seconds[0], 10, at_most=True, unit=" s"),
            bar("start again", max(seconds[1:]), 10, at_most=True, unit=" s"),
        ],
    }
