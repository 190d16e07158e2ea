"""A limit by person: all members of one person earn together so often, whoever comes first, in any order and batch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from laurel.io.database import Database
from laurel.io.migrating import DatabaseUrls
from laurel.program import load_program
from services.points.road import Road
from services.points.store.views import LedgerViews
from services.points.testing import FixedPrograms, Note, note
from tests.points.stored import findings, say
from tests.points.till import START, enrolment, purchase, report
from tests.program.samples import a_document

pytestmark = pytest.mark.anyio

PROGRAM = "families"
WELCOME = {"rule": "welcome", "fixed": {"points": 100}, "limit": {"times": 1, "per": "year", "by": "person"}}
ALONE = {"rule": "alone", "fixed": {"points": 7}, "limit": {"times": 1, "per": "year"}}


class Family:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.programs = FixedPrograms(load_program(a_document(WELCOME, ALONE, program=PROGRAM)))
        self.road = Road(self.programs)

    async def send(self, *notes: Note) -> list[dict[str, Any]]:
        return await say(self.database, self.road, *notes)


def enrol(member: str, person: str | None) -> Note:
    return enrolment(PROGRAM, member, person=person)


def buy(member: str, id_: str, **fields: Any) -> Note:
    return report(PROGRAM, member, purchase(id_, 100, START, **fields), START)


def give_back(member: str, id_: str, of: str) -> Note:
    at = START + timedelta(days=1)
    return report(PROGRAM, member, {"id": id_, "type": "return", "of": of, "occurred_at": at.isoformat()}, at)


def move(member: str, person: str) -> Note:
    fields = {"at": START, "cause": {"kind": "request", "id": "r"}, "change": "c", "versions": {"program": 1}}
    return note("member.change_requested.v1", PROGRAM, member, person=person, **fields)


def earned(said: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    awarded = [one for one in said if one["type"] == "points.awarded.v1"]
    return [(one["member"], [award["rule"] for award in one["awards"]]) for one in awarded]


@pytest.fixture
async def family(database: Database, database_urls: DatabaseUrls) -> AsyncIterator[Family]:
    yield Family(database)
    assert not await findings(database_urls)


async def test_two_members_of_a_person_earn_once_and_strangers_for_themselves(family: Family) -> None:
    await family.send(
        enrol("m-1", "p-1"), enrol("m-2", "p-1"), enrol("m-3", "p-2"), enrol("m-4", None), enrol("m-5", None)
    )
    said = await family.send(*(buy(f"m-{number}", f"b-{number}") for number in range(1, 6)))
    assert earned(said) == [
        ("m-1", ["welcome", "alone"]), ("m-2", ["alone"]), ("m-3", ["welcome", "alone"]),
        ("m-4", ["welcome", "alone"]), ("m-5", ["welcome", "alone"]),
    ]  # fmt: skip
    reasons = {each["rule"]: each["reason"] for each in said[1]["decision"]}
    assert reasons["welcome"] == "limit_reached"
    assert earned(await family.send(buy("m-4", "b-6"))) == [("m-4", [])]


async def test_enrolled_and_bought_in_one_batch(family: Family) -> None:
    said = await family.send(enrol("m-1", "p-1"), buy("m-1", "b-1"), enrol("m-2", "p-1"), buy("m-2", "b-2"))
    assert earned(said) == [("m-1", ["welcome", "alone"]), ("m-2", ["alone"])]


async def test_of_many_at_once_exactly_one_earns(family: Family) -> None:
    await family.send(*(enrol(f"m-{number}", "p-1") for number in range(8)))
    said = await asyncio.gather(*(family.send(buy(f"m-{number}", f"b-{number}")) for number in range(8)))
    assert sum("welcome" in rules for each in said for _, rules in earned(each)) == 1


async def test_a_whole_return_lets_the_person_earn_again(family: Family) -> None:
    await family.send(enrol("m-1", "p-1"), enrol("m-2", "p-1"), buy("m-1", "b-1"))
    await family.send(give_back("m-1", "r-1", "b-1"))
    assert earned(await family.send(buy("m-2", "b-2"))) == [("m-2", ["welcome", "alone"])]
    assert earned(await family.send(buy("m-1", "b-3"))) == [("m-1", ["alone"])]


async def test_a_return_gives_back_to_the_person_of_then(family: Family) -> None:
    await family.send(enrol("m-1", "p-1"), enrol("m-2", "p-1"), buy("m-1", "b-1"))
    await family.send(move("m-1", "p-2"))
    await family.send(give_back("m-1", "r-1", "b-1"))
    assert earned(await family.send(buy("m-2", "b-2"))) == [("m-2", ["welcome", "alone"])]
    assert earned(await family.send(buy("m-1", "b-3"))) == [("m-1", ["welcome", "alone"])]


async def test_a_quote_knows_what_the_person_has_earned(family: Family) -> None:
    await family.send(enrol("m-1", "p-1"), enrol("m-2", "p-1"), buy("m-1", "b-1"))
    views = LedgerViews(family.database)
    found = await views.wallet(PROGRAM, "m-2", [])
    assert found.person == "p-1"
    ((name, counted),) = (await views.people(PROGRAM, "p-1")).items()
    assert (name.counter, counted) == ("limit/welcome/calendar_year", 1)
