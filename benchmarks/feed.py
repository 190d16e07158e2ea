"""Fills the topic of the gateway, or of another speaker: counted per member, with the headers of CloudEvents."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import Any

from laurel.contracts.registry import PROGRAMS_TOPIC
from laurel.io.kafka import start_producer
from laurel.io.message import id_of, source_of
from laurel.io.settings import KafkaSettings
from laurel.io.topics import main_topic, partition_of
from laurel.program.loading import dump_program, load_program
from laurel.replaying.complete_journey import Basket, Sold, baskets, products
from laurel.replaying.mapping import encode, purchase

PARTNER = "grocer"
BEFORE_THE_YEAR = "2017-01-01T00:00:00-05:00"
_UNDER_WAY_MAX = 24


@dataclass(frozen=True, slots=True)
class Event:
    """One event to feed: whose, its type, its body."""

    member: str
    type: str
    body: bytes
    at: str


class Feed:
    """Numbers events per member and produces them in order, many in one request."""

    def __init__(self, settings: KafkaSettings, program: str, speaker: str = "gateway") -> None:
        self._settings = settings
        self._program = program
        self._topic = main_topic(speaker, settings.kafka_prefix)
        self._source = source_of(speaker, "", 1).encode()
        self._numbers: dict[str, int] = {}

    async def publish_program(self, text: str) -> None:
        """Say the program's first version on the compacted topic."""
        document = dump_program(load_program(text, self._program))
        body = json.dumps(
            {
                "program": self._program,
                "member": None,
                "at": BEFORE_THE_YEAR,
                "cause": {"kind": "program", "id": f"{self._program}:1"},
                "version": 1,
                "document": document,
                "effective_from": document["effective_from"],
                "published_at": BEFORE_THE_YEAR,
            }
        ).encode()
        headers = self._headers(1, "", "program.published.v1", BEFORE_THE_YEAR, stream="programs")
        producer = await start_producer(self._settings)
        try:
            await producer.send_and_wait(PROGRAMS_TOPIC, body, key=f"{self._program}:1".encode(), headers=headers)
        finally:
            await producer.stop()

    async def produce(self, events: Iterable[Event]) -> int:
        """Produce all events; return how many. Those of a member keep their order."""
        producer = await start_producer(self._settings)
        builders: dict[int, Any] = {}
        under_way: deque[asyncio.Future[Any]] = deque()
        count = 0

        async def send(partition: int, builder: Any) -> None:  # noqa: ANN401 (aiokafka ships no types)
            builder.close()
            under_way.append(await producer.send_batch(builder, self._topic, partition=partition))
            while len(under_way) > _UNDER_WAY_MAX:
                await under_way.popleft()

        try:
            for event in events:
                count += 1
                number = self._numbers.get(event.member, 0) + 1
                self._numbers[event.member] = number
                key = f"{self._program}:{event.member}"
                partition = partition_of(key, self._settings.kafka_partitions)
                headers = self._headers(number, event.member, event.type, event.at)
                builder = builders.setdefault(partition, producer.create_batch())
                if builder.append(timestamp=None, key=key.encode(), value=event.body, headers=headers) is None:
                    await send(partition, builder)
                    builders[partition] = builder = producer.create_batch()
                    builder.append(timestamp=None, key=key.encode(), value=event.body, headers=headers)
            for partition, builder in builders.items():
                await send(partition, builder)
            while under_way:
                await under_way.popleft()
        finally:
            await producer.stop()
        return count

    def _headers(self, number: int, member: str, kind: str, at: str, stream: str = "") -> list[tuple[str, bytes]]:
        source = source_of("gateway", stream, 1).encode() if stream else self._source
        headers = [
            ("ce_specversion", b"1.0"),
            ("ce_id", id_of(stream, 1, self._program, member, number).encode()),
            ("ce_source", source),
            ("ce_type", kind.encode()),
            ("ce_time", at.encode()),
            ("ce_partitionkey", f"{self._program}:{member}".encode()),
            ("ce_sequence", str(number).encode()),
            ("ce_correlationid", f"bench-{member}-{number}".encode()),
            ("content-type", b"application/json"),
        ]
        if member:
            headers.append(("ce_subject", member.encode()))
        return headers


def enrolments(program: str, members: Iterable[str]) -> Iterator[Event]:
    """Enrol each member before the year begins."""
    for member in members:
        body = {
            "program": program,
            "member": member,
            "at": BEFORE_THE_YEAR,
            "cause": {"kind": "enrolment", "id": member},
            "enrolled_at": BEFORE_THE_YEAR,
            "attributes": {},
            "versions": {"program": 1, "partners": 0},
        }
        yield Event(member, "member.enrolment_requested.v1", json.dumps(body).encode(), BEFORE_THE_YEAR)


def real_baskets(program: str, count: int, *, households: int | None = None, seed: int = 1) -> Iterator[Event]:
    """Report `count` real baskets: the year once, and again under other ids where it is too short.

    With `households` each basket goes to one of so many, by chance, instead of the one that bought it.
    """
    known = products()
    chance = random.Random(seed)
    year = 0
    last = 0
    for basket in islice(_year_after_year(), count):
        if basket.seconds < last:
            year += 1
        last = basket.seconds
        told = basket if households is None else replace(basket, household=1 + chance.randrange(households))
        activity = encode(purchase(told, known))
        if year:
            # The same receipts once more, as other activities.
            name = f'"cj-{basket.id}"'.encode()
            activity = activity.replace(name, name[:-1] + f"-{year}".encode() + b'"', 1)
        yield _reported(program, f"hh-{told.household}", activity, told.occurred_at.isoformat())


def one_liners(program: str, count: int, households: int, seed: int = 2) -> Iterator[Event]:
    """Report `count` activities of one line each, of households by chance, a second apart."""
    known = products()
    sold = list(known)
    chance = random.Random(seed)
    start = 1_483_290_000
    for number in range(count):
        basket = Basket(
            number,
            1 + chance.randrange(households),
            1 + chance.randrange(457),
            start + number,
            (Sold(chance.choice(sold), 1, chance.randrange(100, 10_000)),),
        )
        activity = encode(purchase(basket, known))
        yield _reported(program, f"hh-{basket.household}", activity, basket.occurred_at.isoformat())


def household_ids(households: int | None) -> list[str]:
    """Name the members of a feed: those of the year, or so many."""
    if households is not None:
        return [f"hh-{number}" for number in range(1, households + 1)]
    return sorted({f"hh-{basket.household}" for basket in baskets()})


def _year_after_year() -> Iterator[Basket]:
    for _ in cycle((None,)):
        yield from baskets()


def _reported(program: str, member: str, activity: bytes, at: str) -> Event:
    """Wrap an activity as the gateway does. Its hash only has to differ where the activity does."""
    digest = hashlib.sha256(activity).hexdigest()
    body = b"".join(
        (
            f'{{"program":"{program}","member":"{member}","at":"{at}",'.encode(),
            b'"cause":{"kind":"activity","id":',
            activity[6 : activity.index(b",", 6)],
            f'}},"partner":"{PARTNER}","hash":"1:{digest}","activity":'.encode(),
            activity,
            b',"versions":{"program":1,"partners":0}}',
        )
    )
    return Event(member, "activity.reported.v1", body, at)
