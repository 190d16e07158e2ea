"""What a rule with a threshold may say, and what is found where it says more."""

from __future__ import annotations

from typing import Any

import pytest

from laurel.program import ProgramFaults, load_program
from tests.program.samples import POINT, a_document, a_program

UNITS = {"point": POINT, "mile": POINT, "spent": {"scale": 2, "counts_only": True}}
SPENT = {"rule": "spent", "unit": "spent", "rate": {"points": 1, "per": 1}, "funding": None}
BASE = {"rule": "base", "rate": {"points": 1, "per": 100}}
BONUS: dict[str, Any] = {
    "rule": "bonus",
    "fixed": {"points": 500},
    "threshold": {"of": "base", "reaches": 100, "window": "month"},
}


def faults(*rules: dict[str, Any]) -> list[tuple[str, str]]:
    plain = [{key: value for key, value in rule.items() if value is not None} for rule in rules]
    document = a_document(*plain, units=UNITS)
    for rule in document["earning"]:
        if rule["unit"] == "spent":
            del rule["funding"]
    with pytest.raises(ProgramFaults) as found:
        load_program(document)
    return [(fault.pointer, fault.code) for fault in found.value.faults]


def bonus(**changes: Any) -> dict[str, Any]:
    return {**BONUS, **changes}


def adds(*of: str) -> dict[str, Any]:
    return bonus(threshold={"of": list(of), "reaches": 1, "window": "month"})


def test_a_threshold_is_compiled_with_the_counter_that_adds_up() -> None:
    (rule,) = a_program(BASE, BONUS).thresholds
    assert rule.threshold is not None
    assert (rule.threshold.counter, rule.threshold.of) == ("threshold/bonus/month", frozenset({"base"}))


@pytest.mark.parametrize(
    ("rule", "pointer", "code"),
    [
        (bonus(fixed=None, rate={"points": 1, "per": 1}), "/earning/1/threshold", "not_allowed"),
        (bonus(fixed={"points": 5, "per": "line"}), "/earning/1/threshold", "not_allowed"),
        (bonus(limit={"times": 1, "per": "day"}), "/earning/1/limit", "not_allowed"),
        (bonus(to="referrer"), "/earning/1/to", "not_allowed"),
        (bonus(taken_back={"on": ["closed"], "within_days": 3}), "/earning/1/taken_back", "not_allowed"),
        (bonus(on=["purchase", "birthday"]), "/earning/1/on/1", "not_allowed"),
        (adds("nothing"), "/earning/1/threshold/of", "unknown_reference"),
        (adds("bonus"), "/earning/1/threshold/of", "unknown_reference"),
        (adds("base", "base"), "/earning/1/threshold/of/1", "repeated"),
        (
            bonus(threshold={"of": "base", "reaches": 0, "window": "month"}),
            "/earning/1/threshold/reaches",
            "out_of_range",
        ),
        (bonus(threshold={"of": "base", "reaches": 1, "window": "week"}), "/earning/1/threshold/window", "not_one_of"),
    ],
)
def test_what_does_not_go_with_it_is_named(rule: dict[str, Any], pointer: str, code: str) -> None:
    assert (pointer, code) in faults(BASE, rule)


@pytest.mark.parametrize(
    "base",
    [
        {**BASE, "to": "referrer"},
        {**BASE, "pending": {"days": 3}},
        {**BASE, "unit": "mile"},
    ],
)
def test_what_is_added_up_is_the_members_own_there_already_and_of_one_unit(base: dict[str, Any]) -> None:
    other = {"rule": "other", "rate": {"points": 1, "per": 100}}
    assert ("/earning/2/threshold/of/1", "not_allowed") in faults(other, base, adds("other", "base"))


def test_a_threshold_gives_points_and_adds_up_no_other() -> None:
    assert faults(SPENT, {**bonus(unit="spent"), "threshold": {**BONUS["threshold"], "of": "spent"}}) == [
        ("/earning/1/threshold", "not_allowed")
    ]
    assert faults(BASE, BONUS, {**adds("bonus"), "rule": "more"}) == [("/earning/2/threshold/of", "not_allowed")]


def test_nothing_builds_on_it() -> None:
    double = {"rule": "double", "multiplier": {"of": "bonus", "percent": 100}}
    assert faults(BASE, BONUS, double) == [("/earning/2/multiplier/of", "not_allowed")]
