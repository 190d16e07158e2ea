"""The relay: publishes what lies in the outbox, each key in the order of its numbers.

A number is published only when the one before it is known to be, so the first publication of a key's events is in
order whatever number of relays work on one schema. Rows come two ways: handed over right after their commit, which
is quick, and found by sweeping the table, which is certain. A row that is published and not yet marked may be
published again; consumers count, so repeats are harmless.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from laurel.io import failpoints
from laurel.io.kafka import BROKER_ERRORS, Backoff, ClusterWatch, ensure_topics, start_producer, stop_quietly
from laurel.io.message import id_of, source_of
from laurel.io.outbox import ROW_COLUMNS, Key, Outbox, OutboxRow, row_from
from laurel.io.recovery import Recovery
from laurel.io.telemetry import (
    PUBLISHED,
    RELAY_FAILURES,
    RELAY_SECONDS,
    RELAY_WAITING,
    SWEPT,
    logger,
)
from laurel.io.topics import Topic, Topics, partition_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from laurel.io.database import Connection, Database
    from laurel.io.health import Health
    from laurel.io.settings import KafkaSettings

log = logger(__name__)

_BATCH_ROWS_MAX = 1000
_SWEEP_ROWS_MAX = 1000
_PENDING_MAX = 20_000
_KNOWN_MAX = 50_000
_MARK_ROWS_MAX = 2000
_ASIDE_SECONDS_MAX = 0.25
_ASIDE_PAUSE_SECONDS = 0.02
_POSITIONS_SECONDS = 1.0
_WATCH_SECONDS = 1.0
_AGAIN_ATTEMPTS_MAX = 6

# One row at a time, sent together: a join with the keys is planned by what is known of the table, and while that is
# young and nobody has counted it, the plan compares every key with every unpublished row. Without
# `published_at is null` the partial index would be of no use.
_MARK = """
update outbox set published_at = now()
where program = $1 and member = $2 and stream = $3 and number = $4 and published_at is null
"""
_SWEEP = f"""
select {ROW_COLUMNS} from outbox
where published_at is null and created_at <= now() - make_interval(secs => $1)
  and (program, member, stream, number) > ($2, $3, $4, $5::bigint)
order by program, member, stream, number
limit $6
for update skip locked
"""
_FIRST_UNPUBLISHED = """
select k.program, k.member, k.stream,
       (select o.number from outbox o
        where o.program = k.program and o.member = k.member and o.stream = k.stream and o.published_at is null
        order by o.number limit 1) as number
from unnest($1::text[], $2::text[], $3::text[]) as k (program, member, stream)
"""
_START = ("", "", "", 0)
_SPEC_VERSION = ("ce_specversion", b"1.0")
_CONTENT_TYPE = ("content-type", b"application/json")


class _Lane:
    """One partition: at most one batch of it is on its way, so its order is ours."""

    __slots__ = ("backoff", "failed", "lock", "partition", "queue", "topic", "wake")

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self.queue: deque[tuple[OutboxRow, float]] = deque()
        self.wake = asyncio.Event()
        self.lock = asyncio.Lock()
        self.failed = False
        self.backoff = Backoff(0.1, 5.0)


class Relay:
    """Publishes the outbox of one service. `hand` it rows after their commit; `run` it beside the workers."""

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        kafka: KafkaSettings,
        health: Health,
        *,
        topics: Topics | None = None,
        sweep_seconds: float = 1.0,
        mark_seconds: float = 0.025,
    ) -> None:
        self._database = database
        self._service = outbox.service
        self._epoch = outbox.epoch
        self._kafka = kafka
        self._health = health
        self.topics = topics or Topics(outbox.service, prefix=kafka.kafka_prefix, partitions=kafka.kafka_partitions)
        self._sweep_seconds = sweep_seconds
        self._mark_seconds = mark_seconds
        self._headers = _Headers(outbox.service, outbox.epoch)
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._streams: dict[str, Topic] = self.topics.streams()
        self._tasks = asyncio.TaskGroup()
        self._running = False
        self._producer: Any = None
        self._cluster = ""
        self._connected = asyncio.Event()
        self._doubtful = True
        # Handed and not yet marked; the sweep leaves these alone.
        self._pending: set[tuple[Key, int]] = set()
        # Handed and not yet published.
        self._unpublished = 0
        self._drained = asyncio.Event()
        self._drained.set()
        # The last number of a key that is known to be published.
        self._known: dict[Key, int] = {}
        self._aside: deque[tuple[OutboxRow, float]] = deque()
        self._aside_wake = asyncio.Event()
        self._to_mark: list[OutboxRow] = []
        self._mark_wake = asyncio.Event()
        self._positions: dict[tuple[str, int], int] = {}
        self._positions_dirty: set[tuple[str, int]] = set()
        self._positions_at = 0.0
        self._published = PUBLISHED.labels(self._service)
        self._seconds = RELAY_SECONDS.labels(self._service)
        self._waiting = RELAY_WAITING.labels(self._service)
        health.not_ready("relay", "not yet connected")

    # Handing over. -------------------------------------------------------------------------------------------

    def hand(self, rows: Sequence[OutboxRow]) -> None:
        """Take note of committed rows. Never waits: what is too much now, the sweep finds later."""
        if not self._running:
            return
        pending = self._pending
        now = time.perf_counter()
        for row in rows:
            if len(pending) >= _PENDING_MAX:
                return
            lane = self._lane_of(row)
            place = (row.key, row.number)
            if lane.failed or place in pending:
                continue
            pending.add(place)
            self._unpublished += 1
            lane.queue.append((row, now))
            lane.wake.set()
        if self._unpublished:
            self._drained.clear()

    async def drain(self, timeout: float = 5.0) -> bool:
        """Wait until everything handed over is published. False if that takes too long."""
        try:
            await asyncio.wait_for(self._drained.wait(), timeout)
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Relay until cancelled. Any task of it that fails takes it down whole, and with it the process."""
        try:
            async with self._tasks as tasks:
                # Lanes are made first and for good, so that handing over never has to start a task.
                for topic in self.topics.all():
                    for partition in range(topic.partitions):
                        lane = self._lanes[topic.name, partition] = _Lane(topic.name, partition)
                        tasks.create_task(self._keep_lane(lane))
                tasks.create_task(self._keep_connected())
                tasks.create_task(self._resolve_aside())
                tasks.create_task(self._keep_marking())
                tasks.create_task(self._keep_sweeping())
                self._running = True
        finally:
            self._running = False
            with suppress(Exception):
                await asyncio.wait_for(self._mark_all(), 2)
            producer, self._producer = self._producer, None
            if producer is not None:
                await stop_quietly(producer)

    def _lane_of(self, row: OutboxRow) -> _Lane:
        topic = self._streams[row.key[2]]
        return self._lanes[topic.name, partition_of(row.aggregateid, topic.partitions)]

    # Publishing. ---------------------------------------------------------------------------------------------

    async def _keep_lane(self, lane: _Lane) -> None:
        while True:
            if not lane.queue:
                lane.wake.clear()
                await lane.wake.wait()
            async with lane.lock:
                await self._connected.wait()
                taken = [lane.queue.popleft() for _ in range(min(len(lane.queue), _BATCH_ROWS_MAX))]
                if not taken:
                    continue
                started = taken[0][1]
                rows = [row for row, _ in taken]
                published, left, aside = await self._publish(lane, rows)
                if published:
                    self._seconds.observe(time.perf_counter() - started)
            self._settle(published)
            if published:
                await failpoints.reach(failpoints.AFTER_PUBLISH)
                self._to_mark.extend(published)
                self._mark_wake.set()
            if aside:
                deadline = time.monotonic() + _ASIDE_SECONDS_MAX
                self._aside.extend((row, deadline) for row in aside)
                self._aside_wake.set()
            if lane.failed:
                # The sweep takes over: it finds these rows, and what comes after them, in their order.
                left.extend(row for row, _ in lane.queue)
                lane.queue.clear()
                self._drop(left)
                await lane.backoff.pause()
            else:
                lane.queue.extendleft((row, started) for row in reversed(left))

    async def _publish(
        self, lane: _Lane, rows: Sequence[OutboxRow]
    ) -> tuple[list[OutboxRow], list[OutboxRow], list[OutboxRow]]:
        """Send rows of one lane, whose lock is held: those published, left over, and of unknown predecessor."""
        producer = self._producer
        if producer is None:
            lane.failed = True
            return [], list(rows), []
        builder = producer.create_batch()
        sent: dict[Key, int] = {}
        batch: list[OutboxRow] = []
        already: list[OutboxRow] = []
        left: list[OutboxRow] = []
        aside: list[OutboxRow] = []
        known = self._known
        make = self._headers.of
        now_ms = int(time.time() * 1000)
        for index, row in enumerate(rows):
            last = sent.get(row.key) or known.get(row.key)
            number = row.number
            if last is None:
                if number != 1:
                    aside.append(row)
                    continue
            elif number <= last:
                already.append(row)
                continue
            elif number != last + 1:
                aside.append(row)
                continue
            key = row.aggregateid.encode()
            if builder.append(timestamp=now_ms, key=key, value=row.payload, headers=make(row, key)) is None:
                left.extend(rows[index:])
                break
            sent[row.key] = number
            batch.append(row)
        if batch:
            try:
                future = await producer.send_batch(builder, lane.topic, partition=lane.partition)
                answer = await future
            except BROKER_ERRORS as error:
                self._failed(lane, error)
                return already, [*batch, *left], aside
            self._acknowledged(lane, answer, batch, sent)
        return already + batch, left, aside

    def _acknowledged(self, lane: _Lane, answer: Any, batch: list[OutboxRow], sent: dict[Key, int]) -> None:
        known = self._known
        for key, number in sent.items():
            known.pop(key, None)
            known[key] = number
        if len(known) > _KNOWN_MAX:
            for key in list(known)[: _KNOWN_MAX // 10]:
                del known[key]
        if lane.failed:
            lane.failed = False
            self._health.ready("relay")
        lane.backoff.reset()
        self._published.inc(len(batch))
        place = (lane.topic, lane.partition)
        if answer.offset < self._positions.get(place, 0):
            # The log is shorter than it was: this is not the broker we knew, or not its data.
            self._doubtful = True
        self._positions[place] = answer.offset + len(batch)
        self._positions_dirty.add(place)

    def _failed(self, lane: _Lane, error: BaseException) -> None:
        lane.failed = True
        RELAY_FAILURES.labels(self._service).inc()
        self._doubtful = True
        self._health.not_ready("relay", f"cannot publish to {lane.topic}: {error or type(error).__name__}")
        log.warning("send failed", topic=lane.topic, partition=lane.partition, error=repr(error))

    def _settle(self, rows: Sequence[OutboxRow]) -> None:
        self._unpublished -= len(rows)
        self._waiting.set(self._unpublished)
        if self._unpublished <= 0:
            self._unpublished = 0
            self._drained.set()

    def _drop(self, rows: Sequence[OutboxRow]) -> None:
        for row in rows:
            self._pending.discard((row.key, row.number))
        self._settle(rows)

    # Rows whose predecessor somebody else may have published. -------------------------------------------------

    async def _resolve_aside(self) -> None:
        while True:
            await self._aside_wake.wait()
            self._aside_wake.clear()
            while self._aside:
                waiting = list(self._aside)
                self._aside.clear()
                try:
                    first = await self._first_unpublished(row.key for row, _ in waiting)
                except Exception as error:  # noqa: BLE001 - without the database, the sweep has to do it later
                    log.info("predecessors not known", error=repr(error))
                    self._drop([row for row, _ in waiting])
                    break
                again = self._send_on(waiting, first)
                if again:
                    self._aside.extend(again)
                    await asyncio.sleep(_ASIDE_PAUSE_SECONDS)

    def _send_on(
        self, waiting: list[tuple[OutboxRow, float]], first: dict[Key, int | None]
    ) -> list[tuple[OutboxRow, float]]:
        """Put rows back into their lanes whose predecessor is published; return those to ask about again."""
        now = time.perf_counter()
        monotonic = time.monotonic()
        again: list[tuple[OutboxRow, float]] = []
        dropped: list[OutboxRow] = []
        going: dict[Key, int] = {}
        for row, deadline in waiting:
            number = first[row.key]
            if number is None:
                dropped.append(row)
                continue
            if self._known.get(row.key, 0) < number - 1:
                self._known[row.key] = number - 1
            lane = self._lane_of(row)
            if row.number <= going.get(row.key, number - 1) + 1:
                going[row.key] = row.number
                lane.queue.append((row, now))
                lane.wake.set()
            elif monotonic < deadline:
                again.append((row, deadline))
            else:
                dropped.append(row)
        if dropped:
            self._drop(dropped)
        return again

    async def _first_unpublished(
        self, keys: Iterable[Key], connection: Connection | None = None
    ) -> dict[Key, int | None]:
        wanted = sorted(set(keys))
        columns = [[key[index] for key in wanted] for index in range(3)]
        if connection is not None:
            rows = await connection.fetch(_FIRST_UNPUBLISHED, *columns)
        else:
            async with self._database.connection() as own:
                rows = await own.fetch(_FIRST_UNPUBLISHED, *columns)
        return {(row[0], row[1], row[2]): row[3] for row in rows}

    # Marking. ------------------------------------------------------------------------------------------------

    async def _keep_marking(self) -> None:
        backoff = Backoff()
        while True:
            await self._mark_wake.wait()
            await asyncio.sleep(self._mark_seconds)
            self._mark_wake.clear()
            try:
                await self._mark_all()
                await self._note_positions()
            except Exception as error:  # noqa: BLE001 - unmarked means published again, which is harmless
                log.warning("marking failed", error=repr(error))
                await backoff.pause()
                self._mark_wake.set()
            else:
                backoff.reset()

    async def _mark_all(self) -> None:
        while self._to_mark:
            rows = self._to_mark[:_MARK_ROWS_MAX]
            async with self._database.connection() as connection:
                await _mark(connection, rows)
            del self._to_mark[: len(rows)]
            for row in rows:
                self._pending.discard((row.key, row.number))
            await failpoints.reach(failpoints.AFTER_MARK)

    async def _note_positions(self) -> None:
        """Keep how far the logs have been written, to notice one that is shorter."""
        now = time.monotonic()
        if not self._positions_dirty or now - self._positions_at < _POSITIONS_SECONDS:
            return
        self._positions_at = now
        places = sorted(self._positions_dirty)
        self._positions_dirty.clear()
        async with self._database.connection() as connection:
            await connection.execute(
                "insert into relay_positions (topic, partition, next_offset) "
                "select p.* from unnest($1::text[], $2::int[], $3::bigint[]) as p "
                "where exists (select from broker_state where cluster_id = $4) "
                "on conflict (topic, partition) do update "
                "set next_offset = greatest(relay_positions.next_offset, excluded.next_offset)",
                [place[0] for place in places],
                [place[1] for place in places],
                [self._positions[place] for place in places],
                self._cluster,
            )

    # Sweeping. -----------------------------------------------------------------------------------------------

    async def _keep_sweeping(self) -> None:
        # What an earlier life left unpublished is nobody's: it need not grow old first.
        age = 0.0
        cursor: tuple[str, str, str, int] = _START
        backoff = Backoff()
        while True:
            await self._connected.wait()
            started = time.perf_counter()
            try:
                cursor, troubled = await self._sweep(age, cursor)
            except Exception as error:  # noqa: BLE001 - the database is away; what is unpublished stays so
                log.warning("sweep failed", error=repr(error))
                await backoff.pause()
                continue
            if troubled:
                await backoff.pause()
            else:
                backoff.reset()
            if cursor == _START:
                age = self._sweep_seconds
                # A sweep that has become slow, as behind a long snapshot, may not become the load itself.
                await asyncio.sleep(max(self._sweep_seconds, 10 * (time.perf_counter() - started)))

    async def _sweep(self, age: float, cursor: tuple[str, str, str, int]) -> tuple[tuple[str, str, str, int], bool]:
        async with self._database.transaction() as connection:
            found = await connection.fetch(_SWEEP, age, *cursor, _SWEEP_ROWS_MAX)
            if not found:
                return _START, False
            rows = [row for row in map(row_from, found) if (row.key, row.number) not in self._pending]
            rows = await self._in_turn(connection, rows)
            by_lane: dict[_Lane, list[OutboxRow]] = {}
            for row in rows:
                by_lane.setdefault(self._lane_of(row), []).append(row)
            outcomes = await asyncio.gather(*(self._sweep_lane(lane, part) for lane, part in by_lane.items()))
            published = [row for outcome in outcomes for row in outcome]
            if published:
                await failpoints.reach(failpoints.AFTER_PUBLISH)
                for start in range(0, len(published), _MARK_ROWS_MAX):
                    await _mark(connection, published[start : start + _MARK_ROWS_MAX])
                SWEPT.labels(self._service).inc(len(published))
        last = found[-1]
        troubled = len(published) < len(rows)
        if len(found) < _SWEEP_ROWS_MAX:
            return _START, troubled
        return (last[0], last[1], last[2], last[3]), troubled

    async def _in_turn(self, connection: Connection, rows: list[OutboxRow]) -> list[OutboxRow]:
        """Leave out keys of which somebody else is publishing an earlier number right now."""
        firsts: dict[Key, int] = {}
        for row in rows:
            firsts.setdefault(row.key, row.number)
        unsure = [key for key, number in firsts.items() if self._known.get(key, 0) < number - 1]
        if not unsure:
            return rows
        earliest = await self._first_unpublished(unsure, connection)
        out_of_turn: set[Key] = set()
        for key in unsure:
            if earliest[key] == firsts[key]:
                self._known[key] = firsts[key] - 1
            else:
                out_of_turn.add(key)
        return [row for row in rows if row.key not in out_of_turn]

    async def _sweep_lane(self, lane: _Lane, rows: list[OutboxRow]) -> list[OutboxRow]:
        done: list[OutboxRow] = []
        left = rows
        async with lane.lock:
            while left:
                published, left, _ = await self._publish(lane, left)
                done.extend(published)
                if lane.failed:
                    break
        return done

    # The broker. ---------------------------------------------------------------------------------------------

    async def _keep_connected(self) -> None:
        watch = ClusterWatch(self._kafka)
        recovery = Recovery(self._database, self._kafka, self.topics)
        backoff = Backoff(0.05, 2.0)
        try:
            while True:
                try:
                    await self._look_after(await watch.ask(), recovery)
                except BROKER_ERRORS as error:
                    self._health.not_ready("relay", f"no broker: {error or type(error).__name__}")
                    log.info("relay has no broker", error=repr(error))
                    await backoff.pause()
                    continue
                except Exception as error:  # the database is away, or the broker refuses: try again
                    self._health.not_ready("relay", f"{type(error).__name__}: {error}")
                    log.exception("relay cannot set up")
                    await backoff.pause()
                    continue
                backoff.reset()
                await asyncio.sleep(_WATCH_SECONDS)
        finally:
            await watch.close()

    async def _look_after(self, cluster: str, recovery: Recovery) -> None:
        if cluster != self._cluster:
            await ensure_topics(self._kafka, self.topics.all())
            producer = await start_producer(self._kafka)
            old, self._producer = self._producer, producer
            self._cluster = cluster
            self._doubtful = True
            self._positions.clear()
            self._positions_dirty.clear()
            if old is not None:
                log.warning("relay found another broker", cluster=cluster)
                await stop_quietly(old)
            self._connected.set()
        if self._doubtful:
            # New rows go out meanwhile: consumers count, so order between new and repeated rows does not matter.
            self._doubtful = not await recovery.settle(cluster, self._publish_again)
        if not any(lane.failed for lane in self._lanes.values()):
            self._health.ready("relay")

    async def _publish_again(self, rows: Sequence[OutboxRow]) -> None:
        """Publish rows whatever is known of their keys. Raises if any could not be."""
        producer = self._producer
        by_lane: dict[_Lane, list[OutboxRow]] = {}
        for row in rows:
            by_lane.setdefault(self._lane_of(row), []).append(row)
        await asyncio.gather(*(self._send_again(producer, lane, part) for lane, part in by_lane.items()))

    async def _send_again(self, producer: Any, lane: _Lane, rows: Sequence[OutboxRow]) -> None:
        async with lane.lock:
            at = 0
            while at < len(rows):
                at += await self._send_patiently(producer, lane, rows[at:])

    async def _send_patiently(self, producer: Any, lane: _Lane, rows: Sequence[OutboxRow]) -> int:
        """Send as many of these rows as one batch holds. A broker that is just coming up may need some asking."""
        backoff = Backoff(0.05, 1.0)
        for attempt in range(_AGAIN_ATTEMPTS_MAX):
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
                answer = await (await producer.send_batch(builder, lane.topic, partition=lane.partition))
            except BROKER_ERRORS:
                if attempt + 1 == _AGAIN_ATTEMPTS_MAX or producer is not self._producer:
                    raise
                await backoff.pause()
            else:
                place = (lane.topic, lane.partition)
                self._positions[place] = max(self._positions.get(place, 0), answer.offset + count)
                self._positions_dirty.add(place)
                return count
        raise AssertionError("the last attempt returns or raises")


class _Headers:
    """CloudEvents headers of rows, with all that repeats made once."""

    def __init__(self, service: str, epoch: int) -> None:
        self._epoch = epoch
        self._source_of: Callable[[str], str] = lambda stream: source_of(service, stream, epoch)
        self._sources: dict[str, tuple[str, bytes]] = {}
        self._types: dict[str, tuple[str, bytes]] = {}

    def of(self, row: OutboxRow, key: bytes) -> list[tuple[str, bytes]]:
        program, member, stream = row.key
        source = self._sources.get(stream)
        if source is None:
            source = self._sources[stream] = ("ce_source", self._source_of(stream).encode())
        type_ = self._types.get(row.type)
        if type_ is None:
            type_ = self._types[row.type] = ("ce_type", row.type.encode())
        headers = [
            _SPEC_VERSION,
            ("ce_id", id_of(stream, self._epoch, program, member, row.number).encode()),
            source,
            type_,
            ("ce_time", row.at.isoformat().encode()),
            ("ce_partitionkey", key),
            ("ce_sequence", b"%d" % row.number),
            _CONTENT_TYPE,
        ]
        if member:
            headers.append(("ce_subject", member.encode()))
        if row.causation:
            headers.append(("ce_causationid", row.causation.encode()))
        if row.correlation:
            headers.append(("ce_correlationid", row.correlation.encode()))
        if row.traceparent:
            headers.append(("ce_traceparent", row.traceparent.encode()))
        return headers


async def _mark(connection: Connection, rows: Sequence[OutboxRow]) -> None:
    # In one order everywhere, so that two relays that mark the same rows do not wait for each other in a circle.
    await connection.executemany(_MARK, sorted((*row.key, row.number) for row in rows))
