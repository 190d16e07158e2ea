"""Documents with changes, and what a change would touch."""

from __future__ import annotations

from typing import Any

import pytest

from laurel.program.changing import Touched, changed, faults_of_change, touched
from laurel.program.faults import ProgramFaults

DOCUMENT: dict[str, Any] = {
    "name": "A",
    "units": {"point": {"scale": 0, "validity": {"kind": "never"}}},
    "earning": [{"rule": "base"}, {"rule": "bonus", "validity": {"kind": "never"}}],
}


@pytest.mark.parametrize(
    ("pointer", "value", "at"),
    [
        ("/name", "B", lambda found: found["name"]),
        ("/closes_at", None, lambda found: found["closes_at"]),
        ("/units/point/validity", {"kind": "x"}, lambda found: found["units"]["point"]["validity"]),
        ("/earning/1/rule", "other", lambda found: found["earning"][1]["rule"]),
        ("/earning/-", {"rule": "third"}, lambda found: found["earning"][2]),
        ("/units/a~1b~0c", 1, lambda found: found["units"]["a/b~c"]),
    ],
)
def test_a_value_is_put_where_its_pointer_says(pointer: str, value: Any, at: Any) -> None:
    found = changed(DOCUMENT, {pointer: value})
    assert at(found) == value
    assert DOCUMENT["name"] == "A"
    assert len(DOCUMENT["earning"]) == 2


@pytest.mark.parametrize("pointer", ["", "name", "/no/such", "/earning/2/rule", "/earning/01", "/earning/x", "/name/x"])
def test_a_pointer_to_nowhere_is_a_fault(pointer: str) -> None:
    with pytest.raises(ProgramFaults) as caught:
        changed(DOCUMENT, {pointer: 1})
    assert caught.value.faults[0].code == "no_such_place"
    assert caught.value.faults[0].pointer.startswith("/changes/")


def test_what_a_change_speaks_of() -> None:
    assert touched(DOCUMENT, DOCUMENT) == Touched(own=("bonus",))
    rolling = {"kind": "rolling", "years": 1}
    unit = changed(DOCUMENT, {"/units/point/validity": rolling})
    assert touched(DOCUMENT, unit) == Touched(
        ("point",), own=("bonus",), pointers=("/units/point/validity",), applies=("new_lots",)
    )
    rule = changed(DOCUMENT, {"/earning/1/validity": rolling, "/tiers": {}})
    found = touched(DOCUMENT, rule)
    assert (found.rules, found.tiers, found.pointers) == (("bonus",), True, ("/earning/1/validity", "/tiers"))
    assert found.applies == ("new_lots", "all")


def test_points_without_an_end_of_their_own_all_end_by_the_version_in_force() -> None:
    asleep = {"kind": "inactivity", "months": 12, "kept_by": ["purchase"]}
    before = changed(DOCUMENT, {"/units/point/validity": asleep})
    after = changed(DOCUMENT, {"/units/point/validity": {**asleep, "months": 24}})
    assert touched(before, after).applies == ("all",)
    # Who had a date of its own keeps it.
    assert touched(DOCUMENT, after).applies == ("new_lots",)


def test_what_is_fixed_from_the_first_version_on() -> None:
    first = {**DOCUMENT, "clock": "wall", "time_zone": "UTC", "units": {"point": {"scale": 0}, "mile": {"scale": 2}}}
    assert faults_of_change(first, first) == []
    other = {
        **first,
        "clock": "manual",
        "time_zone": "Asia/Tokyo",
        "units": {"mile": {"scale": 0}, "new": {"scale": 1}},
    }
    found = faults_of_change(first, other)
    assert [(fault.pointer, fault.code) for fault in found] == [
        ("/clock", "fixed"), ("/time_zone", "fixed"), ("/units/mile/scale", "fixed"),
    ]  # fmt: skip
    assert "wall" in found[0].detail
    assert "UTC" in found[1].detail
