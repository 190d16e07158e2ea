"""Redeeming: `POST redemptions` from the moment it was due to the voucher with its code, and how many a second."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from benchmarks.machine import ROOT
from benchmarks.results import bar
from benchmarks.running import Running, broker, running_after_tpcb
from benchmarks.sending import send
from benchmarks.servers import bench_dir
from benchmarks.watching import Watch
from laurel.program.reading import read_yaml
from laurel.replaying.gateway import Gateway

PROGRAM = "grocery-live"
"""The shop's program by the clock on the wall, as merchants run it: a sandbox first asks what time it is."""
BUYERS = 200
WARM_UP_SECONDS = 2
ALL_AT_ONCE = 100_000
"""So many a second that the senders' connections, of which there are at most as many as buyers, never rest."""
_JOINED_AT = "2017-01-01T00:00:00-05:00"
_SPENT = 100_000_000
"""Cents: enough points for every redemption of a run."""


@dataclass(frozen=True, slots=True)
class Load:
    """A rate, or as fast as it goes, and whether everybody wants the same counted reward."""

    name: str
    rate: int | None
    hot: bool = False
    p50_ms_max: float | None = None
    p99_ms_max: float | None = None
    per_second_min: float | None = None


LOADS = (
    Load("redeem-50", 50, p50_ms_max=50, p99_ms_max=150),
    Load("redeem-sustained", None, per_second_min=300),
    Load("redeem-hot", None, hot=True, per_second_min=200),
)


async def run(
    seconds: int, tpcb_seconds: int, tell: Callable[[str], None], *, real_kafka: bool = False
) -> list[dict[str, Any]]:
    """Measure every load, each on a `laurel up` of its own, with the embedded broker or beside a real Apache Kafka."""
    rows = []
    for load in LOADS:
        with bench_dir() as data_dir, broker(data_dir, real=real_kafka) as arguments:
            measured = running_after_tpcb(data_dir, load.name, tpcb_seconds, tell, *arguments)
            async with measured as (place, before):
                tell(f"{load.name}, giving {BUYERS} buyers their points")
                await prepare(place)
                tell(load.name)
                rows.append(await _measure(place, load, seconds, before))
    return rows


async def _measure(place: Running, load: Load, seconds: int, before: float) -> dict[str, Any]:
    expected = load.rate or int(load.per_second_min or 0)
    warm_up = expected * WARM_UP_SECONDS
    bodies = place.data_dir / f"{load.name}.ndjson"
    wanted = "hot" if load.hot else "plain"
    lines = [
        json.dumps({"member": f"buyer-{number % BUYERS}", "reward": wanted, "id": f"{load.name}-{number}"})
        for number in range(warm_up + expected * seconds)
    ]
    bodies.write_text("\n".join(lines), encoding="utf-8")
    async with Watch(place.pids, families=("postgres",)) as watch:
        told = await send(
            place,
            bodies,
            rate=load.rate or ALL_AT_ONCE,
            warm_up=warm_up,
            path=f"/v1/programs/{PROGRAM}/redemptions",
            keyed=load.name,
        )
    done = told["statuses"].get("201", 0)
    per_second = done / told["seconds"] if told["seconds"] else 0.0
    everything = told["answered"] + told["unanswered"]
    bars = [bar("answered 201, in per cent", 100 * done / (everything or 1), 100, unit=" %")]
    if load.p50_ms_max is not None:
        bars.append(bar(f"p50 at {load.rate}/s", told["p50_ms"], load.p50_ms_max, at_most=True, unit=" ms"))
    if load.p99_ms_max is not None:
        bars.append(bar(f"p99 at {load.rate}/s", told["p99_ms"], load.p99_ms_max, at_most=True, unit=" ms"))
    if load.per_second_min is not None:
        bars.append(bar("redemptions a second", per_second, load.per_second_min))
    return {
        "name": load.name,
        **told,
        "per_second": round(per_second, 1),
        "tpcb_before": before,
        "to_tpcb": round(per_second / before, 3) if before else None,
        "processes": watch.document(),
        "bars": bars,
    }


async def prepare(place: Running) -> None:
    """Enrol the buyers, give each its points, and offer a reward that is counted and one that is not."""
    key = place.key_file.read_text(encoding="utf-8").strip()
    numbers = iter(range(BUYERS))
    value = {"amount": 500, "currency": "USD"}
    reward = {"name": "5 off", "kind": "voucher", "unit": "point", "price": 10, "value": value}
    at = f"/v1/programs/{PROGRAM}"
    document: Any = read_yaml((ROOT / "programs" / "grocery.yaml").read_text(encoding="utf-8"))
    live = json.dumps({**document, "program": PROGRAM, "clock": "wall"}, default=str).encode()
    bought_at = datetime.now(UTC).isoformat()
    async with Gateway(place.status.gateway, key) as gateway:
        await gateway.send("PUT", at, live)
        for name, stock in (("plain", {}), ("hot", {"stock": 1_000_000})):
            await gateway.send("PUT", f"{at}/rewards/{name}", json.dumps({**reward, **stock}).encode())

        async def lane() -> None:
            for number in numbers:
                member = {"member": f"buyer-{number}", "enrolled_at": _JOINED_AT}
                await gateway.send("POST", f"{at}/members", json.dumps(member).encode())
                purchase = {
                    "id": f"points-{number}", "type": "purchase", "member": f"buyer-{number}",
                    "occurred_at": bought_at, "currency": "USD", "amount": _SPENT,
                }  # fmt: skip
                await gateway.send("POST", f"{at}/activities", json.dumps(purchase).encode())

        async with asyncio.TaskGroup() as lanes:
            for _ in range(8):
                lanes.create_task(lane())
