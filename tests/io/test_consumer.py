"""What a consumer does with batches: applied once, in order, and one bad message never takes others with it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
import pytest

from laurel.io import failpoints
from laurel.io.consumer import Consumer, Handled, Poison
from laurel.io.database import CollisionError, Connection, Database
from laurel.io.message import Message
from laurel.io.together import Last, Statement
from tests.asking import asked
from tests.io.conftest import Recorder, Service, answer_to, effects_in_order, message, rows, value

pytestmark = pytest.mark.anyio

PARKED = "select member, sequence, reason from parked order by member, sequence"


def _consumer(service: Service) -> Consumer:
    assert service.consumer is not None
    return service.consumer


async def test_every_message_delivered_twice_is_applied_once(applying: Service) -> None:
    batch = [message(f"m{member}", sequence) for sequence in (1, 2, 3) for member in range(40)]
    await _consumer(applying).applier.apply(batch)
    await _consumer(applying).applier.apply(batch)
    await _consumer(applying).applier.apply(batch[60:] + batch[:60])
    assert await effects_in_order(applying.database) == {f"m{member}": [1, 2, 3] for member in range(40)}
    assert applying.handler.committed == 120


async def test_a_repeat_within_one_batch_is_applied_once(applying: Service) -> None:
    await _consumer(applying).applier.apply([message("a", 1), message("a", 1), message("a", 2), message("a", 1)])
    assert await effects_in_order(applying.database) == {"a": [1, 2]}


async def test_any_order_across_members_and_sources_gives_the_same(applying: Service) -> None:
    sources = ("laurel/speaker/1", "laurel/other/1", "laurel/speaker/2")
    batch = [
        message(f"m{member}", sequence, source=source)
        for member in range(10)
        for source in sources
        for sequence in range(1, 9)
    ]
    random.Random(7).shuffle(batch)
    for start in range(0, len(batch), 30):
        await _consumer(applying).applier.apply(batch[start : start + 30])
    found = await rows(
        applying.database,
        "select member, source, array_agg(sequence order by id) from effects group by member, source",
    )
    assert len(found) == 30
    assert all(sequences == list(range(1, 9)) for _, _, sequences in found)
    assert await rows(applying.database, PARKED) == []


async def test_effects_answers_and_inbox_stand_or_fall_together(applying: Service) -> None:
    with failpoints.armed(failpoints.BEFORE_COMMIT), pytest.raises(failpoints.FailpointReached):
        await _consumer(applying).applier.apply([message("a", 1)])
    for table in ("effects", "outbox", "outbox_keys", "inbox"):
        assert await value(applying.database, f"select count(*) from {table}") == 0
    assert applying.handler.committed == 0
    await _consumer(applying).applier.apply([message("a", 1)])
    for table in ("effects", "outbox", "outbox_keys", "inbox"):
        assert await value(applying.database, f"select count(*) from {table}") == 1


async def test_answers_are_numbered_per_key_and_carry_what_led_to_them(applying: Service) -> None:
    batch = [message("a", 1, correlation="r-1"), message("b", 1, correlation="r-2"), message("a", 2)]
    await _consumer(applying).applier.apply(batch)
    found = await rows(
        applying.database,
        "select member, number, aggregatetype, aggregateid, type, causation, correlation from outbox "
        "order by member, number",
    )
    assert found == [
        ("a", 1, "listener", "grocery:a", "test.answered.v1", "1.grocery.a.1", "r-1"),
        ("a", 2, "listener", "grocery:a", "test.answered.v1", "1.grocery.a.2", None),
        ("b", 1, "listener", "grocery:b", "test.answered.v1", "1.grocery.b.1", "r-2"),
    ]


async def test_types_not_wanted_move_the_inbox_and_nothing_else(applying: Service) -> None:
    consumer = _consumer(applying)
    consumer.applier._types = frozenset({"test.asked.v1"})
    await consumer.applier.apply([message("a", 1, type_="somebody.else.v1"), message("a", 2)])
    assert await effects_in_order(applying.database) == {"a": [2]}
    assert await value(applying.database, "select number from inbox") == 2


async def test_a_gap_waits_and_closes(applying: Service) -> None:
    consumer = _consumer(applying)
    await consumer.applier.apply([message("a", 1), message("a", 3), message("b", 1), message("a", 5)])
    assert await rows(applying.database, PARKED) == [("a", 3, "gap"), ("a", 5, "gap")]
    await consumer.applier.apply([message("a", 3), message("a", 5)])  # what waits already is not stored twice
    await consumer.applier.apply([message("a", 4)])
    assert await effects_in_order(applying.database) == {"a": [1], "b": [1]}
    await consumer.applier.apply([message("a", 2), message("a", 6)])
    assert await effects_in_order(applying.database) == {"a": [1, 2, 3, 4, 5, 6], "b": [1]}
    assert await rows(applying.database, PARKED) == []


async def test_a_lasting_gap_is_reported_and_then_taken_back(applying: Service) -> None:
    consumer = _consumer(applying)
    consumer._gap_report_seconds = 0.0
    applying.health.ready(consumer.part)
    applying.health.ready("relay")
    await consumer.applier.apply([message("a", 2)])
    await consumer.report_gaps()
    assert applying.health.is_ready
    assert "grocery:a before 2" in str(applying.health.report())
    await consumer.applier.apply([message("a", 1)])
    await consumer.report_gaps()
    assert "grocery:a" not in str(applying.health.report())


async def test_a_poisonous_message_parks_its_key_and_others_flow(applying: Service) -> None:
    applying.handler.poison = lambda each: each.member == "bad" and each.sequence == 2
    batch = [message(member, sequence) for sequence in (1, 2, 3) for member in ("bad", "good")]
    await _consumer(applying).applier.apply(batch)
    await _consumer(applying).applier.apply([message("bad", 4), message("good", 4)])
    await _consumer(applying).applier.apply(batch)
    assert await effects_in_order(applying.database) == {"bad": [1], "good": [1, 2, 3, 4]}
    assert await rows(applying.database, PARKED) == [
        ("bad", 2, "poisoned"), ("bad", 3, "behind"), ("bad", 4, "behind"),
    ]  # fmt: skip
    told = await rows(
        applying.database, "select stream, member, number, type from outbox where stream = 'dead' order by number"
    )
    assert told == [("dead", "bad", number, "message.parked.v1") for number in (1, 2, 3)]


async def test_only_the_message_that_the_database_refuses_is_parked(applying: Service) -> None:
    """In the middle of a batch of 500, with one of its own key before and one after it."""
    batch = [message(f"m{number}", 1) for number in range(500)]
    batch[249] = message("bad", 1)
    batch[250] = message("bad", 2, 13)
    batch[251] = message("bad", 3)
    await _consumer(applying).applier.apply(batch)
    found = await effects_in_order(applying.database)
    assert found.pop("bad") == [1]
    assert found == {f"m{number}": [1] for number in range(500) if number not in {249, 250, 251}}
    assert await rows(applying.database, PARKED) == [("bad", 2, "refused_by_database"), ("bad", 3, "behind")]
    assert await value(applying.database, "select detail from parked where sequence = 2") == (
        "SQLSTATE 23514 effects_amount_check"
    )
    # It was about as much work as halving says, not one transaction for each message.
    assert len(applying.handler.calls) < 40


async def test_what_the_database_refuses_among_those_that_waited_is_found_too(applying: Service) -> None:
    consumer = _consumer(applying)
    await consumer.applier.apply([message("a", 2), message("a", 3, 13), message("a", 4)])
    await consumer.applier.apply([message("b", 1), message("a", 1), message("c", 1)])
    assert await effects_in_order(applying.database) == {"a": [1, 2], "b": [1], "c": [1]}
    assert await rows(applying.database, PARKED) == [("a", 3, "refused_by_database"), ("a", 4, "behind")]


async def test_several_refused_messages_are_each_found(applying: Service) -> None:
    refused = {3, 77, 78, 141}
    await _consumer(applying).applier.apply(
        [message(f"m{number}", 1, 13 if number in refused else 0) for number in range(150)]
    )
    assert {row[0] for row in await rows(applying.database, PARKED)} == {f"m{number}" for number in refused}
    assert await value(applying.database, "select count(*) from effects") == 146


class _Colliding(Recorder):
    """Locks two rows in the order of its messages, which sorted keys would forbid."""

    async def handle(self, connection: Connection, messages: list[Message]) -> Handled:
        for each in messages:
            await connection.execute("select from things where name = $1 for update", each.body.decode())
            await asyncio.sleep(0.1)
        return await super().handle(connection, messages)


async def test_a_deadlock_runs_the_batch_again(applying: Service, listener_database: Database) -> None:
    async with listener_database.connection() as connection:
        await connection.execute("create table things (name text primary key); insert into things values ('1'), ('2')")
    first, second = _consumer(applying), _another(applying, _Colliding())
    first.applier._handler = _Colliding()
    await asyncio.gather(
        first.applier.apply([message("a", 1, 1), message("a", 2, 2)]),
        second.applier.apply([message("b", 1, 2), message("b", 2, 1)]),
    )
    assert await effects_in_order(applying.database) == {"a": [1, 2], "b": [1, 2]}
    assert len(first.applier._handler.calls) + len(second.applier._handler.calls) == 2  # type: ignore[attr-defined]
    assert await rows(applying.database, PARKED) == []


def _another(service: Service, handler: Recorder) -> Consumer:
    return Consumer("listener", ["speaker"], handler, service.unit, service.consumer._kafka, service.health)  # type: ignore[union-attr]


async def test_two_consumers_that_hold_the_same_messages_apply_them_once(applying: Service) -> None:
    """As after a rebalance of which one of them has not heard yet."""
    batch = [message(f"m{member}", sequence) for sequence in range(1, 6) for member in range(20)]
    consumers = [_another(applying, Recorder(f"c{number}")) for number in range(4)]
    await asyncio.gather(
        *(consumer.applier.apply(batch[: 100 - 20 * number]) for number, consumer in enumerate(consumers))
    )
    assert await effects_in_order(applying.database) == {f"m{member}": [1, 2, 3, 4, 5] for member in range(20)}


@pytest.mark.parametrize(
    "trouble",
    [
        asyncpg.CannotConnectNowError("starting up"),
        asyncpg.TooManyConnectionsError("full"),
        asyncpg.DiskFullError("full"),
        asyncpg.LockNotAvailableError("locked"),
        asyncpg.QueryCanceledError("time"),
        ConnectionResetError(),
        TimeoutError(),
        KeyError("a mistake of ours"),
    ],
    ids=lambda trouble: type(trouble).__name__,
)
async def test_trouble_parks_nothing_and_is_told_and_is_tried_again(applying: Service, trouble: Exception) -> None:
    consumer = _consumer(applying)
    applying.health.ready(consumer.part)
    told: list[str] = []

    def fail(_: object) -> BaseException | None:
        if len(applying.handler.calls) > 2:
            return None
        told.append(applying.health.reason(consumer.part))
        return trouble

    applying.handler.fail = fail
    assert await consumer.persist(lambda: consumer.applier.apply([message("a", 1), message("b", 1)]))
    assert told[0] == ""
    assert type(trouble).__name__ in told[1]
    assert applying.health.reason(consumer.part) == ""
    assert await effects_in_order(applying.database) == {"a": [1], "b": [1]}
    assert await rows(applying.database, PARKED) == []


async def test_trouble_lets_go_of_the_batch_when_the_partitions_are_wanted_elsewhere(applying: Service) -> None:
    consumer = _consumer(applying)
    applying.handler.fail = lambda _: ConnectionResetError()
    working = asyncio.create_task(consumer.persist(lambda: consumer.applier.apply([message("a", 1)])))
    await asyncio.sleep(0.1)
    consumer._letting_go.set()
    assert await asyncio.wait_for(working, 2) is False
    assert await value(applying.database, "select count(*) from inbox") == 0


async def test_a_handler_that_blames_what_it_was_not_given_parks_nothing(applying: Service) -> None:
    stranger = message("x", 9)

    def fail(_: object) -> BaseException:
        return Poison(stranger, "odd")

    applying.handler.fail = fail
    with pytest.raises(RuntimeError):
        await _consumer(applying).applier.apply([message("a", 1)])
    assert await rows(applying.database, PARKED) == []


async def test_a_handler_may_name_all_poison_of_a_batch_at_once(applying: Service) -> None:
    def fail(messages: list[Message]) -> BaseException | None:
        bad = [each for each in messages if each.member.startswith("bad")]
        if not bad:
            return None
        first, *others = [Poison(each, "poisoned") for each in bad]
        first.also = tuple(others)
        return first

    applying.handler.fail = fail  # type: ignore[assignment]
    await _consumer(applying).applier.apply(
        [message(f"{kind}{number}", 1) for number in range(50) for kind in ("bad", "good")]
    )
    assert len(applying.handler.calls) == 2
    assert await value(applying.database, "select count(*) from parked") == 50
    assert await value(applying.database, "select count(*) from effects") == 50


async def test_what_another_consumer_parked_meanwhile_is_noticed(applying: Service) -> None:
    first, second = _consumer(applying), _another(applying, Recorder("second"))
    await first.applier.apply([message("a", 1)])
    await first.applier.apply([message("b", 1)])
    second.applier._handler.poison = lambda _: True  # type: ignore[attr-defined]
    await second.applier.apply([message("a", 2)])
    await first.applier.apply([message("a", 2), message("a", 3), message("b", 2)])
    assert await effects_in_order(applying.database) == {"a": [1], "b": [1, 2]}
    assert await rows(applying.database, PARKED) == [("a", 2, "poisoned"), ("a", 3, "behind")]


async def test_a_message_ends_with_one_statement(applying: Service) -> None:
    """Where its inbox moves on, what is said of it and what its handler leaves for last: one round trip."""
    assert applying.consumer is not None
    handle = applying.handler.handle

    async def leaving_something(connection: Connection, messages: list[Message]) -> Handled:
        handled = await handle(connection, messages)
        add = "insert into effects (program, member, source, sequence) values ('g', 'last', 's', $1)"
        return Handled(handled.sayings, handled.after_commit, Last([Statement(add, (messages[0].sequence,))]))

    applying.handler.handle = leaving_something  # type: ignore[method-assign]
    await applying.consumer.applier.apply([message("a", 1)])
    async with asked(applying.database) as statements:
        await applying.consumer.applier.apply([message("a", 2)])
        await applying.consumer.applier.apply([message("a", 2)])
    first, again = statements[:5], statements[5:]
    assert [first[0], first[-1]] == ["BEGIN;", "COMMIT;"]
    assert "insert into inbox" in first[3]
    assert "insert into outbox" in first[3]
    assert [each.partition(" ")[0] for each in again] == ["BEGIN;", "select", "COMMIT;"]
    assert await rows(applying.database, "select sequence from effects where member = 'last' order by sequence") == [
        (1,), (2,),
    ]  # fmt: skip
    assert await rows(applying.database, "select number from inbox where member = 'a'") == [(2,)]


async def test_what_a_handler_leaves_for_last_is_within_its_care(applying: Service) -> None:
    """What the database refuses of it is the message's fault, unless the handler says that it will do another time."""
    assert applying.consumer is not None
    add = Statement("insert into effects (program, member, amount) values ('g', 'last', $1)", (13,))
    amounts = [13, 12]

    @contextmanager
    def colliding() -> Iterator[None]:
        try:
            yield
        except asyncpg.CheckViolationError as error:
            raise CollisionError from error

    async def refused(_: Connection, __: list[Message]) -> Handled:
        return Handled(last=Last([add._replace(parameters=(amounts.pop(0),))], colliding))

    applying.handler.handle = refused  # type: ignore[method-assign, assignment]
    await applying.consumer.applier.apply([message("a", 1)])
    assert await rows(applying.database, "select amount from effects") == [(12,)]
    amounts[:] = [13, 13, 13]
    applying.handler.handle = lambda *_: _answer(Handled(last=Last([add])))  # type: ignore[method-assign]
    await applying.consumer.applier.apply([message("a", 2)])
    assert await rows(applying.database, PARKED) == [("a", 2, "refused_by_database")]


async def _answer(handled: Handled) -> Handled:
    return handled


async def test_small_and_large_sets_of_sayings_are_numbered_alike(applying: Service) -> None:
    said: list[tuple[str, int]] = []
    for size in (1, 2, 23, 24, 25, 3, 60, 1):
        async with applying.unit.begin() as work:
            work.say_all(answer_to(message(f"m{number % 5}", 1)) for number in range(size))
        said.extend((row.key[1], row.number) for row in work.rows)
    for member in {member for member, _ in said}:
        numbers = [number for each, number in said if each == member]
        assert numbers == list(range(1, len(numbers) + 1))
    stored = await rows(applying.database, "select member, number from outbox")
    assert sorted(stored) == sorted(said)
