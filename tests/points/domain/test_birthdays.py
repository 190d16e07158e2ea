"""Birthdays come once a year, at their time of the day, whoever looks when."""

from datetime import UTC, datetime
from typing import Any

import pytest

from laurel.program import ProgramFaults, load_program
from tests.points.till import Till, purchase
from tests.program.samples import a_document

pytestmark = pytest.mark.anyio

RULE = {"rule": "birthday", "on": ["birthday"], "fixed": {"points": 100}}
BASE = {"rule": "base", "rate": {"points": 1, "per": 100}}
MEMBER = {"activity": {}, "line": {}, "member": {"born": "text"}}


async def born(day: str, **changes: Any) -> Till:
    rules = changes.pop("rules", (RULE, BASE))
    whole = {"clock": "wall", "birthdays": {}, "attributes": MEMBER, **changes}
    till = Till(load_program(a_document(*rules, **whole)))
    await till.enrol(attributes={"born": day})
    return till


async def at(till: Till, instant: datetime) -> int:
    till.at = instant
    await till.run_due()
    return till.balance.available


async def test_points_come_at_nine_in_the_zone_of_the_program() -> None:
    till = await born("1990-07-14")
    # Nine in London is eight in UTC in July.
    assert await at(till, datetime(2024, 7, 14, 7, 59, 59, tzinfo=UTC)) == 0
    assert await at(till, datetime(2024, 7, 14, 8, tzinfo=UTC)) == 100
    assert await at(till, datetime(2024, 7, 14, 8, tzinfo=UTC)) == 100
    assert await at(till, datetime(2024, 12, 31, 8, tzinfo=UTC)) == 100
    assert [journal.kind for journal in till.ledger.journals] == ["enrolment", "birthday"]


async def test_years_that_nobody_looked_come_one_by_one() -> None:
    till = await born("1992-02-29")
    till.at = datetime(2028, 3, 1, tzinfo=UTC)
    said = await till.hold("h", 1)
    awarded = [(one["activity"], one["at"]) for one in said if one["type"] == "points.awarded.v1"]
    assert [activity for activity, _ in awarded] == ["birthday-2025", "birthday-2026", "birthday-2027", "birthday-2028"]
    assert till.balance.available == 399
    assert [journal.occurred_at.day for journal in till.ledger.journals if journal.kind == "birthday"] == [
        28,
        28,
        28,
        29,
    ]


@pytest.mark.parametrize("day", ["", "14 July", "1990-13-01", "1990-02-30"])
async def test_what_is_no_day_is_nobodys_birthday(day: str) -> None:
    till = await born(day)
    assert await at(till, datetime(2026, 1, 1, tzinfo=UTC)) == 0


async def test_who_was_there_before_is_looked_at_with_the_next_activity() -> None:
    till = await born("1990-07-14", birthdays=None)
    till.programs.publish(
        load_program(
            a_document(RULE, BASE, clock="wall", birthdays={}, attributes=MEMBER, effective_from="2024-01-01T00:00:00Z")
        )
    )
    assert await at(till, datetime(2024, 8, 1, tzinfo=UTC)) == 0
    await till.report(purchase("a", 100, till.at), version=2)
    assert await at(till, datetime(2025, 8, 1, tzinfo=UTC)) == 101


async def test_a_birthday_pays_what_is_owed_and_fills_no_cap() -> None:
    caps = [{"cap": "year", "unit": "point", "window": "calendar_year", "limit": 10}]
    till = await born("1990-07-14", caps=caps)
    await till.buy("a", 1000)
    await till.hold("h", 10)
    await till.capture("h")
    await till.give_back("r", "a")
    assert till.balance.owed == 10
    assert await at(till, datetime(2024, 8, 1, tzinfo=UTC)) == 90
    assert till.balance.owed == 0
    await till.buy("b", 5000)
    assert till.balance.available == 100


async def test_who_has_left_is_given_nothing() -> None:
    till = await born("1990-07-14")
    assert await at(till, datetime(2024, 7, 14, 8, tzinfo=UTC)) == 100
    await till.ask("member.close_requested.v1", change="c-1", versions={"program": 1})
    assert await at(till, datetime(2026, 7, 14, 8, tzinfo=UTC)) == 100


async def test_a_program_that_gives_them_up_gives_nothing() -> None:
    till = await born("1990-07-14")
    till.programs.publish(load_program(a_document(BASE, clock="wall", effective_from="2024-06-01T00:00:00Z")))
    assert await at(till, datetime(2025, 8, 1, tzinfo=UTC)) == 0


def test_faults_are_named() -> None:
    budgeted = {**RULE, "budget": {"points": 1000}}
    with pytest.raises(ProgramFaults) as raised:
        load_program(a_document(budgeted, birthdays={"attribute": "birth"}))
    assert [fault.pointer for fault in raised.value.faults] == ["/birthdays/attribute", "/earning/0/budget"]


async def change(till: Till, **attributes: Any) -> None:
    said = await till.ask("member.change_requested.v1", change="c", versions={"program": 1}, attributes=attributes)
    assert [one["type"] for one in said if one["type"].startswith("member.")] == ["member.changed.v1"]


async def test_who_was_born_on_another_day_has_its_birthday_on_that_day_and_once_a_year() -> None:
    till = await born("1990-07-14")
    assert await at(till, datetime(2024, 6, 1, tzinfo=UTC)) == 0
    await change(till, born="1990-09-01")
    assert await at(till, datetime(2024, 7, 14, 12, tzinfo=UTC)) == 0
    assert await at(till, datetime(2024, 9, 1, 8, tzinfo=UTC)) == 100
    # This year's was; the next is next year's, whatever the day is said to be now.
    await change(till, born="1990-12-24")
    assert await at(till, datetime(2025, 9, 1, 12, tzinfo=UTC)) == 100
    assert await at(till, datetime(2025, 12, 24, 9, tzinfo=UTC)) == 200
    await change(till, born="1992-02-29")
    assert await at(till, datetime(2026, 2, 28, 9, tzinfo=UTC)) == 300
    assert [journal.occurred_at.year for journal in till.ledger.journals if journal.kind == "birthday"] == [
        2024, 2025, 2026,
    ]  # fmt: skip


async def test_a_day_that_is_told_later_is_looked_forward_to() -> None:
    till = await born("")
    await change(till, born="1990-07-14")
    assert await at(till, datetime(2024, 7, 14, 8, tzinfo=UTC)) == 100
    await change(till, born="")
    assert await at(till, datetime(2025, 8, 1, tzinfo=UTC)) == 100
    await change(till, born="1990-07-14")
    assert await at(till, datetime(2026, 7, 14, 8, tzinfo=UTC)) == 200


async def test_another_time_of_the_day_gives_nobody_two_birthdays_nor_none() -> None:
    for hour in ("08:00", "10:00"):
        till = await born("1990-07-14")
        later = a_document(
            RULE, BASE, clock="wall", birthdays={"at": hour}, attributes=MEMBER, effective_from="2024-05-01T00:00:00Z"
        )
        till.programs.publish(load_program(later))
        assert await at(till, datetime(2024, 7, 15, tzinfo=UTC)) == 100
        assert await at(till, datetime(2025, 7, 15, tzinfo=UTC)) == 200
