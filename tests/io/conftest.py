"""Two small services on a real database and a real broker: one speaks, one listens."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiokafka import TopicPartition

from laurel.embedded.postgres import EmbeddedPostgres
from laurel.io.consumer import Consumer, Handled, Poison
from laurel.io.database import Connection, Database
from laurel.io.health import Health
from laurel.io.kafka import commit, new_consumer, partitions_of, start_client, stop_quietly
from laurel.io.message import Message, decode, id_of
from laurel.io.outbox import Outbox
from laurel.io.relay import Relay
from laurel.io.saying import Saying
from laurel.io.settings import KafkaSettings
from laurel.io.topics import Topics
from laurel.io.unit import UnitOfWork
from migrations.messaging import create_messaging_tables
from migrations.partitions import PARTITIONS
from migrations.works import note_works
from tests.databases import Copies

TEMPLATE = "io_template"
NOON = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)


class _Statements:
    """Stands in for Alembic's `op`: collects what a migration would execute."""

    def __init__(self) -> None:
        self.all: list[str] = []

    def execute(self, statement: str) -> None:
        self.all.append(statement)


def _messaging_sql(schema: str) -> str:
    statements = _Statements()
    create_messaging_tables(statements, schema, PARTITIONS)
    note_works(statements, schema)
    return ";\n".join(statements.all)


_EFFECTS = """
create table listener.effects (
    id bigint generated always as identity primary key, program text, member text, source text, sequence bigint,
    type text, body text, amount int check (amount <> 13), by text
)
"""


@pytest.fixture(scope="session")
def io_server(reachable_dir: Path) -> Iterator[str]:
    """A server of these tests' own: what the services' migrations hold does not matter here."""
    speed = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "64MB"}
    server = EmbeddedPostgres(reachable_dir / "io-postgres", settings=speed)
    try:
        server.start()
        admin = server.url("admin", "postgres")
        asyncio.run(_make_template(admin))
        yield admin
    finally:
        server.destroy()


async def _make_template(admin: str) -> None:
    await _run(admin, f"create database {TEMPLATE}")
    await _run(
        _beside(admin, TEMPLATE),
        "create schema speaker; create schema listener;"
        + _messaging_sql("speaker") + ";" + _messaging_sql("listener") + ";" + _EFFECTS,
    )  # fmt: skip


@pytest.fixture(scope="session")
def io_copies(io_server: str) -> Iterator[Copies]:
    made = Copies(io_server, TEMPLATE, prefix="io")
    yield made
    made.close()


@pytest.fixture
def url(io_server: str, io_copies: Copies) -> Iterator[str]:
    """A fresh database with the messaging tables of two services."""
    with io_copies.one() as name:
        yield _beside(io_server, name)


def _beside(admin: str, name: str) -> str:
    return admin.rpartition("/")[0] + "/" + name


async def _run(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
def kafka(broker: str, session_timeout_ms: int) -> KafkaSettings:
    """The shared broker, with topics of the test's own."""
    return kafka_settings(broker, session_timeout_ms)


def kafka_settings(bootstrap: str, session_timeout_ms: int) -> KafkaSettings:
    return KafkaSettings(
        kafka_bootstrap=bootstrap,
        kafka_prefix=f"t{uuid.uuid4().hex[:8]}",
        kafka_session_timeout_ms=session_timeout_ms,
    )


@pytest.fixture
async def speaker_database(url: str) -> AsyncIterator[Database]:
    database = await Database.connect(url, schema="speaker", application="speaker")
    yield database
    database.terminate()


@pytest.fixture
async def listener_database(url: str) -> AsyncIterator[Database]:
    database = await Database.connect(url, schema="listener", application="listener")
    yield database
    database.terminate()


class Recorder:
    """A handler that writes one row per message, and answers each with a saying of its own."""

    def __init__(self, name: str = "one") -> None:
        self.name = name
        self.poison: Callable[[Message], bool] = lambda _: False
        self.fail: Callable[[Sequence[Message]], BaseException | None] = lambda _: None
        self.calls: list[int] = []
        self.committed = 0

    async def handle(self, connection: Connection, messages: list[Message]) -> Handled:
        self.calls.append(len(messages))
        failure = self.fail(messages)
        if failure is not None:
            raise failure
        for message in messages:
            if self.poison(message):
                raise Poison(message, "poisoned", "this one is not for us")
        bodies = [message.body.decode() for message in messages]
        await connection.execute(
            "insert into effects (program, member, source, sequence, type, body, amount, by) "
            "select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], "
            "$7::int[], $8::text[])",
            [message.program for message in messages],
            [message.member for message in messages],
            [message.source for message in messages],
            [message.sequence for message in messages],
            [message.type for message in messages],
            bodies,
            [int(body) if body.isdigit() else 0 for body in bodies],
            [self.name] * len(messages),
        )
        count = len(messages)

        def committed() -> None:
            self.committed += count

        return Handled([answer_to(message) for message in messages], committed)


def answer_to(message: Message) -> Saying:
    return Saying(
        "", message.program, message.member, "test.answered.v1", message.body, NOON,
        causation=message.id, correlation=message.correlation,
    )  # fmt: skip


def say(member: str, body: str | int = "0", program: str = "grocery", **more: Any) -> Saying:
    return Saying("", program, member, "test.asked.v1", str(body).encode(), NOON, **more)


@dataclass
class Service:
    """A running service of the tests."""

    database: Database
    outbox: Outbox
    relay: Relay
    unit: UnitOfWork
    health: Health
    topics: Topics
    consumer: Consumer | None = None
    handler: Recorder = field(default_factory=Recorder)

    async def say(self, *sayings: Saying) -> None:
        async with self.unit.begin() as work:
            work.say(*sayings)


def make_service(database: Database, kafka: KafkaSettings, name: str, **relay: Any) -> Service:
    health = Health()
    outbox = Outbox(name, 1)
    topics = Topics(name, prefix=kafka.kafka_prefix, partitions=kafka.kafka_partitions)
    carrier = Relay(database, outbox, kafka, health, topics=topics, **relay)
    return Service(database, outbox, carrier, UnitOfWork(database, outbox, carrier), health, topics)


def make_listener(
    database: Database, kafka: KafkaSettings, handler: Recorder | None = None, **consumer: Any
) -> Service:
    service = make_service(database, kafka, "listener")
    service.handler = handler or Recorder()
    service.consumer = Consumer(
        f"{kafka.kafka_prefix}-listener",
        [f"{kafka.kafka_prefix}.speaker.v1"],
        service.handler,
        service.unit,
        kafka,
        service.health,
        relay=service.relay,
        **consumer,
    )
    return service


@asynccontextmanager
async def running(*parts: Any) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Run relays and consumers for the block, then cancel them as a stop would. None of them may have died."""
    tasks = [asyncio.create_task(part.run()) for part in parts]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
            await asyncio.wait({task}, timeout=10)
        died = [error for task in tasks if task.done() and not task.cancelled() and (error := task.exception())]
    if died:
        raise died[0]


async def until(condition: Callable[[], Any], seconds: float = 15.0, told: Callable[[], str] = lambda: "") -> Any:
    """Wait for what must come; fails with what it last saw, and with what `told` says of the circumstances."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        seen = condition()
        if asyncio.iscoroutine(seen):
            seen = await seen
        if seen:
            return seen
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"waited {seconds} s in vain, last saw {seen!r}\n{told()}")
        await asyncio.sleep(0.02)


async def value(database: Database, query: str, *arguments: Any) -> Any:
    async with database.connection() as connection:
        return await connection.fetchval(query, *arguments)


async def rows(database: Database, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
    async with database.connection() as connection:
        return [tuple(row) for row in await connection.fetch(query, *arguments)]


async def effects_in_order(database: Database) -> dict[str, list[int]]:
    """Return what was applied of each member, by the order in which it was."""
    found: dict[str, list[int]] = {}
    for member, sequence in await rows(database, "select member, sequence from effects order by id"):
        found.setdefault(member, []).append(sequence)
    return found


def message(
    member: str, sequence: int, body: str | int = "0", *, source: str = "laurel/speaker/1", **more: str
) -> Message:
    """Return a message as it would be decoded from Kafka."""
    decoded = decode(record(member, sequence, body, source=source, **more))
    assert isinstance(decoded, Message), decoded
    return decoded


@dataclass
class FakeRecord:
    """A consumed record, as far as it is looked at."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


def record(
    member: str,
    sequence: int,
    body: str | int = "0",
    *,
    source: str = "laurel/speaker/1",
    type_: str = "test.asked.v1",
    topic: str = "speaker",
    correlation: str = "",
) -> FakeRecord:
    key = f"grocery:{member}".encode()
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", id_of("", 1, "grocery", member, sequence).encode()),
        ("ce_source", source.encode()),
        ("ce_type", type_.encode()),
        ("ce_time", NOON.isoformat().encode()),
        ("ce_partitionkey", key),
        ("ce_sequence", str(sequence).encode()),
        ("ce_subject", member.encode()),
    ]
    if correlation:
        headers.append(("ce_correlationid", correlation.encode()))
    return FakeRecord(topic, 0, 0, key, str(body).encode(), headers)


@pytest.fixture
def applying(listener_database: Database) -> Service:
    """A service whose consumer is handed messages without a broker in between."""
    service = make_service(listener_database, KafkaSettings(), "listener")
    service.consumer = Consumer("listener", ["speaker"], service.handler, service.unit, KafkaSettings(), service.health)
    return service


async def everything_on(kafka: KafkaSettings, topic: str) -> list[Any]:
    """Return every record of a topic, by partition and then by offset."""
    consumer = new_consumer(kafka, None)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in await partitions_of(consumer, topic)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found: list[Any] = []
        for partition in partitions:
            consumer.seek(partition, 0)
        while any([await consumer.position(partition) < ends[partition] for partition in partitions]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found.extend(records)
        return found
    finally:
        await consumer.stop()


def first_publications(records: Sequence[Any]) -> dict[str, list[int]]:
    """Return the numbers of each key in the order in which they were first published."""
    found: dict[str, list[int]] = {}
    for each in records:
        decoded = decode(each)
        assert isinstance(decoded, Message), decoded
        numbers = found.setdefault(f"{decoded.program}:{decoded.member}", [])
        if decoded.sequence not in numbers:
            numbers.append(decoded.sequence)
    return found


async def all_published(database: Database) -> bool:
    return bool(await value(database, "select not exists (select from outbox_open)"))


async def commit_as_a_stranger(kafka: KafkaSettings, group: str, offsets: Mapping[tuple[str, int], int]) -> None:
    """Commit as somebody who is no member of the group, which has nobody."""
    stranger = new_consumer(kafka, group)
    stranger.assign([TopicPartition(*place) for place in offsets])
    await start_client(stranger)
    try:
        await commit(stranger, {TopicPartition(*place): offset for place, offset in offsets.items()})
    finally:
        await stop_quietly(stranger)
