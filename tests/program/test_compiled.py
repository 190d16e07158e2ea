"""What rules make of an activity: kinds, rounding, conditions, reasons, and how long points are good."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laurel.program import CompiledProgram, load_program
from laurel.program.compiled import REASONS
from laurel.program.conditions import compile_condition
from laurel.program.scopes import lines_scope
from tests.program.samples import a_document, a_program, a_purchase, computed, reasons

BASE = {"rule": "base", "rate": {"points": 1, "per": 100}}


def test_components_are_rounded_down_once_each() -> None:
    program = a_program(BASE, {"rate": {"points": "0.5", "per": 100}, "lines": 'line.category == "A"'})
    basket = a_purchase(lines=[{"amount": 99, "category": "A"}, {"amount": 101, "category": "A"}, {"amount": 99}])
    assert computed(program.judge(basket, {})) == [2, 1]


@pytest.mark.parametrize(
    ("points", "per", "amount", "rounding", "result"),
    [
        (1, 100, 3740, "down", 37),
        (2, 100, 8460, "down", 169),
        (1, 200, 3300, "down", 16),
        (5, 100, 3799, "down", 189),
        (5, 100, 3799, "half_up", 190),
        (5, 100, 3799, "up", 190),
        ("1/3", 1, 2, "down", 0),
        ("0.05", 1, 3799, "down", 189),
        ("1.5", 1, 10**15, "down", 15 * 10**14),
    ],
)
def test_rates_are_exact(points: int | str, per: int, amount: int, rounding: str, result: int) -> None:
    program = a_program({"rate": {"points": points, "per": per}, "rounding": rounding})
    assert computed(program.judge(a_purchase(amount=amount), {})) == [result]


@pytest.mark.parametrize(
    ("fixed", "result"),
    [({"points": 50}, 50), ({"points": 50, "per": "line"}, 100), ({"points": 50, "per": "quantity"}, 150)],
)
def test_fixed_points_count_what_they_are_told_to(fixed: dict[str, Any], result: int) -> None:
    program = a_program({"fixed": fixed, "lines": 'line.sku == "pack"'})
    basket = a_purchase(
        lines=[{"amount": 1, "sku": "pack", "quantity": 2}, {"amount": 1}, {"amount": 1, "sku": "pack"}]
    )
    assert computed(program.judge(basket, {})) == [result]


def test_a_multiplier_takes_a_share_of_the_whole_points_of_its_base() -> None:
    bonus = {"multiplier": {"of": "base", "percent": 50}, "where": 'member.attributes.card == "gold"'}
    program = a_program(BASE, bonus, {"multiplier": {"of": "base", "fraction": "1/3"}})
    basket = a_purchase(amount=17599)
    assert computed(program.judge(basket, {"card": "gold"})) == [175, 87, 58]
    assert reasons(program.judge(basket, {})) == ["earned", "condition_false", "earned"]


def test_a_multiplier_is_silent_where_its_base_is() -> None:
    program = a_program({**BASE, "where": 'activity.channel == "store"'}, {"multiplier": {"of": "base", "percent": 50}})
    assert reasons(program.judge(a_purchase(amount=100), {})) == ["condition_false", "base_not_fired"]


def test_a_basket_paid_by_voucher_earns_by_the_rules_that_allow_it() -> None:
    program = a_program(BASE, {**BASE, "rule": "all", "paid_by_points_and_vouchers": "earns"})
    basket = a_purchase(amount=2530, tenders=[{"kind": "voucher", "amount": 250}])
    assert computed(program.judge(basket, {})) == [22, 25]


def test_what_is_fixed_is_earned_unless_points_and_vouchers_paid_for_all_of_it() -> None:
    program = a_program(
        {"fixed": {"points": 500}},
        {"fixed": {"points": 5, "per": "quantity"}},
        {"fixed": {"points": 20}, "paid_by_points_and_vouchers": "earns"},
    )
    lines = [{"amount": 300, "quantity": 2}]
    in_part = a_purchase(lines=lines, tenders=[{"kind": "points", "amount": 100}, {"kind": "voucher", "amount": 199}])
    assert computed(program.judge(in_part, {})) == [500, 10, 20]
    wholly = a_purchase(lines=lines, tenders=[{"kind": "points", "amount": 100}, {"kind": "voucher", "amount": 200}])
    outcomes = program.judge(wholly, {})
    assert computed(outcomes) == [0, 0, 20]
    assert reasons(outcomes) == ["nothing_paid", "nothing_paid", "earned"]


def test_every_rule_says_why() -> None:
    only_a = {"lines": 'line.category == "A"'}
    program = a_program(
        BASE,
        {"rate": {"points": 1, "per": 10_000}},
        {**only_a, "fixed": {"points": 1}},
        {"fixed": {"points": 1}, "where": 'activity.store == "s-2"'},
        {"fixed": {"points": 1}, "on": ["survey"]},
        {"multiplier": {"of": "rule-3", "percent": 10}},
        {"lines": 'line.category == "B"', "fixed": {"points": 1}, "where": 'activity.store == "s-2"'},
    )
    basket = a_purchase(lines=[{"amount": 150, "category": "B"}], store="s-1")
    outcomes = program.judge(basket, {})
    assert reasons(outcomes) == [
        "earned",
        "rounds_to_zero",
        "no_line_matches",
        "condition_false",
        "type_not_covered",
        "base_not_fired",
        "condition_false",
    ]
    assert [outcome.fired for outcome in outcomes] == [True, True, False, False, False, False, False]
    assert [outcome.rule.index for outcome in outcomes] == list(range(7))
    paid = a_purchase(amount=100, tenders=[{"kind": "points", "amount": 100}])
    assert reasons(program.judge(paid, {}))[0] == "nothing_paid"
    assert set(reasons(program.judge(a_purchase(type="visit"), {}))) == {"type_not_covered"}
    assert set(reasons(outcomes)) <= set(REASONS)


def test_outcomes_that_earn_nothing_are_shared() -> None:
    program = a_program(BASE, {"lines": 'line.category == "A"', "fixed": {"points": 1}})
    one, other = program.judge(a_purchase(amount=100), {}), program.judge(a_purchase(amount=200), {})
    assert one[1] is other[1]


def test_an_activity_without_an_amount_earns_what_is_fixed() -> None:
    program = a_program({**BASE, "on": ["survey"]}, {"on": ["survey"], "fixed": {"points": 20}})
    outcomes = program.judge(a_purchase(type="survey", currency=None), {})
    assert computed(outcomes) == [0, 20]
    assert reasons(outcomes) == ["nothing_paid", "earned"]


def test_where_sees_what_is_kept() -> None:
    program = a_program({"fixed": {"points": 100}, "where": "activity.amount >= 5000"})
    assert computed(program.judge(a_purchase(amount=5000), {})) == [100]
    assert computed(program.judge(a_purchase(amount=4999), {})) == [0]


_CONDITIONS = [
    'line.category == "A"',
    'line.category in ["A", "B"] && line.amount >= 50',
    'line.brand == "N"',
    'line.attributes.manufacturer == "m"',
    'line.attributes.manufacturer in ["m", "n"] && line.brand == "P"',
    'line.category.startsWith("A") && line.quantity > 1',
    'line.category != "A" && line.amount * 2 > 100',
    'line.brand == "N" || line.attributes.organic',
    "line.amount > 70",
    "true",
]
_INDEXED = a_program(*({"lines": lines, "fixed": {"points": 1, "per": "line"}} for lines in _CONDITIONS))
_LINE = st.fixed_dictionaries(
    {"amount": st.integers(0, 100)},
    optional={
        "category": st.sampled_from(["A", "B", "AB"]),
        "brand": st.sampled_from(["N", "P"]),
        "quantity": st.integers(0, 3),
        "attributes": st.fixed_dictionaries(
            {}, optional={"manufacturer": st.sampled_from(["m", "n", 5, True]), "organic": st.booleans()}
        ),
    },
)


@given(st.lists(_LINE, max_size=6))
def test_rules_found_by_index_are_those_whose_condition_holds(lines: list[dict[str, Any]]) -> None:
    basket = a_purchase(lines=lines)
    scope = lines_scope({"manufacturer": "text", "organic": "boolean", "grams": "integer"})
    expected = [
        sum(compile_condition(source, scope).holds(line, {}) for line in basket.lines) for source in _CONDITIONS
    ]
    assert computed(_INDEXED.judge(basket, {})) == expected


_WHERES = [
    'activity.store == "s-1"',
    'activity.store in ["s-1", "s-2"] && member.attributes.card == "gold"',
    'member.attributes.card == "gold" || activity.amount > 10',
    "member.attributes.age >= 18",
    'activity.channel == "web" && activity.attributes.cabin == "first" && !activity.attributes.gift',
]
_FOUND = a_program(*({"where": where, "fixed": {"points": 1}} for where in _WHERES))


@given(
    st.sampled_from(["s-1", "s-2", "s-3", None]),
    st.sampled_from(["web", "store", None]),
    st.integers(0, 20),
    st.fixed_dictionaries({}, optional={"card": st.sampled_from(["gold", "blue"]), "age": st.integers(16, 20)}),
    st.fixed_dictionaries({}, optional={"cabin": st.sampled_from(["first", "economy"]), "gift": st.booleans()}),
)
def test_rules_found_by_the_activity_are_those_whose_condition_holds(
    store: str | None, channel: str | None, amount: int, member: dict[str, Any], attributes: dict[str, Any]
) -> None:
    basket = a_purchase(store=store, channel=channel, amount=amount, attributes=attributes)
    gold = member.get("card") == "gold"
    first = attributes.get("cabin") == "first"
    expected = [
        store == "s-1",
        store in {"s-1", "s-2"} and gold,
        gold or amount > 10,
        member.get("age", 0) >= 18,
        channel == "web" and first and attributes.get("gift") is False,
    ]
    assert computed(_FOUND.judge(basket, member)) == expected


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("validity", "earned_at", "expires_at"),
    [
        ({"kind": "never"}, "2023-05-31T12:00:00+00:00", None),
        ({"kind": "inactivity", "months": 24, "kept_by": ["purchase"]}, "2023-05-31T12:00:00+00:00", None),
        ({"kind": "rolling", "months": 24}, "2023-05-31T12:00:00+01:00", "2025-05-31T00:00:00+01:00"),
        ({"kind": "rolling", "months": 24}, "2024-02-29T12:00:00+00:00", "2026-02-28T00:00:00+00:00"),
        ({"kind": "rolling", "years": 7}, "1993-09-10T12:00:00+01:00", "2000-09-10T00:00:00+01:00"),
        ({"kind": "rolling", "days": 90}, "2024-03-10T12:00:00+00:00", "2024-06-08T00:00:00+01:00"),
        ({"kind": "end_of_period", "period": "year", "after": 3}, "2021-01-10T12:00:00Z", "2025-01-01T00:00:00Z"),
        ({"kind": "end_of_period", "period": "year", "after": 0}, "2021-12-31T23:59:59Z", "2022-01-01T00:00:00Z"),
        (
            {"kind": "end_of_period", "period": "quarter", "after": 1},
            "2024-02-29T12:00:00Z",
            "2024-07-01T00:00:00+01:00",
        ),
        ({"kind": "end_of_period", "period": "month", "after": 1}, "2024-01-31T12:00:00Z", "2024-03-01T00:00:00Z"),
    ],
)
def test_points_are_good_until_a_local_midnight(
    validity: dict[str, Any], earned_at: str, expires_at: str | None
) -> None:
    program = a_program(BASE, units={"point": {"scale": 0, "validity": validity}})
    expected = None if expires_at is None else at(expires_at)
    assert program.expires_at(program.rules[0], at(earned_at)) == expected
    assert program.unit_expires_at("point", at(earned_at)) == expected


def test_the_day_is_that_of_the_program() -> None:
    validity = {"kind": "rolling", "months": 24}
    program = a_program(BASE, time_zone="America/New_York", units={"point": {"scale": 0, "validity": validity}})
    late = datetime(2023, 6, 1, 3, 59, tzinfo=UTC)
    assert program.expires_at(program.rules[0], late) == at("2025-05-31T00:00:00-04:00")


def test_a_rule_may_have_its_own_validity() -> None:
    program = a_program(BASE, {**BASE, "rule": "own", "validity": {"kind": "rolling", "days": 1}})
    earned_at = at("2024-01-01T12:00:00+00:00")
    assert program.expires_at(program.rules[0], earned_at) is None
    assert program.expires_at(program.rules[1], earned_at) == at("2024-01-02T00:00:00+00:00")


def test_inactivity_is_put_off_by_the_activities_it_names() -> None:
    validity = {"kind": "inactivity", "months": 24, "kept_by": ["purchase"]}
    program = a_program(BASE, units={"point": {"scale": 0, "validity": validity}})
    assert program.lapses_at("point", at("2023-05-30T23:59:59+01:00")) == at("2025-05-30T00:00:00+01:00")
    assert program.keeps_alive("point", "purchase")
    assert not program.keeps_alive("point", "survey")
    assert a_program(BASE).lapses_at("point", at("2023-05-30T23:59:59+01:00")) is None
    assert not a_program(BASE).keeps_alive("point", "purchase")


def test_a_late_claim_counts_its_last_day() -> None:
    program = a_program(BASE, time_zone="America/Chicago")
    flown = at("2024-08-31T10:00:00-05:00")
    assert program.claimable_until(flown) == at("2025-03-01T00:00:00-06:00")


def test_the_program_shows_what_others_need() -> None:
    price = {"funder": "maker", "price": "1.5"}
    program = a_program(
        BASE,
        {"fixed": {"points": 1}, "funding": price},
        {"fixed": {"points": 1}, "funding": {**price, "currency": "USD"}},
    )
    assert (program.program, program.version, program.clock, program.currency) == ("sample", 1, "manual", "GBP")
    assert program.zone.key == "Europe/London"
    assert [(rule.funder, rule.price, rule.price_currency) for rule in program.rules] == [
        ("shop", None, None),
        ("maker", Fraction(3, 2), "GBP"),
        ("maker", Fraction(3, 2), "USD"),
    ]
    assert program.member_attributes == {"card", "staff", "age"}
    assert program.late_claim_months == 6
    assert not program.refill_on_return


def test_a_program_without_rules_earns_nothing() -> None:
    program = CompiledProgram.from_document(load_program(a_document()), 1)
    assert list(program.judge(a_purchase(amount=100), {})) == []


@pytest.mark.parametrize(
    ("value", "breakage", "outstanding", "amount"),
    [("2", 25, 10**9, 1_500_000_000), ("0.5", 0, 1, 1), ("0.5", 0, 0, 0), ("0.5", 1, 1, 0), ("2", 0, -7, 0)],
)
def test_what_is_set_aside_is_rounded_half_up_once(value: str, breakage: int, outstanding: int, amount: int) -> None:
    units = {
        "point": {
            "scale": 0,
            "validity": {"kind": "never"},
            "value": {"per_point": value, "currency": "USD"},
            "breakage": breakage,
        }
    }
    unit = CompiledProgram.from_document(load_program(a_document(units=units)), 1).units["point"]
    assert (unit.provision(outstanding), unit.value_currency) == (amount, "USD")


def test_without_a_value_nothing_is_said_to_be_set_aside() -> None:
    unit = CompiledProgram.from_document(load_program(a_document()), 1).units["point"]
    assert unit.provision(1_000) is None
