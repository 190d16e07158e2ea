"""The relay: publishes what lies in the outbox, each key in the order of its numbers.

A number is published only when the one before it is known to be, so the first publication of a key's events is in
order whatever number of relays work on one schema. Rows come two ways: handed over right after their commit, which
is quick, and found by sweeping the works that lie open, which is certain. What is published and not yet marked may be
published again; consumers count, so repeats are harmless.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

from laurel.io import failpoints, republishing
from laurel.io.kafka import BROKER_ERRORS, Backoff, ClusterWatch, ensure_topics, start_producer, stop_quietly
from laurel.io.lanes import Lane, Lanes
from laurel.io.marking import Marker, close_works
from laurel.io.outbox import ROW_COLUMNS, Key, Outbox, OutboxRow, row_from
from laurel.io.recovery import Recovery
from laurel.io.telemetry import RELAY_SECONDS, RELAY_WAITING, SWEPT, logger
from laurel.io.topics import Topics

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from laurel.io.database import Connection, Database
    from laurel.io.health import Health
    from laurel.io.settings import KafkaSettings

log = logger(__name__)

_BATCH_ROWS_MAX = 1000
_SWEEP_WORKS_MAX = 1000
_SWEEP_ROWS_MAX = 1000
_PENDING_MAX = 20_000
_ASIDE_SECONDS_MAX = 0.25
_ASIDE_PAUSE_SECONDS = 0.02
_ENDS_SECONDS = 1.0
_WATCH_SECONDS = 1.0

_START = UUID(int=0)
_SWEEP = """
select work, events from outbox_open
where work > $2 and created_at <= now() - make_interval(secs => $1)
order by work
limit $3
for update skip locked
"""
_SWEPT = f"""
select r.* from unnest($1::uuid[]) as w (work)
cross join lateral (select {ROW_COLUMNS} from outbox o where o.work = w.work offset 0) r
order by r.program, r.member, r.stream, r.number
"""
# The cheap question: whether the number before is published is all that a row waits for.
_OPEN_BEFORE = """
select k.program, k.member, k.stream,
       (select (select true from outbox_open w where w.work = o.work) from outbox o
        where o.program = k.program and o.member = k.member and o.stream = k.stream and o.number = k.before) as open
from unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) as k (program, member, stream, before)
"""
# A key is published in order, so everything up to its last event of a closed work is; the next one may not be.
_FIRST_UNPUBLISHED = """
select k.program, k.member, k.stream,
       (select o.number from outbox o
        where o.program = k.program and o.member = k.member and o.stream = k.stream and o.number > coalesce(
            (select p.number from outbox p
             where p.program = k.program and p.member = k.member and p.stream = k.stream
               and (select true from outbox_open w where w.work = p.work) is null
             order by p.number desc limit 1), 0)
        order by o.number limit 1) as number
from unnest($1::text[], $2::text[], $3::text[]) as k (program, member, stream)
"""


class Relay:
    """Publishes the outbox of one service. `hand` it rows after their commit; `run` it, once, beside the workers."""

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        kafka: KafkaSettings,
        health: Health,
        *,
        topics: Topics | None = None,
        sweep_seconds: float = 1.0,
        mark_seconds: float = 0.1,
    ) -> None:
        self._database = database
        self._service = outbox.service
        self._kafka = kafka
        self._health = health
        self.topics = topics or Topics(outbox.service, prefix=kafka.kafka_prefix, partitions=kafka.kafka_partitions)
        self._sweep_seconds = sweep_seconds
        self._lanes = Lanes(outbox, self.topics, health)
        # Works in hand, until they are marked as published; the sweep leaves these alone.
        self._marker = Marker(database, gather_seconds=mark_seconds)
        self._running = False
        self._cluster = ""
        self._connected = asyncio.Event()
        # How many are handed over and not yet published.
        self._unpublished = 0
        self._drained = asyncio.Event()
        self._drained.set()
        # Handed over, but whether somebody else has published the number before is to be asked.
        self._aside: deque[tuple[OutboxRow, float]] = deque()
        self._aside_wake = asyncio.Event()
        self._seconds = RELAY_SECONDS.labels(self._service)
        self._waiting = RELAY_WAITING.labels(self._service)
        health.not_ready("relay", "not yet connected")

    # Handing over. -------------------------------------------------------------------------------------------

    def hand(self, rows: Sequence[OutboxRow]) -> None:
        """Take note of the committed rows of one work. Never waits: what is too much now, the sweep finds later."""
        if not self._running or not rows or self._marker.events + len(rows) > _PENDING_MAX:
            return
        work = rows[0].work
        lanes = [self._lanes.of(row) for row in rows]
        if work is not None and not any(lane.failed for lane in lanes):
            self._marker.take(work, len(rows))
        now = time.perf_counter()
        for row, lane in zip(rows, lanes, strict=True):
            # Where a lane has failed, the sweep goes before, and closes the work.
            if lane.failed:
                continue
            self._unpublished += 1
            lane.queue.append((row, now))
            lane.wake.set()
        if self._unpublished:
            self._drained.clear()

    async def drain(self, timeout: float = 5.0) -> bool:
        """Wait until everything handed over is published. False if that takes too long."""
        try:
            async with asyncio.timeout(timeout):
                await self._drained.wait()
        except TimeoutError:
            return False
        finally:
            self._marker.hurry()
        return True

    async def run(self) -> None:
        """Relay until cancelled. Any task of it that fails takes it down whole, and with it the process."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for lane in self._lanes.all():
                    tasks.create_task(self._keep_lane(lane))
                tasks.create_task(self._keep_connected())
                tasks.create_task(self._resolve_aside())
                tasks.create_task(self._marker.run())
                tasks.create_task(self._keep_ends())
                tasks.create_task(self._keep_sweeping())
                self._running = True
        finally:
            self._running = False
            with suppress(Exception):
                async with asyncio.timeout(2):
                    await self._marker.finish()
            producer, self._lanes.producer = self._lanes.producer, None
            if producer is not None:
                await stop_quietly(producer)

    # Rows that were handed over. -----------------------------------------------------------------------------

    async def _keep_lane(self, lane: Lane) -> None:
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
                sent = await self._lanes.send(lane, [row for row, _ in taken])
            self._settle(len(sent.published))
            if sent.published:
                self._seconds.observe(time.perf_counter() - started)
                await failpoints.reach(failpoints.AFTER_PUBLISH, sent.published)
                self._marker.published(sent.published)
            if sent.aside:
                deadline = time.monotonic() + _ASIDE_SECONDS_MAX
                self._aside.extend((row, deadline) for row in sent.aside)
                self._aside_wake.set()
            if lane.failed:
                # The sweep takes over: it finds these rows, and what comes after them, in their order.
                self._drop([*sent.left, *(row for row, _ in lane.queue)])
                lane.queue.clear()
                await lane.backoff.pause()
            else:
                lane.queue.extendleft((row, started) for row in reversed(sent.left))

    def _settle(self, count: int) -> None:
        self._unpublished = max(0, self._unpublished - count)
        self._waiting.set(self._unpublished)
        if not self._unpublished:
            self._drained.set()

    def _drop(self, rows: Sequence[OutboxRow]) -> None:
        """Leave rows to the sweep."""
        self._marker.leave(rows)
        self._settle(len(rows))

    # Rows whose predecessor somebody else may have published. -------------------------------------------------

    async def _resolve_aside(self) -> None:
        while True:
            await self._aside_wake.wait()
            self._aside_wake.clear()
            while self._aside:
                waiting = list(self._aside)
                self._aside.clear()
                try:
                    first = await self._first_of(row for row, _ in waiting)
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
            self._lanes.learn(row.key, number - 1)
            if row.number <= going.get(row.key, number - 1) + 1:
                going[row.key] = row.number
                lane = self._lanes.of(row)
                lane.queue.append((row, now))
                lane.wake.set()
            elif monotonic < deadline:
                again.append((row, deadline))
            else:
                dropped.append(row)
        if dropped:
            self._drop(dropped)
        return again

    async def _first_of(self, rows: Iterable[OutboxRow]) -> dict[Key, int | None]:
        """Return from which number on the key of each row is not published."""
        least: dict[Key, int] = {}
        for row in rows:
            least[row.key] = min(row.number, least.get(row.key, row.number))
        keys = sorted(least)
        columns = [[key[index] for key in keys] for index in range(3)]
        async with self._database.connection() as connection:
            found = await connection.fetch(_OPEN_BEFORE, *columns, [least[key] - 1 for key in keys])
            behind = [(row[0], row[1], row[2]) for row in found if row[3]]
            first: dict[Key, int | None] = dict(least)
            if behind:
                self._marker.others_seen()
                first |= await self._first_unpublished(behind, connection)
        return first

    async def _first_unpublished(self, keys: Iterable[Key], connection: Connection) -> dict[Key, int | None]:
        wanted = sorted(set(keys))
        columns = [[key[index] for key in wanted] for index in range(3)]
        rows = await connection.fetch(_FIRST_UNPUBLISHED, *columns)
        return {(row[0], row[1], row[2]): row[3] for row in rows}

    # Rows that nobody was handed, or nobody could publish. ----------------------------------------------------

    async def _keep_sweeping(self) -> None:
        # What an earlier life left unpublished is nobody's: it need not grow old first.
        age = 0.0
        cursor = _START
        backoff = Backoff()
        while True:
            await self._connected.wait()
            started = time.perf_counter()
            try:
                cursor, troubled = await self._sweep(age, cursor)
                if cursor == _START:
                    await self._look_whether_asked()
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

    async def _sweep(self, age: float, cursor: UUID) -> tuple[UUID, bool]:
        """Publish some open works behind the cursor; returns where to go on, and whether any would not go."""
        async with self._database.transaction() as connection:
            found = await connection.fetch(_SWEEP, age, cursor, _SWEEP_WORKS_MAX)
            works, last = self._some(found)
            rows = [row_from(record) for record in await connection.fetch(_SWEPT, works)] if works else []
            turn = await self._in_turn(connection, rows)
            lanes = self._lanes.by_lane(turn)
            outcomes = await asyncio.gather(*(self._sweep_lane(lane, part) for lane, part in lanes.items()))
            published = [row for outcome in outcomes for row in outcome]
            if published:
                await failpoints.reach(failpoints.AFTER_PUBLISH, published)
                SWEPT.labels(self._service).inc(len(published))
            done = {(row.key, row.number) for row in published}
            open_still = {row.work for row in rows if (row.key, row.number) not in done}
            await close_works(connection, [work for work in works if work not in open_still])
        return last, bool(len(published) < len(turn))

    async def _look_whether_asked(self) -> None:
        """Have everything published again where somebody wants it."""
        async with self._database.connection() as connection:
            if await republishing.is_asked(connection):
                self._lanes.doubtful = True

    def _some(self, found: Sequence[Any]) -> tuple[list[UUID], UUID]:
        """Choose works that make about one page of rows, leaving out those in hand; say where the next page begins."""
        works: list[UUID] = []
        events = 0
        for work, count in found:
            if self._marker.has(work):
                continue
            if works and events + count > _SWEEP_ROWS_MAX:
                return works, works[-1]
            works.append(work)
            events += count
        return works, found[-1][0] if len(found) == _SWEEP_WORKS_MAX else _START

    async def _in_turn(self, connection: Connection, rows: list[OutboxRow]) -> list[OutboxRow]:
        """Leave out keys of which somebody else is publishing an earlier number right now."""
        firsts: dict[Key, int] = {}
        for row in rows:
            firsts.setdefault(row.key, row.number)
        unsure = [key for key, number in firsts.items() if self._lanes.known.get(key, 0) < number - 1]
        if not unsure:
            return rows
        earliest = await self._first_unpublished(unsure, connection)
        out_of_turn = {key for key in unsure if earliest[key] != firsts[key]}
        for key in unsure:
            if key not in out_of_turn:
                self._lanes.learn(key, firsts[key] - 1)
        return [row for row in rows if row.key not in out_of_turn]

    async def _sweep_lane(self, lane: Lane, rows: list[OutboxRow]) -> list[OutboxRow]:
        done: list[OutboxRow] = []
        async with lane.lock:
            while rows:
                sent = await self._lanes.send(lane, rows)
                done.extend(sent.published)
                rows = sent.left
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
                    # Nobody waits for a send that cannot succeed while holding locks.
                    self._connected.clear()
                    self._health.not_ready("relay", f"no broker: {error or type(error).__name__}")
                    log.info("relay has no broker", error=repr(error))
                    await backoff.pause()
                except Exception as error:  # the database is away, or the broker refuses: try again
                    self._health.not_ready("relay", f"{type(error).__name__}: {error}")
                    log.exception("relay cannot set up")
                    await backoff.pause()
                else:
                    backoff.reset()
                    await asyncio.sleep(_WATCH_SECONDS)
        finally:
            await watch.close()

    async def _look_after(self, cluster: str, recovery: Recovery) -> None:
        is_other = cluster != self._cluster
        is_unsound = self._kafka.kafka_idempotence and not self._lanes.sound
        if is_other or is_unsound or self._lanes.dead:
            await ensure_topics(self._kafka, self.topics.all())
            before = self._lanes.begin(await start_producer(self._kafka))
            self._cluster = cluster
            if before is not None:
                log.warning("relay begins with another producer", cluster=cluster, other_broker=is_other)
                await stop_quietly(before)
        self._connected.set()
        if self._lanes.doubtful:
            # New rows go out meanwhile: consumers count, so order between new and repeated rows does not matter.
            shrunk, self._lanes.shrunk = self._lanes.shrunk, False
            try:
                self._lanes.doubtful = not await recovery.settle(cluster, self._lanes, shrunk=shrunk)
            except BaseException:
                self._lanes.shrunk |= shrunk
                raise
            self._lanes.doubtful |= self._lanes.shrunk
        if not self._lanes.failing:
            self._health.ready("relay")

    async def _keep_ends(self) -> None:
        """Keep how far the logs have grown, to notice one that is shorter."""
        while True:
            await asyncio.sleep(_ENDS_SECONDS)
            places = sorted(self._lanes.grown)
            if not places:
                continue
            self._lanes.grown.clear()
            try:
                async with self._database.connection() as connection:
                    await connection.execute(
                        "insert into relay_positions (topic, partition, next_offset) "
                        "select p.* from unnest($1::text[], $2::int[], $3::bigint[]) as p "
                        "where exists (select from broker_state where cluster_id = $4) "
                        "on conflict (topic, partition) do update "
                        "set next_offset = greatest(relay_positions.next_offset, excluded.next_offset)",
                        [topic for topic, _ in places],
                        [partition for _, partition in places],
                        [self._lanes.ends.get(place, 0) for place in places],
                        self._cluster,
                    )
            except Exception as error:  # noqa: BLE001 - the next time tells it
                self._lanes.grown.update(places)
                log.info("ends of logs not kept", error=repr(error))
