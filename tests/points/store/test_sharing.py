"""Points between wallets against a real Postgres: many at once in a ring, and an auditor who sees both halves."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from laurel.io.database import Database
from laurel.io.migrating import DatabaseUrls
from services.points.road import Road
from services.points.store.standing import Standing
from services.points.testing import FixedPrograms, Note, note
from tests.points.couple import A_MONTH, IN_CHAINS, TOTALS, Couple, come_and_go, live, live_in_chains
from tests.points.lapsing import INACTIVITY
from tests.points.stored import findings, say
from tests.points.till import START, document, enrolment, purchase, report

pytestmark = pytest.mark.anyio

RATE = {"unit": "point", "to": "worldwide", "into": "mile", "rate": "3/2", "funding": {"funder": "air", "price": "1.5"}}
RING = 5


@pytest.fixture
async def database(database_urls: DatabaseUrls) -> AsyncIterator[Database]:
    found = await Database.connect(database_urls.points, schema="points", application="test", pool_max=10)
    yield found
    await found.close()


@pytest.fixture
def road() -> Road:
    here = document("clubcard", clock="wall", transfers={"point": {"given": {"points": 90, "window": "day"}}},
                    exchanges=[RATE])  # fmt: skip
    miles = {"mile": {"scale": 0, "validity": {"kind": "end_of_period", "period": "year", "after": 1}}}
    there = document("clubcard", program="worldwide", clock="wall", units={**miles, "point": miles["mile"]})
    return Road(FixedPrograms(here, there))


def gift(name: str, giver: str, to: str, amount: int) -> Note:
    return note(
        "transfer.requested.v1", "clubcard", giver, at=START, cause={"kind": "request", "id": name}, transfer=name,
        to=to, unit="point", amount=amount, partner="shop", versions={"program": 1},
    )  # fmt: skip


def swap(name: str, giver: str, to: str, amount: int) -> Note:
    return note(
        "exchange.requested.v1", "clubcard", giver, at=START, cause={"kind": "request", "id": name}, exchange=name,
        to_program="worldwide", to_member=to, unit="point", amount=amount, partner="shop", versions={"program": 1},
        to_versions={"program": 1},
    )  # fmt: skip


async def test_an_export_shows_what_caps_have_counted_and_not_what_limits_of_gifts_have(
    database: Database, road: Road
) -> None:
    for member in ("giver", "taker"):
        await say(database, road, enrolment("clubcard", member))
    await say(database, road, report("clubcard", "giver", purchase("b-gift", 5000), START))
    await say(database, road, gift("g-shown", "giver", "taker", 10))
    standing = Standing(FixedPrograms(document("clubcard", clock="wall")))
    async with database.reading() as connection:
        shown = [row async for row in standing.rows(connection, "clubcard", ["giver"])]
    assert [(member, row["counters"]) for member, row in shown] == [("giver", [])]


async def test_gifts_in_a_ring_at_once_come_out_exact(
    database: Database, road: Road, database_urls: DatabaseUrls
) -> None:
    members = [f"m-{number}" for number in range(RING)]
    for member in members:
        await say(database, road, enrolment("clubcard", member))
        bought = [report("clubcard", member, purchase(f"b-{member}-{n}", 1000), START) for n in range(10)]
        await say(database, road, *bought)
    gifts = [gift(f"g-{n}", members[n % RING], members[(n + 1) % RING], 7) for n in range(50)]
    said = await asyncio.gather(*(say(database, road, each) for each in gifts))
    assert {len(each) for each in said} == {2}
    async with database.connection() as connection:
        left = await connection.fetch("select member, available, adjusted from balances order by member")
        counted = await connection.fetch("select member, counted from counters order by member")
        lots = await connection.fetchval("select count(distinct (earned_at, expires_at, funder, rule)) from lots")
    assert [tuple(row) for row in left] == [(member, 100, 0) for member in members]
    assert [tuple(row) for row in counted] == [(member, 70) for member in members]
    assert lots == 1
    assert await findings(database_urls) == []


async def test_of_many_gifts_at_once_no_more_than_there_is_is_given(
    database: Database, road: Road, database_urls: DatabaseUrls
) -> None:
    for member in ("m-1", "m-2"):
        await say(database, road, enrolment("clubcard", member))
    await say(database, road, report("clubcard", "m-1", purchase("b-1", 5000), START))
    said = await asyncio.gather(*(say(database, road, gift(f"g-{n}", "m-1", "m-2", 20)) for n in range(6)))
    assert sorted(each[0]["type"] for each in said).count("points.transferred.v1") == 2
    assert {each[0].get("code") for each in said} == {None, "insufficient_points"}
    assert await findings(database_urls) == []


async def test_what_is_given_on_at_once_is_found_among_many_lots(
    database: Database, road: Road, database_urls: DatabaseUrls
) -> None:
    for member in ("m-1", "m-2", "m-3"):
        await say(database, road, enrolment("clubcard", member))
    bought = [report("clubcard", "m-1", purchase(f"b-{n}", 100), START) for n in range(80)]
    await say(database, road, *bought)
    await say(database, road, gift("g-1", "m-1", "m-2", 60), gift("g-2", "m-2", "m-3", 55))
    async with database.connection() as connection:
        held = await connection.fetch("select member, available from balances order by member")
    assert [tuple(row) for row in held] == [("m-1", 20), ("m-2", 5), ("m-3", 55)]
    assert await findings(database_urls) == []


async def test_an_exchange_is_two_journals_that_agree(
    database: Database, road: Road, database_urls: DatabaseUrls
) -> None:
    await say(database, road, enrolment("clubcard", "m-1"), enrolment("worldwide", "w-1"))
    await say(database, road, report("clubcard", "m-1", purchase("b-1", 1000), START))
    sent, received = await say(database, road, swap("x-1", "m-1", "w-1", 7))
    assert sent["other"] == {"program": "worldwide", "member": "w-1", "unit": "mile", "amount": 10, "version": 2}
    assert (received["program"], received["unit"], received["amount"]) == ("worldwide", "mile", 10)
    async with database.connection() as connection:
        accounts = await connection.fetch(
            "select program, unit, account, amount from entries where account <> 'available' order by program, journal"
        )
        (lot,) = await connection.fetch("select rule, funder, expires_at from lots where program = 'worldwide'")
    assert [tuple(row) for row in accounts][1:] == [
        ("clubcard", "point", "exchanged:worldwide", 7),
        ("worldwide", "mile", "exchanged:clubcard", -10),
    ]
    assert (lot["rule"], lot["funder"], lot["expires_at"].isoformat()) == (
        "exchange",
        "air",
        "2026-01-01T00:00:00+00:00",
    )
    assert await findings(database_urls) == []


def join(member: str, into: str, *, undo: bool = False, name: str = "") -> Note:
    type_ = "member.unmerge_requested.v1" if undo else "member.merge_requested.v1"
    name = name or f"{'u' if undo else 'j'}-{member}"
    return note(
        type_, "clubcard", member, at=START, cause={"kind": "request", "id": name}, merge=name, into=into,
        versions={"program": 1},
    )  # fmt: skip


def back(id_: str, of: str, member: str) -> Note:
    activity = {"id": id_, "type": "return", "of": of, "occurred_at": START.isoformat()}
    return report("clubcard", member, activity, START)


async def available(database: Database) -> dict[str, int]:
    async with database.connection() as connection:
        rows = await connection.fetch("select member, available - owed as has from balances where program = 'clubcard'")
    return {row["member"]: row["has"] for row in rows}


async def test_a_merged_past_is_found_again_and_given_back(
    database: Database, road: Road, database_urls: DatabaseUrls
) -> None:
    for member in ("m-1", "m-2", "m-3"):
        await say(database, road, enrolment("clubcard", member))
        bought = [report("clubcard", member, purchase(f"b-{member}-{n}", 1000), START) for n in range(40)]
        await say(database, road, *bought)
    await say(database, road, join("m-1", "m-2"))
    assert await available(database) == {"m-1": 0, "m-2": 800, "m-3": 400}
    # One transaction: a new activity for the merged, a return of its past, a return named by the survivor, a gift.
    await say(
        database, road, report("clubcard", "m-1", purchase("later", 700), START), back("r-1", "b-m-1-0", "m-1"),
        back("r-2", "b-m-1-1", "m-2"), gift("g-1", "m-3", "m-1", 50),
    )  # fmt: skip
    assert await available(database) == {"m-1": 0, "m-2": 800 + 7 - 20 + 50, "m-3": 350}
    await say(database, road, join("m-2", "m-3"))
    await say(database, road, back("r-3", "b-m-1-2", "m-1"), report("clubcard", "m-1", purchase("last", 100), START))
    assert await available(database) == {"m-1": 0, "m-2": 0, "m-3": 350 + 837 - 10 + 1}
    assert await findings(database_urls) == []
    said = await say(database, road, join("m-1", "m-2", undo=True))
    assert said[0]["code"] == "member_not_active", "only the last of a chain can be taken back first"
    await say(database, road, join("m-2", "m-3", undo=True))
    # What m-1 passed on to m-3 later came not by this merge.
    assert await available(database) == {"m-1": 0, "m-2": 837 - 10, "m-3": 350 + 1}
    # It is a part of m-2, as it was before.
    await say(database, road, report("clubcard", "m-1", purchase("then", 300), START), back("r-4", "b-m-1-3", "m-2"))
    assert await available(database) == {"m-1": 0, "m-2": 837 - 10 + 3 - 10, "m-3": 350 + 1}
    assert await findings(database_urls) == []
    await say(database, road, join("m-1", "m-2", undo=True, name="u-again"))
    # Of its 40 purchases four came back.
    assert await available(database) == {"m-1": 400 - 40, "m-2": 400 + 50 + 7 + 3, "m-3": 350 + 1}
    assert await findings(database_urls) == []


class StoredCouple(Couple):
    """Accounts of one person whose ledger is the database."""

    database: Database

    async def send(self, *notes: Note) -> list[dict[str, Any]]:
        return await say(self.database, self.road, *notes)


async def as_in_memory(database: Database, remembered: Couple) -> None:
    """Compare the totals with those of the same life in memory, which knows everything at once."""
    async with database.connection() as connection:
        rows = await connection.fetch(f"select member, {', '.join(TOTALS)} from balances order by member")
    assert [tuple(row)[1:] for row in rows] == [
        tuple(getattr(remembered.points(row["member"]), total) for total in TOTALS) for row in rows
    ]


@pytest.mark.parametrize("seed", [1, 4, 7, 11])
async def test_what_ended_at_a_survivor_is_found_again_and_excused(
    database: Database, database_urls: DatabaseUrls, seed: int
) -> None:
    program = document("clubcard", clock="wall", **A_MONTH)
    stored, remembered = StoredCouple(program), Couple(program)
    stored.database = database
    for couple in (stored, remembered):
        await live(couple, ("m-1", "m-2", "m-3"), random.Random(seed))
    await as_in_memory(database, remembered)
    async with database.connection() as connection:
        excused = await connection.fetchval(
            "select count(*) from journals where kind = 'merge' and convert_from(facts, 'UTF8') like '%\"excused\"%'"
        )
    assert excused, "a life in which nothing had to be excused shows nothing"
    assert await findings(database_urls) == []


@pytest.mark.parametrize(("seed", "late"), [(1, False), (2, False), (3, True), (4, True), (5, True)])
async def test_who_comes_and_goes_has_its_points_where_they_were(
    database: Database, database_urls: DatabaseUrls, seed: int, *, late: bool
) -> None:
    changes = {"units": {"point": {"scale": 0, "validity": INACTIVITY}}} if late else A_MONTH
    program = document("clubcard", clock="wall", **changes)
    stored, remembered = StoredCouple(program), Couple(program)
    stored.database = database
    for couple in (stored, remembered):
        await come_and_go(couple, random.Random(seed), late=late)
    await as_in_memory(database, remembered)
    assert await findings(database_urls) == []


@pytest.mark.parametrize("seed", [4, 9, 23])
async def test_what_came_back_along_a_chain_is_where_each_of_it_was_told(
    database: Database, database_urls: DatabaseUrls, seed: int
) -> None:
    program = document("clubcard", clock="wall", **IN_CHAINS)
    stored, remembered = StoredCouple(program), Couple(program)
    stored.database = database
    for couple in (stored, remembered):
        await live_in_chains(couple, random.Random(seed))
    await as_in_memory(database, remembered)
    async with database.connection() as connection:
        counters = await connection.fetch(
            "select member, sum(counted)::bigint as counted from counters group by member"
        )
    assert {row["member"]: row["counted"] for row in counters} == {
        row["member"]: sum(each.counted for each in remembered.of(row["member"]).counters.values()) for row in counters
    }
    assert await findings(database_urls) == []


async def test_two_members_merged_into_each_other_at_once(
    database: Database, road: Road, database_urls: DatabaseUrls
) -> None:
    for member in ("m-1", "m-2"):
        await say(database, road, enrolment("clubcard", member))
        await say(database, road, report("clubcard", member, purchase(f"b-{member}", 1000), START))
    said = await asyncio.gather(say(database, road, join("m-1", "m-2")), say(database, road, join("m-2", "m-1")))
    assert sorted(each[0]["type"] for each in said) == ["member.merge_refused.v1", "member.merged.v1"]
    assert sum((await available(database)).values()) == 20
    assert await findings(database_urls) == []


def house(*members: str, leaving: tuple[str, ...] = ()) -> Note:
    fields = {"household": "h", "members": members, "leaving": leaving, "pooling": True, "member": None}
    body = {"program": "clubcard", "at": START, "cause": {"kind": "request", "id": "h"}, **fields}
    return Note("household.set_requested.v1", "clubcard", "", msgspec.json.encode({**body, "versions": {"program": 1}}))


def hold(name: str, member: str, amount: int) -> Note:
    return note(
        "hold.requested.v1", "clubcard", member, at=START, cause={"kind": "redemption", "id": name}, hold=name,
        unit="point", amount=amount, redemption=name,
    )  # fmt: skip


async def test_a_household_that_spends_at_once_spends_no_more_than_it_has(
    database: Database, road: Road, database_urls: DatabaseUrls
) -> None:
    members = [f"m-{number}" for number in range(4)]
    for member in members:
        await say(database, road, enrolment("clubcard", member))
        bought = [report("clubcard", member, purchase(f"b-{member}-{n}", 100), START) for n in range(40)]
        await say(database, road, *bought)
    await say(database, road, house(*members))
    holds = [hold(f"h-{number}", members[number % 4], 50) for number in range(8)]
    said = await asyncio.gather(*(say(database, road, each) for each in holds))
    outcomes = sorted(each[-1]["type"] for each in said)
    assert outcomes == ["points.held.v1"] * 3 + ["points.hold_refused.v1"] * 5
    refused = [each[-1] for each in said if each[-1]["type"] == "points.hold_refused.v1"]
    assert {(one["available"], one["shortfall"]) for one in refused} == {(10, 40)}
    assert sum((await available(database)).values()) == 10
    assert await findings(database_urls) == []
    await say(database, road, house("m-0", "m-1", leaving=("m-2", "m-3")))
    async with database.connection() as connection:
        rows = await connection.fetch("select member, household is null as alone from wallets order by member")
    assert [row["alone"] for row in rows] == [False, False, True, True]
    assert await findings(database_urls) == []


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_life_of_five_members_among_each_other(
    database: Database, road: Road, database_urls: DatabaseUrls, seed: int
) -> None:
    """Whatever they do, in whatever batches: nothing is made of nothing, nothing is lost, and the proofs hold."""
    chance = random.Random(seed)
    members = [f"m-{number}" for number in range(5)]
    await say(database, road, *[enrolment("clubcard", member) for member in members])
    bought: list[tuple[str, str]] = []
    holds: list[tuple[str, str]] = []

    def deed(number: int) -> Note:  # noqa: PLR0911  # one for each kind
        member, other = chance.sample(members, 2)
        match chance.choice(
            ("buy", "buy", "back", "hold", "capture", "cancel", "gift", "gift", "join", "part", "house")
        ):
            case "back" if bought:
                of, owner = chance.choice(bought)
                return back(f"r-{number}", of, owner)
            case "hold":
                holds.append((f"h-{number}", member))
                fields: dict[str, Any] = {"unit": "point", "amount": chance.randint(1, 40), "ttl_seconds": 900}
                return timed("requested", *holds[-1], **fields, partner="shop", reference="till")
            case "capture" if holds:
                return timed("capture_requested", *chance.choice(holds))
            case "cancel" if holds:
                return timed("cancel_requested", *chance.choice(holds), by="member")
            case "gift":
                return gift(f"g-{number}", member, other, chance.randint(1, 30))
            case "join":
                return join(member, other, name=f"j-{number}")
            case "part":
                return join(member, other, undo=True, name=f"u-{number}")
            case "house":
                some = tuple(chance.sample(members, chance.randint(1, 5)))
                return house(*some, leaving=tuple(set(members) - set(some)))
        bought.append((f"b-{number}", member))
        return report("clubcard", member, purchase(f"b-{number}", chance.randint(1, 30) * 100), START)

    numbers = iter(range(240))
    while batch := [deed(number) for number in itertools.islice(numbers, chance.randint(1, 6))]:
        await say(database, road, *batch)
    async with database.connection() as connection:
        (totals,) = await connection.fetch(
            "select sum(adjusted)::bigint, sum(available + held - owed - earned + spent + expired + reversed)::bigint "
            "from balances"
        )
        kinds = {row["kind"] for row in await connection.fetch("select distinct kind from journals")}
    assert tuple(totals) == (0, 0)
    assert kinds >= {"activity", "return", "transfer", "merge", "unmerge", "pooling", "household", "capture", "cancel"}
    assert await findings(database_urls) == []


def timed(deed: str, hold: str, member: str, **fields: Any) -> Note:
    common = {"at": START, "cause": {"kind": "request", "id": hold}, "versions": {"program": 1}}
    return note(f"timed_hold.{deed}.v1", "clubcard", member, hold=hold, **common, **fields)
