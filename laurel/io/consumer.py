"""The consumer: batches from Kafka, applied once, their offsets committed behind the database's commit.

A session is the time with one broker. A broker with another id begins another session, and what this group has not
yet read of it is read from 0, whatever offsets say: the counted inboxes make that harmless.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from laurel.io import failpoints, parking
from laurel.io.applying import Applier
from laurel.io.handling import Handled, Handler, Poison
from laurel.io.kafka import (
    BROKER_ERRORS,
    Backoff,
    ClusterWatch,
    commit,
    ensure_topics,
    has_ended,
    new_consumer,
    start_client,
    stop_quietly,
)
from laurel.io.logs import KnownLogs
from laurel.io.message import Message, Undecodable, decode
from laurel.io.patience import Patience
from laurel.io.telemetry import BATCH_SECONDS, GAPS, RERUNS, logger
from laurel.io.topics import topic_named

if TYPE_CHECKING:
    from laurel.io.database import Connection
    from laurel.io.health import Health
    from laurel.io.relay import Relay
    from laurel.io.settings import KafkaSettings
    from laurel.io.unit import UnitOfWork

__all__ = ["Consumer", "Handled", "Handler", "Poison"]

log = logger(__name__)

_COMMIT_SECONDS = 0.5
_COMMIT_AGAIN_SECONDS = 1.0
_TICK_SECONDS = 1.0
_GAP_CHECK_SECONDS = 5.0
_WATCH_SECONDS = 1.0
_WATCH_FAILURES_MAX = 2
_DRAIN_SECONDS = 5.0
_START_SECONDS = 30.0
_POLL_MS = 100


def _unwanted(types: Collection[str] | None) -> Callable[[str], bool] | None:
    if types is None:
        return None
    wanted = frozenset(types)
    return lambda type_: type_ not in wanted


class Consumer:
    """Reads `topics` as `group` and applies every message once, in the order of its key."""

    def __init__(
        self,
        group: str,
        topics: Sequence[str],
        handler: Handler,
        unit: UnitOfWork,
        kafka: KafkaSettings,
        health: Health,
        *,
        relay: Relay | None = None,
        types: Collection[str] | None = None,
        may_wait: Callable[[str], bool] | None = None,
        ripen: Callable[[Connection], Awaitable[None]] | None = None,
        batch_max: int = 500,
        gap_report_seconds: float = 30.0,
    ) -> None:
        """`types`: what the handler wants; messages of other types only move the inbox, when it suits.

        `may_wait`: the types for whose effect nobody waits, so that they go with others; by default what is not wanted.
        `ripen` is called once a second: it has those parked messages tried again whose time has come.
        """
        self.group = group
        self.topics = tuple(topics)
        self.part = f"consumer:{group}"
        self.applier = Applier(group, handler, unit, types=types)
        self._patience = Patience(may_wait or _unwanted(types), batch_max)
        self._database = unit.database
        self._kafka = kafka
        self._health = health
        self._relay = relay
        self._ripen = ripen
        self._batch_max = batch_max
        self._gap_report_seconds = gap_report_seconds
        self._logs = KnownLogs(group, unit.database)
        # Held while a batch is worked off and while partitions change hands.
        self._lock = asyncio.Lock()
        self._letting_go = asyncio.Event()
        # Counts what makes batches in hand somebody else's.
        self._generation = 0
        # Set while partitions are ours and it is said of each where to begin.
        self._settled = asyncio.Event()
        self._offsets: dict[TopicPartition, int] = {}
        self._committed_at = 0.0
        self._ticked_at = 0.0
        self._gaps_checked_at = 0.0
        self._gap_reported = ""
        self._consumer: AIOKafkaConsumer | None = None
        self._cluster = ""
        health.not_ready(self.part, "not yet joined")

    async def run(self) -> None:
        """Consume until cancelled. Survives every loss of broker and database."""
        backoff = Backoff()
        while True:
            try:
                await self._session(backoff)
            except BROKER_ERRORS as error:
                self._health.not_ready(self.part, f"no broker: {error or type(error).__name__}")
                log.warning("consumer lost its broker", group=self.group, error=repr(error))
            await backoff.pause()

    # A session. ----------------------------------------------------------------------------------------------

    async def _session(self, backoff: Backoff) -> None:
        watch = ClusterWatch(self._kafka)
        consumer: AIOKafkaConsumer | None = None
        try:
            self._cluster = await watch.ask()
            # A group that subscribes to what does not exist yet would learn of it only much later.
            await ensure_topics(
                self._kafka, [topic_named(topic, self._kafka.kafka_partitions) for topic in self.topics]
            )
            consumer = self._consumer = new_consumer(self._kafka, self.group)
            self._offsets.clear()
            self._patience.take()
            self._settled.clear()
            consumer.subscribe(topics=list(self.topics), listener=_Listener(self))
            await start_client(consumer, _START_SECONDS)
            await self._until_the_first_ends(self._read(consumer, backoff), self._watch(consumer, watch))
        except asyncio.CancelledError:
            await self._last_commit()
            raise
        finally:
            self._consumer = None
            self._generation += 1
            if consumer is not None:
                await stop_quietly(consumer)
            await watch.close()

    async def _until_the_first_ends(self, *works: Coroutine[Any, Any, None]) -> None:
        tasks = [asyncio.create_task(work) for work in works]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        for outcome in ended:
            if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
                raise outcome

    async def _watch(self, consumer: AIOKafkaConsumer, watch: ClusterWatch) -> None:
        """Return when the broker is another one than the session began with or when the client has ended."""
        failures = 0
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            if has_ended(consumer):
                log.warning("client ended by itself", group=self.group)
                return
            try:
                found = await watch.ask()
            except BROKER_ERRORS as error:
                failures += 1
                if failures >= _WATCH_FAILURES_MAX:
                    self._health.not_ready(self.part, f"no broker: {error or type(error).__name__}")
                continue
            if found != self._cluster:
                log.warning("consumer found another broker", group=self.group, cluster=found)
                return
            if failures:
                failures = 0
                self._health.ready(self.part)

    async def _read(self, consumer: AIOKafkaConsumer, backoff: Backoff) -> None:
        while True:
            # Asked while nothing is settled, too: it raises if the client's part in the group has ended by itself.
            wait_ms = max(1, math.ceil(self._patience.rest_seconds(_POLL_MS / 1000) * 1000))
            fetched = await consumer.getmany(timeout_ms=wait_ms, max_records=self._batch_max)
            # Both are looked at before anything is awaited.
            if not self._settled.is_set():
                _give_back(consumer, fetched)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_POLL_MS / 1000):
                        await self._settled.wait()
                continue
            # A rebalance from here on makes this batch somebody else's, or has it read again.
            generation = self._generation
            if fetched:
                async with self._lock:
                    if generation != self._generation:
                        continue
                    self._patience.add(fetched)
            if self._patience.is_over:
                async with self._lock:
                    started = time.monotonic()
                    if await self._work_off_all():
                        backoff.reset()
                    self._patience.rest_from(time.monotonic() - started)
            await self._commit_if_due(consumer)
            await self._tick_if_due()

    async def _work_off_all(self) -> bool:
        """Apply everything that was fetched. False: not all of it is done, and it is read again by its next owner."""
        taken = self._patience.take()
        if not taken:
            return True
        if not await self.work_off([record for part in taken.values() for record in part]):
            return False
        for tp, part in taken.items():
            self._offsets[tp] = part[-1].offset + 1
        return True

    async def _commit_if_due(self, consumer: AIOKafkaConsumer) -> None:
        if self._offsets and time.monotonic() - self._committed_at >= _COMMIT_SECONDS:
            async with self._lock:
                await self._commit(consumer)

    async def _commit(self, consumer: AIOKafkaConsumer) -> None:
        """Commit what is applied. One that fails is tried again; until then a restart reads things twice, no more."""
        mine = consumer.assignment()
        offsets = {tp: offset for tp, offset in self._offsets.items() if tp in mine}
        self._offsets.clear()
        if not offsets:
            return
        await failpoints.reach(failpoints.BEFORE_OFFSETS)
        self._committed_at = time.monotonic()
        try:
            await commit(consumer, offsets)
        except BROKER_ERRORS as error:
            log.info("offsets not committed", group=self.group, error=repr(error))
            self._offsets.update(offsets)
            self._committed_at += _COMMIT_AGAIN_SECONDS
            return
        await self._logs.begun(offsets, self._cluster)

    async def _last_commit(self) -> None:
        consumer = self._consumer
        if consumer is not None and self._offsets:
            with suppress(Exception):
                await self._commit(consumer)

    # Rebalancing. --------------------------------------------------------------------------------------------

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Finish and commit the batch in hand, let the relay finish, then let go."""
        self._settled.clear()
        self._letting_go.set()
        try:
            async with self._lock:
                self._generation += 1
                consumer = self._consumer
                if consumer is not None:
                    await self._work_off_all()
                if consumer is not None and partitions:
                    await self._commit(consumer)
                    # From here on others commit for these partitions.
                    self._offsets.clear()
                    if self._relay is not None:
                        await self._relay.drain(_DRAIN_SECONDS)
        finally:
            self._letting_go.clear()

    async def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """Begin at 0 in every log that this group has not yet read on this broker."""
        async with self._lock:
            self._generation += 1
            consumer = self._consumer
            if consumer is None:
                return
            unread = await self._unread(partitions)
            # Meanwhile records may have been fetched from where somebody has committed to on this broker, be it what
            # was read of another: nobody was given them, or they were given back.
            for tp in unread:
                consumer.seek(tp, 0)
            self._settled.set()
        self._health.ready(self.part)
        log.info("consumer joined", group=self.group, partitions=len(partitions), restarted=len(unread))

    async def _unread(self, partitions: Collection[TopicPartition]) -> list[TopicPartition]:
        backoff = Backoff()
        while True:
            try:
                return await self._logs.unread(partitions, self._cluster)
            except Exception as error:  # noqa: BLE001 - whatever it is, without an answer we may not begin
                self._health.not_ready(self.part, f"no database: {error!r}")
                await backoff.pause()

    # One batch. ----------------------------------------------------------------------------------------------

    async def work_off(self, records: Sequence[Any]) -> bool:
        """Apply the records, however long it takes. False: let go of them, not all of it is done."""
        messages: list[Message] = []
        undecodable: list[Undecodable] = []
        for record in records:
            decoded = decode(record)
            if isinstance(decoded, Message):
                messages.append(decoded)
            else:
                undecodable.append(decoded)
        started = time.perf_counter()

        async def work() -> None:
            if undecodable:
                await self.applier.park_bytes(undecodable)
            await self.applier.apply(messages)

        done = await self.persist(work)
        BATCH_SECONDS.labels(self.group).observe(time.perf_counter() - started)
        return done

    async def persist(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Do the work again and again until it is done, or until the partitions are wanted elsewhere."""
        backoff = Backoff()
        troubled = False
        while True:
            try:
                await work()
            except Exception as error:
                # Not the messages' fault as far as we can tell: nothing is parked, everything waits.
                troubled = True
                self._health.not_ready(self.part, f"{type(error).__name__}: {error}")
                RERUNS.labels(self.group, "trouble").inc()
                log.exception("batch failed and will be tried again", group=self.group)
                with suppress(TimeoutError):
                    async with asyncio.timeout(backoff.seconds()):
                        await self._letting_go.wait()
                    return False
            else:
                if troubled:
                    self._health.ready(self.part)
                return True

    # What is done now and then. ------------------------------------------------------------------------------

    async def _tick_if_due(self) -> None:
        now = time.monotonic()
        if now - self._ticked_at < _TICK_SECONDS:
            return
        self._ticked_at = now
        try:
            async with self._lock:
                if self._ripen is not None:
                    async with self._database.connection() as connection:
                        await self._ripen(connection)
                await self.applier.retry_wanted(self.topics)
            if now - self._gaps_checked_at >= min(_GAP_CHECK_SECONDS, self._gap_report_seconds):
                self._gaps_checked_at = now
                await self.report_gaps()
        except Exception:  # trouble with the database is told by the batches themselves
            log.exception("looking after parked messages failed", group=self.group)

    async def report_gaps(self) -> None:
        """Tell of keys that wait for a number which does not come."""
        async with self._database.connection() as connection:
            found = await parking.gaps(connection, self.topics, self._gap_report_seconds)
        GAPS.labels(self.group).set(len(found))
        text = ""
        if found:
            first = found[0]
            text = (
                f"{len(found)} keys wait for a missing number, first {first.source} "
                f"{first.program}:{first.member} before {first.sequence}"
            )
        self._health.detail(f"gaps:{self.group}", text)
        if text and text != self._gap_reported:
            log.error("a gap does not close", group=self.group, keys=len(found), detail=text)
        self._gap_reported = text


def _give_back(consumer: AIOKafkaConsumer, fetched: Mapping[TopicPartition, Sequence[Any]]) -> None:
    """Have these read again: they are ours, but came before it was said from where on.

    aiokafka hands out nothing between two assignments, so they are of the newer one.
    """
    for tp, records in fetched.items():
        consumer.seek(tp, records[0].offset)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        await self._consumer.revoked(revoked)

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        await self._consumer.assigned(assigned)
