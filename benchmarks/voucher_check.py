"""The till asks about a voucher: `GET …/vouchers/{code}` and `POST …/vouchers/{code}/redeem` at a set rate, open-loop.

The vouchers are those of one statement: each member shops, the clock is turned, and points become vouchers.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from benchmarks import tpcb
from benchmarks.openloop import STRETCH_SECONDS
from benchmarks.results import bar
from benchmarks.running import Running, running
from benchmarks.sending import send
from benchmarks.servers import bench_dir
from benchmarks.watching import Watch
from laurel.replaying.gateway import Gateway

PROGRAM = "clubcard"
BASE = f"/v1/programs/{PROGRAM}"
RATE = 50
P99_MS_MAX = 25.0
WARM_UP_SECONDS = 3
_LANES = 8


async def run(seconds: int, tpcb_seconds: int, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """Measure both on one `laurel up`; every use is of another voucher."""
    count = RATE * (seconds + WARM_UP_SECONDS)
    with bench_dir() as data_dir:
        async with running(data_dir) as place:
            tell("TPC-B before")
            await tpcb.prepare(place.admin_url, place.pgbench)
            before = await tpcb.measure(place.admin_url, place.pgbench, tpcb_seconds)
            tell(f"making {count:,} vouchers")
            codes = await _vouchers(place, count)
            rows = []
            for name, method, bodies in (
                ("voucher-check", "GET", [{"path": f"{BASE}/vouchers/{code}"} for code in codes]),
                (
                    "voucher-redeem",
                    "POST",
                    [
                        {
                            "path": f"{BASE}/vouchers/{code}/redeem",
                            "body": {"reference": f"till-{number}", "basket": {"amount": 2000, "currency": "GBP"}},
                        }
                        for number, code in enumerate(codes)
                    ],
                ),
            ):
                tell(name)
                rows.append({**await _measure(place, name, method, bodies), "tpcb_before": round(before, 1)})
    return rows


async def _measure(place: Running, name: str, method: str, asks: list[dict[str, Any]]) -> dict[str, Any]:
    file = place.data_dir / f"{name}.ndjson"
    await asyncio.to_thread(file.write_text, "".join(json.dumps(each) + "\n" for each in asks), "utf-8")
    async with Watch(place.pids, families=("postgres",)) as watch:
        told = await send(place, file, rate=RATE, warm_up=RATE * WARM_UP_SECONDS, method=method)
    good = told["statuses"].get("200", 0)
    everything = told["answered"] + told["unanswered"]
    return {
        "name": name,
        **told,
        "processes": watch.document(),
        "timeline": watch.timeline(STRETCH_SECONDS),
        "bars": [
            bar(f"p99 at {RATE}/s", told["p99_ms"], P99_MS_MAX, at_most=True, unit=" ms"),
            bar("answered 200, in per cent", 100 * good / (everything or 1), 100, unit=" %"),
        ],
    }


async def _vouchers(place: Running, count: int) -> list[str]:
    """Have so many members get a voucher each; return the codes."""
    key = place.key_file.read_text(encoding="utf-8").strip()
    numbers = iter(range(count))
    async with Gateway(place.status.gateway, key) as gateway:

        async def lane() -> None:
            for number in numbers:
                member = {"member": f"v-{number}", "enrolled_at": "2020-01-01T00:00:00Z"}
                await gateway.send("POST", f"{BASE}/members", json.dumps(member).encode())
                bought = {
                    "id": f"v-{number}", "type": "purchase", "member": f"v-{number}", "currency": "GBP",
                    "occurred_at": "2021-01-10T10:00:00Z", "amount": 20_000,
                }  # fmt: skip
                await gateway.send("POST", f"{BASE}/activities", json.dumps(bought).encode())

        async with asyncio.TaskGroup() as lanes:
            for _ in range(_LANES):
                lanes.create_task(lane())
        await gateway.send("POST", f"{BASE}/clock", b'{"as_of": "2021-02-01T00:00:00Z"}', headers={"prefer": "wait=30"})
        codes: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            told = await gateway.get(f"{BASE}/vouchers", limit="500", state="issued", **cursor)
            codes += [each["code"] for each in told["data"]]
            if told["next_cursor"] is None:
                return codes
            cursor = {"cursor": told["next_cursor"]}
