"""The relay publishes what lies in the outbox, each key in the order of its numbers, whatever happens."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from laurel.io import failpoints
from laurel.io.database import Database
from laurel.io.message import Message, decode
from laurel.io.saying import DEAD, PROGRAMS, Saying
from laurel.io.settings import KafkaSettings
from laurel.io.topics import partition_of
from tests.io.conftest import (
    NOON,
    all_published,
    everything_on,
    first_publications,
    make_service,
    running,
    say,
    until,
    value,
)

pytestmark = [pytest.mark.anyio, pytest.mark.kafka]


async def test_events_are_cloud_events_on_the_topic_of_their_stream(
    speaker_database: Database, kafka: KafkaSettings
) -> None:
    speaker = make_service(speaker_database, kafka, "speaker")
    async with running(speaker.relay):
        await speaker.say(
            say("m:1", "{}", causation="7.x", correlation="r-1", traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01"),
            say("", "{}"),
            Saying(DEAD, "grocery", "m:1", "message.parked.v1", b"{}", NOON),
            Saying(PROGRAMS, "grocery", "", "program.published.v1", b"{}", NOON, key="grocery:3"),
        )
        await until(lambda: all_published(speaker_database))
    of_member, of_none = sorted(
        await everything_on(kafka, f"{kafka.kafka_prefix}.speaker.v1"), key=lambda each: -len(each.key)
    )
    assert of_member.key == b"grocery:m:1"
    assert of_member.partition == partition_of("grocery:m:1", 8)
    assert dict(of_member.headers) == {
        "ce_specversion": b"1.0",
        "ce_id": b"1.grocery.m:1.1",
        "ce_source": b"laurel/speaker/1",
        "ce_type": b"test.asked.v1",
        "ce_time": b"2026-03-14T12:00:00+00:00",
        "ce_subject": b"m:1",
        "ce_partitionkey": b"grocery:m:1",
        "ce_sequence": b"1",
        "ce_causationid": b"7.x",
        "ce_correlationid": b"r-1",
        "ce_traceparent": b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01",
        "content-type": b"application/json",
    }
    assert of_none.key == b"grocery:"
    assert "ce_subject" not in dict(of_none.headers)
    decoded = decode(of_member)
    assert isinstance(decoded, Message)
    assert (decoded.member, decoded.time, decoded.correlation) == ("m:1", NOON, "r-1")
    (dead,) = await everything_on(kafka, f"{kafka.kafka_prefix}.speaker.dead.v1")
    assert dict(dead.headers)["ce_source"] == b"laurel/speaker.dead/1"
    assert dict(dead.headers)["ce_id"] == b"dead.1.grocery.m:1.1"
    (program,) = await everything_on(kafka, f"{kafka.kafka_prefix}.programs.v1")
    assert (program.key, dict(program.headers)["ce_sequence"]) == (b"grocery:3", b"1")


async def test_rows_handed_over_are_published_without_waiting_for_the_sweep(
    speaker_database: Database, kafka: KafkaSettings
) -> None:
    speaker = make_service(speaker_database, kafka, "speaker", sweep_seconds=60.0)
    async with running(speaker.relay):
        await until(lambda: speaker.health.is_ready)
        await asyncio.sleep(0.1)
        for _ in range(20):
            await speaker.say(say("a"))
            assert await speaker.relay.drain(2)
        await until(lambda: all_published(speaker_database))
    assert first_publications(await everything_on(kafka, f"{kafka.kafka_prefix}.speaker.v1")) == {
        "grocery:a": list(range(1, 21))
    }


async def test_what_an_earlier_life_left_is_published_at_the_start(
    speaker_database: Database, kafka: KafkaSettings
) -> None:
    speaker = make_service(speaker_database, kafka, "speaker", sweep_seconds=60.0)
    await speaker.say(*(say(f"m{number % 7}") for number in range(2500)))
    async with running(speaker.relay):
        await until(lambda: all_published(speaker_database))
    found = first_publications(await everything_on(kafka, f"{kafka.kafka_prefix}.speaker.v1"))
    assert sum(map(len, found.values())) == 2500
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in found.values())


async def test_two_relays_on_one_schema_publish_every_key_in_order(
    speaker_database: Database, kafka: KafkaSettings
) -> None:
    """Each instance is handed only its own rows, so each is forever behind a number of the other's."""
    one = make_service(speaker_database, kafka, "speaker", sweep_seconds=0.1)
    two = make_service(speaker_database, kafka, "speaker", sweep_seconds=0.1)

    async def talk(instance: Any, rounds: int) -> None:
        for round_ in range(rounds):
            await instance.say(*(say(f"m{(round_ + each) % 12}") for each in range(9)))
            await asyncio.sleep(0.001 * (round_ % 5))

    async with running(one.relay, two.relay):
        await asyncio.gather(talk(one, 100), talk(two, 100), talk(one, 50), talk(two, 50))
        await until(lambda: all_published(speaker_database))
    found = first_publications(await everything_on(kafka, f"{kafka.kafka_prefix}.speaker.v1"))
    assert sum(map(len, found.values())) == 300 * 9
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in found.values())


async def test_a_repeat_has_the_same_id(speaker_database: Database, kafka: KafkaSettings) -> None:
    speaker = make_service(speaker_database, kafka, "speaker")
    async with running(speaker.relay):
        await speaker.say(say("a"), say("a"))
        await until(lambda: all_published(speaker_database))
    async with speaker_database.connection() as connection:
        await connection.execute("insert into outbox_open select work, count(*) from outbox group by work")
    again = make_service(speaker_database, kafka, "speaker")
    async with running(again.relay):
        await until(lambda: all_published(speaker_database))
    ids = [dict(each.headers)["ce_id"] for each in await everything_on(kafka, f"{kafka.kafka_prefix}.speaker.v1")]
    assert ids == [b"1.grocery.a.1", b"1.grocery.a.2"] * 2


async def test_a_failed_send_stops_its_keys_and_not_the_others(
    speaker_database: Database, kafka: KafkaSettings
) -> None:
    speaker = make_service(speaker_database, kafka, "speaker", sweep_seconds=0.1)
    relay = speaker.relay
    broken = partition_of("grocery:stuck", 8)
    other = next(name for name in map(str, range(100)) if partition_of(f"grocery:{name}", 8) != broken)
    async with running(relay):
        await until(lambda: speaker.health.is_ready)
        producer = relay._lanes._serving()
        sending = producer.send_batch
        failing = True

        async def send_batch(builder: Any, topic: str, *, partition: int) -> Any:
            if failing and partition == broken:
                raise KafkaConnectionError("no leader")
            return await sending(builder, topic, partition=partition)

        producer.send_batch = send_batch
        for _ in range(10):
            await speaker.say(say("stuck"), say(other))
        await until(lambda: _published_only(kafka, f"grocery:{other}", 10))
        # Each was said in one work with one that is stuck, so all of them stay open.
        assert await value(speaker_database, "select count(*) from outbox_open") == 10
        assert "no leader" in speaker.health.reason("relay")
        failing = False
        await until(lambda: all_published(speaker_database))
        await until(lambda: speaker.health.is_ready)
    found = first_publications(await everything_on(kafka, f"{kafka.kafka_prefix}.speaker.v1"))
    assert found == {f"grocery:{name}": list(range(1, 11)) for name in ("stuck", other)}


async def _published_only(kafka: KafkaSettings, key: str, count: int) -> bool:
    found = first_publications(await everything_on(kafka, f"{kafka.kafka_prefix}.speaker.v1"))
    return found == {key: list(range(1, count + 1))}


@pytest.mark.parametrize("place", [failpoints.AFTER_PUBLISH, failpoints.AFTER_MARK])
async def test_a_relay_whose_task_dies_ends_whole_and_the_next_goes_on(
    speaker_database: Database, kafka: KafkaSettings, place: str
) -> None:
    speaker = make_service(speaker_database, kafka, "speaker")
    with failpoints.armed(place):
        run = asyncio.create_task(speaker.relay.run())
        await until(lambda: speaker.health.is_ready)
        for _ in range(5):
            await speaker.say(say("a"))
        with pytest.raises(BaseExceptionGroup) as died:
            await asyncio.wait_for(run, 5)
        assert died.group_contains(failpoints.FailpointReached)
    await speaker.say(say("a"))
    again = make_service(speaker_database, kafka, "speaker")
    async with running(again.relay):
        await until(lambda: all_published(speaker_database))
    found = first_publications(await everything_on(kafka, f"{kafka.kafka_prefix}.speaker.v1"))
    assert found == {"grocery:a": [1, 2, 3, 4, 5, 6]}


async def test_handing_over_never_waits_nor_fails(speaker_database: Database) -> None:
    """Neither before the relay runs nor while there is no broker at all."""
    nowhere = KafkaSettings(kafka_bootstrap="127.0.0.1:1")
    speaker = make_service(speaker_database, nowhere, "speaker")
    await speaker.say(say("a"))
    async with running(speaker.relay):
        for _ in range(50):
            await asyncio.wait_for(speaker.say(*(say(f"m{number}") for number in range(500))), 5)
        assert len(speaker.relay._marker._left) <= 20_000
        assert "no broker" in speaker.health.reason("relay")
    assert await value(speaker_database, "select sum(events) from outbox_open") == 25_001


async def test_an_event_larger_than_a_broker_takes_by_default_holds_up_nobody(
    speaker_database: Database, kafka: KafkaSettings
) -> None:
    """A body may have a mebibyte, and what is said of it is a little more; a broker takes as much only if told so."""
    speaker = make_service(speaker_database, kafka, "speaker")
    large = f'"{"x" * 1_500_000}"'
    async with running(speaker.relay):
        await speaker.say(say("m:1", large), say("m:1", '"next"'))
        await until(lambda: all_published(speaker_database))
    found = await everything_on(kafka, f"{kafka.kafka_prefix}.speaker.v1")
    assert [len(each.value) for each in found] == [len(large), len('"next"')]
