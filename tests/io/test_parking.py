"""Parked messages: listed, shown, tried again in order, discarded."""

from __future__ import annotations

import json

import pytest

from laurel.contracts.parking import MessageDiscarded, MessageParked
from laurel.io import inbox, parking
from laurel.io.database import Database
from laurel.io.message import Message, Undecodable, decode
from laurel.io.settings import KafkaSettings
from tests.io.conftest import (
    FakeRecord,
    Service,
    all_published,
    effects_in_order,
    everything_on,
    make_listener,
    message,
    record,
    rows,
    running,
    until,
    value,
)

pytestmark = pytest.mark.anyio

SOURCE = "laurel/speaker/1"
TOLD = """
    select correlation, convert_from(payload, 'UTF8')::json ->> 'reason' from outbox
    where type = 'message.parked.v1' order by number
"""
PARKED = "select member, sequence, reason from parked order by member, sequence"


@pytest.fixture
async def parked(applying: Service) -> Service:
    """A service where `bad` is parked at 2, with 3 and 4 behind it."""
    assert applying.consumer is not None
    applying.handler.poison = lambda each: each.member == "bad" and each.sequence == 2
    await applying.consumer.applier.apply(
        [message("bad", sequence, correlation=f"r-{sequence}") for sequence in (1, 2, 3, 4)] + [message("good", 1)]
    )
    return applying


def _place(sequence: int, member: str = "bad") -> inbox.Place:
    return ("grocery", member, SOURCE, sequence)


async def _retry(service: Service, place: inbox.Place) -> None:
    async with service.unit.begin() as work:
        await parking.retry(work, place, actor="ann", note="fixed")
    assert service.consumer is not None
    await service.consumer.applier.retry_wanted(["speaker"])


async def test_the_first_is_listed_with_how_many_wait_behind_it(parked: Service) -> None:
    async with parked.database.connection() as connection:
        listed = await parking.parked_messages(connection)
        everything = await parking.parked_messages(connection, waiting=True)
        shown = await parking.show(connection, _place(2))
        with pytest.raises(parking.NotParked):
            await parking.show(connection, _place(9))
    assert [(each.member, each.sequence, each.reason, each.behind) for each in listed] == [("bad", 2, "poisoned", 2)]
    assert [each.sequence for each in everything] == [2, 3, 4]
    assert shown.body == b"0"
    assert shown.headers["ce_correlationid"] == "r-2"
    assert shown.parked.correlation == "r-2"


async def test_a_retry_applies_it_and_what_waited_in_order(parked: Service) -> None:
    parked.handler.poison = lambda _: False
    await _retry(parked, _place(2))
    assert await effects_in_order(parked.database) == {"bad": [1, 2, 3, 4], "good": [1]}
    assert await rows(parked.database, PARKED) == []
    assert await value(parked.database, "select number from inbox where member = 'bad'") == 4
    audit = await rows(parked.database, "select action, member, sequence, actor, note from parked_audit")
    assert audit == [("retry", "bad", 2, "ann", "fixed")]


async def test_a_retry_that_fails_again_leaves_it_parked_and_says_nothing_new(parked: Service) -> None:
    said = await rows(parked.database, TOLD)
    await _retry(parked, _place(2))
    assert await rows(parked.database, PARKED) == [
        ("bad", 2, "poisoned"), ("bad", 3, "behind"), ("bad", 4, "behind"),
    ]  # fmt: skip
    assert await rows(parked.database, TOLD) == said


async def test_a_retry_stops_at_the_next_that_fails(parked: Service) -> None:
    parked.handler.poison = lambda each: each.member == "bad" and each.sequence == 3
    await _retry(parked, _place(2))
    assert await effects_in_order(parked.database) == {"bad": [1, 2], "good": [1]}
    assert await rows(parked.database, PARKED) == [("bad", 3, "poisoned"), ("bad", 4, "behind")]
    assert (await rows(parked.database, TOLD))[3:] == [("r-3", "poisoned")]


async def test_of_each_that_waits_behind_it_is_told_too(parked: Service) -> None:
    assert await rows(parked.database, TOLD) == [("r-2", "poisoned"), ("r-3", "behind"), ("r-4", "behind")]
    assert parked.consumer is not None
    for _ in range(2):
        await parked.consumer.applier.apply(
            [message("bad", sequence, correlation=f"r-{sequence}") for sequence in (4, 5)]
        )
    assert (await rows(parked.database, TOLD))[3:] == [("r-5", "behind")]


async def test_what_waited_for_a_gap_is_told_of_when_the_gap_turns_out_to_be_parked(applying: Service) -> None:
    assert applying.consumer is not None
    apply = applying.consumer.applier.apply
    applying.handler.poison = lambda each: each.sequence == 2
    await apply([message("bad", sequence, correlation=f"r-{sequence}") for sequence in (1, 3, 4)])
    assert await rows(applying.database, TOLD) == [], "a gap may close by itself"
    await apply([message("bad", sequence, correlation=f"r-{sequence}") for sequence in (2, 5)])
    told = await rows(applying.database, TOLD)
    assert sorted(told) == [("r-2", "poisoned"), ("r-3", "behind"), ("r-4", "behind"), ("r-5", "behind")]
    assert [row[1:] for row in await rows(applying.database, PARKED)] == [
        (2, "poisoned"), (3, "behind"), (4, "behind"), (5, "behind"),
    ]  # fmt: skip
    # A message that waited and turns out to be poison itself keeps the others waiting just as well.
    applying.handler.poison = lambda each: each.sequence == 7
    await _retry(applying, _place(2))
    await apply([message("bad", sequence, correlation=f"r-{sequence}") for sequence in (7, 8)])
    await apply([message("bad", 6, correlation="r-6")])
    assert sorted((await rows(applying.database, TOLD))[4:]) == [("r-7", "poisoned"), ("r-8", "behind")]


async def test_of_what_tells_that_something_is_parked_nothing_is_told(applying: Service) -> None:
    """Whoever hears its own dead letters would have to say more for each that it parks."""
    assert applying.consumer is not None
    applying.handler.poison = lambda _: True
    await applying.consumer.applier.apply([message("bad", number, type_="message.parked.v1") for number in (1, 2)])
    assert await rows(applying.database, PARKED) == [("bad", 1, "poisoned"), ("bad", 2, "behind")]
    assert await rows(applying.database, TOLD) == []


async def test_messages_go_on_coming_while_the_key_is_parked_and_after_it(parked: Service) -> None:
    assert parked.consumer is not None
    await parked.consumer.applier.apply([message("bad", 5)])
    parked.handler.poison = lambda _: False
    await _retry(parked, _place(2))
    await parked.consumer.applier.apply([message("bad", 4), message("bad", 6)])
    assert (await effects_in_order(parked.database))["bad"] == [1, 2, 3, 4, 5, 6]


async def test_only_the_first_of_a_key_can_be_retried_or_discarded(parked: Service) -> None:
    with pytest.raises(parking.NotParked):
        await _retry(parked, _place(3))
    with pytest.raises(parking.NotParked):
        async with parked.unit.begin() as work:
            await parking.discard(work, _place(3), actor="ann", note="")
    with pytest.raises(parking.NotParked):
        async with parked.unit.begin() as work:
            await parking.discard(work, _place(1), actor="ann", note="")
    assert len(await rows(parked.database, PARKED)) == 3


async def test_a_discard_lets_the_key_go_on_and_tells_the_caller(parked: Service) -> None:
    async with parked.unit.begin() as work:
        await parking.discard(work, _place(2), actor="ann", note="never valid")
    assert parked.consumer is not None
    await parked.consumer.applier.retry_wanted(["speaker"])
    assert await effects_in_order(parked.database) == {"bad": [1, 3, 4], "good": [1]}
    assert await rows(parked.database, PARKED) == []
    (said,) = await rows(
        parked.database, "select correlation, causation, payload from outbox where type = 'message.discarded.v1'"
    )
    assert said[:2] == ("r-2", "1.grocery.bad.2")
    told = MessageDiscarded.model_validate_json(said[2])
    assert (told.program, told.member, told.sequence, told.reason) == ("grocery", "bad", 2, "discarded")
    audit = await rows(parked.database, "select action, sequence, actor, note from parked_audit")
    assert audit == [("discard", 2, "ann", "never valid")]


async def test_what_is_told_of_parked_messages_is_the_contracts_event(parked: Service) -> None:
    said = "select payload from outbox where stream = 'dead' order by number"
    ((payload,), (behind,), _) = await rows(parked.database, said)
    assert MessageParked.model_validate_json(behind).reason == "behind"
    told = MessageParked.model_validate_json(payload)
    assert (told.source, told.sequence, told.type, told.reason) == (SOURCE, 2, "test.asked.v1", "poisoned")
    bytes_saying = parking.undecodable_saying(Undecodable("speaker", 3, 0, "no key", b"", {}))
    assert MessageParked.model_validate_json(bytes_saying.body).source == "bytes:speaker/3"


BROKEN = [
    ("no headers", FakeRecord("speaker", 1, 4, b"grocery:m", b"{}", [])),
    ("no key", FakeRecord("speaker", 1, 5, None, b"{}", record("m", 1).headers)),
    ("not utf-8", FakeRecord("speaker", 1, 6, b"grocery:m", b"\xff", [*record("m", 1).headers, ("ce_type", b"\xff")])),
    ("sequence", FakeRecord("speaker", 1, 7, b"grocery:m", b"", [*record("m", 1).headers, ("ce_sequence", b"x")])),
    ("zero", FakeRecord("speaker", 1, 8, b"grocery:m", b"", [*record("m", 1).headers, ("ce_sequence", b"0")])),
    ("huge", FakeRecord("speaker", 1, 9, b"grocery:m", b"", [*record("m", 1).headers, ("ce_sequence", b"9" * 19)])),
    ("nul", FakeRecord("speaker", 1, 10, b"grocery:\x00", b"", record("m", 1).headers)),
    ("long", FakeRecord("speaker", 1, 11, b"grocery:" + b"m" * 4000, b"", record("m", 1).headers)),
    ("subject", FakeRecord("speaker", 1, 12, b"grocery:m", b"", [*record("m", 1).headers, ("ce_subject", b"a b")])),
    ("tombstone", FakeRecord("speaker", 1, 13, b"grocery:m", None, [])),
    ("source nul", FakeRecord("speaker", 1, 14, b"grocery:m", b"", [*record("m", 1).headers, ("ce_source", b"a\x00")])),
]


@pytest.mark.parametrize("broken", [each for _, each in BROKEN], ids=[name for name, _ in BROKEN])
def test_what_is_no_event_of_ours_does_not_decode(broken: FakeRecord) -> None:
    assert isinstance(decode(broken), Undecodable)


async def test_undecodable_bytes_park_alone(applying: Service) -> None:
    assert applying.consumer is not None
    records = [record("m", 1), *(each for _, each in BROKEN), record("m", 2)]
    assert await applying.consumer.work_off(records)
    assert await applying.consumer.work_off(records)
    assert await effects_in_order(applying.database) == {"m": [1, 2]}
    found = await rows(
        applying.database, "select program, member, source, sequence, reason, body from parked order by sequence"
    )
    assert [row[3] for row in found] == list(range(4, 15))
    assert {row[:3] + row[4:5] for row in found} == {("", "", "bytes:speaker/1", "undecodable")}
    assert found[2][5] == b"\xff"
    assert await value(applying.database, "select count(*) from outbox where stream = 'dead'") == len(BROKEN)


async def test_what_is_told_of_bytes_can_be_read_and_counts_for_itself(
    listener_database: Database, kafka: KafkaSettings
) -> None:
    """They have no program; one that happens to be called as they are told must not be mistaken for theirs."""
    listener = make_listener(listener_database, kafka)
    assert listener.consumer is not None
    listener.handler.poison = lambda _: True
    async with running(listener.relay):
        for _, broken in BROKEN[:2]:
            assert await listener.consumer.work_off([broken])
        of_unknown = record("", 1)
        of_unknown.key = b"unknown:"
        assert await listener.consumer.work_off([of_unknown])
        await until(lambda: all_published(listener_database))
    told = [decode(each) for each in await everything_on(kafka, f"{kafka.kafka_prefix}.listener.dead.v1")]
    read = [each for each in told if isinstance(each, Message)]
    assert len(read) == len(told) == 3
    assert {each.type for each in read} == {"message.parked.v1"}
    places = sorted(each.place for each in read)
    source = "laurel/listener.dead/1"
    assert places == [("", "", source, 1), ("", "", source, 2), ("unknown", "", source, 1)]
    for each in read:
        MessageParked.model_validate_json(each.body)


def test_without_a_program_only_dead_letters_are_taken() -> None:
    without = record("", 1)
    without.key = b":"
    assert isinstance(decode(without), Undecodable)
    dead = record("", 1, source="laurel/points.dead/1")
    dead.key = b":"
    assert isinstance(decode(dead), Message)


async def test_undecodable_bytes_can_be_retried_and_discarded(applying: Service) -> None:
    assert applying.consumer is not None
    await applying.consumer.work_off([each for _, each in BROKEN[:2]])
    # As if what was wrong had been ours: the headers are complete now.
    headers = json.dumps({name: text.decode() for name, text in record("m", 1).headers})
    async with applying.database.transaction() as connection:
        await connection.execute("update parked set headers = $1 where sequence = 4", headers)
    async with applying.unit.begin() as work:
        for sequence in (4, 5):
            await parking.retry(work, ("", "", "bytes:speaker/1", sequence), actor="ann")
    async with applying.database.transaction() as connection:
        await connection.execute("update parked set headers = '{}' where sequence = 5")
    await applying.consumer.applier.retry_wanted(["speaker"])
    assert await effects_in_order(applying.database) == {"m": [1]}
    assert await rows(applying.database, "select sequence, reason from parked") == [(5, "undecodable")]
    async with applying.unit.begin() as work:
        await parking.discard(work, ("", "", "bytes:speaker/1", 5), actor="ann", note="noise")
    assert await rows(applying.database, PARKED) == []
