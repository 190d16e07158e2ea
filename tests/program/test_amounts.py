"""Rates of other numbers than the amount: attributes, sums of them, and the least that counts."""

from __future__ import annotations

from typing import Any

import pytest

from laurel.program import ProgramFaults, Returned, basis_less_returns
from tests.program.samples import a_program, a_purchase, computed, reasons

MILES = {"rule": "base", "rate": {"points": 1, "per": 1, "of": "attributes.miles", "least": 500}}


@pytest.mark.parametrize(("miles", "points"), [(2475, 2475), (187, 500), (500, 500), (501, 501), (0, 0), (-3, 0)])
def test_a_short_flight_counts_as_the_least(miles: int, points: int) -> None:
    assert computed(a_program(MILES).judge(a_purchase(attributes={"miles": miles}), {})) == [points]


@pytest.mark.parametrize("attributes", [{}, {"miles": "far"}, {"miles": True}])
def test_a_number_that_is_not_there_earns_nothing(attributes: dict[str, Any]) -> None:
    outcomes = a_program(MILES).judge(a_purchase(attributes=attributes), {})
    assert (computed(outcomes), reasons(outcomes)) == ([0], ["nothing_paid"])


FARE = {"rate": {"points": 5, "per": 100, "of": ["attributes.fare", "attributes.surcharge"]}}
MONEY = {"activity": {"fare": "integer", "surcharge": "integer"}}


def test_several_numbers_are_added_before_the_rounding() -> None:
    program = a_program(FARE, attributes=MONEY)
    ticket = a_purchase(amount=55637, attributes={"fare": 43000, "surcharge": 4000})
    assert computed(program.judge(ticket, {})) == [2350]
    assert computed(program.judge(a_purchase(amount=19, attributes={"fare": 10, "surcharge": 9}), {})) == [0]
    assert computed(program.judge(a_purchase(amount=20, attributes={"fare": 11, "surcharge": 9}), {})) == [1]


def test_what_comes_back_is_taken_off_the_number() -> None:
    program = a_program(FARE, attributes=MONEY)
    ticket = a_purchase(amount=55637, attributes={"fare": 43000, "surcharge": 4000})
    back = Returned(amount=23550, attributes={"fare": 23550})
    assert computed(program.evaluate(basis_less_returns(ticket, back), {}, stacked=False)) == [1172]


@pytest.mark.parametrize(("earns", "points"), [("excluded", 500), ("earns", 1250)])
def test_the_share_that_points_paid_earns_nothing(earns: str, points: int) -> None:
    program = a_program({**FARE, "paid_by_points_and_vouchers": earns}, attributes=MONEY)
    ticket = a_purchase(
        amount=50000,
        attributes={"fare": 20000, "surcharge": 5000},
        tenders=[{"kind": "points", "amount": 30000}, {"kind": "card", "amount": 20000}],
    )
    assert computed(program.judge(ticket, {})) == [points]


def test_a_multiplier_takes_the_sum_of_its_bases() -> None:
    program = a_program(
        {"rule": "a", "rate": {"points": 1, "per": 100}},
        {"rule": "b", "rate": {"points": 1, "per": 200}, "where": 'activity.channel == "app"'},
        {"multiplier": {"of": ["a", "b"], "percent": 50}},
    )
    assert computed(program.judge(a_purchase(amount=3100, channel="app"), {})) == [31, 15, 23]
    assert computed(program.judge(a_purchase(amount=3100), {})) == [31, 0, 15]


def test_a_multiplier_without_any_base_stays_silent() -> None:
    program = a_program(
        {"rule": "a", "rate": {"points": 1, "per": 100}, "where": 'activity.channel == "app"'},
        {"multiplier": {"of": ["a"], "percent": 50}},
    )
    assert reasons(program.judge(a_purchase(amount=3100), {})) == ["condition_false", "base_not_fired"]


def _funded(budget: dict[str, int], price: str | None = "1.5") -> dict[str, Any]:
    funding = {"funder": "maker"} if price is None else {"funder": "maker", "price": price}
    return {"rule": "offer", "fixed": {"points": 50}, "budget": budget, "funding": funding}


@pytest.mark.parametrize(
    ("budget", "price", "points"),
    [({"points": 70}, None, 70), ({"amount": 100}, "1.5", 66), ({"amount": 1}, "1.5", 0), ({"amount": 7}, "0.5", 14)],
)
def test_a_budget_of_money_is_as_many_whole_points_as_it_buys(
    budget: dict[str, int], price: str | None, points: int
) -> None:
    (rule,) = a_program(_funded(budget, price)).rules
    assert rule.budget == points


@pytest.mark.parametrize(
    ("budget", "price", "pointer"),
    [
        ({}, "1", "/earning/0/budget"),
        ({"points": 1, "amount": 1}, "1", "/earning/0/budget/amount"),
        ({"amount": 1}, None, "/earning/0/budget/amount"),
        ({"amount": 1}, "0", "/earning/0/budget/amount"),
        ({"amount": 0}, "1", "/earning/0/budget/amount"),
    ],
)
def test_what_is_wrong_with_a_budget_is_named(budget: dict[str, int], price: str | None, pointer: str) -> None:
    with pytest.raises(ProgramFaults) as raised:
        a_program(_funded(budget, price))
    assert [fault.pointer for fault in raised.value.faults] == [pointer]
