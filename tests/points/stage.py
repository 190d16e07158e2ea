"""What surrounds points in tests: the gateway as it sounds on Kafka, programs as they are published, and a worker."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg
import msgspec

from laurel.contracts.envelope import Cause
from laurel.contracts.programs import ProgramPublished
from laurel.io.following import Follower
from laurel.io.health import Health
from laurel.io.kafka import ensure_topics, start_producer
from laurel.io.message import Message, decode
from laurel.io.topics import Topics, main_topic, partition_of, programs_topic
from laurel.program import dump_program
from laurel.shapes import encode
from services.points.settings import PointsSettings
from services.points.testing import Note
from services.points.verifying import Finding, verify
from services.points.wiring import reading, working
from tests.points.till import START, document, enrolment

PROGRAM = "clubcard"


@dataclass(slots=True)
class Told:
    """A message as the gateway would publish it; `sequence` is filled in by whoever sends it."""

    type: str
    program: str
    member: str
    body: bytes
    source: str = "laurel/gateway/1"
    sequence: int = 0


class Stage:
    """Speaks as the gateway, listens to points."""

    def __init__(self, settings: PointsSettings, auditor: asyncpg.Connection[Any]) -> None:
        self.settings = settings
        self.auditor = auditor
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
        topic = main_topic("points", settings.kafka_prefix)
        listener = Follower("stage", [topic], settings, self._listen, from_beginning=True)
        listening = asyncio.create_task(listener.run())
        try:
            await self.publish(1)
            yield self
        finally:
            listening.cancel()
            await asyncio.wait({listening})
            await self._producer.stop()

    async def publish(self, version: int, program: str = PROGRAM, *, key: str = "", **changes: Any) -> None:
        """Publish a version of the shipped program, by its own name or another, with changes of its document."""
        plain = {**dump_program(document(PROGRAM)), "program": program, **changes}
        event = ProgramPublished(
            program=program, at=START, cause=Cause(kind="request", id=program), version=version,
            document=plain, effective_from=plain["effective_from"], published_at=START,
        )  # fmt: skip
        await self.publish_bytes(version, encode(event), program, key=key)

    async def publish_bytes(self, version: int, body: bytes, program: str = PROGRAM, *, key: str = "") -> None:
        told = Told(ProgramPublished.TYPE, program, "", body, "laurel/gateway.programs/1", version)
        await self.tell(told, topic=programs_topic(self.settings.kafka_prefix), key=key or f"{program}:{version}")

    async def enrol(self, *members: str, program: str = PROGRAM) -> None:
        """Tell of new members, and wait until all are enrolled."""
        await self.tell(*[enrolment(program, member) for member in members])
        await self.until(lambda: set(members) <= {each.member for each in self.of("member.enrolled.v1")})

    async def tell(self, *messages: Note | Told, topic: str = "", key: str = "") -> list[Told]:
        """Publish, each with the next number of its key."""
        sends, all_told = [], []
        for each in messages:
            told = each if isinstance(each, Told) else Told(each.type, each.program, each.member, each.body)
            if not told.sequence:
                counted = (told.source, told.program, told.member)
                told.sequence = next(self._numbers.setdefault(counted, itertools.count(1)))
            where = topic or main_topic(told.source.split("/")[1], self.settings.kafka_prefix)
            sends.append(await self._send(where, told, key or f"{told.program}:{told.member}"))
            all_told.append(told)
        await asyncio.gather(*sends)
        return all_told

    async def until(self, condition: Callable[[], Any], seconds: float = 60.0) -> None:
        """Wait for what must come."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            seen = condition()
            seen = await seen if asyncio.iscoroutine(seen) else seen
            if seen:
                return
            assert asyncio.get_running_loop().time() < deadline, f"waited in vain, heard {self.told_of()}"
            await asyncio.sleep(0.02)

    def of(self, type_: str) -> list[Message]:
        return [message for message in self.heard if message.type == type_]

    def told_of(self) -> list[tuple[str, str]]:
        return [(message.type, message.member) for message in self.heard]

    async def parked(self) -> list[tuple[Any, ...]]:
        """Return what is parked: member, number and reason."""
        rows = await self.auditor.fetch(
            "select member, sequence, reason from points.parked order by program, member, sequence"
        )
        return [tuple(row) for row in rows]

    async def findings(self) -> list[Finding]:
        return [each async for each in verify(self.auditor) if isinstance(each, Finding)]

    async def _send(self, topic: str, told: Told, key: str) -> Any:
        headers = [
            ("ce_specversion", b"1.0"),
            ("ce_id", f"1.{told.program}.{told.member}.{told.sequence}".encode()),
            ("ce_source", told.source.encode()),
            ("ce_type", told.type.encode()),
            ("ce_time", datetime.now(UTC).isoformat().encode()),
            ("ce_sequence", str(told.sequence).encode()),
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
            if message.id not in self._seen:
                self._seen.add(message.id)
                self.heard.append(message)


def body(message: Message) -> dict[str, Any]:
    """Return what a message says."""
    decoded: dict[str, Any] = msgspec.json.decode(message.body)
    return decoded


@asynccontextmanager
async def at_work(settings: PointsSettings) -> AsyncIterator[Health]:
    """Run a worker in this process, as `python -m services.points worker` would; yields its health."""
    async with reading(settings) as read:
        joined = await working(read)
        parts = [joined.timer.run, joined.consumer.run, read.topic.run, joined.relay.run, joined.filler.run]
        tasks = [asyncio.create_task(run()) for run in parts]
        try:
            yield read.health
            # A part that has ended would have ended the process.
            assert not any(task.done() for task in tasks)
        finally:
            for task in tasks:
                task.cancel()
                await asyncio.wait({task}, timeout=10)
