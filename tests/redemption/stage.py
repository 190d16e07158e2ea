"""What surrounds redemption in tests: the gateway and points as they sound on Kafka, and one worker or two."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg

from laurel.contracts.envelope import Cause
from laurel.contracts.programs import ProgramPublished
from laurel.io.following import Follower
from laurel.io.health import Health
from laurel.io.kafka import ensure_topics, start_producer
from laurel.io.message import Message, decode
from laurel.io.topics import Topics, main_topic, partition_of, programs_topic
from laurel.shapes import encode
from services.redemption.ports import Announcement
from services.redemption.settings import RedemptionSettings
from services.redemption.testing import NOON, PROGRAM, PaperPoints, Told
from services.redemption.verifying import Finding, verify
from services.redemption.wiring import Worker, connected, worker


class Stage:
    """Speaks as gateway and points, listens to redemption."""

    def __init__(self, settings: RedemptionSettings, auditor: asyncpg.Connection[Any]) -> None:
        self.settings = settings
        self.auditor = auditor
        self.points = PaperPoints()
        self.points_answer = True
        self.heard: list[Message] = []
        self._seen: set[str] = set()
        self._numbers: dict[tuple[str, str, str], Iterator[int]] = {}
        self._producer: Any = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Stage]:
        """Make the topics, publish a program, and listen until the end."""
        settings = self.settings
        for service in ("gateway", "points", "redemption"):
            topics = Topics(service, prefix=settings.kafka_prefix, partitions=settings.kafka_partitions)
            await ensure_topics(settings, topics.all())
        self._producer = await start_producer(settings)
        topic = main_topic("redemption", settings.kafka_prefix)
        listener = Follower("stage", [topic], settings, self._listen, from_beginning=True)
        listening = asyncio.create_task(listener.run())
        try:
            await self.publish_program()
            yield self
        finally:
            listening.cancel()
            await asyncio.wait({listening})
            await self._producer.stop()

    async def publish_program(self, version: int = 1, *, clock: str = "wall") -> None:
        event = ProgramPublished(
            program=PROGRAM, at=NOON, cause=Cause(kind="request", id=PROGRAM), version=version,
            document={"time_zone": "America/New_York", "clock": clock}, effective_from=NOON, published_at=NOON,
        )  # fmt: skip
        told = Told(event.TYPE, PROGRAM, "", encode(event), "laurel/gateway.programs/1", version)
        await self.tell(told, topic=programs_topic(self.settings.kafka_prefix))

    async def tell(self, *messages: Told, topic: str = "") -> None:
        """Publish, each with the next number of its key; one that has a number already is published again."""
        sends = []
        for told in messages:
            if not told.sequence:
                key = (told.source, told.program, told.member)
                told.sequence = next(self._numbers.setdefault(key, itertools.count(1)))
            speaker = told.source.split("/")[1]
            where = topic or main_topic(speaker, self.settings.kafka_prefix)
            sends.append(await self._send(where, told))
        await asyncio.gather(*sends)

    async def until(self, condition: Callable[[], Any], seconds: float = 60.0) -> None:
        """Wait for what must come."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            seen = condition()
            seen = await seen if asyncio.iscoroutine(seen) else seen
            if seen:
                return
            assert asyncio.get_running_loop().time() < deadline, f"waited in vain, heard {self.types()}"
            await asyncio.sleep(0.02)

    async def until_all_ended(self, count: int) -> None:
        """Wait until so many sagas exist and none of them is open."""
        await self.until(lambda: self._all_ended(count))

    def types(self) -> list[str]:
        return [message.type for message in self.heard]

    def of(self, type_: str) -> list[Message]:
        return [message for message in self.heard if message.type == type_]

    async def findings(self, *, at_rest: bool = True) -> list[Finding]:
        found = [each async for each in verify(self.auditor, across=False, at_rest=at_rest)]
        return [each for each in found if isinstance(each, Finding)]

    async def _all_ended(self, count: int) -> bool:
        row = await self.auditor.fetchrow(
            """select count(*), count(*) filter (where state not in ('fulfilled', 'refused')
                 or hold in ('asked', 'held', 'capture_asked', 'release_asked')) from sagas"""
        )
        return row == (count, 0)

    async def _send(self, topic: str, told: Told) -> Any:
        key = f"{told.program}:{told.member}"
        headers = [
            ("ce_specversion", b"1.0"),
            ("ce_id", told.id.encode()),
            ("ce_source", told.source.encode()),
            ("ce_type", told.type.encode()),
            ("ce_time", datetime.now(UTC).isoformat().encode()),
            ("ce_sequence", str(told.sequence).encode()),
            ("ce_correlationid", told.correlation.encode()),
        ]
        if told.member:
            headers.append(("ce_subject", told.member.encode()))
        partitions = 1 if topic.endswith(".programs.v1") else self.settings.kafka_partitions
        return await self._producer.send(
            topic, told.body, key=key.encode(), partition=partition_of(key, partitions), headers=headers
        )

    async def _listen(self, records: Sequence[Any]) -> None:
        for record in records:
            message = decode(record)
            assert isinstance(message, Message), message
            if message.id in self._seen:
                continue
            self._seen.add(message.id)
            self.heard.append(message)
            if self.points_answer:
                await self.answer(message)

    async def answer(self, message: Message) -> None:
        """Let points answer."""
        asked = Announcement(
            message.program, message.member, message.type, message.body, message.time, message.id,
            message.correlation, "",
        )  # fmt: skip
        told = self.points.answer(asked)
        for each in told:
            each.sequence = 0
        await self.tell(*told)


@asynccontextmanager
async def working(settings: RedemptionSettings, health: Health | None = None) -> AsyncIterator[Worker]:
    """Run a worker in this process, as `python -m services.redemption worker` would."""
    async with connected(settings, health or Health()) as parts:
        joined = await worker(parts)
        tasks = [asyncio.create_task(run(), name=name) for name, run in joined.tasks().items()]
        try:
            yield joined
        finally:
            for task in tasks:
                task.cancel()
                await asyncio.wait({task}, timeout=10)
