"""Tiers in a document: every fault where it stands; windows to the day; rates by tier, by tenure and by attributes."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, date, datetime
from typing import Any

import pytest

from laurel.program import CompiledProgram, ProgramFaults, dump_program, load_program
from laurel.program.climbing import Climber, Counted, count
from laurel.program.standing import Bucket, QualifyingCounted, TierBook
from laurel.program.tiers import first_of_rolling, seen_as
from tests.program.samples import POINT, a_document, a_purchase

TIERS: dict[str, Any] = {
    "counters": {
        "miles": {"unit": "mile", "window": "calendar_year"},
        "visits": {"unit": "visit", "window": "rolling", "months": 12},
    },
    "levels": [
        {"tier": "member"},
        {"tier": "silver", "needs": {"miles": 100}},
        {"tier": "gold", "needs": {"miles": 200, "visits": 3}, "benefits": [{"name": "lounge"}]},
    ],
    "lasts": {"kind": "end_of_period", "period": "year", "after": 1},
    "steps_down": 1,
    "match": {
        "proof_months": 12,
        "lasts_days": 90,
        "challenge": {"counter": "miles", "percent": 25},
        "again_after_years": 5,
    },
}
UNITS = {"point": POINT, "mile": {"scale": 0, "counts_only": True}, "visit": {"scale": 0, "counts_only": True}}
BASE = {"rate": {"points": 1, "per": 1, "of": "attributes.miles"}}
COUNTING = {"unit": "mile", "funding": None, "rate": {"points": 1, "per": 1, "of": "attributes.miles"}}


def tiered(*rules: dict[str, Any], **changes: Any) -> dict[str, Any]:
    document = a_document(*deepcopy(rules), **{"units": deepcopy(UNITS), "tiers": deepcopy(TIERS), **changes})
    for rule in document["earning"]:
        if rule["funding"] is None:
            del rule["funding"]
    return document


def faults(document: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(ProgramFaults) as found:
        load_program(document)
    return [(fault.pointer, fault.code) for fault in found.value.faults]


def changed(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    document = tiered(BASE, COUNTING)
    *way, last = path
    part: Any = document
    for key in way:
        part = part[key]
    if value is None:
        del part[last]
    else:
        part[last] = value
    return document


def test_a_document_with_tiers_comes_back_as_it_was() -> None:
    document = load_program(tiered(BASE, COUNTING))
    assert load_program(dump_program(document)) == document


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        (("units", "mile", "validity"), {"kind": "never"}, ("/units/mile/validity", "not_allowed")),
        (("units", "point", "validity"), None, ("/units/point/validity", "missing")),
        (("earning", 0, "funding"), None, ("/earning/0/funding", "missing")),
        (("earning", 1, "funding"), {"funder": "x"}, ("/earning/1/funding", "not_allowed")),
        (("earning", 1, "validity"), {"kind": "never"}, ("/earning/1/validity", "not_allowed")),
        (("earning", 1, "caps"), {"per_transaction": 5}, ("/earning/1/caps", "not_allowed")),
        (("earning", 1, "budget"), {"points": 5}, ("/earning/1/budget", "not_allowed")),
        (("caps",), [{"cap": "all", "unit": "mile", "window": "month", "limit": 5}], ("/caps/0/unit", "not_allowed")),
        (("earning", 0, "rate", "of"), "attributes.cabin", ("/earning/0/rate/of", "unknown_reference")),
        (("earning", 0, "rate", "of"), "attributes.nowhere", ("/earning/0/rate/of", "unknown_reference")),
        (("earning", 0, "rate", "of"), ["amount", "amount"], ("/earning/0/rate/of/1", "repeated")),
        (("earning", 0, "lines"), "line.quantity > 1", ("/earning/0/lines", "not_allowed")),
        (("earning", 0, "rate", "by"), "tier", ("/earning/0/rate/points", "wrong_type")),
        (("earning", 0, "rate", "points"), {"silver": 2}, ("/earning/0/rate/points", "wrong_type")),
        (("earning", 0, "where"), "member.tier == 3", ("/earning/0/where", "condition_type")),
        (("tiers", "colour"), 1, ("/tiers/colour", "unknown_field")),
        (("tiers", "counters", "miles", "unit"), "nowhere", ("/tiers/counters/miles/unit", "unknown_reference")),
        (("tiers", "counters", "miles", "unit"), "point", ("/tiers/counters/miles/unit", "not_allowed")),
        (("tiers", "counters", "miles", "window"), "fortnight", ("/tiers/counters/miles/window", "not_one_of")),
        (("tiers", "counters", "miles", "months"), 3, ("/tiers/counters/miles/months", "not_allowed")),
        (("tiers", "counters", "miles", "counts"), "months", ("/tiers/counters/miles/counts", "not_allowed")),
        (("tiers", "counters", "miles", "since_tier"), True, ("/tiers/counters/miles/since_tier", "not_allowed")),
        (("tiers", "counters", "visits", "months"), None, ("/tiers/counters/visits", "missing")),
        (("tiers", "counters", "visits", "days"), 3, ("/tiers/counters/visits/days", "not_allowed")),
        (("tiers", "levels", 0, "needs"), {"miles": 1}, ("/tiers/levels/0/needs", "not_allowed")),
        (("tiers", "levels", 1, "tier"), "member", ("/tiers/levels/1/tier", "repeated")),
        (("tiers", "levels", 1, "tier"), "Silver", ("/tiers/levels/1/tier", "bad_format")),
        (("tiers", "levels", 1, "needs"), {"miles": 100, "no": 1}, ("/tiers/levels/1/needs/no", "unknown_reference")),
        (("tiers", "levels", 1, "needs", "miles"), 0, ("/tiers/levels/1/needs/miles", "out_of_range")),
        (("tiers", "levels", 2, "needs", "miles"), 99, ("/tiers/levels/2/needs/miles", "out_of_order")),
        (("tiers", "levels", 2, "needs"), {"miles": 100}, ("/tiers/levels/2/needs", "out_of_order")),
        (("tiers", "levels", 2, "keeps"), {"miles": {}}, ("/tiers/levels/2/keeps/miles", "missing")),
        (
            ("tiers", "levels", 2, "keeps"),
            {"miles": {"least": 2, "most": 1}},
            ("/tiers/levels/2/keeps/miles/most", "out_of_range"),
        ),
        (("tiers", "levels", 2, "keeps"), {"no": {"least": 2}}, ("/tiers/levels/2/keeps/no", "unknown_reference")),
        (("tiers", "lasts"), None, ("/tiers/steps_down", "not_allowed")),
        (("tiers", "judged_at"), "attributes.miles", ("/tiers/judged_at", "unknown_reference")),
        (("tiers", "match", "challenge", "counter"), "no", ("/tiers/match/challenge/counter", "unknown_reference")),
        (("tiers", "match", "challenge", "counter"), "visits", ("/tiers/match/challenge/counter", "not_allowed")),
        (("tiers", "match", "challenge", "percent"), 101, ("/tiers/match/challenge/percent", "out_of_range")),
    ],
)
def test_a_fault_names_its_place(path: tuple[Any, ...], value: Any, fault: tuple[str, str]) -> None:
    assert fault in faults(changed(path, value))


def test_classes_that_fall_each_month_neither_last_nor_are_matched() -> None:
    found = faults(changed(("tiers", "falls"), "month_end"))
    assert found == [
        ("/tiers/lasts", "not_allowed"),
        ("/tiers/steps_down", "not_allowed"),
        ("/tiers/match", "not_allowed"),
    ]


def test_a_rule_by_tier_needs_tiers_that_there_are() -> None:
    table = {"rate": {"points": {"silver": 2, "tin": 1}, "per": 1, "by": "tier"}}
    assert faults(tiered(table)) == [("/earning/0/rate/points/tin", "unknown_reference")]
    assert ("/earning/0/rate/by", "unknown_reference") in faults(tiered(table, tiers=None))
    assert ("/earning/0/where", "unknown_name") in faults(
        tiered({**BASE, "where": 'member.tier == "gold"'}, tiers=None)
    )


def test_a_fault_in_a_table_is_told_once() -> None:
    table = {"rate": {"points": {"silver": 0}, "per": 1, "by": "tier"}}
    assert faults(tiered(table)) == [("/earning/0/rate/points/silver", "out_of_range")]


def judged(program: CompiledProgram, tier: str, tenure: int = 0, **attributes: Any) -> list[tuple[int, str]]:
    activity = a_purchase(amount=1000, attributes=attributes)
    return [(one.computed, one.reason) for one in program.judge(activity, seen_as({}, tier, tenure))]


def test_shares_go_by_tier_and_tenure() -> None:
    rules: list[dict[str, Any]] = [
        {"rate": {"points": {"member": 5, "gold": "7.5"}, "per": 100, "by": "tier"}},
        {"multiplier": {"of": "rule-0", "by": "tier", "percent": {"gold": 50}}},
        {"multiplier": {"of": "rule-0", "by": "tenure", "percent": 5, "most": 25}},
        {"where": 'member.tier in ["silver", "gold"]', "fixed": {"points": 3}},
    ]
    program = CompiledProgram.from_document(load_program(tiered(*rules)), 1)
    assert judged(program, "member") == [
        (50, "earned"),
        (0, "not_for_tier"),
        (0, "not_for_tier"),
        (0, "condition_false"),
    ]
    assert judged(program, "gold", 3) == [(75, "earned"), (37, "earned"), (11, "earned"), (3, "earned")]
    assert judged(program, "gold", 6)[2] == (18, "earned")
    assert judged(program, "silver", 6)[0] == (0, "not_for_tier")


def test_a_rate_takes_what_it_names() -> None:
    rules: list[dict[str, Any]] = [
        {"rate": {"points": 1, "per": 1, "of": "attributes.miles", "least": 500}},
        {"rate": {"points": 1, "per": 1, "of": ["attributes.miles", "amount"]}},
    ]
    program = CompiledProgram.from_document(load_program(tiered(*rules)), 1)
    assert judged(program, "member", miles=187) == [(500, "earned"), (1187, "earned")]
    assert judged(program, "member", miles=501) == [(501, "earned"), (1501, "earned")]
    assert judged(program, "member") == [(0, "nothing_paid"), (1000, "earned")]
    assert judged(program, "member", miles="many") == [(0, "nothing_paid"), (1000, "earned")]


@pytest.mark.parametrize(
    ("day", "months", "first"),
    [
        (date(2025, 2, 28), 12, date(2024, 3, 1)),
        (date(2025, 2, 27), 12, date(2024, 2, 28)),
        (date(2024, 2, 29), 12, date(2023, 3, 1)),
        (date(2025, 4, 30), 2, date(2025, 3, 1)),
        (date(2024, 12, 31), 12, date(2024, 1, 1)),
        (date(2025, 1, 10), 12, date(2024, 1, 11)),
    ],
)
def test_a_rolling_window_reaches_back_to_the_day(day: date, months: int, first: date) -> None:
    assert first_of_rolling(day, months) == first


@pytest.mark.parametrize("months", [1, 2, 11, 12])
@pytest.mark.parametrize("day", [date(2024, 2, 29), date(2024, 1, 31), date(2024, 8, 31), date(2023, 12, 1)])
def test_what_holds_through_a_day_holds_no_longer_on_the_next(day: date, months: int) -> None:
    counters = {"visits": {"unit": "visit", "window": "rolling", "months": months}}
    levels = [{"tier": "member"}, {"tier": "regular", "needs": {"visits": 1}}]
    program = CompiledProgram.from_document(
        load_program(tiered(BASE, tiers={"counters": counters, "levels": levels})), 1
    )
    assert program.tiers is not None
    counter = program.tiers.counters["visits"]
    book = TierBook(counts={("visit", "day"): {day: 1}})
    last = counter.holds_through(1, book, day, day)
    assert last is not None
    assert counter.value(book, last, day) == 1
    assert counter.value(book, date.fromordinal(last.toordinal() + 1), day) == 0


@pytest.mark.parametrize("window", [{"window": "rolling", "months": 12}, {"window": "calendar_year"}])
def test_what_a_return_left_too_little_of_held_through_the_day_before(window: dict[str, object]) -> None:
    counters = {"visits": {"unit": "visit", **window}}
    levels = [{"tier": "member"}, {"tier": "regular", "needs": {"visits": 2}}]
    program = CompiledProgram.from_document(
        load_program(tiered(BASE, tiers={"counters": counters, "levels": levels})), 1
    )
    assert program.tiers is not None
    counter, day = program.tiers.counters["visits"], date(2024, 3, 20)
    book = TierBook(counts={("visit", counter.grain): {counter.bucket_day(date(2024, 3, 10), day): 1}})
    assert counter.holds_through(2, book, day, day) == date(2024, 3, 19)


def test_the_same_day_counts_once_for_two_counters_over_it() -> None:
    counters = {
        "visits": {"unit": "visit", "window": "rolling", "months": 12},
        "months": {"unit": "visit", "window": "rolling", "months": 12, "counts": "months"},
    }
    levels = [{"tier": "member"}, {"tier": "regular", "needs": {"visits": 2, "months": 2}}]
    program = CompiledProgram.from_document(
        load_program(tiered(BASE, tiers={"counters": counters, "levels": levels})), 1
    )
    assert program.tiers is not None
    at = datetime(2024, 3, 1, 12, tzinfo=UTC)
    climber = Climber(program.tiers, TierBook(), at, 1)
    facts = count(climber, [Counted("rule-0", "visit", 1)], "a", "shop", at, at)
    assert [fact.buckets for fact in facts if isinstance(fact, QualifyingCounted)] == [
        (Bucket("visit", "day", date(2024, 3, 1)),)
    ]
