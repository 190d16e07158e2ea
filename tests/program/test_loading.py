"""Every fault of a document is reported at once, each where it stands."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from laurel.contracts.activity import WORD_PATTERN
from laurel.program import ProgramFaults, dump_program, load_program
from laurel.program import document as documents
from tests.program.samples import a_document

PROGRAMS = Path(__file__).parents[2] / "programs"
FIXED = {"fixed": {"points": 1}}
RATE = {"rate": {"points": 1, "per": 100}}


def faults(source: Any, expect_id: str | None = None) -> list[tuple[str, str]]:
    with pytest.raises(ProgramFaults) as found:
        load_program(source, expect_id)
    return [(fault.pointer, fault.code) for fault in found.value.faults]


def test_a_document_comes_back_as_it_was() -> None:
    document = load_program((PROGRAMS / "grocery.yaml").read_bytes())
    plain = dump_program(document)
    assert load_program(plain) == document
    assert load_program(json.dumps(plain)) == document
    assert load_program(json.dumps(plain).encode(), "grocery") == document
    assert dump_program(load_program(plain)) == plain


def test_the_id_may_be_left_to_the_caller() -> None:
    plain = a_document(FIXED)
    del plain["program"]
    assert load_program(plain, "sample").program == "sample"
    assert faults(plain) == [("/program", "missing")]


def test_the_id_must_agree_with_the_caller() -> None:
    assert faults(a_document(FIXED), "other") == [("/program", "wrong_program")]


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        (("colour",), 1, ("/colour", "unknown_field")),
        (("units", "point", "colour"), 1, ("/units/point/colour", "unknown_field")),
        (("units", "point", "validity", "months"), 1, ("/units/point/validity/months", "unknown_field")),
        (("units", "point", "validity"), {"kind": "someday"}, ("/units/point/validity", "not_one_of")),
        (("units", "point", "validity"), {}, ("/units/point/validity", "missing")),
        (("units", "point", "validity"), {"kind": "rolling"}, ("/units/point/validity", "missing")),
        (
            ("units", "point", "validity"),
            {"kind": "rolling", "years": 1, "days": 2},
            ("/units/point/validity/days", "not_allowed"),
        ),
        (("units", "point", "scale"), "0", ("/units/point/scale", "wrong_type")),
        (("units", "point", "scale"), True, ("/units/point/scale", "wrong_type")),
        (("units", "point", "scale"), 7, ("/units/point/scale", "out_of_range")),
        (("units", "point", "value"), {"per_point": 2}, ("/units/point/value/per_point", "wrong_type")),
        (("units", "point", "value"), {"per_point": "1/2"}, ("/units/point/value/per_point", "bad_format")),
        (("units", "point", "breakage"), 101, ("/units/point/breakage", "out_of_range")),
        (("units", "point", "breakage"), 25, ("/units/point/breakage", "not_allowed")),
        (
            ("units", "step"),
            {"scale": 0, "counts_only": True, "value": {"per_point": "1"}},
            ("/units/step/value", "not_allowed"),
        ),
        (("units",), 5, ("/units", "wrong_type")),
        (("program",), "a:b", ("/program", "bad_format")),
        (("name",), "a\0b", ("/name", "bad_format")),
        (("name",), "a\ud800b", ("/name", "bad_format")),
        (("time_zone",), "Mars/Olympus", ("/time_zone", "unknown_time_zone")),
        (("clock",), "sun", ("/clock", "not_one_of")),
        (("currency",), "pounds", ("/currency", "bad_format")),
        (("effective_from",), "2020-01-01T00:00:00", ("/effective_from", "naive_time")),
        (("effective_from",), "2020-01-01", ("/effective_from", "not_an_instant")),
        (("effective_from",), 5, ("/effective_from", "wrong_type")),
        (("late_claim",), {"months": -1}, ("/late_claim/months", "out_of_range")),
        (("returns",), {"refill_on_return": "yes"}, ("/returns/refill_on_return", "wrong_type")),
        (("attributes", "line", "in"), "text", ("/attributes/line/in", "not_allowed")),
        (("attributes", "line", "maker"), "float", ("/attributes/line/maker", "not_one_of")),
        (("earning",), {}, ("/earning", "wrong_type")),
        (("earning", 0, "on"), [], ("/earning/0/on", "too_short")),
        (("earning", 0, "on"), ["Purchase"], ("/earning/0/on/0", "bad_format")),
        (("earning", 0, "on"), ["purchase", "purchase"], ("/earning/0/on/1", "repeated")),
        (("earning", 0, "on"), ["return"], ("/earning/0/on/0", "not_allowed")),
        (("earning", 0, "unit"), "mile", ("/earning/0/unit", "unknown_reference")),
        (("earning", 0, "funding"), {}, ("/earning/0/funding/funder", "missing")),
        (
            ("earning", 0, "funding"),
            {"funder": "a", "currency": "GBP"},
            ("/earning/0/funding/currency", "not_allowed"),
        ),
        (("earning", 0, "funding"), {"funder": "a", "price": "1,5"}, ("/earning/0/funding/price", "bad_format")),
        (("earning", 0, "funding"), {"funder": "a", "price": 1}, ("/earning/0/funding/price", "wrong_type")),
        (("earning", 0, "rate", "per"), 0, ("/earning/0/rate/per", "out_of_range")),
        (("earning", 0, "rate", "points"), 0, ("/earning/0/rate/points", "out_of_range")),
        (("earning", 0, "rate", "points"), -1, ("/earning/0/rate/points", "out_of_range")),
        (("earning", 0, "rate", "points"), 0.05, ("/earning/0/rate/points", "float")),
        (("earning", 0, "rate", "points"), True, ("/earning/0/rate/points", "not_a_fraction")),
        (("earning", 0, "rate", "points"), "1/0", ("/earning/0/rate/points", "out_of_range")),
        (("earning", 0, "rate", "points"), "1e3", ("/earning/0/rate/points", "not_a_fraction")),
        (("earning", 0, "rate", "points"), "1 / 2", ("/earning/0/rate/points", "not_a_fraction")),
        (("earning", 0, "rate", "points"), "9999999999", ("/earning/0/rate/points", "out_of_range")),
        (("earning", 0, "rate", "of"), "weight", ("/earning/0/rate/of", "bad_format")),
        (("earning", 0, "rate", "of"), [], ("/earning/0/rate/of", "too_short")),
        (("earning", 0, "rate", "of"), "attributes.cabin", ("/earning/0/rate/of", "unknown_reference")),
        (("earning", 0, "rate", "of"), "attributes.weight", ("/earning/0/rate/of", "unknown_reference")),
        (
            ("earning", 0, "rate", "of"),
            ["attributes.miles", "attributes.miles"],
            ("/earning/0/rate/of/1", "repeated"),
        ),
        (("earning", 0, "rate", "least"), 0, ("/earning/0/rate/least", "out_of_range")),
        (("earning", 0, "group"), "offers", ("/earning/0/group", "unknown_reference")),
        (("earning", 0, "priority"), 1, ("/earning/0/priority", "not_allowed")),
        (("earning", 0, "starts_at"), "2024-01-01", ("/earning/0/starts_at", "not_an_instant")),
        (("groups",), {"g": {"stack": "some"}}, ("/groups/g/stack", "not_one_of")),
        (("day_parts",), {"noon": {"from": "11:00"}}, ("/day_parts/noon/to", "missing")),
        (("day_parts",), {"noon": {"from": "24:00", "to": "11:00"}}, ("/day_parts/noon/from", "bad_format")),
        (
            ("day_parts",),
            {"night": {"from": "22:00", "to": "05:00"}, "morning": {"from": "05:00", "to": "10:59"}},
            ("/day_parts/morning", "not_allowed"),
        ),
        (("stores",), {"s-1": {"time_zone": "Mars/Base"}}, ("/stores/s-1/time_zone", "unknown_time_zone")),
        (("earning", 0, "where"), 'activity.day_part == "noon"', ("/earning/0/where", "unknown_name")),
        (("earning", 0, "where"), 'activity.store_type == "office"', ("/earning/0/where", "unknown_name")),
        (("earning", 0, "rounding"), "even", ("/earning/0/rounding", "not_one_of")),
        (("earning", 0, "fixed"), {"points": 1}, ("/earning/0/fixed", "not_allowed")),
        (("earning", 0, "rate"), None, ("/earning/0", "missing")),
        (("earning", 0, "validity"), {"kind": "rolling"}, ("/earning/0/validity", "missing")),
        (
            ("earning", 0, "validity"),
            {"kind": "inactivity", "months": 1, "kept_by": ["purchase"]},
            ("/earning/0/validity", "not_one_of"),
        ),
        (("earning", 0, "where"), "activity.colour == 'x'", ("/earning/0/where", "unknown_name")),
        (("earning", 0, "where"), "line.sku == 'x'", ("/earning/0/where", "unknown_name")),
        (("earning", 0, "lines"), "line.sku == 5", ("/earning/0/lines", "condition_type")),
        (("earning", 0, "lines"), "line.sku ==", ("/earning/0/lines", "condition_syntax")),
        (("earning", 0, "lines"), "", ("/earning/0/lines", "too_short")),
        (("earning", 0, "lines"), "activity.channel == 'x'", ("/earning/0/lines", "unknown_name")),
    ],
)
def test_a_fault_names_its_place(path: tuple[str | int, ...], value: Any, fault: tuple[str, str]) -> None:
    document: Any = deepcopy(a_document(RATE))
    here = document
    for step in path[:-1]:
        here = here[step]
    here[path[-1]] = value
    assert faults(document) == [fault]


@pytest.mark.parametrize(
    ("rules", "fault"),
    [
        ([RATE, {"multiplier": {"of": "rule-9", "percent": 5}}], ("/earning/1/multiplier/of", "unknown_reference")),
        ([{"multiplier": {"of": "rule-1", "percent": 5}}, RATE], ("/earning/0/multiplier/of", "unknown_reference")),
        ([RATE, {"multiplier": {"of": "rule-1", "percent": 5}}], ("/earning/1/multiplier/of", "unknown_reference")),
        (
            [RATE, {"multiplier": {"of": "rule-0", "percent": 5}, "on": ["survey"]}],
            ("/earning/1/multiplier/of", "unknown_reference"),
        ),
        ([RATE, {"multiplier": {"of": "rule-0"}}], ("/earning/1/multiplier", "missing")),
        (
            [RATE, {"multiplier": {"of": "rule-0", "percent": 5, "fraction": "1/20"}}],
            ("/earning/1/multiplier/fraction", "not_allowed"),
        ),
        (
            [RATE, {"multiplier": {"of": "rule-0", "percent": 5}, "lines": "line.amount > 1"}],
            ("/earning/1/lines", "not_allowed"),
        ),
        ([RATE, {**FIXED, "rule": "rule-0"}], ("/earning/1/rule", "repeated")),
    ],
)
def test_rules_agree_with_each_other(rules: list[dict[str, Any]], fault: tuple[str, str]) -> None:
    assert faults(a_document(*rules)) == [fault]


def test_a_multiplier_earns_the_unit_of_its_base() -> None:
    units = {name: {"scale": 0, "validity": {"kind": "never"}} for name in ("point", "mile")}
    document = a_document(RATE, {"multiplier": {"of": "rule-0", "percent": 5}, "unit": "mile"}, units=units)
    assert faults(document) == [("/earning/1/multiplier/of", "unknown_reference")]


def test_all_faults_are_told_at_once() -> None:
    document = a_document(
        {**RATE, "lines": "line.colour == 'x' && line.sku == 5"},
        {**RATE, "rounding": "even", "where": "activity.nothing"},
        {"multiplier": {"of": "rule-7", "percent": 5}},
        clock="sun",
        time_zone="Mars/Olympus",
    )
    document["units"]["point"]["validity"] = {"kind": "rolling"}
    assert faults(document) == [
        ("/clock", "not_one_of"),
        ("/earning/1/rounding", "not_one_of"),
        ("/time_zone", "unknown_time_zone"),
        ("/units/point/validity", "missing"),
        ("/earning/0/lines", "unknown_name"),
        ("/earning/0/lines", "condition_type"),
        ("/earning/2/multiplier/of", "unknown_reference"),
    ]


def test_a_condition_fault_names_its_column() -> None:
    with pytest.raises(ProgramFaults) as found:
        load_program(a_document({**RATE, "lines": 'line.category == "A" && line.colour == "x"'}))
    (fault,) = found.value.faults
    assert fault.detail.startswith("column 25: line.colour is not known; there is line.sku, line.category")
    assert found.value.problem().document()["errors"] == [fault.document()]


@pytest.mark.parametrize("source", ["", "[]", "- a", "just text", "5", '"text"', {}, "{}", "null"])
def test_what_is_no_program_is_refused(source: Any) -> None:
    assert faults(source)


def test_pointers_are_escaped() -> None:
    document = a_document(RATE)
    document["a/b~c"] = 1
    assert faults(document) == [("/a~1b~0c", "unknown_field")]


def test_a_program_has_a_unit() -> None:
    assert faults(a_document(units={})) == [("/units", "too_short")]


def test_types_of_activities_are_the_words_of_the_contract() -> None:
    assert documents.WORD_PATTERN == WORD_PATTERN


def test_a_rule_cannot_end_before_it_starts() -> None:
    dates = {"starts_at": "2024-01-01T00:00:00Z", "ends_at": "2024-01-01T00:00:00Z"}
    assert faults(a_document({**RATE, **dates})) == [("/earning/0/ends_at", "out_of_range")]


def test_lines_have_amounts_only() -> None:
    rate = {"rate": {"points": 1, "per": 1, "of": "attributes.miles"}, "lines": 'line.sku == "x"'}
    assert faults(a_document(rate)) == [("/earning/0/lines", "not_allowed")]


def test_a_group_earns_one_unit() -> None:
    units = {name: {"scale": 0, "validity": {"kind": "never"}} for name in ("point", "mile")}
    rules = [{**RATE, "group": "g"}, {**RATE, "group": "g", "unit": "mile"}]
    document = a_document(*rules, units=units, groups={"g": {"stack": "best"}})
    assert faults(document) == [("/earning/1/group", "not_allowed")]


def test_nothing_builds_on_what_may_give_way() -> None:
    rules: list[dict[str, Any]] = [
        {**RATE, "rule": "a", "group": "g"},
        {"multiplier": {"of": ["a", "a"], "percent": 5}},
    ]
    assert faults(a_document(*rules, groups={"g": {"stack": "best"}})) == [
        ("/earning/1/multiplier/of/0", "not_allowed"),
        ("/earning/1/multiplier/of/1", "repeated"),
    ]


def test_new_parts_come_back_as_they_were() -> None:
    document = load_program(
        a_document(
            {"rate": {"points": 1, "per": 1, "of": ["amount", "attributes.miles"], "least": 5}, "group": "g"},
            day_parts={"noon": {"from": "11:00", "to": "15:59"}},
            stores={"s-1": {"type": "office"}},
            groups={"g": {"stack": "first"}},
            closes_at="2030-01-01T00:00:00Z",
        )
    )
    assert load_program(dump_program(document)) == document


GRANTED = {"cap": "c", "unit": "point", "window": "month", "limit": 5}


@pytest.mark.parametrize(
    ("caps", "fault"),
    [
        ([{**GRANTED, "unit": "mile"}], ("/caps/0/unit", "unknown_reference")),
        ([{"cap": "c", "unit": "point", "limit": 5}], ("/caps/0/window", "missing")),
        ([{**GRANTED, "of": "outstanding"}], ("/caps/0/window", "not_allowed")),
        ([{**GRANTED, "window": "week"}], ("/caps/0/window", "not_one_of")),
        ([{**GRANTED, "limit": -1}], ("/caps/0/limit", "out_of_range")),
        ([{**GRANTED, "rules": ["rule-9"]}], ("/caps/0/rules/0", "unknown_reference")),
        ([{**GRANTED, "where": 'activity.channel == "app"'}], ("/caps/0/where", "unknown_name")),
        ([{**GRANTED, "window": "lifetime", "windows_from": "2024-01-01"}], ("/caps/0/windows_from", "not_allowed")),
        (
            [{**GRANTED, "windows_from": "2024-01-01", "windows_until": "2024-01-01"}],
            ("/caps/0/windows_until", "out_of_range"),
        ),
        ([GRANTED, GRANTED], ("/caps/1/cap", "not_allowed")),
        ([{**GRANTED, "windows_until": "2024-01-01"}, {**GRANTED, "window": "quarter"}], ("/caps/1/cap", "repeated")),
    ],
)
def test_a_cap_that_makes_no_sense_is_refused(caps: list[dict[str, Any]], fault: tuple[str, str]) -> None:
    assert faults(a_document(RATE, caps=caps)) == [fault]


def test_a_limit_by_day_part_needs_day_parts() -> None:
    assert faults(a_document({**RATE, "limit": {"per": "day_part"}})) == [
        ("/earning/0/limit/per", "unknown_reference"),
    ]
