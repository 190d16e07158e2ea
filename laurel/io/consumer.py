"""The consumer: batches from Kafka through one handler into one transaction each."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from laurel.io import failpoints, inbox, parking
from laurel.io.database import is_conflict, is_data_error
from laurel.io.inbox import Key, Place, Sifted, Wrong
from laurel.io.kafka import (
    BROKER_ERRORS,
    Backoff,
    ClusterWatch,
    ensure_topics,
    new_consumer,
    stop_quietly,
)
from laurel.io.message import Message, Undecodable, decode
from laurel.io.topics import topic_named
from laurel.io.telemetry import BATCH_SECONDS, CONSUMED, GAPS, RERUNS, logger

if TYPE_CHECKING:
    from laurel.io.database import Connection
    from laurel.io.health import Health
    from laurel.io.relay import Relay
    from laurel.io.saying import Saying
    from laurel.io.settings import KafkaSettings
    from laurel.io.unit import UnitOfWork, Work

log = logger(__name__)

_CONFLICTS_MAX = 20
_COMMIT_SECONDS = 0.1
_TICK_SECONDS = 1.0
_GAP_CHECK_SECONDS = 5.0
_WATCH_SECONDS = 1.0
_DRAIN_SECONDS = 5.0
_POLL_MS = 100


class Poison(Exception):  # noqa: N818 - the message is at fault, not the program
    """Raised by a handler: this message can never be processed. It is parked, and its key waits behind it.

    A handler that has looked at the whole batch may name further ones in `also`, which spares reruns.
    """

    def __init__(self, message: Message, reason: str, detail: str = "", *, also: Sequence[Poison] = ()) -> None:
        super().__init__(reason, detail)
        self.message = message
        self.reason = reason
        self.detail = detail
        self.also = tuple(also)

    def places(self) -> dict[Place, Wrong]:
        found: dict[Place, Wrong] = {}
        for poison in (self, *self.also):
            found[(*poison.message.key, poison.message.sequence)] = Wrong(poison.reason, poison.detail)
        return found


@dataclass(slots=True)
class Handled:
    """What came of a batch: what is to be said of it, and what to call once it is committed."""

    sayings: Sequence[Saying] = ()
    after_commit: Callable[[], None] | None = None


class Handler(Protocol):
    """What a service does with messages."""

    async def handle(self, connection: Connection, messages: list[Message]) -> Handled:
        """Apply the messages in order, within the caller's transaction.

        May be called again with the same messages after a rollback, so it keeps nothing outside the transaction
        before `after_commit`. Raises `Poison` for a message that can never be processed.
        """


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
        batch_max: int = 500,
        gap_report_seconds: float = 30.0,
    ) -> None:
        """`types`: what the handler wants; messages of other types only move the inbox."""
        self.group = group
        self.topics = tuple(topics)
        self.part = f"consumer:{group}"
        self._handler = handler
        self._unit = unit
        self._kafka = kafka
        self._health = health
        self._relay = relay
        self._types = frozenset(types) if types is not None else None
        self._batch_max = batch_max
        self._gap_report_seconds = gap_report_seconds
        self._lock = asyncio.Lock()
        self._letting_go = asyncio.Event()
        self._generation = 0
        self._restarted: set[TopicPartition] = set()
        self._unnoted: set[TopicPartition] = set()
        self._offsets: dict[TopicPartition, int] = {}
        self._committed_at = 0.0
        self._ticked_at = 0.0
        self._gaps_checked_at = 0.0
        self._consumer: Any = None
        self._cluster = ""
        self._last_fresh: list[Message] = []
        self._gap_reported = ""
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

    # A session is the time with one broker. ------------------------------------------------------------------

    async def _session(self, backoff: Backoff) -> None:
        watch = ClusterWatch(self._kafka)
        consumer: Any = None
        try:
            self._cluster = await watch.ask()
            # A group that subscribes to what does not exist yet would learn of it only much later.
            await ensure_topics(
                self._kafka, [topic_named(topic, self._kafka.kafka_partitions) for topic in self.topics]
            )
            consumer = new_consumer(self._kafka, self.group)
            self._consumer = consumer
            self._offsets.clear()
            consumer.subscribe(topics=list(self.topics), listener=_Listener(self))
            await asyncio.wait_for(consumer.start(), 30)
            reading = asyncio.create_task(self._read(consumer, backoff))
            watching = asyncio.create_task(self._watch(watch))
            try:
                await asyncio.wait({reading, watching}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (reading, watching):
                    task.cancel()
                ended = await asyncio.gather(reading, watching, return_exceptions=True)
            for outcome in ended:
                if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
                    raise outcome
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError):
                await self._last_commit()
            raise
        finally:
            self._consumer = None
            self._generation += 1
            if consumer is not None:
                await stop_quietly(consumer)
            await watch.close()

    async def _watch(self, watch: ClusterWatch) -> None:
        """Return when the broker is another one than the session began with."""
        failures = 0
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            try:
                found = await watch.ask()
            except BROKER_ERRORS as error:
                failures += 1
                if failures >= 2:
                    self._health.not_ready(self.part, f"no broker: {error or type(error).__name__}")
                continue
            if found != self._cluster:
                log.warning("consumer found another broker", group=self.group, cluster=found)
                return
            if failures:
                failures = 0
                self._health.ready(self.part)

    async def _read(self, consumer: Any, backoff: Backoff) -> None:
        while True:
            fetched = await consumer.getmany(timeout_ms=_POLL_MS, max_records=self._batch_max)
            # Taken before anything is awaited: a rebalance from here on makes this batch somebody else's.
            generation = self._generation
            if fetched:
                async with self._lock:
                    if generation != self._generation:
                        self._give_back(consumer, fetched)
                        continue
                    records = [record for part in fetched.values() for record in part]
                    if await self._work_off(records):
                        for tp, part in fetched.items():
                            self._offsets[tp] = part[-1].offset + 1
                        backoff.reset()
            await self._commit_if_due(consumer)
            await self._tick_if_due()

    def _give_back(self, consumer: Any, fetched: Mapping[TopicPartition, Sequence[Any]]) -> None:
        """Read these again, if they are ours still: nothing was done with them."""
        mine = consumer.assignment()
        for tp, records in fetched.items():
            if tp in mine and tp not in self._restarted:
                consumer.seek(tp, records[0].offset)

    async def _commit_if_due(self, consumer: Any) -> None:
        if self._offsets and time.monotonic() - self._committed_at >= _COMMIT_SECONDS:
            async with self._lock:
                await self._commit(consumer)

    async def _commit(self, consumer: Any) -> None:
        """Commit what is applied. A commit that fails costs repeats, nothing else."""
        mine = consumer.assignment()
        offsets = {tp: offset for tp, offset in self._offsets.items() if tp in mine}
        self._offsets.clear()
        if not offsets:
            return
        await failpoints.reach(failpoints.BEFORE_OFFSETS)
        self._committed_at = time.monotonic()
        try:
            await asyncio.wait_for(consumer.commit(offsets), 5)
        except BROKER_ERRORS as error:
            log.info("offsets not committed", group=self.group, error=repr(error))
            return
        fresh = self._unnoted & offsets.keys()
        if fresh:
            await self._note_logs(fresh)

    async def _last_commit(self) -> None:
        consumer = self._consumer
        if consumer is not None and self._offsets:
            with suppress(Exception):
                await asyncio.wait_for(self._commit(consumer), 5)

    # Rebalancing. --------------------------------------------------------------------------------------------

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Finish and commit the batch in hand, let the relay finish, then let go."""
        self._letting_go.set()
        try:
            async with self._lock:
                self._generation += 1
                self._restarted.clear()
                self._unnoted.clear()
                consumer = self._consumer
                if consumer is not None and partitions:
                    await self._commit(consumer)
                if self._relay is not None and partitions:
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
            if partitions:
                known = await self._known_logs()
                for tp in partitions:
                    if known.get((tp.topic, tp.partition)) != self._cluster:
                        consumer.seek(tp, 0)
                        self._restarted.add(tp)
                        self._unnoted.add(tp)
        self._health.ready(self.part)
        log.info("consumer joined", group=self.group, partitions=len(partitions), restarted=len(self._restarted))

    async def _known_logs(self) -> dict[tuple[str, int], str]:
        backoff = Backoff()
        while True:
            try:
                async with self._unit.database.connection() as connection:
                    rows = await connection.fetch(
                        "select topic, partition, cluster_id from consumer_logs where consumer = $1", self.group
                    )
                return {(row["topic"], row["partition"]): row["cluster_id"] for row in rows}
            except Exception as error:  # noqa: BLE001 - whatever it is, without an answer we may not begin
                self._health.not_ready(self.part, f"no database: {error!r}")
                await backoff.pause()

    async def _note_logs(self, partitions: Collection[TopicPartition]) -> None:
        try:
            async with self._unit.database.connection() as connection:
                await connection.executemany(
                    "insert into consumer_logs (consumer, topic, partition, cluster_id) values ($1, $2, $3, $4) "
                    "on conflict (consumer, topic, partition) do update set cluster_id = excluded.cluster_id",
                    sorted((self.group, tp.topic, tp.partition, self._cluster) for tp in partitions),
                )
        except Exception as error:  # noqa: BLE001 - not noted means reading from 0 once more
            log.info("logs not noted", group=self.group, error=repr(error))
            return
        self._unnoted.difference_update(partitions)

    # One batch. ----------------------------------------------------------------------------------------------

    async def _work_off(self, records: Sequence[Any]) -> bool:
        """Apply the records, however long it takes. False: let go of them, nothing was done."""
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
                await self._park_bytes(undecodable)
            await self.apply(messages)

        done = await self._persist(work)
        BATCH_SECONDS.labels(self.group).observe(time.perf_counter() - started)
        return done

    async def _persist(self, work: Callable[[], Awaitable[None]]) -> bool:
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
                    await asyncio.wait_for(self._letting_go.wait(), backoff.seconds())
                    return False
            else:
                if troubled:
                    self._health.ready(self.part)
                return True

    async def apply(self, messages: list[Message]) -> None:
        """Apply a batch: in one transaction, or in halves until what the database refuses stands alone."""
        try:
            await self._attempt(messages)
        except Exception as error:
            if not is_data_error(error):
                raise
            RERUNS.labels(self.group, "data").inc()
            log.warning("the database refused a batch", group=self.group, size=len(messages), error=repr(error))
            await self._isolate(messages)
            # What had waited for these was left aside, so that it could not be mistaken for them.
            async with self._unit.database.connection() as connection:
                keys = await parking.waiting_keys(connection, sorted({message.key for message in messages}))
            await self._pull_singly(keys)

    async def _isolate(self, messages: list[Message]) -> None:
        if len(messages) > 1:
            middle = len(messages) // 2
            for half in (messages[:middle], messages[middle:]):
                try:
                    await self._attempt(half, pull_max=0)
                except Exception as error:
                    if not is_data_error(error):
                        raise
                    await self._isolate(half)
            return
        message = messages[0]
        try:
            await self._attempt(messages, pull_max=0)
        except Exception as error:
            if not is_data_error(error):
                raise
            wrong = {(*message.key, message.sequence): Wrong("refused_by_database", _told(error))}
            await self._attempt(messages, pull_max=0, wrong=wrong)

    async def _pull_singly(self, keys: Sequence[Key]) -> None:
        for key in keys:
            wrong: dict[Place, Wrong] = {}
            while True:
                self._last_fresh = []
                try:
                    sifted = await self._attempt([], keys=[key], pull_max=1, wrong=wrong)
                except Exception as error:
                    if not is_data_error(error) or not self._last_fresh:
                        raise
                    pulled = self._last_fresh[0]
                    wrong[(*pulled.key, pulled.sequence)] = Wrong("refused_by_database", _told(error))
                    continue
                if not sifted.fresh:
                    break

    async def _attempt(
        self,
        messages: list[Message],
        *,
        keys: Sequence[Key] = (),
        pull_max: int | None = None,
        wrong: Mapping[Place, Wrong] | None = None,
        first: Callable[[Connection], Awaitable[None]] | None = None,
    ) -> Sifted:
        """Run one transaction, again where transactions collided, and without the messages found to be poison."""
        known: dict[Place, Wrong] = dict(wrong or {})
        conflicts = 0
        while True:
            try:
                async with self._unit.begin() as work:
                    if first is not None:
                        await first(work.connection)
                    sifted = await self._transact(work, messages, keys, known, pull_max)
            except Poison as poison:
                found = poison.places()
                if found.keys() <= known.keys():
                    raise RuntimeError("a handler calls poison what it was not given") from poison
                known.update(found)
                RERUNS.labels(self.group, "poison").inc()
            except Exception as error:
                if not is_conflict(error) or conflicts >= _CONFLICTS_MAX:
                    raise
                conflicts += 1
                RERUNS.labels(self.group, "conflict").inc()
                await asyncio.sleep(random.uniform(0, 0.002 * conflicts))  # noqa: S311 - jitter
            else:
                self._count(sifted)
                return sifted

    async def _transact(
        self,
        work: Work,
        messages: list[Message],
        keys: Sequence[Key],
        wrong: Mapping[Place, Wrong],
        pull_max: int | None,
    ) -> Sifted:
        sifted = await inbox.sift(work.connection, messages, wrong, keys, pull_max)
        self._last_fresh = sifted.fresh
        types = self._types
        wanted = sifted.fresh if types is None else [each for each in sifted.fresh if each.type in types]
        if wanted:
            handled = await self._handler.handle(work.connection, wanted)
            work.say_all(handled.sayings)
            if handled.after_commit is not None:
                work.after_commit(handled.after_commit)
        for message, why in sifted.parked:
            work.say(parking.parked_saying(message, why))
        await inbox.move(work.connection, sifted)
        return sifted

    def _count(self, sifted: Sifted) -> None:
        for outcome, count in (
            ("applied", len(sifted.fresh)),
            ("repeated", sifted.repeats),
            ("waiting", len(sifted.waiting)),
            ("parked", len(sifted.parked)),
        ):
            if count:
                CONSUMED.labels(self.group, outcome).inc(count)
        for message, why in sifted.parked:
            log.error(
                "message parked",
                group=self.group,
                source=message.source,
                sequence=message.sequence,
                program=message.program,
                member=message.member,
                type=message.type,
                reason=why.reason,
                detail=why.detail,
            )

    async def _park_bytes(self, records: list[Undecodable]) -> None:
        async with self._unit.begin() as work:
            for record in await inbox.park_bytes(work.connection, records):
                work.say(parking.undecodable_saying(record))
                CONSUMED.labels(self.group, "undecodable").inc()
                log.error("bytes parked", group=self.group, source=record.source, offset=record.offset,
                          detail=record.detail)  # fmt: skip

    # What is done now and then. ------------------------------------------------------------------------------

    async def _tick_if_due(self) -> None:
        now = time.monotonic()
        if now - self._ticked_at < _TICK_SECONDS:
            return
        self._ticked_at = now
        try:
            async with self._lock:
                await self.retry_wanted()
                if now - self._gaps_checked_at >= min(_GAP_CHECK_SECONDS, self._gap_report_seconds):
                    self._gaps_checked_at = now
                    await self._report_gaps()
        except Exception:  # trouble with the database is told by the batches themselves
            log.exception("looking after parked messages failed", group=self.group)

    async def retry_wanted(self) -> None:
        """Try again the parked messages of which an operator wants it, each key in order."""
        async with self._unit.database.connection() as connection:
            keys, records = await parking.wanted(connection, self.topics)
        for key in keys:
            await self._pull_singly([key])
        for place, record in records:
            again = decode(record)
            if isinstance(again, Undecodable):
                async with self._unit.database.transaction() as connection:
                    await parking.undecodable_still(connection, place, again.detail)
            else:
                await self._attempt([again], first=lambda connection, place=place: parking.forget(connection, place))  # type: ignore[misc]

    async def _report_gaps(self) -> None:
        async with self._unit.database.connection() as connection:
            found = await parking.gaps(connection, self.topics, self._gap_report_seconds)
        GAPS.labels(self.group).set(len(found))
        text = ""
        if found:
            first = found[0]
            text = (
                f"{len(found)} keys wait for a missing number, first {first.source} {first.program}:{first.member} "
                f"before {first.sequence}"
            )
        self._health.detail(f"gaps:{self.group}", text)
        if text and text != self._gap_reported:
            log.error("a gap does not close", group=self.group, keys=len(found), detail=text)
        self._gap_reported = text


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        await self._consumer.revoked(revoked)

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        await self._consumer.assigned(assigned)


def _told(error: BaseException) -> str:
    state = getattr(error, "sqlstate", "") or ""
    # The detail of a constraint may quote values of the row, which are nobody's business in an event.
    constraint = getattr(error, "constraint_name", "") or ""
    return " ".join(part for part in (f"SQLSTATE {state}" if state else type(error).__name__, constraint) if part)


__all__ = ["Consumer", "Handled", "Handler", "KafkaError", "Poison"]
