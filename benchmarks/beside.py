"""TPC-B before and after what a benchmark measures, on the same Postgres: what its rate is told as a multiple of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from benchmarks import tpcb
from benchmarks.servers import Servers


@dataclass(slots=True)
class Beside:
    """Transactions a second of TPC-B; `after` is known when the block is over."""

    before: float
    after: float = 0.0

    def ratio(self, rate: float) -> float:
        """Return a rate as a multiple of the mean of both."""
        return rate / ((self.before + self.after) / 2)

    def document(self, rate: float) -> dict[str, float]:
        """Return both, and the multiple, as they are kept."""
        return {
            "tpcb_before": round(self.before, 1),
            "tpcb_after": round(self.after, 1),
            "ratio": round(self.ratio(rate), 3),
        }


@asynccontextmanager
async def beside(place: Servers, seconds: int, tell: Callable[[str], None]) -> AsyncIterator[Beside]:
    """Measure TPC-B before the block and after it."""
    tell("TPC-B before")
    await tpcb.prepare(place.admin_url, place.pgbench)
    measured = Beside(await tpcb.measure(place.admin_url, place.pgbench, seconds))
    yield measured
    tell("TPC-B after")
    measured.after = await tpcb.measure(place.admin_url, place.pgbench, seconds)
