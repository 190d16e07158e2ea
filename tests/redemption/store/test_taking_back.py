"""Redemptions held for later and taken back, on a real database."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import msgspec
import pytest

from laurel.io.database import Database
from laurel.io.health import Health
from services.redemption.domain.moment import ProgramTerms
from services.redemption.entry.turning import VoucherTurner
from services.redemption.entry.waits import WaitEnder
from services.redemption.road import Road
from services.redemption.store.loading import overdue
from services.redemption.store.store import PostgresStore
from services.redemption.testing import (
    NOON,
    FixedPrograms,
    clock_turned,
    end_waits_requested,
    points_captured,
    points_held,
    points_released,
    points_restored,
    redemption_cancelled,
    redemption_confirmed,
    redemption_requested,
    reward_published,
    voucher_used,
)
from tests.redemption.finding import findings, pretend_points

pytestmark = pytest.mark.anyio

ROW = "select state, hold, later, cancelled_by, counted, outcome_type from sagas"
STOCK = "select reserved, taken from stock"


async def row(auditor: asyncpg.Connection[Any], query: str) -> tuple[Any, ...]:
    (found,) = await auditor.fetch(query)
    return tuple(found)


async def test_held_confirmed_and_taken_back(
    counter: Any, auditor: asyncpg.Connection[Any], database_urls: Any
) -> None:
    await counter.hear(reward_published(), redemption_requested("m-1", "r-1", quantity=2, later=True))
    await counter.hear(points_held("m-1", "r-1", 200))
    assert await row(auditor, ROW) == ("holding", "held", True, "", True, "")
    await counter.hear(redemption_confirmed("m-1", "r-1"), points_captured("m-1", "r-1", 200))
    assert await row(auditor, STOCK) == (0, 2)
    await counter.hear(redemption_cancelled("m-1", "r-1", "provider"))
    assert {tuple(row) for row in await auditor.fetch("select state, step from vouchers")} == {("void", 1)}
    assert await row(auditor, STOCK) == (0, 0)
    assert await findings(auditor, across=False, at_rest=False) == []
    await counter.hear(points_restored("m-1", "r-1", 200))
    ended = ("cancelled", "cancelled", True, "provider", False, "redemption.cancelled.v1")
    assert await row(auditor, ROW) == ended
    await pretend_points(database_urls, [("m-1", "r-1", 200, "cancelled")])
    assert await findings(auditor) == []


async def test_whoever_is_first_of_till_and_cancellation_wins(counter: Any, auditor: asyncpg.Connection[Any]) -> None:
    await counter.hear(reward_published(stock=100))
    for number in range(20):
        member = f"m-{number}"
        await counter.hear(redemption_requested(member, f"r-{number}"), points_held(member, f"r-{number}", 100))
    vouchers = {row["member"]: row["voucher"] for row in await auditor.fetch("select member, voucher from vouchers")}
    await asyncio.gather(
        *(counter.hear(voucher_used(member, voucher)) for member, voucher in vouchers.items()),
        *(counter.hear(redemption_cancelled(f"m-{number}", f"r-{number}")) for number in range(20)),
    )
    ways = await auditor.fetch(
        "select s.state, v.state, count(*) from sagas s "
        "join vouchers v using (program, member, redemption) group by 1, 2"
    )
    assert {tuple(row)[:2] for row in ways} <= {("fulfilled", "spent"), ("cancelled", "void")}
    assert sum(row[2] for row in ways) == 20
    assert await findings(auditor, across=False, at_rest=False) == []


async def test_confirmation_and_timer_race_for_one_saga(
    counter: Any, auditor: asyncpg.Connection[Any], database: Database
) -> None:
    late = NOON + timedelta(hours=1)
    await counter.hear(reward_published(stock=100))
    for number in range(20):
        member = f"m-{number}"
        await counter.hear(redemption_requested(member, f"r-{number}", later=True))
        await counter.hear(points_held(member, f"r-{number}", 100))
    async with database.reading() as connection:
        due = await overdue(connection, late, 100)
    assert len(due) == 20
    await asyncio.gather(
        *(counter.time_is_up([each]) for each in due),
        *(counter.hear(redemption_confirmed(f"m-{number}", f"r-{number}")) for number in range(20)),
    )
    states = await auditor.fetch("select state, hold, count(*) from sagas group by 1, 2")
    assert {tuple(row)[:2] for row in states} <= {("fulfilled", "capture_asked"), ("refused", "release_asked")}
    taken = sum(row["count"] for row in states if row["state"] == "fulfilled")
    assert await row(auditor, STOCK) == (0, taken)
    assert await findings(auditor, across=False, at_rest=False) == []


async def test_a_cancellation_races_with_points_and_with_who_confirms_and_clicks_count_once(
    counter: Any, auditor: asyncpg.Connection[Any]
) -> None:
    """As two instances do it that hold the same partition for a moment: each message is a transaction of its own."""
    await counter.hear(reward_published(stock=100))
    names = [(f"m-{number}", f"r-{number}") for number in range(20)]
    # Whoever is second finds the saga that the first made, and neither sets pieces aside twice.
    clicks = [redemption_requested(*name, later=number % 2 == 1) for number, name in enumerate(names)]
    await asyncio.gather(*(counter.hear(told) for told in clicks for _ in range(2)))
    assert await row(auditor, STOCK) == (20, 0)
    held = [points_held(*name, 100) for name in names]
    await asyncio.gather(*(counter.hear(told) for told in held[1::2]))
    second = [redemption_confirmed(*names[number]) if number % 2 else held[number] for number in range(20)]
    await asyncio.gather(
        *(counter.hear(told) for told in second), *(counter.hear(redemption_cancelled(*name)) for name in names)
    )
    ends = {tuple(row) for row in await auditor.fetch("select state, hold from sagas")}
    assert ends <= {("cancelled", "release_asked"), ("cancelled", "cancel_asked")}
    assert await row(auditor, STOCK) == (0, 0)
    assert await auditor.fetchval("select count(*) from vouchers where state <> 'void'") == 0
    assert await findings(auditor, across=False, at_rest=False) == []


async def test_a_turned_clock_ends_what_waits_by_it(counter: Any, auditor: asyncpg.Connection[Any]) -> None:
    counter.road = Road(FixedPrograms(ProgramTerms(manual=True)))
    await counter.hear(reward_published(stock=100))
    for number in range(7):
        member = f"m-{number}"
        at = NOON if number < 5 else NOON + timedelta(days=9)
        await counter.hear(redemption_requested(member, f"r-{number}", later=True, as_of=at, at=at))
        await counter.hear(points_held(member, f"r-{number}", 100, at=at))
    async with counter.unit.database.reading() as connection:
        assert await overdue(connection, NOON + timedelta(days=99), 100) == [], "the wall's clock ends none of them"
    await counter.hear(clock_turned(NOON + timedelta(minutes=14), 0), clock_turned(NOON + timedelta(days=1), 0))
    turner = VoucherTurner(
        counter.unit,
        counter.road,
        lambda connection: PostgresStore(connection, counter.vault),
        Health(),
        interval_seconds=0.01,
        batch_max=2,
    )
    while await turner.step():
        pass
    turns = await auditor.fetch("select timed_out, expired, done from turns order by as_of")
    assert [tuple(row) for row in turns] == [(0, 0, True), (5, 0, True)]
    states = await auditor.fetch("select state, count(*) from sagas group by 1 order by 1")
    assert [tuple(row) for row in states] == [("holding", 2), ("refused", 5)]
    await counter.hear(*(points_released(f"m-{number}", f"r-{number}", 100) for number in range(5)))
    assert await findings(auditor, across=False, at_rest=False) == []


async def test_points_that_rest_are_told_to_go_on_when_all_is_released(
    counter: Any, auditor: asyncpg.Connection[Any]
) -> None:
    counter.road = Road(FixedPrograms(ProgramTerms(manual=True)))
    await counter.hear(reward_published(stock=100))
    end = NOON + timedelta(minutes=15)
    for number, at in enumerate([NOON, NOON, NOON, NOON + timedelta(days=9)]):
        member = f"m-{number}"
        (asked,) = await counter.hear(redemption_requested(member, f"r-{number}", later=True, as_of=at, at=at))
        told = msgspec.json.decode(asked.body)["waits_until"]
        assert datetime.fromisoformat(told) == at + timedelta(minutes=15), "points know when"
        await counter.hear(points_held(member, f"r-{number}", 100, at=at))
    await counter.hear(redemption_confirmed("m-0", "r-0"))
    later = NOON + timedelta(days=30)
    for _ in range(2):
        await counter.hear(end_waits_requested(later, end), end_waits_requested(later, end, program="another"))
    ender = WaitEnder(
        counter.unit,
        counter.road,
        lambda connection: PostgresStore(connection, counter.vault),
        Health(),
        interval_seconds=0.01,
        batch_max=1,
    )

    async def until_idle() -> list[tuple[str, Any]]:
        query = "select program, member, number, type, payload from outbox order by program, member, number"
        heard = {tuple(row)[:3] for row in await auditor.fetch(query)}
        while await ender.step():
            pass
        fresh = [tuple(row) for row in await auditor.fetch(query) if tuple(row)[:3] not in heard]
        return [(type_, msgspec.json.decode(body)) for _, _, _, type_, body in fresh]

    said = await until_idle()
    releases = [body for type_, body in said if type_ == "hold.release_requested.v1"]
    assert [each["member"] for each in releases] == ["m-1", "m-2"]
    assert {(each["turned_to"], each["waited_until"]) for each in releases} == {(f"{later:%FT%TZ}", f"{end:%FT%TZ}")}
    # The program that waits for nothing is not kept by the one that does.
    assert [body["program"] for type_, body in said if "go_on" in type_] == ["another"]
    await counter.hear(points_released("m-1", "r-1", 100))
    assert await until_idle() == []
    await counter.hear(points_released("m-2", "r-2", 100))
    ((type_, body),) = await until_idle()
    assert type_ == "clock.go_on_requested.v1"
    assert datetime.fromisoformat(body["until"]) == end
    assert await row(auditor, "select ended, done from turn_waits where program <> 'another'") == (2, True)
    states = await auditor.fetch("select redemption, state from sagas order by 1")
    assert [each["state"] for each in states] == ["fulfilled", "refused", "refused", "holding"]
    await counter.hear(clock_turned(later, 0, program="another"))
    assert await findings(auditor, across=False, at_rest=False) == []


@pytest.mark.parametrize(
    ("damage", "proof"),
    [
        ("update sagas set cancelled_by = ''", "states and holds of a saga fit"),
        ("update sagas set hold = 'captured'", "states and holds of a saga fit"),
        ("update sagas set lots = '[]'", "sagas are folds of their decisions"),
        (
            "update vouchers set state = 'issued'",
            "a fulfilled redemption has its vouchers, a cancelled one none that is good, any other none",
        ),
        ("update stock set taken = 1", "stock is what its sagas have"),
    ],
)
async def test_damage_is_found(
    counter: Any, database: Database, auditor: asyncpg.Connection[Any], damage: str, proof: str
) -> None:
    await counter.hear(reward_published(), redemption_requested("m-1", "r-1"))
    await counter.hear(points_held("m-1", "r-1", 100), points_captured("m-1", "r-1", 100))
    await counter.hear(redemption_cancelled("m-1", "r-1"), points_restored("m-1", "r-1", 100))
    assert await findings(auditor, across=False) == []
    async with database.transaction() as connection:
        await connection.execute(damage)
    assert proof in {found.proof for found in await findings(auditor, across=False)}


@pytest.mark.parametrize("state", ["captured", "held", "released"])
async def test_points_that_gave_nothing_back_are_found(
    counter: Any, auditor: asyncpg.Connection[Any], database_urls: Any, state: str
) -> None:
    await counter.hear(reward_published(), redemption_requested("m-1", "r-1"))
    await counter.hear(points_held("m-1", "r-1", 100), points_captured("m-1", "r-1", 100))
    await counter.hear(redemption_cancelled("m-1", "r-1"), points_restored("m-1", "r-1", 100))
    await pretend_points(database_urls, [("m-1", "r-1", 100, state)])
    assert {found.proof for found in await findings(auditor)} == {"what redemption knows of holds is what points did"}


async def test_what_costs_nothing_is_proven_in_every_state(
    counter: Any, auditor: asyncpg.Connection[Any], database_urls: Any
) -> None:
    await counter.hear(reward_published(stock=9, price=0, free=True))
    for name, later in (("given", False), ("back", False), ("held", True), ("let-go", True), ("confirmed", True)):
        await counter.hear(redemption_requested("m-1", name, later=later))
    await counter.hear(redemption_cancelled("m-1", "back"), redemption_cancelled("m-1", "let-go"))
    await counter.hear(redemption_confirmed("m-1", "confirmed"))
    found = await auditor.fetch("select redemption, state from sagas where hold = 'none' order by redemption")
    assert [tuple(each) for each in found] == [
        ("back", "cancelled"), ("confirmed", "fulfilled"), ("given", "fulfilled"), ("held", "holding"),
        ("let-go", "cancelled"),
    ]  # fmt: skip
    assert await row(auditor, STOCK) == (1, 2)
    assert await findings(auditor, across=False, at_rest=False) == []
