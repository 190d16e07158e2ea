"""What is wanted for nothing but its number may wait a moment; what is wanted takes it along at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import TopicPartition

from laurel.io.database import Database
from laurel.io.patience import REST_SECONDS_MAX, REST_UNTIL, Patience
from laurel.io.saying import Saying
from laurel.io.settings import KafkaSettings
from laurel.io.telemetry import BATCH_SECONDS
from tests.io.conftest import NOON, make_listener, make_service, record, running, say, until, value

pytestmark = pytest.mark.anyio

HERE = TopicPartition("speaker", 0)
THERE = TopicPartition("speaker", 1)
WANTED = "test.asked.v1"
OTHER = "test.other.v1"


def _may_wait(type_: str) -> bool:
    return type_ != WANTED


def _chatter(member: str) -> Saying:
    return Saying("", "grocery", member, OTHER, b"0", NOON)


def test_records_wait_for_their_time_and_are_handed_over_once_in_order() -> None:
    patience = Patience(_may_wait, 100, seconds=30)
    assert not patience.is_over
    first, second, third = (record("m-1", number, type_=OTHER) for number in (1, 2, 3))
    patience.add({HERE: [first], THERE: [second]})
    patience.add({HERE: [third]})
    assert not patience.is_over
    assert patience.take() == {HERE: [first, third], THERE: [second]}
    assert patience.take() == {}
    assert not patience.is_over


def test_one_that_is_wanted_takes_all_along() -> None:
    patience = Patience(_may_wait, 100, seconds=30)
    patience.add({HERE: [record("m-1", 1, type_=OTHER)]})
    patience.add({HERE: [record("m-1", 2)]})
    assert patience.is_over
    assert len(patience.take()[HERE]) == 2
    patience.add({HERE: [record("m-1", 3, type_=OTHER)]})
    assert not patience.is_over


def test_a_full_batch_and_one_that_has_waited_long_enough_go() -> None:
    full = Patience(_may_wait, 2, seconds=30)
    full.add({HERE: [record("m-1", 1, type_=OTHER), record("m-1", 2, type_=OTHER)]})
    assert full.is_over
    old = Patience(_may_wait, 100, seconds=0)
    old.add({HERE: [record("m-1", 1, type_=OTHER)]})
    assert old.is_over


def test_who_wants_everything_has_no_patience_nor_is_there_any_for_bytes() -> None:
    everything = Patience(None, 100, seconds=30)
    everything.add({HERE: [record("m-1", 1, type_=OTHER)]})
    assert everything.is_over
    nameless = record("m-1", 1)
    nameless.headers = []
    choosy = Patience(_may_wait, 100, seconds=30)
    choosy.add({HERE: [nameless]})
    assert choosy.is_over


def test_a_small_batch_is_rested_from_as_long_as_it_took() -> None:
    patience = Patience(_may_wait, 100, seconds=30)
    patience.rest_from(REST_SECONDS_MAX)
    assert patience.rest_seconds(0.1) == 0.1
    patience.add({HERE: [record("m-1", 1)]})
    assert not patience.is_over
    assert 0 < patience.rest_seconds(0.1) <= REST_SECONDS_MAX
    time.sleep(REST_SECONDS_MAX)
    assert patience.rest_seconds(0.1) == 0
    assert patience.is_over


def test_a_long_batch_is_not_rested_from_for_long() -> None:
    patience = Patience(_may_wait, 100, seconds=30)
    patience.rest_from(60)
    patience.add({HERE: [record("m-1", 1)]})
    assert patience.rest_seconds(0.1) <= REST_SECONDS_MAX


def test_enough_records_do_not_wait_for_more() -> None:
    patience = Patience(_may_wait, 100, seconds=30)
    patience.rest_from(REST_SECONDS_MAX)
    patience.add({HERE: [record("m-1", number) for number in range(1, REST_UNTIL)]})
    assert not patience.is_over
    patience.add({THERE: [record("m-1", REST_UNTIL)]})
    assert patience.is_over


def _batches(group: str) -> int:
    for metric in BATCH_SECONDS.collect():
        for sample in metric.samples:
            if sample.name.endswith("_count") and sample.labels.get("group") == group:
                return int(sample.value)
    return 0


async def test_chatter_costs_few_transactions_and_delays_nothing_that_is_wanted(
    speaker_database: Database, listener_database: Database, kafka: KafkaSettings
) -> None:
    speaker = make_service(speaker_database, kafka, "speaker")
    listener = make_listener(listener_database, kafka, types=[WANTED])
    assert listener.consumer is not None
    group = listener.consumer.group
    async with running(speaker.relay, listener.consumer, listener.relay):
        await until(lambda: listener.health.is_ready)
        for _ in range(20):
            await speaker.say(_chatter("m-1"))
            await asyncio.sleep(0.03)
        await until(lambda: _number(listener_database, 20))
        assert _batches(group) < 10
        # Its predecessor is still laid aside when it comes, and goes with it.
        await speaker.say(_chatter("m-1"))
        await speaker.say(say("m-1", "7"))
        await until(lambda: value(listener_database, "select amount from effects"))
        assert await _number(listener_database, 22)
        # A stop loses nothing: what was laid aside is read again.
        await speaker.say(_chatter("m-1"))
    again = make_listener(listener_database, kafka, types=[WANTED])
    async with running(speaker.relay, again.consumer):
        await until(lambda: _number(listener_database, 23))


async def test_what_is_laid_aside_is_finished_before_partitions_are_let_go(
    speaker_database: Database, listener_database: Database, kafka: KafkaSettings
) -> None:
    speaker = make_service(speaker_database, kafka, "speaker")
    listener = make_listener(listener_database, kafka, types=[WANTED])
    consumer = listener.consumer
    assert consumer is not None
    consumer._patience = Patience(_may_wait, 500, seconds=60)
    async with running(speaker.relay, consumer, listener.relay):
        await until(lambda: listener.health.is_ready)
        await speaker.say(_chatter("m-1"), _chatter("m-2"))
        await until(lambda: consumer._patience._count == 2)
        assert not await _number(listener_database, 1)
        assert consumer._consumer is not None
        await consumer.revoked(consumer._consumer.assignment())
        assert await _number(listener_database, 1)
        # And their offsets are committed, so nobody reads them again.
        committed = [await consumer._consumer.committed(each) for each in consumer._consumer.assignment()]
        assert sum(offset or 0 for offset in committed) == 2


async def test_records_that_come_while_a_batch_is_rested_from_go_together(
    speaker_database: Database, listener_database: Database, kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second comes while the first batch is at work, the third while it is rested from: by one batch they go."""
    batch_seconds = 0.5
    monkeypatch.setattr("laurel.io.patience.REST_SECONDS_MAX", batch_seconds)
    speaker = make_service(speaker_database, kafka, "speaker")
    listener = make_listener(listener_database, kafka, types=[WANTED])
    consumer = listener.consumer
    assert consumer is not None
    consumer._patience = Patience(_may_wait, 500, seconds=60)
    work_off = consumer.work_off

    async def slowly(records: Sequence[Any]) -> bool:
        await asyncio.sleep(batch_seconds)
        return await work_off(records)

    monkeypatch.setattr(consumer, "work_off", slowly)
    async with running(speaker.relay, consumer, listener.relay):
        await until(lambda: listener.health.is_ready)
        before = _batches(consumer.group)
        for number in range(1, 4):
            await speaker.say(say(f"m-{number}", "7"))
            await asyncio.sleep(batch_seconds * (0.5 if number == 1 else 1))
        await until(lambda: value(listener_database, "select count(*) = 3 from effects"))
        assert _batches(consumer.group) - before == 2


async def _number(database: Database, number: int) -> bool:
    return bool(await value(database, "select number = $1 from inbox where member = 'm-1'", number))
