"""Workers of services, started for a benchmark on its servers."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.machine import ROOT
from benchmarks.servers import Servers
from benchmarks.watching import Watch
from laurel.embedded.children import Child, stop_all
from laurel.embedded.ports import LOCALHOST, free_port

SECRET = "a-benchmark-keeps-no-secrets-" * 2
"""What redemption seals by; points wants none, and asks for none."""
_END_SECONDS = 15.0


@asynccontextmanager
async def at_work(place: Servers, **counts: int) -> AsyncIterator[list[Child]]:
    """Run so many workers of each service; afterwards they are gone, having finished what they had in hand.

    Their names are `points`, `points-2` and so on.
    """
    workers = [_worker(place, service, number) for service, count in counts.items() for number in range(1, count + 1)]
    try:
        yield workers
    finally:
        await asyncio.to_thread(stop_all, workers, _END_SECONDS)


def watched(place: Servers, workers: list[Child]) -> Watch:
    """Watch the servers and these workers, Postgres with all its backends."""
    return Watch({**place.pids, **{worker.name: worker.pid for worker in workers}}, families=("postgres",))


def _worker(place: Servers, service: str, number: int) -> Child:
    name = service if number == 1 else f"{service}-{number}"
    settings = {
        "DATABASE_URL": place.databases.of(service),
        "KAFKA_BOOTSTRAP": place.broker.bootstrap,
        "HTTP_HOST": LOCALHOST,
        "HTTP_PORT": str(free_port()),
        "SECRET": SECRET,
    }
    prefix = f"LAUREL_{service.upper()}"
    return Child(
        name,
        [sys.executable, "-m", f"services.{service}", "worker"],
        log=place.data_dir / "logs" / f"{name}.log",
        environment={**os.environ, "MALLOC_ARENA_MAX": "2", **{f"{prefix}_{k}": v for k, v in settings.items()}},
        cwd=ROOT,
    )
