"""A gateway on a real database and broker, and others who speak as points and redemption would."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from laurel.embedded.ports import free_port
from laurel.io.following import Follower
from laurel.io.health import Health
from laurel.io.http import serve
from laurel.io.kafka import start_producer, stop_quietly
from laurel.io.message import Message, decode, id_of, source_of
from laurel.io.settings import KafkaSettings
from laurel.io.topics import main_topic, partition_of
from laurel.program.reading import read_yaml
from services.gateway.app import application
from services.gateway.settings import GatewaySettings
from services.gateway.wiring import Api, Parts, Work, answering, connected, working
from services.points.app import points_app
from services.points.settings import PointsSettings
from services.points.wiring import reading as points_reading
from services.redemption.app import application as redemption_app
from services.redemption.settings import RedemptionSettings
from services.redemption.wiring import connected as redemption_connected

PROGRAM = "grocery"
NOON = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)
GROCERY: Any = read_yaml((Path(__file__).parents[2] / "programs" / "grocery.yaml").read_text(encoding="utf-8"))


def grocery(**changes: Any) -> dict[str, Any]:
    """The shipped program, on a wall clock unless told otherwise."""
    return json.loads(json.dumps({**GROCERY, "clock": "wall", **changes}, default=str))  # type: ignore[no-any-return]


def purchase(id_: str, member: Any = "m-1", amount: int = 500, **changes: Any) -> dict[str, Any]:
    whole = {
        "id": id_,
        "type": "purchase",
        "member": member,
        "occurred_at": "2026-03-14T09:26:53+00:00",
        "currency": "USD",
        "amount": amount,
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not None}


class Others:
    """Points and redemption as far as the gateway hears them: scripted, in order per key, counted like the real ones.

    While `silent` nothing is answered; `answer` may be replaced to say something else.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._sequences: dict[tuple[str, str, str], int] = defaultdict(int)
        self._balances: dict[tuple[str, str], int] = defaultdict(int)
        self._versions: dict[tuple[str, str], int] = defaultdict(int)
        self._producer: Any = None
        self._held: list[Message] = []
        self._ids: set[str] = set()
        self.heard: list[Message] = []
        self.silent = False
        self.answer: Callable[[Message], Sequence[tuple[str, str, dict[str, Any]]]] = self.as_usual
        self._follower = Follower(
            "others", [main_topic("gateway", settings.kafka_prefix)], settings, self._take, from_beginning=True
        )

    @asynccontextmanager
    async def speaking(self) -> AsyncIterator[None]:
        self._producer = await start_producer(self._settings)
        following = asyncio.create_task(self._follower.run())
        try:
            yield
        finally:
            following.cancel()
            await asyncio.wait({following}, timeout=10)
            await stop_quietly(self._producer)

    async def resume(self) -> None:
        """Answer what was kept back, and everything from now on."""
        self.silent = False
        held, self._held = self._held, []
        for message in held:
            await self._answer(message)
        await self._producer.flush()

    async def _take(self, records: Sequence[Any]) -> None:
        for record in records:
            message = decode(record)
            assert isinstance(message, Message)
            if message.id in self._ids:
                continue
            self._ids.add(message.id)
            self.heard.append(message)
            if self.silent:
                self._held.append(message)
            else:
                await self._answer(message)
        await self._producer.flush()

    async def _answer(self, message: Message) -> None:
        for speaker, type_, fields in self.answer(message):
            await self._send(speaker, type_, message, fields)

    async def say(
        self,
        speaker: str,
        type_: str,
        to: Message,
        fields: Mapping[str, Any],
        *,
        repeat: bool = False,
        raw: bytes | None = None,
    ) -> None:
        """Publish an event as `speaker` would, in answer to a message. `repeat`: under the last number again."""
        await self._send(speaker, type_, to, fields, repeat=repeat, raw=raw)
        await self._producer.flush()

    async def _send(
        self,
        speaker: str,
        type_: str,
        to: Message,
        fields: Mapping[str, Any],
        *,
        repeat: bool = False,
        raw: bytes | None = None,
    ) -> None:
        key = (speaker, to.program, to.member)
        if not repeat:
            self._sequences[key] += 1
        sequence = self._sequences[key]
        body = {
            "program": to.program,
            "member": to.member or None,
            "at": NOON.isoformat(),
            "cause": {"kind": "message", "id": to.id},
            **fields,
        }
        headers = [
            ("ce_specversion", b"1.0"),
            ("ce_id", id_of("", 1, to.program, to.member, sequence).encode()),
            ("ce_source", source_of(speaker, "", 1).encode()),
            ("ce_type", type_.encode()),
            ("ce_time", NOON.isoformat().encode()),
            ("ce_partitionkey", f"{to.program}:{to.member}".encode()),
            ("ce_sequence", str(sequence).encode()),
            ("ce_correlationid", to.correlation.encode()),
            ("content-type", b"application/json"),
        ]
        if to.member:
            headers.append(("ce_subject", to.member.encode()))
        record_key = f"{to.program}:{to.member}"
        await self._producer.send(
            main_topic(speaker, self._settings.kafka_prefix),
            json.dumps(body).encode() if raw is None else raw,
            key=record_key.encode(),
            partition=partition_of(record_key, self._settings.kafka_partitions),
            headers=headers,
        )

    # What they usually say. ------------------------------------------------------------------------------------

    def as_usual(self, message: Message) -> Sequence[tuple[str, str, dict[str, Any]]]:
        body = json.loads(message.body)
        match message.type:
            case "member.enrolment_requested.v1":
                return [("points", "member.enrolled.v1", self.enrolled(message, body))]
            case "activity.reported.v1":
                return [("points", "points.awarded.v1", self.awarded(message, body))]
            case "reward.publish_requested.v1":
                document = {"reward": body["reward"], "document": body["document"]}
                return [("redemption", "reward.published.v1", document)]
            case "redemption.requested.v1":
                return [("redemption", "redemption.fulfilled.v1", self.fulfilled(body))]
        return []

    def enrolled(self, message: Message, body: dict[str, Any]) -> dict[str, Any]:
        return {
            "enrolled_at": body["enrolled_at"],
            "person": body["person"],
            "attributes": body["attributes"],
            "version": self._next(message),
        }

    def awarded(self, message: Message, body: dict[str, Any]) -> dict[str, Any]:
        """One point for each whole unit of the currency."""
        activity = body["activity"]
        points = activity.get("amount", 0) // 100
        self._balances[message.program, message.member] += points
        award = {
            "member": message.member,
            "activity": activity["id"],
            "rule": "base",
            "unit": "point",
            "amount": points,
            "available_at": activity["occurred_at"],
            "lot": "1.1",
        }
        return {
            "activity": activity["id"],
            "partner": body["partner"],
            "awards": [award] if points else [],
            "decision": [{"rule": "base", "fired": bool(points), "computed": points, "amount": points}],
            "version": self._next(message),
            "balances": self.balances(message),
        }

    def refused(self, message: Message, code: str, **facts: Any) -> list[tuple[str, str, dict[str, Any]]]:
        body = json.loads(message.body)
        fields = {
            "activity": body["activity"]["id"],
            "partner": body["partner"],
            "code": code,
            "detail": "because",
            "facts": facts,
            "version": self._next(message),
            "balances": self.balances(message),
        }
        return [("points", "activity.refused.v1", fields)]

    def fulfilled(self, body: dict[str, Any]) -> dict[str, Any]:
        return {
            "redemption": body["redemption"],
            "reward": body["reward"],
            "price": {"unit": "point", "amount": 100},
            "points": 100,
            "lots": [{"lot": "1.1", "amount": 100}],
            "vouchers": [{"voucher": "v-1", "suffix": "7GQ2", "value": {"amount": 100, "currency": "USD"}}],
        }

    def balances(self, message: Message) -> list[dict[str, Any]]:
        available = self._balances[message.program, message.member]
        return [{"unit": "point", "available": available, "lifetime": {"earned": available}}]

    def _next(self, message: Message) -> int:
        self._versions[message.program, message.member] += 1
        return self._versions[message.program, message.member]


@dataclass
class Instance:
    """One running gateway."""

    parts: Parts
    api: Api | None
    work: Work | None
    http: httpx.AsyncClient
    health: Health
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    async def stop(self, name: str) -> None:
        """Stop one part, as if it had hung."""
        task = self.tasks.pop(name)
        task.cancel()
        await asyncio.wait({task}, timeout=10)


@asynccontextmanager
async def gateway(
    settings: GatewaySettings, mode: str = "both", *, clock: Callable[[], datetime] | None = None
) -> AsyncIterator[Instance]:
    """Run a gateway for the block, in this process, reached without a socket."""
    health = Health()
    async with AsyncExitStack() as stack:
        now = {"clock": clock} if clock is not None else {}
        parts = await stack.enter_async_context(connected(settings, health, **now))
        api = await stack.enter_async_context(answering(parts)) if mode != "worker" else None
        work = await stack.enter_async_context(working(parts)) if mode != "api" else None
        app = application(parts, api)
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        http = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://testserver"))
        instance = Instance(parts, api, work, http, health)
        streams = api.streams() if api else {}
        runs = {**streams, **(work.tasks() if work else {}), **(api.tasks() if api else {}), "relay": parts.relay.run}
        instance.tasks = {name: asyncio.create_task(run(), name=name) for name, run in runs.items()}
        try:
            if api is not None:
                await asyncio.wait_for(api.tail.started.wait(), 20)
                assert settings.admin_key_file is not None
                secret = settings.admin_key_file.read_text(encoding="utf-8").strip()
                http.headers["authorization"] = f"Bearer {secret}"
            # Whoever is cancelled while it connects leaves its connection behind.
            await until(lambda: health.is_ready, 30)
            yield instance
        finally:
            for task in instance.tasks.values():
                task.cancel()
            if instance.tasks:
                await asyncio.wait(instance.tasks.values(), timeout=15)
            ended = [task for task in instance.tasks.values() if task.done() and not task.cancelled()]
            failures = [task.exception() for task in ended if task.exception() is not None]
            assert not failures, failures


@asynccontextmanager
async def served(instance: Instance, settings: GatewaySettings) -> AsyncIterator[int]:
    """The instance behind a real socket, at the port that is given."""
    port = free_port()
    app = application(instance.parts, instance.api)
    serving = asyncio.create_task(serve(app, settings.model_copy(update={"http_port": port})))
    try:
        async with asyncio.timeout(10):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.02)
                    continue
                writer.close()
                break
        yield port
    finally:
        serving.cancel()
        await asyncio.wait({serving}, timeout=15)


@asynccontextmanager
async def points_door(settings: GatewaySettings, database_url: str) -> AsyncIterator[str]:
    """Points as far as it answers questions, over its own tables and the published programs: its address."""
    told = PointsSettings(
        database_url=SecretStr(database_url),
        http_port=free_port(),
        **{name: getattr(settings, name) for name in KafkaSettings.model_fields},
    )
    async with points_reading(told) as reading:
        running = [asyncio.create_task(part) for part in (reading.topic.run(), serve(points_app(reading), told))]
        try:
            await until(lambda: reading.health.is_ready and reading.programs.newest(PROGRAM) is not None, 30)
            await until(partial(_is_open, told.http_port))
            yield f"http://127.0.0.1:{told.http_port}"
        finally:
            for task in running:
                task.cancel()
            await asyncio.wait(running, timeout=15)


@asynccontextmanager
async def redemption_door(settings: GatewaySettings, database_url: str) -> AsyncIterator[str]:
    """Redemption as far as it answers questions, over its own tables: its address."""
    told = RedemptionSettings(
        database_url=SecretStr(database_url),
        secret=SecretStr("v" * 48),
        http_port=free_port(),
        **{name: getattr(settings, name) for name in KafkaSettings.model_fields},
    )
    health = Health()
    async with redemption_connected(told, health) as parts:
        serving = asyncio.create_task(serve(redemption_app(parts), told))
        try:
            await until(partial(_is_open, told.http_port))
            yield f"http://127.0.0.1:{told.http_port}"
        finally:
            serving.cancel()
            await asyncio.wait({serving}, timeout=15)


async def _is_open(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@asynccontextmanager
async def owner(document: Any, *, status: int = 200, after_seconds: float = 0) -> AsyncIterator[tuple[str, list[str]]]:
    """Another service's door, which answers every question alike: its address, and what it was asked."""
    asked: list[str] = []
    serving: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next((line for line in head.splitlines() if line.lower().startswith("content-length:")), ":0")
            asked.append(head + (await reader.readexactly(int(length.partition(":")[2]))).decode())
            await asyncio.sleep(after_seconds)
            body = json.dumps(document).encode()
            writer.write(
                f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode()
                + body
            )
            await writer.drain()
        finally:
            writer.close()
            serving.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
        for task in list(serving):
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


async def until(condition: Callable[[], Any], seconds: float = 15.0) -> Any:
    """Wait for what must come; fails with what it last saw."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        seen = condition()
        if asyncio.iscoroutine(seen):
            seen = await seen
        if seen:
            return seen
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"waited {seconds} s in vain, last saw {seen!r}")
        await asyncio.sleep(0.02)
