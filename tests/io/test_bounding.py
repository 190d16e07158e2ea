"""What a slow, silent or greedy client costs, seen from a raw socket; and what stopping does to requests in hand."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from laurel.embedded.ports import free_port
from laurel.io.health import Health
from laurel.io.http import serve, service_app, unhurried
from laurel.io.settings import ServiceSettings
from tests.io.door import Settings

pytestmark = pytest.mark.anyio

SAFE = {
    "x-content-type-options": "nosniff", "x-frame-options": "DENY", "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'", "cache-control": "no-store",
}  # fmt: skip


IN_A_HURRY = Settings(
    http_body_bytes_max=1000,
    http_keep_alive_seconds=1,
    http_head_seconds=0.5,
    http_body_seconds=0.5,
    http_write_seconds=0.5,
    http_request_seconds=1.0,
    http_requests_max=3,
    http_connections_max=20,
)


class Served:
    """An application behind a real socket."""

    def __init__(self) -> None:
        self.settings = replace(IN_A_HURRY, http_port=free_port())
        self.app = service_app("test", self.settings, None, Health())
        self.go = asyncio.Event()
        self.finished = 0
        self.closed = asyncio.Event()
        self._routes(self.app)
        self.serving: asyncio.Task[None] | None = None

    def _routes(self, app: FastAPI) -> None:
        @app.post("/body")
        async def body(request: Request) -> dict[str, int]:
            return {"size": len(await request.body())}

        @app.post("/upload")
        async def upload(request: Request) -> dict[str, int]:
            unhurried(request)
            request.state.body_bytes_max = 10**9
            return {"size": sum([len(piece) async for piece in request.stream()])}

        @app.get("/wait")
        async def wait() -> dict[str, bool]:
            await self.go.wait()
            self.finished += 1
            return {"done": True}

        @app.get("/stream")
        async def stream() -> StreamingResponse:
            async def pieces() -> AsyncIterator[bytes]:
                try:
                    while True:
                        yield b"x" * 1_000_000
                        # As what is read page by page does: whoever is gone is noticed.
                        await asyncio.sleep(0)
                finally:
                    self.closed.set()

            return StreamingResponse(pieces())

        @app.get("/quiet")
        async def quiet() -> StreamingResponse:
            async def pieces() -> AsyncIterator[bytes]:
                yield b"first "
                await self.go.wait()
                yield b"last"

            return StreamingResponse(pieces())

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.settings.http_port)

    async def has_in_hand(self, count: int) -> None:
        async with asyncio.timeout(15):
            while self.app.state.bounds.in_hand < count:  # noqa: ASYNC110 - the door tells nobody
                await asyncio.sleep(0.01)

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.settings.http_port}", timeout=20)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    served = Served()
    served.serving = asyncio.create_task(serve(served.app, served.settings))
    while True:
        try:
            _, writer = await served.connect()
            break
        except OSError:
            await asyncio.sleep(0.02)
    writer.close()
    yield served
    served.go.set()
    served.serving.cancel()
    await asyncio.wait({served.serving}, timeout=15)


async def drip(served: Served, first: bytes, more: bytes, pause: float = 0.1) -> bytes:
    """Send a little now and then, as long as somebody listens; what came back."""
    reader, writer = await served.connect()

    async def send() -> None:
        writer.write(first)
        while True:
            await asyncio.sleep(pause)
            writer.write(more)
            await writer.drain()

    sending = asyncio.create_task(send())
    came = b""
    try:
        async with asyncio.timeout(15):
            while piece := await reader.read(65_536):
                came += piece
        return came
    except ConnectionError:
        return came
    finally:
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await sending
        writer.close()


def named(came: bytes) -> bytes:
    """Return the id that an answer gives its request."""
    found = re.search(rb"\r\nx-request-id: ([0-9a-z-]+)\r\n", came)
    return found[1] if found is not None else b""


async def test_a_head_that_drips_is_cut_off(served: Served) -> None:
    came = await drip(served, b"GET /body HTTP/1.1\r\nhost: x\r\nX-Request-Id: mine-7\r\n", b"x-a: b\r\n")
    assert b" 408 " in came
    assert b"x-request-id: mine-7\r\n" in came
    came = await drip(served, b"", b"")
    assert b" 408 " in came
    assert named(came)


async def test_a_head_that_drips_after_a_good_request_is_cut_off(served: Served) -> None:
    good = b"POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nab"
    came = await drip(served, good + b"GET /bo", b"d")
    assert b'{"size":2}' in came
    assert b" 408 " in came


async def test_a_connection_that_rests_is_closed_in_its_time(served: Served) -> None:
    reader, writer = await served.connect()
    for _ in range(2):
        writer.write(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b'"live"}'), 5)
        await asyncio.sleep(0.7)
    assert await asyncio.wait_for(reader.read(1), 3) == b""
    writer.close()


def test_connections_rest_longer_than_balancers_and_callers_keep_them() -> None:
    """Or a request that was just sent finds its connection closed: nginx and AWS keep them for 60 seconds."""
    assert ServiceSettings().http_keep_alive_seconds > 60


async def test_a_head_without_end_is_refused(served: Served) -> None:
    came = await drip(served, b"GET /body HTTP/1.1\r\n", b"x-a: " + b"b" * 8_000 + b"\r\n", pause=0.01)
    assert b" 431 " in came
    assert named(came)


async def test_what_is_no_request_is_told_so_under_an_id(served: Served) -> None:
    came = await drip(served, b"GET /body HTTP\r\n\r\n", b"")
    assert b" 400 " in came
    assert named(came)


async def test_a_body_that_drips_is_refused_and_the_connection_closed(served: Served) -> None:
    head = b"POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 900\r\n\r\n"
    came = await drip(served, head, b"a")
    assert b" 408 " in came
    assert b'"too_slow"' in came
    assert b"connection: close" in came.lower()


async def test_a_body_in_pieces_is_counted(served: Served) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"a" * 100

    async with served.client() as http:
        answer = await http.post("/body", content=pieces())
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        assert (await http.post("/upload", content=pieces())).json() == {"size": 2000}


async def test_an_upload_takes_its_time(served: Served) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(8):
            await asyncio.sleep(0.2)
            yield b"a"

    async with served.client() as http:
        assert (await http.post("/upload", content=pieces())).json() == {"size": 8}


async def test_whoever_does_not_read_is_cut_off(served: Served) -> None:
    reader, writer = await served.connect()
    writer.write(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n")
    await asyncio.wait_for(served.closed.wait(), 15)
    writer.close()
    assert reader is not None


async def test_a_request_that_takes_too_long_is_ended(served: Served) -> None:
    async with served.client() as http:
        answer = await http.get("/wait")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"] == "1"
    assert served.app.state.bounds.in_hand == 0


async def test_more_than_may_be_in_hand_are_told_to_come_back(served: Served) -> None:
    async with served.client() as http:
        waiting = [asyncio.create_task(http.get("/wait")) for _ in range(3)]
        await served.has_in_hand(3)
        refused = await http.post("/body", content=b"x")
        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
        assert refused.headers["retry-after"] == "1"
        assert (await http.get("/health/live")).status_code == 200
        served.go.set()
        assert [(await each).status_code for each in waiting] == [200] * 3
        assert (await http.post("/body", content=b"x")).status_code == 200


async def test_a_stream_is_in_nobodys_way_and_has_no_time_limit(served: Served) -> None:
    async with served.client() as http, contextlib.AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(http.stream("GET", "/quiet")) for _ in range(5)]
        assert served.app.state.bounds.in_hand == 0
        await asyncio.sleep(served.settings.http_request_seconds + 0.3)
        served.go.set()
        assert [await stream.aread() for stream in streams] == [b"first last"] * 5


async def test_more_connections_than_may_be_are_refused(served: Served) -> None:
    held = [await served.connect() for _ in range(20)]
    reader, writer = await served.connect()
    came = await asyncio.wait_for(reader.read(-1), 5)
    assert b" 503 " in came
    assert named(came)
    for _, each in [*held, (reader, writer)]:
        each.close()


async def test_stopping_finishes_what_is_in_hand(served: Served) -> None:
    async with served.client() as http:
        waiting = [asyncio.create_task(http.get("/wait")) for _ in range(3)]
        await served.has_in_hand(3)
        assert served.serving is not None
        served.serving.cancel()
        await asyncio.sleep(0.1)
        served.go.set()
        assert [(await each).status_code for each in waiting] == [200] * 3
    await asyncio.wait({served.serving}, timeout=15)
    assert served.serving.done()
    with pytest.raises(OSError, match="onnect"):
        await served.connect()


async def test_every_answer_has_the_headers_that_protect(served: Served) -> None:
    served.go.set()
    calls: list[tuple[str, str, Any]] = [
        ("GET", "/wait", None), ("GET", "/nowhere", None), ("DELETE", "/body", None), ("POST", "/body", b"x" * 2000),
        ("GET", "/health/ready", None), ("GET", "/metrics", None), ("GET", "/openapi.json", None),
    ]  # fmt: skip
    async with served.client() as http:
        for method, path, body in calls:
            answer = await http.request(method, path, content=body)
            found = {name: answer.headers.get(name) for name in SAFE}
            assert found == SAFE, path
            assert "server" not in answer.headers


async def test_the_head_alone_of_an_answer_without_end(served: Served) -> None:
    """The connection goes on with what was asked next, and nobody makes what is not sent."""
    reader, writer = await served.connect()
    writer.write(b"HEAD /stream HTTP/1.1\r\nhost: x\r\n\r\n")
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 200 ")
    await asyncio.wait_for(served.closed.wait(), 5)
    writer.write(b"GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert (await asyncio.wait_for(reader.read(-1), 5)).startswith(b"HTTP/1.1 200 ")
    writer.close()
