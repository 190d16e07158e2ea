"""The topics seen from outside: what was published, and events that come again, late or out of turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition

from laurel.io.kafka import committed_offsets, log_ends, new_consumer, start_producer, stop_quietly
from laurel.io.message import id_of, source_of
from laurel.io.outbox import OutboxRow
from laurel.io.settings import KafkaSettings
from laurel.io.topics import Topics, partition_of

SERVICES = ("gateway", "points", "redemption")
FIRST_EPOCH = 1
_READ_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Record:
    """One event as it lies, or is to lie, in a log."""

    topic: str
    partition: int
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]

    def header(self, name: str) -> str:
        return dict(self.headers).get(name, b"").decode()

    @property
    def type(self) -> str:
        return self.header("ce_type")

    @property
    def id(self) -> str:
        return f"{self.header('ce_source')} {self.header('ce_id')}"


class Wire:
    """Reads all that lies in the topics, and publishes what it is given as it is."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._producer: Any = None
        every = [
            topic
            for service in SERVICES
            for topic in Topics(service, prefix=kafka.kafka_prefix, partitions=kafka.kafka_partitions).all()
        ]
        self.topics = {topic.name: topic.partitions for topic in every}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Wire]:
        self._producer = await start_producer(self._kafka)
        try:
            yield self
        finally:
            await stop_quietly(self._producer)

    def record(self, service: str, row: OutboxRow) -> Record:
        """The record that the relay of a service makes of a row."""
        program, member, stream = row.key
        topics = Topics(service, prefix=self._kafka.kafka_prefix, partitions=self._kafka.kafka_partitions)
        topic = topics.of(stream)
        headers = {
            "ce_specversion": "1.0",
            "ce_id": id_of(stream, FIRST_EPOCH, program, member, row.number),
            "ce_source": source_of(service, stream, FIRST_EPOCH),
            "ce_type": row.type,
            "ce_time": row.at.isoformat(),
            "ce_partitionkey": row.aggregateid,
            "ce_sequence": str(row.number),
            "ce_subject": member,
            "ce_causationid": row.causation,
            "ce_correlationid": row.correlation,
        }
        return Record(
            topic.name,
            partition_of(row.aggregateid, topic.partitions),
            row.aggregateid.encode(),
            row.payload,
            tuple((name, value.encode()) for name, value in headers.items() if value),
        )

    async def deliver(self, records: Iterable[Record]) -> None:
        """Publish these in this order, each acknowledged before the wire lets go."""
        sends = [
            await self._producer.send(
                record.topic,
                record.value,
                key=record.key,
                partition=record.partition,
                headers=list(record.headers),
            )
            for record in records
        ]
        await asyncio.gather(*sends)

    async def everything(self) -> list[Record]:
        """Read every topic from its beginning to its end."""
        ends = await log_ends(self._kafka, list(self.topics))
        consumer = new_consumer(self._kafka, None)
        found: list[Record] = []
        try:
            await consumer.start()
            left = {TopicPartition(*place): end for place, end in ends.items() if end > 0}
            consumer.assign(list(left))
            for tp in left:
                consumer.seek(tp, 0)
            async with asyncio.timeout(_READ_SECONDS):
                while left:
                    for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                        found += [_seen(record) for record in records]
                        if tp in left and records[-1].offset + 1 >= left[tp]:
                            del left[tp]
        finally:
            await stop_quietly(consumer)
        return found

    async def all_consumed(self) -> bool:
        """Whether every service has committed behind the end of every log that it reads."""
        for service in SERVICES:
            heard = [name for name in self.topics if _hears(service, name.removeprefix(self._kafka.kafka_prefix + "."))]
            ends = await log_ends(self._kafka, heard)
            behind = await committed_offsets(self._kafka, f"{self._kafka.kafka_prefix}-{service}", list(ends))
            if any(behind.get(place, -1) < end for place, end in ends.items() if end > 0):
                return False
        return True


def _hears(service: str, topic: str) -> bool:
    speaker, _, rest = topic.partition(".")
    if speaker not in SERVICES or speaker == service:
        return False
    return rest == "v1" or service == "gateway"


def _seen(record: Any) -> Record:
    return Record(record.topic, record.partition, record.key, record.value, tuple(record.headers))


def distinct(records: Sequence[Record]) -> int:
    return len({record.id for record in records})
