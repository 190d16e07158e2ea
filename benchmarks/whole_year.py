"""The whole path: a year of real baskets through `POST …/batches`, until the gateway shows every outcome."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from benchmarks import tpcb
from benchmarks.results import bar
from benchmarks.running import Running, command, running
from benchmarks.servers import bench_dir
from benchmarks.watching import Watch
from laurel.replaying.complete_journey import BASKETS

_SERVERS = ("postgres", "broker")


async def run(
    baskets: int | None, tpcb_seconds: int, tell: Callable[[str], None], seconds_max: float = 900.0
) -> dict[str, Any]:
    """Replay the year on a new `laurel up`, twice, with TPC-B on its Postgres before, and verify at the end."""
    with bench_dir() as data_dir:
        async with running(data_dir) as place:
            tell("TPC-B before")
            await tpcb.prepare(place.admin_url, place.pgbench)
            before = await tpcb.measure(place.admin_url, place.pgbench, tpcb_seconds)
            tell("replaying")
            async with Watch(place.pids, families=("postgres",)) as watch:
                first = await _replay(place, baskets, seconds_max)
            tell("replaying again")
            again = await _replay(place, baskets, seconds_max)
            tell("verifying")
            code, said, complained = await command("verify", "--data-dir", str(data_dir))
    sent = first["sent"]
    rate = sent / first["seconds"]
    return {
        "name": "year",
        "baskets": sent,
        "first": first,
        "again": again,
        "rate": round(rate, 1),
        "tpcb_before": round(before, 1),
        "ratio": round(rate / before, 3),
        "processes": watch.document(),
        "verify": {"exit_code": code, "said": (said + complained)[-2_000:]},
        "bars": [
            bar(f"{sent:,} of {BASKETS:,} baskets", first["seconds"], 120 * sent / BASKETS, at_most=True, unit=" s"),
            *(
                bar(f"memory of {process.name}", process.peak_mb, 200, at_most=True, unit=" MB")
                for process in watch.watched
                if process.name not in _SERVERS
            ),
        ],
    }


async def _replay(place: Running, baskets: int | None, seconds_max: float) -> dict[str, Any]:
    """Replay in a process of its own, so that what it costs is not taken for Laurel's."""
    limit = [] if baskets is None else ["--baskets", str(baskets)]
    async with asyncio.timeout(seconds_max):
        code, said, complained = await command(
            "replay", "completejourney", "--json", "--data-dir", str(place.data_dir), *limit
        )
    if not said.strip():
        raise RuntimeError(f"The replay ended with {code}: {complained}")
    summary: dict[str, Any] = json.loads(said)
    return summary
