"""A receiver of webhooks on this machine, which checks every signature as the standard's own package does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from standardwebhooks.webhooks import Webhook


class Delivery(NamedTuple):
    """What was received."""

    id: str
    event: dict[str, Any]
    headers: dict[str, str]
    body: bytes

    @property
    def activity(self) -> str:
        return str(self.event["data"].get("activity"))

    @property
    def member(self) -> str:
        return str(self.event["subject"])


Answer = int | str | None


class Receiver:
    """Keeps what it is told. `answer` says what to answer: a status, a whole head, or None for no answer at all."""

    def __init__(self) -> None:
        self.secrets: list[str] = []
        self.told: list[Delivery] = []
        self.tries: list[Delivery] = []
        self.answer: Callable[[Delivery], Answer] = lambda _: 204
        self.after_seconds = 0.0
        self.at_once = 0
        self.at_once_max = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def activities(self) -> list[str]:
        return [each.activity for each in self.told]

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Receiver]:
        serving: set[asyncio.Task[Any]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            serving.add(task)
            try:
                while True:
                    await self._one(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass
            finally:
                writer.close()
                serving.discard(task)

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            try:
                yield self
            finally:
                # Whoever finds its connection gone connects again at once: nobody is let in any more.
                server.close()
                await asyncio.sleep(0.05)
                for task in list(serving):
                    task.cancel()
                await asyncio.gather(*serving, return_exceptions=True)

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        delivery = Delivery(headers["webhook-id"], json.loads(body), headers, body)
        for secret in self.secrets:
            Webhook(secret).verify(body, headers)
        self.tries.append(delivery)
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        if self.after_seconds:
            await asyncio.sleep(self.after_seconds)
        self.at_once -= 1
        answer = self.answer(delivery)
        if answer is None:
            await asyncio.sleep(60)
        if isinstance(answer, int):
            if 200 <= answer < 300:
                self.told.append(delivery)
            answer = f"HTTP/1.1 {answer} X\r\ncontent-length: 0\r\n\r\n"
        assert answer is not None
        writer.write(answer.encode())
        await writer.drain()
