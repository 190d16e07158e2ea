"""Fifty writers at once, each on a connection of its own: caps, budgets, limits and things that are credited once.

Whoever comes first, what comes of it together is exact, and the auditor finds nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

from laurel.io.database import Database
from laurel.io.migrating import DatabaseUrls
from laurel.program import load_program
from services.points.road import Road
from services.points.testing import FixedPrograms, Note, note
from tests.points.stored import findings, say
from tests.points.till import START, enrolment, purchase, report
from tests.program.samples import a_document

pytestmark = pytest.mark.anyio

WRITERS = 50
PROGRAM = "crowd"
ONCE = {"per": "lifetime", "counts": "activities"}
USD = {"funder": "shop", "price": "2", "currency": "GBP"}


@pytest.fixture
async def database(database_urls: DatabaseUrls) -> AsyncIterator[Database]:
    found = await Database.connect(
        database_urls.points, schema="points", application="test", pool_min=WRITERS, pool_max=WRITERS
    )
    yield found
    assert await findings(database_urls) == []
    await found.close()


class Crowd:
    """Members of a program, or of two that share what is credited once."""

    def __init__(self, database: Database, *rules: dict[str, Any], **changes: Any) -> None:
        self.database = database
        names = (PROGRAM, "other")
        documents = [load_program(a_document(*rules, program=name, clock="wall", **changes)) for name in names]
        self.road = Road(FixedPrograms(*documents))

    async def enrol(self, members: Iterable[str], program: str = PROGRAM, **fields: Any) -> None:
        await say(self.database, self.road, *(enrolment(program, member, **fields) for member in members))

    async def all_at_once(self, notes: Iterable[Note]) -> list[dict[str, Any]]:
        """Send each in a transaction of its own; return the answer to each."""
        said = await asyncio.gather(*(say(self.database, self.road, each) for each in notes))
        return [one for each in said for one in each if one["type"] != "points.capped.v1"]

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        async with self.database.connection() as connection:
            return [tuple(row) for row in await connection.fetch(query)]


def earned(said: Iterable[dict[str, Any]], rule: str = "rule-0") -> list[int]:
    """Return what each award of a rule came to, the largest first."""
    amounts = [award["amount"] for one in said for award in one.get("awards", ()) if award["rule"] == rule]
    return sorted(amounts, reverse=True)


def baskets(amount: int, member: str = "m-1") -> list[Note]:
    return [report(PROGRAM, member, purchase(f"b-{number}", amount), START) for number in range(WRITERS)]


def of_everybody(amount: int) -> list[Note]:
    return [report(PROGRAM, f"m-{n}", purchase(f"b-{n}", amount), START) for n in range(WRITERS)]


@pytest.mark.parametrize(("limit", "times"), [({"per": "day"}, 1), ({"per": "month", "times": 3}, 3), (ONCE, 1)])
async def test_a_member_earns_as_often_as_the_limit_says(database: Database, limit: dict[str, Any], times: int) -> None:
    crowd = Crowd(database, {"fixed": {"points": 30}, "limit": limit})
    await crowd.enrol(["m-1"])
    assert earned(await crowd.all_at_once(baskets(100))) == [30] * times
    ((counted,),) = await crowd.rows("select counted from counters")
    assert counted == times


async def test_a_person_earns_once_with_fifty_cards(database: Database) -> None:
    crowd = Crowd(database, {"fixed": {"points": 30}, "limit": {"per": "year", "by": "person"}})
    await crowd.enrol([f"m-{number}" for number in range(WRITERS)], person="ann")
    assert earned(await crowd.all_at_once(of_everybody(100))) == [30]
    assert await crowd.rows("select counted from person_counts") == [(1,)]


async def test_a_window_is_filled_to_its_cap(database: Database) -> None:
    cap = {"cap": "month", "unit": "point", "window": "month", "limit": 100}
    crowd = Crowd(database, {"rate": {"points": 7, "per": 100}}, caps=[cap])
    await crowd.enrol(["m-1"])
    assert earned(await crowd.all_at_once(baskets(100))) == [7] * 14 + [2]
    assert await crowd.rows("select counted from counters") == [(100,)]


async def test_a_balance_is_filled_to_its_cap(database: Database) -> None:
    cap = {"cap": "most", "unit": "point", "of": "outstanding", "limit": 100}
    crowd = Crowd(database, {"rate": {"points": 7, "per": 100}}, caps=[cap])
    await crowd.enrol(["m-1"])
    assert earned(await crowd.all_at_once(baskets(100))) == [7] * 14 + [2]
    assert await crowd.rows("select available from balances") == [(100,)]


@pytest.mark.parametrize("budget", [{"points": 100}, {"amount": 200}])
async def test_a_budget_is_drawn_to_its_end(database: Database, budget: dict[str, int]) -> None:
    crowd = Crowd(database, {"rate": {"points": 7, "per": 100}, "funding": USD, "budget": budget})
    await crowd.enrol([f"m-{number}" for number in range(WRITERS)])
    assert earned(await crowd.all_at_once(of_everybody(100))) == [7] * 14 + [2]
    assert await crowd.rows("select drawn from budgets") == [(100,)]


async def test_a_coupon_is_credited_once_in_two_programs(database: Database) -> None:
    crowd = Crowd(database, {"fixed": {"points": 30}}, exclusive_group="both")
    names = [f"m-{number}" for number in range(WRITERS)]
    for program in (PROGRAM, "other"):
        await crowd.enrol(names, program)
    said = await crowd.all_at_once(
        report((PROGRAM, "other")[n % 2], name, purchase(f"b-{n}", 100, exclusive_key="999/1"), START)
        for n, name in enumerate(names)
    )
    assert earned(said) == [30]
    assert sorted(one.get("code", "") for one in said) == ["", *["already_credited"] * (WRITERS - 1)]


async def test_a_friend_is_won_once(database: Database) -> None:
    mine = {"rule": "mine", "fixed": {"points": 200}, "given": "referrer", "limit": ONCE}
    theirs = {"rule": "theirs", "fixed": {"points": 200}, "to": "referrer", "limit": ONCE}
    crowd = Crowd(database, mine, theirs)
    await crowd.enrol(["m-2"])
    await crowd.enrol(["m-1"], referred_by="m-2")
    await crowd.all_at_once(baskets(100))
    assert await crowd.rows("select member, available from balances order by member") == [("m-1", 200), ("m-2", 200)]


async def test_one_who_refers_fifty_gets_all_of_it(database: Database) -> None:
    theirs = {"rule": "theirs", "fixed": {"points": 200}, "to": "referrer", "limit": ONCE}
    crowd = Crowd(database, theirs)
    await crowd.enrol(["ann"])
    await crowd.enrol([f"m-{number}" for number in range(WRITERS)], referred_by="ann")
    await crowd.all_at_once(of_everybody(100))
    assert await crowd.rows("select available from balances where member = 'ann'") == [(200 * WRITERS,)]


async def test_an_id_is_posted_once(database: Database) -> None:
    crowd = Crowd(database, {"fixed": {"points": 30}})
    await crowd.enrol(["m-1"])
    said = await crowd.all_at_once(report(PROGRAM, "m-1", purchase("b-1", 100), START) for _ in range(WRITERS))
    # Everybody is told what came of it, and it came of it once.
    assert earned(said) == [30] * WRITERS
    assert await crowd.rows("select available from balances") == [(30,)]


async def test_what_was_bought_comes_back_once(database: Database) -> None:
    crowd = Crowd(database, {"fixed": {"points": 30}})
    await crowd.enrol(["m-1"])
    await say(database, crowd.road, report(PROGRAM, "m-1", purchase("b-1", 100), START))
    back = {"type": "return", "of": "b-1", "occurred_at": START.isoformat()}
    said = await crowd.all_at_once(
        report(PROGRAM, "m-1", {"id": f"r-{number}", **back}, START) for number in range(WRITERS)
    )
    assert sorted(one.get("code", "") for one in said) == ["", *["over_returned"] * (WRITERS - 1)]
    assert await crowd.rows("select available, owed, reversed from balances") == [(0, 0, 30)]


async def test_points_are_held_once(database: Database) -> None:
    crowd = Crowd(database, {"fixed": {"points": 100}})
    await crowd.enrol(["m-1"])
    await say(database, crowd.road, report(PROGRAM, "m-1", purchase("b-1", 100), START))
    common = {"at": START, "cause": {"kind": "redemption", "id": "r"}, "unit": "point", "amount": 7}
    said = await crowd.all_at_once(
        note("hold.requested.v1", PROGRAM, "m-1", hold=f"h-{n}", redemption=f"h-{n}", **common) for n in range(WRITERS)
    )
    assert sum(one["type"] == "points.held.v1" for one in said) == 14
    assert await crowd.rows("select available, held from balances") == [(2, 98)]


async def test_gifts_end_at_what_a_member_may_give(database: Database) -> None:
    given = {"point": {"given": {"points": 90, "window": "day"}}}
    crowd = Crowd(database, {"fixed": {"points": 1000}}, transfers=given)
    await crowd.enrol(["m-1", "m-2"])
    await say(database, crowd.road, report(PROGRAM, "m-1", purchase("b-1", 100), START))
    common = {"at": START, "cause": {"kind": "request", "id": "r"}, "unit": "point", "amount": 7, "to": "m-2"}
    said = await crowd.all_at_once(
        note("transfer.requested.v1", PROGRAM, "m-1", transfer=f"t-{n}", partner="shop", versions={"program": 1},
             **common)
        for n in range(WRITERS)
    )  # fmt: skip
    assert sum(one.get("code") == "limit_reached" for one in said) == WRITERS - 12
    assert await crowd.rows("select member, available from balances order by member") == [("m-1", 916), ("m-2", 84)]
