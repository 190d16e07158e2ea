"""When points become vouchers and what of: dates, steps, and what is wrong with them, each with its pointer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from laurel.program import ProgramFaults, load_program
from laurel.program.converting import Converted
from tests.program.samples import a_document, a_program

STATEMENT: dict[str, Any] = {
    "conversion": "statement",
    "unit": "point",
    "on": {"months": [2, 5, 8, 11], "day": 1},
    "from": 150,
    "step": 50,
    "voucher": {
        "per_step": {"amount": 50, "currency": "GBP"},
        "validity": {"kind": "end_of_period", "period": "month", "after": 24},
    },
}


def conversion(**changes: Any) -> Any:
    return a_program(conversions=[{**STATEMENT, **changes}]).conversions[0]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("since", "first"),
    [
        ("2024-01-31T23:59:59+00:00", "2024-02-01T00:00:00+00:00"),
        ("2024-02-01T00:00:00+00:00", "2024-05-01T00:00:00+01:00"),
        ("2024-04-30T23:30:00+01:00", "2024-05-01T00:00:00+01:00"),
        ("2024-04-30T23:30:00+00:00", "2024-08-01T00:00:00+01:00"),
        ("2024-11-01T00:00:00+00:00", "2025-02-01T00:00:00+00:00"),
        ("2024-12-31T12:00:00+00:00", "2025-02-01T00:00:00+00:00"),
    ],
)
def test_the_next_date_is_a_local_midnight_after_an_instant(since: str, first: str) -> None:
    assert conversion().next_after(at(since)) == at(first)


def test_a_date_itself_is_due_and_no_moment_beside_it() -> None:
    due = at("2024-05-01T00:00:00+01:00")
    assert conversion().next_from(due) == due
    assert conversion().is_due_at(due)
    assert not conversion().is_due_at(at("2024-05-01T00:00:00+00:00"))


def test_the_calendar_ends() -> None:
    assert conversion().next_after(at("9999-11-05T00:00:00+00:00")) is None


@pytest.mark.parametrize(
    ("available", "converted"),
    [(265, Converted(250, 250)), (149, None), (150, Converted(150, 150)), (199, Converted(150, 150)), (0, None)],
)
def test_whole_steps_from_so_many_on(available: int, converted: Converted | None) -> None:
    assert conversion().of(available) == converted


@pytest.mark.parametrize(
    ("due", "ends"),
    [
        ("2021-02-01T00:00:00+00:00", "2023-03-01T00:00:00+00:00"),
        ("2022-02-01T00:00:00+00:00", "2024-03-01T00:00:00+00:00"),
        ("2024-05-01T00:00:00+01:00", "2026-06-01T00:00:00+01:00"),
    ],
)
def test_good_to_the_last_day_of_the_month_two_years_later(due: str, ends: str) -> None:
    assert conversion().expires_at(at(due)) == at(ends)


def faults(*conversions: dict[str, Any], **changes: Any) -> set[tuple[str, str]]:
    with pytest.raises(ProgramFaults) as raised:
        load_program(a_document(conversions=list(conversions), **changes))
    return {(fault.pointer, fault.code) for fault in raised.value.faults}


def test_every_fault_has_its_pointer() -> None:
    terms = {**STATEMENT["voucher"], "validity": {"kind": "rolling"}}
    wrong = {**STATEMENT, "unit": "mile", "from": 40, "on": {"months": [2, 3, 2], "day": 1}, "voucher": terms}
    assert faults(wrong) == {
        ("/conversions/0/unit", "unknown_reference"),
        ("/conversions/0/from", "out_of_range"),
        ("/conversions/0/on/months/2", "repeated"),
        ("/conversions/0/voucher/validity", "missing"),
    }


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"on": {"months": [13], "day": 1}}, "/conversions/0/on/months/0"),
        ({"on": {"months": [], "day": 1}}, "/conversions/0/on/months"),
        ({"on": {"months": [2], "day": 29}}, "/conversions/0/on/day"),
        ({"step": 0}, "/conversions/0/step"),
        ({"step": 1.5}, "/conversions/0/step"),
        ({"voucher": {**STATEMENT["voucher"], "validity": {"kind": "inactivity", "months": 3, "kept_by": ["x"]}}},
         "/conversions/0/voucher/validity"),
    ],
)  # fmt: skip
def test_fields_are_checked_by_themselves(changes: dict[str, Any], pointer: str) -> None:
    assert any(found.startswith(pointer) for found, _ in faults({**STATEMENT, **changes}))


def test_two_conversions_do_not_take_the_same_points_at_once() -> None:
    other = {**STATEMENT, "on": {"months": [1, 5], "day": 1}}
    assert faults(STATEMENT, other) == {
        ("/conversions/1/conversion", "repeated"),
        ("/conversions/1/on", "not_allowed"),
    }


def test_a_mere_count_is_not_converted() -> None:
    units = {"point": {"scale": 0, "validity": {"kind": "never"}}, "night": {"scale": 0, "counts_only": True}}
    assert faults({**STATEMENT, "unit": "night"}, units=units) == {("/conversions/0/unit", "not_allowed")}
