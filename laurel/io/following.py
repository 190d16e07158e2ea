"""Reading topics without a group: every process reads all of them, and keeps no position anywhere."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from laurel.io.kafka import (
    BROKER_ERRORS,
    Backoff,
    ClusterWatch,
    ensure_topics,
    has_ended,
    new_consumer,
    partitions_of,
    start_client,
    stop_quietly,
)
from laurel.io.telemetry import logger
from laurel.io.topics import topic_named

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from laurel.io.health import Health
    from laurel.io.settings import KafkaSettings

log = logger(__name__)

_WATCH_SECONDS = 1.0
_POLL_MS = 200
_WAIT_FOR_TOPIC_SECONDS = 0.2


class Follower:
    """Follows topics from their beginning or their end, through every loss of the broker."""

    def __init__(
        self,
        part: str,
        topics: Sequence[str],
        kafka: KafkaSettings,
        on_records: Callable[[Sequence[Any]], Awaitable[None]],
        *,
        from_beginning: bool,
        health: Health | None = None,
    ) -> None:
        self._part = part
        self._topics = tuple(topics)
        self._kafka = kafka
        self._on_records = on_records
        self._from_beginning = from_beginning
        self._health = health
        self._cluster = ""
        self._positions: dict[TopicPartition, int] = {}
        self.started = asyncio.Event()
        """Set once: from here on nothing that is published is missed."""
        self.caught_up = asyncio.Event()
        """Set once everything is read that was there at the start."""
        self._targets: dict[TopicPartition, int] = {}
        if health is not None:
            health.not_ready(part, "not yet following")

    async def run(self) -> None:
        """Follow until cancelled."""
        backoff = Backoff()
        while True:
            try:
                await self._session(backoff)
            except BROKER_ERRORS as error:
                if self._health is not None:
                    self._health.not_ready(self._part, f"no broker: {error or type(error).__name__}")
                log.info("follower lost its broker", part=self._part, error=repr(error))
            await backoff.pause()

    async def _session(self, backoff: Backoff) -> None:
        watch = ClusterWatch(self._kafka)
        consumer = new_consumer(self._kafka, None)
        try:
            cluster = await watch.ask()
            await ensure_topics(
                self._kafka, [topic_named(topic, self._kafka.kafka_partitions) for topic in self._topics]
            )
            await start_client(consumer)
            await self._position(consumer, cluster)
            if self._health is not None:
                self._health.ready(self._part)
            self.started.set()
            self._reached()
            backoff.reset()
            await self._read(consumer, watch)
        finally:
            await stop_quietly(consumer)
            await watch.close()

    async def _position(self, consumer: AIOKafkaConsumer, cluster: str) -> None:
        partitions = await self._all_partitions(consumer)
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        first = not self._cluster
        if cluster != self._cluster:
            # Another broker: what was at the end of the old one says nothing, so all of the new one is read.
            self._positions.clear()
            self._cluster = cluster
        for tp in partitions:
            if tp in self._positions and self._positions[tp] <= ends[tp]:
                position = self._positions[tp]
            elif first and not self._from_beginning:
                position = ends[tp]
            else:
                position = (await consumer.beginning_offsets([tp]))[tp]
            consumer.seek(tp, position)
            self._positions[tp] = position
        if not self.caught_up.is_set():
            self._targets = {tp: end for tp, end in ends.items() if end > self._positions[tp]}

    async def _all_partitions(self, consumer: AIOKafkaConsumer) -> list[TopicPartition]:
        """Wait until all topics can be seen."""
        while True:
            found = {topic: await partitions_of(consumer, topic) for topic in self._topics}
            missing = [topic for topic, partitions in found.items() if not partitions]
            if not missing:
                return [TopicPartition(topic, number) for topic, numbers in found.items() for number in numbers]
            if self._health is not None:
                self._health.not_ready(self._part, f"waits for topic {missing[0]}")
            await asyncio.sleep(_WAIT_FOR_TOPIC_SECONDS)

    async def _read(self, consumer: AIOKafkaConsumer, watch: ClusterWatch) -> None:
        watching = asyncio.create_task(self._watch(consumer, watch))
        try:
            while not watching.done():
                fetched = await consumer.getmany(timeout_ms=_POLL_MS)
                for tp, records in fetched.items():
                    await self._hand_on(records)
                    self._positions[tp] = records[-1].offset + 1
                if fetched and self._targets:
                    self._reached()
            watching.result()
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError, *BROKER_ERRORS):
                await watching

    async def _hand_on(self, records: Sequence[Any]) -> None:
        """Hand records on until they are taken: none may be left out, so everything behind them waits."""
        backoff = Backoff()
        troubled = False
        while True:
            try:
                await self._on_records(records)
            except Exception as error:
                troubled = True
                if self._health is not None:
                    self._health.not_ready(self._part, f"{type(error).__name__}: {error}")
                log.exception("records not taken", part=self._part)
                await backoff.pause()
            else:
                if troubled and self._health is not None:
                    self._health.ready(self._part)
                return

    def _reached(self) -> None:
        self._targets = {tp: end for tp, end in self._targets.items() if self._positions[tp] < end}
        if not self._targets:
            self.caught_up.set()

    async def _watch(self, consumer: AIOKafkaConsumer, watch: ClusterWatch) -> None:
        """Return when the session has to begin anew."""
        lost_at = 0.0
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            if has_ended(consumer):
                log.warning("client ended by itself", part=self._part)
                return
            try:
                found = await watch.ask()
            except BROKER_ERRORS as error:
                lost_at = lost_at or time.monotonic()
                if self._health is not None:
                    self._health.not_ready(self._part, f"no broker: {error or type(error).__name__}")
                continue
            if found != self._cluster or lost_at:
                return
