"""Rules that exclude each other, and rules that earn only for a time."""

from __future__ import annotations

from typing import Any

import pytest

from laurel.program import Returned, basis_less_returns
from tests.program.samples import a_program, a_purchase, computed, reasons

# A condition, so that nothing behind it could be called unreachable.
SMALL = {"rule": "small", "fixed": {"points": 5}, "group": "offers", "priority": 1, "where": "activity.amount > 0"}
RATE = {"rule": "rate", "rate": {"points": 1, "per": 100}, "group": "offers"}
APP = {"rule": "app", "fixed": {"points": 7}, "group": "offers", "where": 'activity.channel == "app"'}


@pytest.mark.parametrize(
    ("stack", "amount", "points"),
    [
        ("all", 900, [5, 9, 0]),
        ("best", 900, [0, 9, 0]),
        ("best", 400, [5, 0, 0]),
        ("best", 500, [5, 0, 0]),
        ("first", 900, [5, 0, 0]),
    ],
)
def test_a_group_stacks_as_it_says(stack: str, amount: int, points: list[int]) -> None:
    program = a_program(SMALL, RATE, APP, groups={"offers": {"stack": stack}})
    assert computed(program.judge(a_purchase(amount=amount), {})) == points


def test_who_gives_way_says_so() -> None:
    program = a_program(SMALL, RATE, APP, groups={"offers": {"stack": "best"}})
    outcomes = program.judge(a_purchase(amount=900, channel="app"), {})
    assert reasons(outcomes) == ["gave_way", "earned", "gave_way"]


def test_priority_goes_before_order_and_order_settles_ties() -> None:
    rules = [
        {"rule": name, "fixed": {"points": 5}, "group": "g", "priority": p, "where": 'activity.channel != "app"'}
        for name, p in (("a", 0), ("b", 2))
    ]
    program = a_program(*rules, {"rule": "c", "fixed": {"points": 9}, "group": "g"}, groups={"g": {"stack": "first"}})
    assert computed(program.judge(a_purchase(channel="web"), {})) == [0, 5, 0]


def test_a_rule_that_earns_nothing_excludes_nobody() -> None:
    program = a_program(RATE, SMALL | {"priority": 0}, groups={"offers": {"stack": "first"}})
    assert computed(program.judge(a_purchase(amount=99), {})) == [0, 5]


def test_a_return_does_not_choose_anew() -> None:
    program = a_program(SMALL, RATE, groups={"offers": {"stack": "best"}})
    left = basis_less_returns(a_purchase(amount=900), Returned(amount=600))
    assert computed(program.evaluate(left, {}, stacked=False)) == [5, 3]


@pytest.mark.parametrize(
    ("at", "points"),
    [
        ("2024-02-29T23:59:59Z", 0),
        ("2024-03-01T00:00:00Z", 5),
        ("2024-03-31T23:59:59Z", 5),
        ("2024-04-01T00:00:00Z", 0),
    ],
)
@pytest.mark.parametrize("extra", [{}, {"where": 'activity.channel == "app"'}, {"lines": 'line.sku == "x"'}])
def test_a_rule_earns_within_its_dates(at: str, points: int, extra: dict[str, Any]) -> None:
    dates = {"starts_at": "2024-03-01T00:00:00Z", "ends_at": "2024-04-01T00:00:00Z"}
    rule = {"rule": "a", "fixed": {"points": 5}, **dates, **extra}
    program = a_program(rule, {"multiplier": {"of": "a", "percent": 20}})
    basket = a_purchase(occurred_at=at, channel="app", lines=[{"amount": 1, "sku": "x"}])
    outcomes = program.judge(basket, {})
    assert computed(outcomes) == [points, points // 5]
    assert reasons(outcomes) == (["earned", "earned"] if points else ["outside_dates", "base_not_fired"])


def test_a_multiplier_has_dates_of_its_own() -> None:
    program = a_program(
        {"rule": "a", "fixed": {"points": 50}},
        {"multiplier": {"of": "a", "percent": 20}, "ends_at": "2024-01-01T00:00:00Z"},
    )
    assert reasons(program.judge(a_purchase(), {})) == ["earned", "outside_dates"]
