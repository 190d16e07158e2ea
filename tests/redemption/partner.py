"""A partner that fulfils, on this machine: a real HTTP server that does what a test tells it to."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web
from standardwebhooks.webhooks import Webhook

Mood = Callable[["Partner", web.Request, str, dict[str, Any]], Any]


class Partner:
    """Fulfils once for each id, whoever asks how often. `moods` says how it takes the next questions to fulfil."""

    def __init__(self, secret_of: Callable[[str, str], str]) -> None:
        self.secret_of = secret_of
        self.asked: Counter[str] = Counter()
        self.read_back: Counter[str] = Counter()
        self.cancelled: dict[str, dict[str, Any]] = {}
        self.told: Counter[str] = Counter()
        self.done: dict[str, dict[str, Any]] = {}
        self.moods: list[str] = []
        self.always = "fulfil"
        self.reads = "honest"
        self.said: dict[str, Any] = {"state": "fulfilled", "reference": "T-1"}
        self.url = ""
        self._secrets: dict[str, str] = {}
        self._closing = asyncio.Event()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Partner]:
        app = web.Application()
        app.router.add_post("/orders", self._post)
        app.router.add_get("/orders/{name}", self._get)
        app.router.add_post("/orders/{name}/cancel", self._cancel)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}/orders"
        try:
            yield self
        finally:
            self._closing.set()
            await runner.cleanup()

    async def _post(self, request: web.Request) -> web.StreamResponse:
        body = await request.text()
        told = json.loads(body)
        name = told["id"]
        secret = self._secrets[name] = self.secret_of(told["program"], told["reward"])
        Webhook(secret).verify(body, dict(request.headers))
        assert request.headers["idempotency-key"] == f'"{name}"'
        assert request.headers["webhook-id"] == name
        self.asked[name] += 1
        mood = self.moods.pop(0) if self.moods else self.always
        if mood == "broken":
            raise web.HTTPInternalServerError
        if mood == "deaf":
            await self._be_silent()
        if mood in {"pending", "unheard"}:
            return self._answer(name, {"state": "pending"}) if mood == "pending" else self._cut(request)
        self.done.setdefault(name, dict(self.said))
        if mood == "breaks off":
            return self._cut(request)
        if mood == "silent":
            await self._be_silent()
        return self._answer(name, self.done[name], mood)

    async def _get(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        self.read_back[name] += 1
        if name in self._secrets:
            Webhook(self._secrets[name]).verify("", dict(request.headers), json_parse=False)
        if self.reads == "broken":
            raise web.HTTPServiceUnavailable
        # What it is to do is set before it is asked: of what it was never asked it has not heard.
        if name not in self.done or name not in self._secrets:
            raise web.HTTPNotFound
        return self._answer(name, self.done[name])

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        body, name = await request.text(), request.match_info["name"]
        told = json.loads(body)
        Webhook(self._secrets[name]).verify(body, dict(request.headers))
        assert told["id"] == name
        assert request.headers["webhook-id"] == f"{name}-cancelled"
        self.told[name] += 1
        mood = self.moods.pop(0) if self.moods else self.always
        if mood == "broken":
            raise web.HTTPInternalServerError
        if mood == "no place":
            raise web.HTTPNotFound
        self.cancelled[name] = told
        return self._answer(f"{name}-cancelled", {}, mood)

    def _answer(self, name: str, said: dict[str, Any], mood: str = "") -> web.Response:
        body = json.dumps(said) if mood != "garbage" else "<html>"
        at = datetime.now(UTC) - (timedelta(hours=1) if mood == "late" else timedelta())
        secret = self._secrets[name.removesuffix("-cancelled")] if mood != "wrong secret" else "whsec_" + "A" * 43 + "="
        signed = name if mood != "other id" else f"{name}-of-another"
        headers = {
            "webhook-id": signed,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(secret).sign(signed, at, body),
        }
        return web.Response(text=body, headers={} if mood == "unsigned" else headers, content_type="application/json")

    async def _be_silent(self) -> None:
        """Longer than anybody waits, but no longer than the partner is there."""
        with suppress(TimeoutError):
            async with asyncio.timeout(30):
                await self._closing.wait()

    def _cut(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()
