"""The embedded broker by itself: what a growing log costs whoever is told of it one record at a time.

One consumer of one partition is told 200 events a second, each a batch of its own, on a log that is new and after every
further 5,000 such batches. Neither its share of a core nor the time from a send to its receipt may grow with the log,
as both did with the broker that there was before (docs/decisions/0181-an-embedded-broker-of-our-own.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition

from benchmarks.numbers import percentile
from benchmarks.results import bar
from benchmarks.servers import bench_dir
from benchmarks.watching import cpu_seconds, memory_mb
from laurel.embedded.broker import EmbeddedBroker
from laurel.io.kafka import ensure_topics, new_consumer, start_producer, stop_quietly
from laurel.io.settings import KafkaSettings
from laurel.io.topics import Topic

TOPIC = "growing"
RATE = 200
GROWTH_MAX = 1.5
P50_MS_MAX = 5.0
STEP = 5_000
_BODY_BYTES = 800
_PLACE = TopicPartition(TOPIC, 0)
_LATE_SECONDS_MAX = 30.0


async def run(seconds: float, steps: int, step: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Measure on a new log and after each of so many steps; each measurement grows the log too."""
    with bench_dir() as data_dir, EmbeddedBroker(data_dir) as broker:
        settings = KafkaSettings(
            kafka_bootstrap=broker.bootstrap,
        )
        await ensure_topics(settings, [Topic(TOPIC, 1)])
        assert broker.child is not None
        pid = broker.child.pid
        producer = await start_producer(settings)
        looks: list[dict[str, Any]] = []
        batches = sent = 0
        try:
            for number in range(steps + 1):
                if number:
                    await _grow(producer, number * step - batches)
                    batches = number * step
                look = await look_at(settings, producer, pid, batches, seconds)
                tell(
                    f"after {batches:,} batches {look['broker_share']:.0%} of a core, "
                    f"p50 {look['p50_ms']} ms, p99 {look['p99_ms']} ms, {look['broker_mb']} MB"
                )
                looks.append(look)
                batches += look["sent"]
                sent += look["sent"]
        finally:
            await stop_quietly(producer)
    grown = looks[-1]["broker_share"] / looks[0]["broker_share"]
    missing = sum(look["sent"] - look["received"] for look in looks)
    return {
        "name": "broker",
        "what": f"one consumer told {RATE} events a second by the embedded broker",
        "looks": looks,
        "faults": [f"{missing} of {sent} events were not received in their order"] if missing else [],
        "bars": [
            bar("share of a core on the longest log to that on a new one", grown, GROWTH_MAX, at_most=True),
            bar("p50 on the longest log", looks[-1]["p50_ms"], P50_MS_MAX, at_most=True, unit=" ms"),
        ],
    }


async def _grow(producer: AIOKafkaProducer, count: int) -> None:
    """Add batches of one record each, as a till would."""
    body = bytes(_BODY_BYTES)
    for _ in range(count):
        last = await _send(producer, body)
    if count:
        await last


async def _send(producer: AIOKafkaProducer, body: bytes) -> asyncio.Future[Any]:
    """Send a batch of one record; return what waits for its receipt. One batch waits at a time, so none are joined."""
    builder = producer.create_batch()
    builder.append(timestamp=None, key=b"key", value=body, headers=[])
    builder.close()
    receipt: asyncio.Future[Any] = await producer.send_batch(builder, TOPIC, partition=0)
    return receipt


async def look_at(
    settings: KafkaSettings, producer: AIOKafkaProducer, pid: int, batches: int, seconds: float
) -> dict[str, Any]:
    """Send at set times for so long, and say what the broker used meanwhile and when each event was received."""
    count = int(RATE * seconds)
    consumer = new_consumer(settings, None)
    await consumer.start()
    delays: list[float] = []
    due = [0.0] * count
    try:
        consumer.assign([_PLACE])
        await consumer.seek_to_end(_PLACE)
        await consumer.getmany(timeout_ms=200)
        used, started = cpu_seconds(pid), perf_counter()
        receiving = asyncio.create_task(_receive(consumer, due, delays, count))
        sent: list[asyncio.Future[Any]] = []
        for number in range(count):
            due[number] = started + number / RATE
            await asyncio.sleep(max(0.0, due[number] - perf_counter()))
            sent.append(await _send(producer, b"%d" % number + bytes(_BODY_BYTES)))
        share = (cpu_seconds(pid) - used) / (perf_counter() - started)
        await asyncio.gather(*sent)
        await receiving
    finally:
        await stop_quietly(consumer)
    ordered = sorted(delays)
    return {
        "batches": batches,
        "sent": count,
        "received": len(delays),
        "broker_share": round(share, 3),
        "broker_mb": round(memory_mb(pid)[0], 1),
        "p50_ms": round(percentile(ordered, 0.5) * 1_000, 2),
        "p99_ms": round(percentile(ordered, 0.99) * 1_000, 2),
    }


async def _receive(consumer: Any, due: list[float], delays: list[float], count: int) -> None:  # noqa: ANN401
    """Note for each event how long after its time it came; give up when nothing comes any more."""
    last = perf_counter()
    while len(delays) < count and perf_counter() - last < _LATE_SECONDS_MAX:
        for record in (await consumer.getmany(timeout_ms=100)).get(_PLACE, ()):
            last = perf_counter()
            number = int(record.value.rstrip(b"\0"))
            delays.append(last - due[number])
