"""A request that is the first of its id is recorded by one statement; whatever else is the case, by a transaction."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from laurel.errors import Problem
from laurel.io.database import Database
from laurel.io.outbox import Outbox
from laurel.io.saying import MAIN, Saying
from laurel.io.unit import UnitOfWork
from services.gateway.asking import Ask, Asking, Recorded, Stamp
from services.gateway.naming import RequestKey
from services.gateway.store.requests import NewRequest
from services.gateway.waiting import Waiting
from tests.asking import asked

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)


class Door:
    """Where requests of one program are recorded."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self.database = database
        self.waiting = Waiting()
        self.asking = Asking(UnitOfWork(database, outbox), self.waiting, lambda: None, lambda: NOW)

    async def ask(self, *asks: Ask) -> list[Any]:
        return list(await self.asking.record(asks))

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        async with self.database.connection() as connection:
            return [tuple(row) for row in await connection.fetch(query)]

    async def said(self) -> list[tuple[Any, ...]]:
        return await self.rows("select member, number, convert_from(payload, 'utf8') from outbox order by work")

    async def move(self, change: str) -> None:
        async with self.database.connection() as connection:
            await connection.execute(f"update programs set {change}")


@pytest.fixture
async def door(database: Database) -> Door:
    async with database.connection() as connection:
        await connection.execute(
            "insert into programs (program, version, clock, as_of, changed_at) values ('p', 1, 'wall', null, $1)", NOW
        )
    door = Door(database, await Outbox.load("gateway", database))
    await door.ask(request("before"))
    return door


def request(id_: str, *, hash_: str = "1:h", redemption: str | None = None, waits: bool = False) -> Ask:
    key = RequestKey("p", "activity" if redemption is None else "redemption", "acme", id_)

    def say(stamp: Stamp) -> Saying:
        body = f"{id_} v{stamp.head.version} #{stamp.correlation.attempt}".encode()
        return Saying(MAIN, "p", "m", "test.asked.v1", body, stamp.now, correlation=str(stamp.correlation))

    wanted = None if redemption is None else ("p", redemption, "acme", "m", "mug", id_)
    return Ask(NewRequest(key, hash_, "m", subject=redemption), say, waits=waits, redemption=wanted)


async def test_the_first_of_an_id_is_one_statement(door: Door) -> None:
    async with asked(door.database) as statements:
        (recorded,) = await door.ask(request("a", waits=True))
        (redeemed,) = await door.ask(request("k", redemption="r"))
    assert len(statements) == 2
    assert recorded.before is None
    assert recorded.waiter is not None
    assert str(recorded.correlation) in door.waiting._waiters
    assert redeemed.waiter is None
    assert await door.said() == [("m", 1, "before v1 #1"), ("m", 2, "a v1 #1"), ("m", 3, "k v1 #1")]
    assert await door.rows("select id, attempt, state, member, subject, created_at from requests order by id") == [
        ("a", 1, "pending", "m", None, NOW),
        ("before", 1, "pending", "m", None, NOW),
        ("k", 1, "pending", "m", "r", NOW),
    ]
    assert await door.rows("select redemption, partner, member, reward, request, state from redemptions") == [
        ("r", "acme", "m", "mug", "k", "requested")
    ]
    assert await door.rows("select sum(events) from outbox_open") == [(3,)]


async def test_the_same_again_is_said_once(door: Door) -> None:
    await door.ask(request("a"))
    (again,) = await door.ask(request("a", waits=True))
    assert again.before.is_pending
    assert again.waiter is not None
    assert len(door.waiting._waiters[str(again.correlation)]) == 1
    (other,) = await door.ask(request("a", hash_="1:other", waits=True))
    assert isinstance(other, Problem)
    assert other.code == "idempotency_mismatch"
    assert [text for _, _, text in await door.said()] == ["before v1 #1", "a v1 #1"]


async def test_a_redemption_of_another_request_is_none_of_this_one(door: Door) -> None:
    await door.ask(request("k", redemption="r"))
    (other,) = await door.ask(request("k-2", redemption="r", waits=True))
    assert isinstance(other, Problem)
    assert not door.waiting._waiters
    assert await door.rows("select id from requests order by id") == [("before",), ("k",)]
    assert [text for _, _, text in await door.said()] == ["before v1 #1", "k v1 #1"]


async def test_an_id_that_was_freed_is_asked_again(door: Door) -> None:
    await door.ask(request("k", redemption="r"))
    await door.rows("update requests set state = 'freed' where id = 'k' returning id")
    await door.rows("update redemptions set state = 'refused' returning redemption")
    (again,) = await door.ask(request("k", redemption="r"))
    assert again.correlation.attempt == 2
    assert [text for _, _, text in await door.said()][1:] == ["k v1 #1", "k v1 #2"]


@pytest.mark.parametrize(
    "change", ["version = 2", "partners = 3", "clock = 'manual'", f"as_of = '{NOW.isoformat()}', clock = 'manual'"]
)
async def test_no_request_is_said_by_what_a_program_was(door: Door, change: str) -> None:
    await door.move(change)
    await door.ask(request("a"))
    stands = await door.rows("select version, clock, as_of, partners from programs")
    heads = [(head.version, head.clock, head.as_of, head.partners) for head in door.asking._heads.values()]
    assert heads == stands
    (_, _, said) = (await door.said())[1]
    assert said == f"a v{stands[0][0]} #1"


async def test_while_its_clock_is_turned_a_program_takes_none(door: Door) -> None:
    await door.move(f"turning_to = '{(NOW + timedelta(days=1)).isoformat()}'")
    (refused,) = await door.ask(request("a"))
    assert isinstance(refused, Problem)
    assert refused.code == "clock_running"
    assert await door.rows("select id from requests") == [("before",)]


async def test_of_many_at_once_with_one_id_one_is_recorded(door: Door) -> None:
    found = await asyncio.gather(*(door.ask(request("k", redemption="r")) for _ in range(6)))
    recorded = [each for (each,) in found if isinstance(each, Recorded)]
    assert [each.before is None for each in recorded].count(True) == 1
    assert len(recorded) == 6
    assert [text for _, _, text in await door.said()] == ["before v1 #1", "k v1 #1"]
