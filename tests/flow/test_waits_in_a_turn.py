"""A turn of a sandbox's clock ends what waits to be confirmed on its way, when it is over, through real processes."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from laurel.io.migrating import DatabaseUrls
from laurel.io.settings import KafkaSettings
from laurel.program.reading import read_yaml
from tests.flow.nursery import Nursery
from tests.flow.stage import Door, Town, gather_bounded, voucher

pytestmark = pytest.mark.anyio

CLUBCARD: Any = read_yaml((Path(__file__).parents[2] / "programs" / "clubcard.yaml").read_text("utf-8"))
# Clubs are judged each week: here it is statements that count.
del CLUBCARD["segments"]
EVENING, OVER = "2021-01-31T18:00:00Z", "2021-01-31T18:15:00Z"
STATEMENT, MARCH = "2021-02-01T00:00:00Z", "2021-03-01T00:00:00Z"


@pytest.fixture(scope="module")
async def town(
    town_urls: DatabaseUrls, town_kafka: KafkaSettings, forks: Nursery | None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Town]:
    parts = {"gateway": "both", "points": "both", "redemption": "both", "redemption-2": "worker"}
    settings = {"expiry_batch_max": 3, "wait_timer_batch_max": 3}
    place = tmp_path_factory.mktemp("town")
    async with Town(place, town_urls, town_kafka, parts, forks, **settings).open() as town:
        yield town


@pytest.fixture
async def one(town: Town) -> str:
    """Return a program that no other test uses."""
    return await opened(town.door())


@pytest.fixture
async def other(town: Town) -> str:
    return await opened(town.door())


async def opened(door: Door) -> str:
    program = f"p{uuid.uuid4().hex[:8]}"
    await door.publish({**CLUBCARD, "program": program})
    await door.call("PUT", f"programs/{program}/rewards/off", voucher_of(300), 201)
    return program


def voucher_of(price: int) -> dict[str, Any]:
    return {**voucher(price), "value": {"amount": 500, "currency": "GBP"}}


async def turn(door: Door, program: str, as_of: str, expect: int = 200, **headers: str) -> Any:
    return await door.call("POST", f"programs/{program}/clock", {"as_of": as_of}, expect, **headers)


async def with_points(door: Door, program: str, member: str, points: int) -> None:
    base = f"programs/{program}"
    await door.call("POST", f"{base}/members", {"member": member, "enrolled_at": "2020-01-01T00:00:00Z"}, 201)
    basket = {"id": f"b-{member}", "type": "purchase", "member": member, "occurred_at": "2021-01-10T10:00:00Z"}
    await door.report(program, {**basket, "currency": "GBP", "amount": points * 100})


async def hold(door: Door, program: str, member: str, name: str = "") -> None:
    name = name or f"r-{member}"
    held = await door.redeem(program, name, member, "off", id=name, confirm="later")
    assert held["state"] == "holding"


async def figures(door: Door, program: str, member: str) -> tuple[int, int]:
    balance = await door.balance(program, member)
    return balance["available"], balance["held"]


async def journals(town: Town, program: str, member: str = "m-1") -> list[tuple[Any, ...]]:
    query = "select kind, at, occurred_at from points.journals where program = $1 and member = $2 order by journal"
    return await town.rows(query, program, member)


async def converted(town: Town, program: str) -> list[tuple[Any, ...]]:
    """What redemption issued for points, of whom and when."""
    query = """
        select member, value, issued_at from redemption.vouchers where program = $1 and conversion <> ''
        order by issued_at, member"""
    return await town.rows(query, program)


def sums(*answers: dict[str, Any]) -> dict[str, int]:
    return {name: sum(answer[name] for answer in answers) for name in answers[0] if name != "as_of"}


async def test_a_statement_counts_what_a_wait_gave_back_before_it(town: Town, one: str, other: str) -> None:
    """One turn does what two do, of which the first goes to the end of the wait."""
    door = town.door()
    for program in (one, other):
        await turn(door, program, EVENING)
        await with_points(door, program, "m-1", 500)
        await hold(door, program, "m-1")
        assert await figures(door, program, "m-1") == (200, 300)
    whole = await turn(door, one, MARCH)
    first = await turn(door, other, OVER)
    then = await turn(door, other, MARCH)
    assert await figures(door, one, "m-1") == await figures(door, other, "m-1") == (0, 0)
    assert sums(whole) == sums(first, then)
    assert (whole["holds_timed_out"], whole["converted"], whole["vouchers_issued"]) == (1, 1, 1)
    assert await journals(town, one) == await journals(town, other)
    assert [row[1] for row in await converted(town, one)] == [500]
    assert await converted(town, one) == await converted(town, other)
    ended = await door.call("GET", f"programs/{one}/redemptions/r-m-1")
    assert (ended["state"], ended["code"]) == ("refused", "hold_expired")
    assert await turn(door, one, MARCH) == whole, "asked again, it is the same turn"
    await town.prove()


@pytest.mark.parametrize("program_knows_its_now", [True, False])
async def test_a_wait_that_ends_with_the_day_is_over_before_the_statement(
    town: Town, one: str, program_knows_its_now: bool
) -> None:
    door = town.door()
    if program_knows_its_now:
        await turn(door, one, "2021-01-31T23:45:00Z")
    await with_points(door, one, "m-1", 500)
    if not program_knows_its_now:
        # The member's time is its latest activity's, and all of the wait lies before the clock's first now.
        late = {"id": "late", "type": "purchase", "member": "m-1", "occurred_at": "2021-01-31T23:45:00Z"}
        await door.report(one, {**late, "currency": "GBP", "amount": 0})
    await hold(door, one, "m-1")
    answer = await turn(door, one, STATEMENT)
    assert (answer["holds_timed_out"], answer["converted"]) == (1, 1)
    assert [row[1] for row in await converted(town, one)] == [500]
    assert await figures(door, one, "m-1") == (0, 0)
    await town.prove()


async def test_what_comes_of_a_wait_becomes_a_voucher_at_the_next_statement(town: Town, one: str) -> None:
    """Too little was left for the first statement; the second one sees what was held over it."""
    door = town.door()
    await turn(door, one, "2021-01-31T23:50:00Z")
    await with_points(door, one, "m-1", 400)
    await hold(door, one, "m-1")
    answer = await turn(door, one, "2021-06-01T00:00:00Z")
    assert (answer["holds_timed_out"], answer["converted"]) == (1, 1)
    # The first of May, in London's summer.
    assert await converted(town, one) == [("m-1", 400, datetime(2021, 4, 30, 23, tzinfo=UTC))]
    await town.prove()


async def test_what_was_confirmed_before_the_turn_stays_so(town: Town, one: str) -> None:
    door = town.door()
    await turn(door, one, EVENING)
    await with_points(door, one, "m-1", 800)
    await hold(door, one, "m-1", "r-1")
    await turn(door, one, "2021-01-31T18:05:00Z")
    await hold(door, one, "m-1", "r-2")
    done = await door.call("POST", f"programs/{one}/redemptions/r-2/confirm")
    assert done["state"] == "fulfilled"
    answer = await turn(door, one, MARCH)
    assert (answer["holds_timed_out"], answer["converted"]) == (1, 1)
    assert [row[1] for row in await converted(town, one)] == [500]
    states = [(await door.call("GET", f"programs/{one}/redemptions/r-{n}"))["state"] for n in (1, 2)]
    assert states == ["refused", "fulfilled"]
    await town.prove()
    assert await figures(door, one, "m-1") == (0, 0)


@pytest.mark.crash
@pytest.mark.parametrize(
    ("service", "failpoint"),
    [
        ("points", "after_commit@redemption.end_waits_requested.v1"),
        ("points", "before_commit@redemption.end_waits_requested.v1"),
        ("points", "before_commit@clock.go_on_requested.v1"),
        ("points", "after_commit@clock.go_on_requested.v1"),
        ("redemption", "after_commit@hold.release_requested.v1"),
        ("redemption", "before_commit@clock.go_on_requested.v1"),
        ("redemption", "after_commit@clock.go_on_requested.v1"),
    ],
)
async def test_who_dies_between_two_parts_is_followed_by_who_goes_on(
    town: Town, one: str, service: str, failpoint: str
) -> None:
    door = town.door()
    members = [f"m-{number}" for number in range(8)]
    await turn(door, one, EVENING)
    await gather_bounded([partial(with_points, door, one, member, 500) for member in members], 4)
    await gather_bounded([partial(hold, door, one, member) for member in members], 4)
    town.kill("redemption-2")
    town.kill(service)
    assert (await turn(door, one, MARCH, 202, prefer="respond-async"))["state"] == "pending"
    town.start(service, f"{failpoint}:kill")
    await town.until(lambda: town.exit_code(service) is not None, "it to die between two parts")
    refused = await door.ask("POST", f"programs/{one}/clock", {"as_of": "2021-04-01T00:00:00Z"})
    assert (refused.status_code, refused.json()["code"]) == (503, "clock_running")
    town.start(service)
    town.start("redemption-2")
    answer = await turn(door, one, MARCH, prefer="wait=30")
    count = len(members)
    assert (answer["holds_timed_out"], answer["converted"], answer["vouchers_issued"]) == (count, count, count)
    for member in members:
        assert await figures(door, one, member) == (0, 0)
    assert [row[1] for row in await converted(town, one)] == [500] * count
    await town.prove()


async def test_two_programs_are_turned_at_once(town: Town, one: str, other: str) -> None:
    """Neither waits for the other's waits, whichever is taken first."""
    door = town.door()
    for program in (one, other):
        await turn(door, program, EVENING)
        for number in range(4):
            await with_points(door, program, f"m-{number}", 500)
            await hold(door, program, f"m-{number}")
    answers = await asyncio.gather(*(turn(door, program, MARCH) for program in (one, other)))
    assert [(each["holds_timed_out"], each["converted"]) for each in answers] == [(4, 4)] * 2
    assert [row[1] for row in await converted(town, one)] == [500] * 4
    assert await converted(town, one) == await converted(town, other)
    await town.prove()


async def test_waits_with_nothing_due_between_them_end_together(town: Town, one: str) -> None:
    """Of different members; one member's go one after the other, and what is due meanwhile comes between."""
    door = town.door()
    for minute in range(0, 12, 2):
        await turn(door, one, f"2021-01-31T18:{minute:02}:00Z")
        await with_points(door, one, f"m-{minute}", 500)
        await hold(door, one, f"m-{minute}")
    await turn(door, one, "2021-01-31T18:13:00Z")
    await with_points(door, one, "twice", 700)
    await hold(door, one, "twice", "r-first")
    await turn(door, one, "2021-01-31T18:14:00Z")
    await hold(door, one, "twice", "r-second")
    answer = await turn(door, one, MARCH)
    assert (answer["holds_timed_out"], answer["converted"]) == (8, 7)
    assert sorted(row[1] for row in await converted(town, one)) == [500] * 6 + [700]
    rests = "select until, ended from redemption.turn_waits where program = $1 order by until"
    assert [row[1] for row in await town.rows(rests, one)] == [7, 1]
    await town.prove()
