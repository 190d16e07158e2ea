"""Producers, consumers and the questions that are asked of a broker."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import aiokafka.client
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAlreadyExistsError, for_code
from aiokafka.protocol.metadata import MetadataRequest

from laurel.errors import LaurelError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Coroutine, Iterable, Mapping
    from typing import Any

    from laurel.io.settings import KafkaSettings
    from laurel.io.topics import Topic

# A client that asks for a topic would make it, with the broker's own partition count, and keys would go to other
# partitions than the settings say. aiokafka has no option for this; topics are made by `ensure_topics` alone.
aiokafka.client.MetadataRequest = partial(MetadataRequest, allow_auto_topic_creation=False)

_send = AIOKafkaConnection.send


def _send_or_lost(self: AIOKafkaConnection, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401  (as aiokafka's own)
    """Send as aiokafka does. Of a connection that is lost it expects OSError; uvloop says RuntimeError."""
    try:
        return _send(self, *arguments, **named)
    except RuntimeError as error:
        self.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"Connection at {self.host}:{self.port} broken: {error}") from error


# Otherwise a broker that dies at the wrong moment ends whoever asks it for its partitions just then.
AIOKafkaConnection.send = _send_or_lost

REQUEST_TIMEOUT_MS = 10_000
BATCH_BYTES_MAX = 900_000
EVENT_BYTES_MAX = 4_194_304
"""The largest event: a body of a mebibyte, however it is written, and what is said of it. A broker takes a quarter of
it unless its topic says otherwise, and one that it does not take would hold up its partition for ever."""
REQUEST_SECONDS = 5.0
ACKNOWLEDGED_SECONDS = 10.0
_GRACE_SECONDS = 1.0
_ENDED_SECONDS = 1.0
_STOP_SECONDS = 5.0
BROKER_ERRORS: tuple[type[BaseException], ...] = (KafkaError, OSError, TimeoutError, asyncio.TimeoutError)
"""What calls to a broker that is not there raise."""


async def start_producer(settings: KafkaSettings) -> AIOKafkaProducer:
    """Start a producer that is told of success only when all replicas have the event."""
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap,
        acks="all",
        enable_idempotence=settings.kafka_idempotence,
        max_batch_size=BATCH_BYTES_MAX,
        max_request_size=EVENT_BYTES_MAX,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        retry_backoff_ms=50,
        metadata_max_age_ms=30_000,
        connections_max_idle_ms=None,
    )
    try:
        await start_client(producer)
    except BaseException:
        await stop_quietly(producer)
        raise
    return producer


def new_consumer(settings: KafkaSettings, group: str | None, *, max_records: int | None = None) -> AIOKafkaConsumer:
    """Make a consumer that commits only when told, and begins at the earliest event."""
    return AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=settings.fetch_max_wait_ms,
        fetch_max_bytes=8_388_608,
        max_partition_fetch_bytes=EVENT_BYTES_MAX,
        max_poll_records=max_records,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        session_timeout_ms=settings.kafka_session_timeout_ms,
        heartbeat_interval_ms=max(50, settings.kafka_session_timeout_ms // 5),
        rebalance_timeout_ms=30_000,
        retry_backoff_ms=50,
        metadata_max_age_ms=10_000,
        connections_max_idle_ms=None,
        max_poll_interval_ms=600_000,
    )


_STOP_ERRORS: tuple[type[BaseException], ...] = (*BROKER_ERRORS, AssertionError)


async def start_client(
    client: AIOKafkaConsumer | AIOKafkaProducer | AIOKafkaAdminClient, seconds: float = 30.0
) -> None:
    """Start a client; `TimeoutError` when it takes longer, and what else calls to a broker raise.

    One that is cut off while it connects would forget the connection, so it gets a moment.
    """
    starting = asyncio.create_task(client.start())
    try:
        await asyncio.wait({starting}, timeout=seconds)
        if not starting.done():
            raise TimeoutError(f"no broker within {seconds:g} s")
    finally:
        if not starting.done():
            await asyncio.wait({starting}, timeout=_GRACE_SECONDS)
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
    if starting.cancelled():
        raise ConnectionError("the client gave up by itself")
    starting.result()


async def stop_quietly(client: AIOKafkaConsumer | AIOKafkaProducer | AIOKafkaAdminClient) -> None:
    """Stop a client of a broker that may be gone: its own farewell may fail, and that changes nothing.

    It runs as a task of its own, because aiokafka lets the end of tasks that it cancels itself out to its caller, who
    would take that for being cancelled.
    """
    stop = client.close if isinstance(client, AIOKafkaAdminClient) else client.stop
    if not await _is_done(stop()):
        # What is left are its connections.
        inner = client.client if isinstance(client, AIOKafkaProducer) else client._client  # noqa: SLF001
        await _is_done(inner.close())


def has_ended(client: AIOKafkaConsumer | AIOKafkaProducer) -> bool:
    """Say whether what fetches or sends for a client, or speaks for it in its group, has ended by itself.

    aiokafka tells nobody, or only who asks it for something just then. The consumer hears nothing any more, the
    producer fails whatever it is given, and broker and connections are well.
    """
    if isinstance(client, AIOKafkaProducer):
        tasks = [client._sender.sender_task]  # noqa: SLF001
    else:
        of_group = getattr(client._coordinator, "_coordination_task", None)  # noqa: SLF001  # none without a group
        tasks = [client._fetcher.error_future, of_group]  # noqa: SLF001
    return any(task is not None and task.done() for task in tasks)


async def deliver(producer: AIOKafkaProducer, batch: Any, topic: str, partition: int) -> Any:  # noqa: ANN401
    """Send a batch; return and raise as `acknowledged` does.

    aiokafka waits until it knows the topic; in a producer that is stopped meanwhile it does so for ever.
    """

    async def send() -> Any:  # noqa: ANN401
        return await (await producer.send_batch(batch, topic, partition=partition))

    sending = asyncio.create_task(send())
    try:
        return await acknowledged(producer, sending)
    finally:
        sending.cancel()


async def acknowledged(producer: AIOKafkaProducer, sent: asyncio.Future[Any]) -> Any:  # noqa: ANN401 (aiokafka ships no types)
    """Return what the broker answered to a batch; raise what aiokafka does, or ConnectionError if it never will.

    Of a producer whose sender has ended by itself nobody may ever hear what became of a batch. And an idempotent one
    tries a batch again for as long as it lives, even where another broker has come meanwhile that has no such topic:
    after `ACKNOWLEDGED_SECONDS` this is a TimeoutError, and the producer is to be believed no more.
    """
    sent.add_done_callback(_heard)
    deadline = asyncio.get_running_loop().time() + ACKNOWLEDGED_SECONDS
    while not sent.done():
        await asyncio.wait({sent}, timeout=min(_ENDED_SECONDS, ACKNOWLEDGED_SECONDS))
        if sent.done():
            break
        if has_ended(producer):
            raise ConnectionError("the client ended by itself")
        if asyncio.get_running_loop().time() >= deadline:
            raise TimeoutError(f"not acknowledged within {ACKNOWLEDGED_SECONDS:g} s")
    if sent.cancelled():
        raise ConnectionError("the client gave up by itself")
    return sent.result()


async def commit(
    consumer: AIOKafkaConsumer, offsets: Mapping[TopicPartition, int], seconds: float = REQUEST_SECONDS
) -> None:
    """Commit offsets; `TimeoutError` when it takes longer, and what else calls to a broker raise.

    Who waits may be cut off meanwhile. aiokafka goes on committing behind that, and nobody would hear of its failure
    but the event loop, so the commit runs as a task of its own whose failure is always asked for.
    """
    committing = asyncio.create_task(consumer.commit(dict(offsets)))
    committing.add_done_callback(_heard)
    await asyncio.wait({committing}, timeout=seconds)
    if not committing.done():
        raise TimeoutError(f"offsets not committed within {seconds:g} s")
    if committing.cancelled():
        raise ConnectionError("the client gave up by itself")
    committing.result()


def _heard(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()


async def _is_done(work: Coroutine[Any, Any, None]) -> bool:
    """Wait for a piece of work, not for ever; says whether it came to its own end."""
    task = asyncio.create_task(work)
    await asyncio.wait({task}, timeout=_STOP_SECONDS)
    if not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_GRACE_SECONDS)
    if task.cancelled() or not task.done():
        return False
    error = task.exception()
    if error is not None and not isinstance(error, _STOP_ERRORS):
        raise error
    return error is None


@asynccontextmanager
async def admin(settings: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    """Open an admin client."""
    client = AIOKafkaAdminClient(
        bootstrap_servers=settings.kafka_bootstrap, request_timeout_ms=REQUEST_TIMEOUT_MS, retry_backoff_ms=50
    )
    try:
        await start_client(client)
        yield client
    finally:
        await stop_quietly(client)


async def cluster_id(settings: KafkaSettings) -> str:
    """Return the id that the broker gives itself. A broker that forgot everything gives another one."""
    async with admin(settings) as client:
        return str((await client.describe_cluster())["cluster_id"])


class ClusterWatch:
    """Asks the broker for its id again and again over one connection."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._client: AIOKafkaAdminClient | None = None

    async def ask(self) -> str:
        """Return the broker's id. Raises one of `BROKER_ERRORS` when there is no broker."""
        try:
            if self._client is None:
                client = AIOKafkaAdminClient(
                    bootstrap_servers=self._settings.kafka_bootstrap,
                    request_timeout_ms=3_000,
                    retry_backoff_ms=50,
                    connections_max_idle_ms=None,
                )
                self._client = client
                await start_client(client)
            # Not `wait_for`: before Python 3.12 it forgets a cancellation that comes together with the answer.
            async with asyncio.timeout(5):
                described = await self._client.describe_cluster()
        except BaseException:
            await self.close()
            raise
        return str(described["cluster_id"])

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await stop_quietly(client)


class WrongPartitionsError(LaurelError):
    """A topic has fewer partitions than the settings say: keys would be sent where nothing is."""


async def ensure_topics(settings: KafkaSettings, topics: Iterable[Topic]) -> None:
    """Make the topics that are missing, with their partition counts, and see that the others have theirs."""
    wanted = list(topics)
    async with admin(settings) as client:
        await _create_missing(client, wanted, settings.kafka_replication)
        found = await client.describe_topics([topic.name for topic in wanted])
    counts = {each["topic"]: len(each["partitions"]) for each in found if each["error_code"] == 0}
    for topic in wanted:
        if 0 < counts.get(topic.name, 0) < topic.partitions:
            raise WrongPartitionsError(
                f"topic {topic.name} has {counts[topic.name]} partitions and should have {topic.partitions}"
            )


def _configs(topic: Topic) -> dict[str, str]:
    compacted = {"cleanup.policy": "compact"} if topic.compacted else {}
    return {"max.message.bytes": str(EVENT_BYTES_MAX), **compacted}


async def _create_missing(client: AIOKafkaAdminClient, topics: list[Topic], replication: int) -> None:
    present = set(await client.list_topics())
    missing = [
        NewTopic(
            topic.name,
            topic.partitions,
            replication,
            topic_configs=_configs(topic),
        )
        for topic in topics
        if topic.name not in present
    ]
    if not missing:
        return
    answer = await client.create_topics(missing)
    for error in answer.topic_errors:
        kind = for_code(error[1])
        if error[1] != 0 and kind is not TopicAlreadyExistsError:
            raise kind(str(error))


async def log_ends(settings: KafkaSettings, topics: Collection[str]) -> dict[tuple[str, int], int]:
    """Return the end of every partition of these topics; of a topic that is missing, nothing."""
    consumer = new_consumer(settings, None)
    try:
        await start_client(consumer)
        partitions = [
            TopicPartition(topic, partition) for topic in topics for partition in await partitions_of(consumer, topic)
        ]
        if not partitions:
            return {}
        async with asyncio.timeout(REQUEST_TIMEOUT_MS / 1000):
            ends = await consumer.end_offsets(partitions)
        return {(tp.topic, tp.partition): offset for tp, offset in ends.items()}
    finally:
        await stop_quietly(consumer)


async def partitions_of(consumer: AIOKafkaConsumer, topic: str) -> list[int]:
    """Return the partitions of a topic, none if it does not exist (yet)."""
    known = consumer.partitions_for_topic(topic)
    if known is None:
        # The public way only waits for the next refresh.
        cluster = await consumer._client.fetch_all_metadata()  # noqa: SLF001
        known = cluster.partitions_for_topic(topic)
    return sorted(known or ())


async def committed_offsets(
    settings: KafkaSettings, group: str, partitions: Collection[tuple[str, int]]
) -> dict[tuple[str, int], int]:
    """Return what a group has committed in these partitions; -1 where nothing."""
    if not partitions:
        return {}
    async with admin(settings) as client:
        offsets = await client.list_consumer_group_offsets(
            group, partitions=[TopicPartition(*place) for place in partitions]
        )
        return {(tp.topic, tp.partition): found.offset for tp, found in offsets.items()}


class Backoff:
    """Ever longer pauses with jitter, begun anew by `reset`."""

    def __init__(self, first_seconds: float = 0.05, most_seconds: float = 5.0) -> None:
        self._first = first_seconds
        self._most = most_seconds
        self._next = first_seconds

    def reset(self) -> None:
        self._next = self._first

    def seconds(self) -> float:
        """Return how long to pause this time."""
        pause = self._next
        self._next = min(self._next * 2, self._most)
        return pause * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret

    async def pause(self) -> None:
        await asyncio.sleep(self.seconds())
