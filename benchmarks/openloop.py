"""Sends requests at set times whatever the answers do, and tells the latencies from those times.

A client that waits for an answer before it sends again slows down with the server and hides its pauses. This one has a
process of its own (`python -m benchmarks.openloop`), little more than sockets and a parser, so that it takes little
of the processor that the server needs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

import httptools

from benchmarks.numbers import percentile

STRETCH_SECONDS = 5.0
CONNECTIONS_MAX = 256
GRACE_SECONDS = 30.0


class _Connection(asyncio.Protocol):
    """One kept connection, with one request under way at most."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._parser: Any = None
        self.due = 0.0
        self.kind = ""

    def send(self, request: bytes, due: float, kind: str) -> None:
        assert self._transport is not None
        self.due, self.kind = due, kind
        self._parser = httptools.HttpResponseParser(self)
        self._transport.write(request)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._parser is not None:
            self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        status, keep = self._parser.get_status_code(), self._parser.should_keep_alive()
        self._parser = None
        self._pool.answered(self, status, keep=keep)

    def connection_lost(self, _: Exception | None) -> None:
        self._transport = None
        if self._parser is not None:
            self._parser = None
            self._pool.answered(self, 0, keep=False)
        self._pool.forget(self)


@dataclass(slots=True)
class Kind:
    """What was measured of requests of one kind."""

    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)


class Pool:
    """Sends each request when it is due, over a free connection or a new one, and writes down when it was answered."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._loop = asyncio.get_running_loop()
        # First in, first out: every connection stays in use, so the server has no reason to close one.
        self._free: deque[_Connection] = deque()
        self._open: set[_Connection] = set()
        self._queue: deque[tuple[bytes, float, str]] = deque()
        self._opening = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.latencies: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.kinds: dict[str, Kind] = defaultdict(Kind)
        """The same of each kind, where requests are of several."""
        self.waiting = 0
        self.idle = asyncio.Event()

    async def warm(self, connections: int) -> None:
        """Open connections before the clock runs."""
        await asyncio.gather(*(self._connect() for _ in range(connections)))

    def send(self, request: bytes, due: float, kind: str = "") -> None:
        """Send now, or as soon as there is a connection; the latency counts from `due` either way."""
        self.waiting += 1
        self.idle.clear()
        if self._free:
            self._free.popleft().send(request, due, kind)
            return
        self._queue.append((request, due, kind))
        if len(self._open) + self._opening < CONNECTIONS_MAX:
            task = self._loop.create_task(self._connect())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def answered(self, connection: _Connection, status: int, *, keep: bool) -> None:
        self._measured(connection.due, connection.kind, status)
        if keep:
            self._ready(connection)
        else:
            connection.close()

    def forget(self, connection: _Connection) -> None:
        self._open.discard(connection)
        if connection in self._free:
            self._free.remove(connection)

    def reset(self) -> None:
        """Forget what was measured so far."""
        self.latencies.clear()
        self.statuses.clear()
        self.kinds.clear()

    def close(self) -> None:
        for connection in list(self._open):
            connection.close()

    async def _connect(self) -> None:
        self._opening += 1
        try:
            _, connection = await self._loop.create_connection(lambda: _Connection(self), self._host, self._port)
        except OSError:
            self._refused()
            return
        finally:
            self._opening -= 1
        self._open.add(connection)
        self._ready(connection)

    def _ready(self, connection: _Connection) -> None:
        if self._queue:
            connection.send(*self._queue.popleft())
        else:
            self._free.append(connection)

    def _refused(self) -> None:
        if self._queue:
            _, due, kind = self._queue.popleft()
            self._measured(due, kind, 0)

    def _measured(self, due: float, kind: str, status: int) -> None:
        latency = perf_counter() - due
        self.latencies.append(latency)
        self.statuses[status] += 1
        if kind:
            self.kinds[kind].latencies.append(latency)
            self.kinds[kind].statuses[status] += 1
        self.waiting -= 1
        if self.waiting == 0:
            self.idle.set()


class Ask(NamedTuple):
    """One request as a line of the file says it."""

    method: str
    path: str
    body: bytes
    kind: str = ""


def request_bytes(address: str, path: str, body: bytes, headers: Mapping[str, str], method: str = "POST") -> bytes:
    """Return a request as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", f"host: {urlsplit(address).netloc}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def drive(
    address: str,
    requests: Sequence[bytes],
    rate: float,
    *,
    warm_up: int = 0,
    connections: int = 8,
    kinds: Sequence[str] = (),
) -> dict[str, Any]:
    """Send the requests at `rate` a second, the first `warm_up` of them unmeasured; return what was measured.

    `kinds` says of each request what it is, where they are of several kinds, and each is told of by itself, too.
    """
    named = list(zip(requests, kinds or [""] * len(requests), strict=True))
    parts = urlsplit(address)
    pool = Pool(parts.hostname or "127.0.0.1", parts.port or 80)
    await pool.warm(connections)
    if warm_up:
        await _send_all(pool, named[:warm_up], rate)
        pool.reset()
    started = perf_counter()
    late = await _send_all(pool, named[warm_up:], rate)
    seconds = perf_counter() - started
    pool.close()
    unanswered = pool.waiting
    return _told(pool, rate, seconds, late, unanswered)


async def _send_all(pool: Pool, requests: Sequence[tuple[bytes, str]], rate: float) -> float:
    """Send each at its time and wait for the answers; return by how much the sender itself was late at worst."""
    # Not the loop's own time, which uvloop tells in whole milliseconds.
    start = perf_counter() + 0.01
    late = 0.0
    for number, (request, kind) in enumerate(requests):
        due = start + number / rate
        wait = due - perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        late = max(late, perf_counter() - due)
        pool.send(request, due, kind)
    if pool.waiting:
        with suppress(TimeoutError):
            await asyncio.wait_for(pool.idle.wait(), GRACE_SECONDS)
    return late


def _told(pool: Pool, rate: float, seconds: float, late: float, unanswered: int) -> dict[str, Any]:
    ordered = sorted(pool.latencies)
    size = int(rate * STRETCH_SECONDS)

    def ms(share: float) -> float:
        return round(percentile(ordered, share) * 1_000, 2)

    return {
        "rate": rate,
        "seconds": round(seconds, 2),
        "answered": len(ordered),
        "unanswered": unanswered,
        "statuses": {str(status): count for status, count in sorted(pool.statuses.items())},
        "p50_ms": ms(0.5),
        "p90_ms": ms(0.9),
        "p99_ms": ms(0.99),
        "p999_ms": ms(0.999),
        "max_ms": ms(1.0),
        "sender_late_ms_max": round(late * 1_000, 2),
        "kinds": {kind: _kind(pool.kinds[kind]) for kind in sorted(pool.kinds)},
        "stretches": [_stretch(pool.latencies[at : at + size]) for at in range(0, len(ordered) - size + 1, size)],
    }


def _kind(kind: Kind) -> dict[str, Any]:
    statuses = {str(status): count for status, count in sorted(kind.statuses.items())}
    return {"answered": len(kind.latencies), "statuses": statuses, **_stretch(kind.latencies)}


def _stretch(latencies: Sequence[float]) -> dict[str, float]:
    """Tell of some requests that were answered one after the other, to show whether it grows slower."""
    part = sorted(latencies)
    return {f"p{share}_ms": round(percentile(part, share / 100) * 1_000, 1) for share in (50, 99)}


def _ask(line: bytes, method: str) -> Ask:
    ask = json.loads(line)
    body = json.dumps(ask["body"]).encode() if "body" in ask else b""
    return Ask(ask.get("method", method), ask["path"], body, ask.get("kind", ""))


def _key(beginning: str, number: int) -> dict[str, str]:
    return {"idempotency-key": f'"{beginning}-{number}"'} if beginning else {}


def main() -> None:
    """Read bodies, one a line, and send them to the path; print what was measured as JSON.

    Without a path each line is an object with a `path` and, if it has them, a `body`, a `method` and a `kind`.
    """
    import uvloop

    parser = argparse.ArgumentParser(description="Send requests at set times and tell their latencies.")
    parser.add_argument("--address", required=True)
    parser.add_argument("--path", default="")
    parser.add_argument("--method", default="POST")
    parser.add_argument("--key-file", required=True, type=Path)
    parser.add_argument("--bodies", required=True, type=Path)
    parser.add_argument("--rate", required=True, type=float)
    parser.add_argument("--warm-up", type=int, default=0)
    parser.add_argument("--keyed", default="", help="give each request an Idempotency-Key of its own that begins so")
    arguments = parser.parse_args()
    headers = {
        "authorization": f"Bearer {arguments.key_file.read_text(encoding='utf-8').strip()}",
        "content-type": "application/json",
        "prefer": "wait=30",
    }
    lines = arguments.bodies.read_bytes().splitlines()
    method, path = arguments.method, arguments.path
    asks = [Ask(method, path, line) if path else _ask(line, method) for line in lines]
    requests = [
        request_bytes(arguments.address, ask.path, ask.body, {**headers, **_key(arguments.keyed, number)}, ask.method)
        for number, ask in enumerate(asks)
    ]
    kinds = [ask.kind for ask in asks]
    measured = uvloop.run(drive(arguments.address, requests, arguments.rate, warm_up=arguments.warm_up, kinds=kinds))
    json.dump(measured, sys.stdout)


if __name__ == "__main__":
    main()
