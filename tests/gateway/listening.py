"""A listener at the door of a gateway, as any client of server-sent events reads them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx

from tests.gateway.stage import PROGRAM, purchase


class Told(NamedTuple):
    """One event as it was heard."""

    id: str
    type: str
    event: dict[str, Any]

    @property
    def activity(self) -> str:
        return str(self.event["data"]["activity"])


class Listener:
    """Reads one stream. `last_id` is what it would come back with."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.aiter_lines()
        self.last_id = ""
        self.heartbeats = 0

    async def next(self, seconds: float = 10) -> Told | None:
        """Return the next event; None when the stream ends."""
        type_, data = "", ""
        async with asyncio.timeout(seconds):
            async for line in self._lines:
                name, _, value = line.partition(":")
                value = value.removeprefix(" ")
                match name:
                    case "id":
                        self.last_id = value
                        self.heartbeats += 1
                    case "event":
                        type_ = value
                    case "data":
                        data = value
                    case "" if not line and data:
                        self.heartbeats -= 1
                        return Told(self.last_id, type_, json.loads(data))
        return None

    async def heard(self, count: int) -> list[Told]:
        """Return so many events."""
        found = [await self.next() for _ in range(count)]
        assert None not in found
        return [each for each in found if each is not None]

    async def rest(self) -> list[Told]:
        """Return everything until the stream ends."""
        found: list[Told] = []
        while (told := await self.next()) is not None:
            found.append(told)
        return found


@asynccontextmanager
async def listening(port: int, key: str, last_id: str | None = None, **query: str) -> AsyncIterator[Listener]:
    headers = {"authorization": key, **({"last-event-id": last_id} if last_id is not None else {})}
    async with (
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30, verify=False) as http,
        http.stream("GET", "/v1/events/stream", params=query, headers=headers) as answer,
    ):
        assert answer.status_code == 200, (await answer.aread()).decode()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Listener(answer)


async def report(http: httpx.AsyncClient, *ids: str, **more: Any) -> None:
    """Report purchases, each posted before this returns."""
    path = f"/v1/programs/{PROGRAM}/activities"
    for id_ in ids:
        answer = await http.post(path, json=purchase(id_, **more), headers={"prefer": "wait=30"})
        assert answer.status_code == 201, answer.text


async def key_of(http: httpx.AsyncClient, partner: str, *scopes: str) -> str:
    """Return the header of a new key of a partner, for the program."""
    await http.put(f"/v1/partners/{partner}", json={})
    body = {"scopes": scopes, "programs": [PROGRAM]}
    made = await http.post(f"/v1/partners/{partner}/keys", json=body)
    assert made.status_code == 201, made.text
    return f"Bearer {made.json()['secret']}"
