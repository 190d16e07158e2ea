"""One file of two gigabytes through `POST …/batches`: what the processes that take it in and move its lines grow to."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from time import perf_counter
from typing import Any, Final

import httpx

from benchmarks.results import bar
from benchmarks.running import Running, running
from benchmarks.servers import bench_dir
from benchmarks.watching import Watch

SIZE: Final = 2 * 1024**3
QUICK_SIZE: Final = 60 * 1024**2
PEAK_MB_MAX: Final = 200
_WATCHED: Final = ("gateway", "gateway-worker")
_PROGRAM: Final = "/v1/programs/grocery"
_MEMBERS: Final = [f"m-{number}" for number in range(16)]
_LINES, _ATTRIBUTES, _LETTERS = 34, 100, 250
_DONE_SECONDS: Final = 3_600.0


async def run(size: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Send it to a new `laurel up` and wait until the last line is posted."""
    with bench_dir() as data_dir:
        async with running(data_dir) as place, _client(place) as http:
            for member in _MEMBERS:
                body = {"member": member, "enrolled_at": "2017-01-01T12:00:00Z"}
                (await http.post(f"{_PROGRAM}/members", json=body)).raise_for_status()
            tell(f"sending {size:,} bytes")
            sent = [0, 0]
            async with Watch(place.pids, families=("postgres",)) as watch:
                began = perf_counter()
                headers = {"content-type": "application/x-ndjson"}
                answer = await http.post(f"{_PROGRAM}/batches", content=_file(size, sent), headers=headers)
                answer.raise_for_status()
                taken = perf_counter() - began
                tell(f"taken in {taken:.0f} s, waiting for the last line")
                shown = await _done(http, answer.headers["location"])
                seconds = perf_counter() - began
    lines, size = sent
    return {
        "name": "large-file",
        "bytes": size,
        "lines": lines,
        "taken_seconds": round(taken, 1),
        "seconds": round(seconds, 1),
        "mb_a_second": round(size / 1e6 / seconds, 2),
        "processes": watch.document(),
        "faults": [] if (shown["posted"], shown["state"]) == (lines, "done") else [shown],
        "bars": [
            bar(f"memory of {process.name}", process.peak_mb, PEAK_MB_MAX, at_most=True, unit=" MB")
            for process in watch.watched
            if process.name in _WATCHED
        ],
    }


def _client(place: Running) -> httpx.AsyncClient:
    key = place.key_file.read_text(encoding="ascii").strip()
    headers = {"authorization": f"Bearer {key}"}
    return httpx.AsyncClient(base_url=place.status.gateway, headers=headers, timeout=_DONE_SECONDS)


async def _file(size: int, sent: list[int]) -> AsyncIterator[bytes]:
    """Baskets until there are so many bytes, each made when it is sent; tells how many lines and bytes there were."""
    chance = random.Random(7)
    while sent[1] < size:
        line = _basket(sent[0], chance)
        sent[:] = [sent[0] + 1, sent[1] + len(line)]
        yield line


def _basket(number: int, chance: random.Random) -> bytes:
    """A purchase of 0.9 MB: as many attributes of its lines as fit, and what they say cannot be packed well."""
    letters = _ATTRIBUTES * _LETTERS
    said = chance.randbytes(_LINES * letters // 2).hex()
    lines = [
        {
            "id": str(line),
            "amount": 100,
            "attributes": {
                f"a-{name}": said[line * letters + name * _LETTERS :][:_LETTERS] for name in range(_ATTRIBUTES)
            },
        }
        for line in range(_LINES)
    ]
    told = {"id": f"long-{number}", "type": "purchase", "occurred_at": "2017-03-01T12:00:00Z", "currency": "USD"}
    member = _MEMBERS[number % len(_MEMBERS)]
    return json.dumps({**told, "member": member, "amount": 100 * _LINES, "lines": lines}).encode() + b"\n"


async def _done(http: httpx.AsyncClient, location: str) -> dict[str, Any]:
    async with asyncio.timeout(_DONE_SECONDS):
        while True:
            shown: dict[str, Any] = (await http.get(location)).json()
            if shown["state"] in {"done", "cut_off"}:
                return shown
            await asyncio.sleep(0.25)
