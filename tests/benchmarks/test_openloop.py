"""The open-loop client against a server so small that its pauses are known."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from benchmarks.openloop import drive, request_bytes

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def server(*, pause_every: int = 0, pause_seconds: float = 0.0, close: bool = False) -> AsyncIterator[str]:
    """Answers 201; at every so many requests all of it stands still, as a server with a long pause does."""
    seen = 0
    standing = asyncio.Event()
    standing.set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                seen += 1
                if pause_every and seen % pause_every == 0:
                    standing.clear()
                    await asyncio.sleep(pause_seconds)
                    standing.set()
                await standing.wait()
                connection = b"close" if close else b"keep-alive"
                writer.write(b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\nconnection: " + connection + b"\r\n\r\n{}")
                if close:
                    break
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = listening.sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}"
    finally:
        listening.close()
        await asyncio.sleep(0)


def requests(address: str, count: int) -> list[bytes]:
    return [request_bytes(address, "/x", b"{}", {"content-type": "application/json"})] * count


async def test_every_request_is_answered_at_its_rate() -> None:
    async with server() as address:
        told = await drive(address, requests(address, 100), 200, warm_up=20)
    assert told["statuses"] == {"201": 80}
    assert told["seconds"] == pytest.approx(0.4, abs=0.2)
    assert told["p50_ms"] < 50


async def test_each_kind_is_told_of_by_itself() -> None:
    async with server() as address:
        kinds = ["read", "write", "write"] * 20
        told = await drive(address, requests(address, 60), 300, warm_up=30, kinds=kinds)
    assert {kind: each["statuses"] for kind, each in told["kinds"].items()} == {
        "read": {"201": 10}, "write": {"201": 20},
    }  # fmt: skip
    assert told["statuses"] == {"201": 30}
    assert 0 < told["kinds"]["read"]["p50_ms"] <= told["kinds"]["read"]["p99_ms"] < 1_000


async def test_a_pause_counts_for_all_who_waited() -> None:
    async with server(pause_every=50, pause_seconds=0.3) as address:
        told = await drive(address, requests(address, 100), 200)
    # Sixty requests were due in the pause; a client that waits its turn would have seen one slow answer.
    assert told["max_ms"] >= 290
    assert told["p90_ms"] >= 100


async def test_connections_that_close_are_replaced() -> None:
    async with server(close=True) as address:
        told = await drive(address, requests(address, 40), 200)
    assert told["statuses"].get("201", 0) >= 38


async def test_nobody_listens() -> None:
    async with server() as address:
        pass
    told = await drive(address, requests(address, 5), 500, connections=0)
    assert told["statuses"] == {"0": 5}
