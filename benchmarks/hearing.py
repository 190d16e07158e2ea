"""What it costs to be heard: events to one receiver of webhooks, and listeners who hear nothing.

The gateway runs as a process of its own; events are put into its table as a projection would keep them.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from benchmarks.machine import ROOT
from benchmarks.numbers import Counted, percentile, rates
from benchmarks.results import bar
from benchmarks.servers import Servers, servers
from benchmarks.watching import Watch, memory_mb
from laurel.embedded.children import Child
from laurel.embedded.ports import LOCALHOST, free_port
from laurel.embedded.secret_file import Secrets
from laurel.embedded.services import Role, Surroundings, environment
from laurel.io.database import Database
from laurel.io.together import execute_together
from services.gateway.hearing import NewEvent
from services.gateway.store import events, webhooks

MEMBERS = 1_000
DELIVERIES_BAR = 500
LISTENERS_MB_BAR = 100
_PROGRAM = "grocery"
_BATCH = 500
_READY_SECONDS = 60.0
_WINDOW_SECONDS = 2.0


async def run_webhooks(count: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Have `count` events of a thousand members told to one receiver, and count what arrives."""
    async with servers() as there, _database(there) as database:
        receiver = _Receiver()
        async with receiver.open() as port:
            await _fill(database, count)
            tell(f"{count:,} events of {MEMBERS:,} members wait for one receiver")
            async with _gateway(there, "worker") as (process, *_):
                pids = {"worker": process.pid, **there.pids}
                async with Watch(pids, families=("postgres",)) as watch:
                    await _want(database, f"http://{LOCALHOST}:{port}/hook")
                    samples = await _count(receiver, count)
            delivered = await _written(database)
    measured = rates(samples, _WINDOW_SECONDS)
    used = {each["process"]: each["cpu_seconds"] for each in watch.document()}
    tell(f"{measured.mean:,.0f}/s, {used['worker'] / count * 1e6:,.0f} µs of the worker for each")
    return {
        "name": "webhooks",
        "count": count,
        "written": delivered,
        "repeats": receiver.received - count,
        "per_second": round(measured.mean, 1),
        "worker_us_each": round(used["worker"] / count * 1e6, 1),
        "postgres_us_each": round(used["postgres"] / count * 1e6, 1),
        "processes": watch.document(),
        "bars": [bar("deliveries to one receiver", measured.mean, DELIVERIES_BAR, unit="/s")],
    }


async def run_listeners(count: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Have `count` listeners idle at one gateway, then one event for all of them."""
    async with servers() as there, _database(there) as database, _gateway(there, "api") as (process, port, key):
        for _ in range(3):
            # What the first streams load stays, however many there are.
            await _listeners(port, key, 10, close=True)
        before, _ = memory_mb(process.pid)
        began = time.perf_counter()
        listening = await _listeners(port, key, count)
        seconds = time.perf_counter() - began
        await asyncio.sleep(2)
        async with Watch({"api": process.pid}) as watch:
            await asyncio.sleep(5)
        after, _ = memory_mb(process.pid)
        idle_share = watch.watched[0].cpu_seconds / watch.seconds
        began = time.perf_counter()
        await _fill(database, 1)
        heard = sorted(await asyncio.gather(*(_first_event(reader, began) for reader, _ in listening)))
        for _, writer in listening:
            writer.close()
    mb = after - before
    tell(f"{count:,} listeners take {mb:.1f} MB; an event reaches half of them in {percentile(heard, 0.5):.2f} s")
    return {
        "name": "sse",
        "listeners": count,
        "opened_in_seconds": round(seconds, 2),
        "mb_before": round(before, 1),
        "mb_for_them": round(mb, 1),
        "kb_each": round(mb * 1024 / count, 1),
        "idle_share_of_a_core": round(idle_share, 3),
        "heard_seconds": {"p50": round(percentile(heard, 0.5), 3), "last": round(heard[-1], 3)},
        "bars": [bar("1,000 idle listeners", mb * 1000 / count, LISTENERS_MB_BAR, at_most=True, unit=" MB")],
    }


# The gateway and its table. ------------------------------------------------------------------------------------


@asynccontextmanager
async def _database(there: Servers) -> AsyncIterator[Database]:
    database = await Database.connect(there.databases.gateway, schema="gateway", application="bench")
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def _gateway(there: Servers, mode: str) -> AsyncIterator[tuple[Child, int, str]]:
    """Run it in one mode until it is ready: its process, its port, and the header of the admin's key."""
    role = Role(f"gateway-{mode}", "gateway", mode, free_port())
    others = [Role(name, name, "both", free_port()) for name in ("points", "redemption")]
    key_file = there.data_dir / "admin.key"
    around = Surroundings(there.databases, there.broker.bootstrap, True, key_file, Secrets.of(there.data_dir))
    told = {
        **environment(role, [role, *others], around),
        "LAUREL_GATEWAY_OUTSIDE_PRIVATE_ADDRESSES": "true",
        "LAUREL_GATEWAY_OUTSIDE_PLAIN_HTTP": "true",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, "-m", "services.gateway", mode]
    process = Child(role.name, command, log=there.data_dir / "logs" / f"{role.name}.log", environment=told)
    try:
        await _ready(process, role.port)
        yield process, role.port, _key(key_file)
    finally:
        await asyncio.to_thread(process.stop, 20)


def _key(file: Path) -> str:
    return f"Bearer {file.read_text(encoding='utf-8').strip()}" if file.exists() else ""


async def _ready(process: Child, port: int) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    async with httpx.AsyncClient(verify=False, timeout=5) as http:
        while time.monotonic() < deadline and process.running:
            try:
                if (await http.get(f"http://{LOCALHOST}:{port}/health/ready")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)
    raise RuntimeError(f"the gateway was not ready:\n{process.last_words(40)}")


async def _fill(database: Database, count: int) -> None:
    """Keep events like those of a basket, about 1.2 kB each."""
    data = {"activity": "till-7-000123", "awards": [{"rule": "base", "amount": 47}], "decision": ["x" * 60] * 14}
    for start in range(0, count, _BATCH):
        numbers = range(start, min(start + _BATCH, count))
        batch = [_event(number % MEMBERS, number, data) for number in numbers]
        async with database.transaction() as connection:
            await execute_together(connection, events.appending(batch, datetime.now(UTC)))


def _event(member: int, number: int, data: dict[str, Any]) -> NewEvent:
    event = {"specversion": "1.0", "id": f"1.{number}", "source": "laurel/points/1", "type": "points.awarded.v1",
             "subject": f"m-{member}", "data": data}  # fmt: skip
    body = json.dumps(event).encode()
    return NewEvent(_PROGRAM, f"m-{member}", "points.awarded.v1", "operator", "laurel/points/1", number, body)


async def _want(database: Database, url: str) -> None:
    """Make a webhook that is told everything from the first event on."""
    now = datetime.now(UTC)
    async with database.transaction() as connection:
        row = await webhooks.add(connection, "whk-b", "operator", "nobody", url, ["*"], [_PROGRAM], now, own_only=False)
        await connection.execute("update webhooks set position = 0 where webhook = $1", row.webhook)


async def _written(database: Database) -> int:
    """Return how many deliveries the log shows once the worker has stopped."""
    async with database.connection() as connection:
        return int(await connection.fetchval("select count(*) from deliveries where state = 'delivered'"))


# Those who hear. -----------------------------------------------------------------------------------------------


class _Receiver:
    """Answers every request with 204, and counts; it does as little as a receiver can."""

    def __init__(self) -> None:
        self.received = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[int]:
        server = await asyncio.get_running_loop().create_server(lambda: _Connection(self), LOCALHOST, 0)
        async with server:
            yield server.sockets[0].getsockname()[1]


class _Connection(asyncio.Protocol):
    def __init__(self, receiver: _Receiver) -> None:
        self._receiver = receiver
        self._buffer = bytearray()

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - asyncio's own
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._buffer[:end]).lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            if len(self._buffer) < end + 4 + length:
                return
            del self._buffer[: end + 4 + length]
            self._receiver.received += 1
            self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")


async def _count(receiver: _Receiver, wanted: int) -> list[Counted]:
    began = time.perf_counter()
    samples: list[Counted] = []
    while receiver.received < wanted and time.perf_counter() - began < 300:
        samples.append(Counted(time.perf_counter() - began, receiver.received))
        await asyncio.sleep(0.05)
    samples.append(Counted(time.perf_counter() - began, receiver.received))
    return samples


Listening = list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]


async def _listeners(port: int, key: str, count: int, *, close: bool = False) -> Listening:
    found: Listening = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection(LOCALHOST, port)
        writer.write(f"GET /v1/events/stream HTTP/1.1\r\nHost: {LOCALHOST}\r\nAuthorization: {key}\r\n\r\n".encode())
        head = await reader.readuntil(b"retry: 2000\n\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        found.append((reader, writer))
    if close:
        for _, writer in found:
            writer.close()
        await asyncio.sleep(0.2)
    return found


async def _first_event(reader: asyncio.StreamReader, began: float) -> float:
    await asyncio.wait_for(reader.readuntil(b"event: points.awarded.v1"), 60)
    return time.perf_counter() - began
