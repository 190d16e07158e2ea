"""Lanes: one per partition, with at most one batch on its way, so that the order of its rows is ours.

A row is sent only when the number before it is known to be published, or goes before it in the same batch.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiokafka.errors import OutOfOrderSequenceNumber

from laurel.io.headers import Headers
from laurel.io.kafka import BROKER_ERRORS, Backoff, deliver, has_ended
from laurel.io.telemetry import PUBLISHED, RELAY_FAILURES, logger
from laurel.io.topics import partition_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiokafka import AIOKafkaProducer

    from laurel.io.health import Health
    from laurel.io.outbox import Key, Outbox, OutboxRow
    from laurel.io.topics import Topics

log = logger(__name__)

_KNOWN_MAX = 100_000
_PATIENCE_ATTEMPTS_MAX = 6

Position = tuple[str, int]
"""(topic, partition)."""


class LogBeganAnewError(ConnectionError):
    """A broker has lost what it had acknowledged."""

    def __init__(self, position: Position) -> None:
        super().__init__(f"{position[0]}/{position[1]} has lost what the broker had acknowledged")


class Lane:
    """One partition."""

    __slots__ = ("backoff", "failed", "lock", "position", "queue", "wake")

    def __init__(self, topic: str, partition: int) -> None:
        self.position: Position = (topic, partition)
        # Rows handed over, each with when.
        self.queue: deque[tuple[OutboxRow, float]] = deque()
        self.wake = asyncio.Event()
        self.lock = asyncio.Lock()
        self.failed = False
        self.backoff = Backoff(0.1, 5.0)


@dataclass(slots=True)
class Sent:
    """What became of rows that were to be sent."""

    published: list[OutboxRow] = field(default_factory=list)
    left: list[OutboxRow] = field(default_factory=list)
    """Not sent: they did not fit, or the send failed."""
    aside: list[OutboxRow] = field(default_factory=list)
    """Not sent: whether the number before is published is not known."""


class Lanes:
    """All lanes of one service, and the producer that serves them."""

    def __init__(self, outbox: Outbox, topics: Topics, health: Health) -> None:
        self._service = outbox.service
        self._headers = Headers(outbox.service, outbox.epoch)
        self._streams = topics.streams()
        self._health = health
        self._published = PUBLISHED.labels(outbox.service)
        self._lanes = {
            (topic.name, partition): Lane(topic.name, partition)
            for topic in topics.all()
            for partition in range(topic.partitions)
        }
        self.producer: AIOKafkaProducer | None = None
        self.sound = True
        """Whether every send by this producer has succeeded. An idempotent one that failed once counts batches that
        the broker never saw, and may not be believed again."""
        self.known: dict[Key, int] = {}
        """The last number of a key that is known to be published; keys long unused are forgotten."""
        self.ends: dict[Position, int] = {}
        """How far the logs had grown when we last wrote to them."""
        self.grown: set[Position] = set()
        """Logs that have grown since somebody last asked."""
        self.doubtful = True
        """Whether the broker may have lost what it was told."""
        self.shrunk = False
        """Whether a log was seen to begin anew under the same broker: it has lost what it had acknowledged."""

    def all(self) -> list[Lane]:
        return list(self._lanes.values())

    def of(self, row: OutboxRow) -> Lane:
        """Return the lane that a row belongs to."""
        topic = self._streams[row.key[2]]
        return self._lanes[topic.name, partition_of(row.aggregateid, topic.partitions)]

    def by_lane(self, rows: Sequence[OutboxRow]) -> dict[Lane, list[OutboxRow]]:
        """Sort rows into their lanes."""
        sorted_: dict[Lane, list[OutboxRow]] = {}
        for row in rows:
            sorted_.setdefault(self.of(row), []).append(row)
        return sorted_

    def learn(self, key: Key, number: int) -> None:
        """Take note that a key is published up to `number`."""
        if self.known.get(key, 0) < number:
            self.known[key] = number

    def begin(self, producer: AIOKafkaProducer) -> AIOKafkaProducer | None:
        """Serve the lanes by another producer; returns the one before."""
        before, self.producer = self.producer, producer
        self.sound = True
        self.ends.clear()
        self.grown.clear()
        self.doubtful = True
        self.shrunk = False
        return before

    def _serving(self) -> AIOKafkaProducer:
        if self.producer is None:
            raise ConnectionError("there is no broker yet")
        return self.producer

    @property
    def dead(self) -> bool:
        """Say whether the producer will never send anything again, however well the broker is."""
        return self.producer is not None and has_ended(self.producer)

    @property
    def failing(self) -> bool:
        return any(lane.failed for lane in self._lanes.values())

    async def send(self, lane: Lane, rows: Sequence[OutboxRow]) -> Sent:
        """Send one batch of these rows; the caller holds the lane's lock."""
        sent = Sent()
        producer = self.producer
        if producer is None:
            lane.failed = True
            sent.left.extend(rows)
            return sent
        builder = producer.create_batch()
        numbers: dict[Key, int] = {}
        batch: list[OutboxRow] = []
        known = self.known
        make = self._headers.of
        now_ms = int(time.time() * 1000)
        for index, row in enumerate(rows):
            last = numbers.get(row.key) or known.get(row.key, 0)
            number = row.number
            if number <= last:
                sent.published.append(row)
                continue
            if number != last + 1:
                sent.aside.append(row)
                continue
            key = row.aggregateid.encode()
            if builder.append(timestamp=now_ms, key=key, value=row.payload, headers=make(row, key)) is None:
                sent.left.extend(rows[index:])
                break
            numbers[row.key] = number
            batch.append(row)
        if batch:
            topic, partition = lane.position
            try:
                answer = await deliver(producer, builder, topic, partition)
            except BROKER_ERRORS as error:
                self._failed(lane, error)
                sent.left[:0] = batch
                return sent
            self._acknowledged(lane, answer.offset, len(batch), numbers)
            sent.published.extend(batch)
        return sent

    def _acknowledged(self, lane: Lane, offset: int, count: int, numbers: dict[Key, int]) -> None:
        known = self.known
        for key, number in numbers.items():
            known.pop(key, None)
            known[key] = number
        if len(known) > _KNOWN_MAX:
            for key in list(known)[: _KNOWN_MAX // 10]:
                del known[key]
        if lane.failed:
            lane.failed = False
            self._health.ready("relay")
        lane.backoff.reset()
        self._published.inc(count)
        self._wrote(lane, offset, count)

    def _wrote(self, lane: Lane, offset: int, count: int) -> bool:
        """Note how far a log has grown. False if it is shorter than it was: not the broker we knew, or not its data."""
        is_longer = offset >= self.ends.get(lane.position, 0)
        if not is_longer:
            self.doubtful = self.shrunk = True
        self.ends[lane.position] = offset + count
        self.grown.add(lane.position)
        return is_longer

    def _failed(self, lane: Lane, error: BaseException) -> None:
        lane.failed = True
        self.sound = False
        self.doubtful = True
        RELAY_FAILURES.labels(self._service).inc()
        topic, partition = lane.position
        self._health.not_ready("relay", f"cannot publish to {topic}: {error or type(error).__name__}")
        log.warning("send failed", topic=topic, partition=partition, error=repr(error))

    async def send_again(self, rows: Sequence[OutboxRow]) -> None:
        """Publish rows whatever is known of their keys. Raises if any could not be."""
        await asyncio.gather(*(self._again(lane, part) for lane, part in self.by_lane(rows).items()))

    async def _again(self, lane: Lane, rows: list[OutboxRow]) -> None:
        async with lane.lock:
            at = 0
            while at < len(rows):
                at += await self._patiently(lane, rows[at:])

    async def _patiently(self, lane: Lane, rows: Sequence[OutboxRow]) -> int:
        """Send as many of these rows as one batch holds. A broker that is just coming up may need some asking."""
        producer = self._serving()
        topic, partition = lane.position
        backoff = Backoff(0.05, 1.0)
        for attempt in range(_PATIENCE_ATTEMPTS_MAX):
            builder = producer.create_batch()
            count = 0
            for row in rows:
                key = row.aggregateid.encode()
                stamp = int(row.at.timestamp() * 1000)
                headers = self._headers.of(row, key)
                if builder.append(timestamp=stamp, key=key, value=row.payload, headers=headers) is None:
                    break
                count += 1
            try:
                answer = await deliver(producer, builder, topic, partition)
            except BROKER_ERRORS as error:
                self.sound = False
                hopeless = isinstance(error, OutOfOrderSequenceNumber | TimeoutError)
                if hopeless or attempt + 1 == _PATIENCE_ATTEMPTS_MAX or producer is not self.producer:
                    raise
                await backoff.pause()
            else:
                if not self._wrote(lane, answer.offset, count):
                    raise LogBeganAnewError(lane.position)
                return count
        raise AssertionError("the last attempt returns or raises")
