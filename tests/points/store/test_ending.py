"""What ends early is taken back: in one batch, twice, with a return beside it, and by the version that gave it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from laurel.io.database import Database
from laurel.io.migrating import DatabaseUrls
from laurel.program import ProgramFaults, dump_program
from services.points.road import Road
from services.points.testing import FixedPrograms, Note
from tests.points.stored import findings, say
from tests.points.till import document, enrolment, report

pytestmark = pytest.mark.anyio

PROGRAM = "clubcard-plus"
OPENED = datetime(2024, 3, 1, 10, tzinfo=UTC)


class Bank:
    """One member with products."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.programs = FixedPrograms(document(PROGRAM))
        self.road = Road(self.programs)

    async def send(self, *notes: Note) -> list[dict[str, Any]]:
        return await say(self.database, self.road, *notes)


def opened(id_: str = "o", member: str = "m-1", **fields: Any) -> Note:
    activity = {"id": id_, "type": "product_opened", "occurred_at": OPENED.isoformat(), **fields}
    return report(PROGRAM, member, activity, OPENED)


def closed(id_: str, days: int, *, of: str = "o", member: str = "m-1", **fields: Any) -> Note:
    at = OPENED + timedelta(days=days)
    activity = {"id": id_, "type": "product_closed", "of": of, "occurred_at": at.isoformat()}
    return report(PROGRAM, member, activity, at, **fields)


def returned(id_: str, of: str = "o") -> Note:
    at = OPENED + timedelta(days=200)
    return report(PROGRAM, "m-1", {"id": id_, "type": "return", "of": of, "occurred_at": at.isoformat()}, at)


@pytest.fixture
async def bank(database: Database, database_urls: DatabaseUrls) -> AsyncIterator[Bank]:
    found = Bank(database)
    await found.send(enrolment(PROGRAM, "m-1", OPENED), enrolment(PROGRAM, "m-2", OPENED))
    yield found
    assert not await findings(database_urls)


def amounts(said: list[dict[str, Any]]) -> list[int]:
    return [each["amount"] for one in said for each in one.get("reversals", ())]


async def test_opened_and_closed_in_one_batch(bank: Bank) -> None:
    said = await bank.send(opened(), closed("c", 89))
    assert [one["type"] for one in said] == ["points.awarded.v1", "points.clawed_back.v1"]
    assert amounts(said) == [500]
    assert said[1]["balances"][0]["available"] == 0


async def test_the_same_closing_again_is_answered_as_before(bank: Bank) -> None:
    await bank.send(opened())
    first, again = [await bank.send(closed("c", 10, hash="h")) for _ in range(2)]
    assert amounts(first) == amounts(again) == [500]
    assert again[0]["balances"] == first[0]["balances"]
    assert amounts(await bank.send(closed("another", 11))) == []


async def test_a_return_takes_no_more_after_it(bank: Bank) -> None:
    await bank.send(opened(), closed("c", 10))
    assert amounts(await bank.send(returned("r"))) == []


async def test_a_closing_takes_no_more_after_a_return(bank: Bank) -> None:
    await bank.send(opened())
    assert amounts(await bank.send(returned("r"))) == [500]
    assert amounts(await bank.send(closed("c", 10))) == []


async def test_nobody_closes_what_another_opened(bank: Bank) -> None:
    await bank.send(opened())
    (said,) = await bank.send(closed("c", 10, member="m-2"))
    assert (said["type"], said["code"]) == ("activity.refused.v1", "activity_unknown")
    (said,) = await bank.send(closed("c-2", 10, of="nothing"))
    assert said["code"] == "activity_unknown"


async def test_the_version_that_gave_says_for_how_long(bank: Bank) -> None:
    await bank.send(opened())
    whole = dump_program(document(PROGRAM))
    for rule in whole["earning"]:
        if rule["rule"] == "product":
            rule["taken_back"]["within_days"] = 10
    bank.programs.publish(document(PROGRAM, earning=whole["earning"], effective_from="2024-03-05T00:00:00+00:00"))
    assert amounts(await bank.send(closed("c", 89, version=2))) == [500]


def test_what_takes_back_is_neither_a_return_nor_what_earns() -> None:
    whole = dump_program(document(PROGRAM))
    place = next(at for at, rule in enumerate(whole["earning"]) if rule["rule"] == "product")
    whole["earning"][place]["taken_back"]["on"] = ["return", "product_opened"]
    with pytest.raises(ProgramFaults) as raised:
        document(PROGRAM, earning=whole["earning"])
    pointers = [fault.pointer for fault in raised.value.faults]
    assert pointers == [f"/earning/{place}/taken_back/on/0", f"/earning/{place}/taken_back/on/1"]
