from fractions import Fraction
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laurel.rounding import Mode, scaled, shares

amounts = st.integers(-(10**15), 10**15)
rates = st.integers(-(10**6), 10**6)
denominators = st.integers(1, 10**6)
modes: st.SearchStrategy[Mode] = st.sampled_from(get_args(Mode))


@pytest.mark.parametrize(
    ("amount", "numerator", "denominator", "mode", "result"),
    [
        (299, 1, 100, "down", 2),
        (299, 1, 100, "up", 3),
        (250, 1, 100, "half_up", 3),
        (249, 1, 100, "half_up", 2),
        (-299, 1, 100, "down", -2),
        (-201, 1, 100, "up", -3),
        (-250, 1, 100, "half_up", -3),
        (300, 1, 100, "up", 3),
        (0, 5, 7, "up", 0),
        (10**15, 10**15, 1, "down", 10**30),
    ],
)
def test_each_mode_rounds_as_it_says(amount: int, numerator: int, denominator: int, mode: Mode, result: int) -> None:
    assert scaled(amount, numerator, denominator, mode) == result


@settings(deadline=None)
@given(amounts, rates, denominators, modes)
def test_rounding_is_less_than_one_off_and_towards_the_side_it_names(
    amount: int, numerator: int, denominator: int, mode: Mode
) -> None:
    exact = Fraction(amount * numerator, denominator)
    result = scaled(amount, numerator, denominator, mode)
    assert abs(result - exact) < 1
    match mode:
        case "down":
            assert abs(result) <= abs(exact)
        case "up":
            assert abs(result) >= abs(exact)
        case "half_up":
            assert abs(result - exact) <= Fraction(1, 2)


@settings(deadline=None)
@given(amounts, rates, denominators, modes)
def test_taking_back_mirrors_giving(amount: int, numerator: int, denominator: int, mode: Mode) -> None:
    given_points = scaled(amount, numerator, denominator, mode)
    assert scaled(-amount, numerator, denominator, mode) == -given_points
    assert scaled(amount, -numerator, denominator, mode) == -given_points
    assert scaled(amount, numerator, -denominator, mode) == -given_points


@settings(deadline=None)
@given(st.integers(0, 10**15), st.integers(0, 10**15), rates.map(abs), denominators)
def test_rounding_each_line_down_never_gives_more_than_rounding_once(
    one: int, other: int, numerator: int, denominator: int
) -> None:
    apart = scaled(one, numerator, denominator, "down") + scaled(other, numerator, denominator, "down")
    assert apart <= scaled(one + other, numerator, denominator, "down") <= apart + 1


def test_a_mode_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown rounding mode"):
        scaled(1, 1, 2, "bankers")  # type: ignore[arg-type]


def test_nothing_is_divided_by_zero() -> None:
    with pytest.raises(ZeroDivisionError):
        scaled(1, 1, 0, "down")


@settings(deadline=None)
@given(amounts, st.lists(st.integers(0, 10**9), min_size=1, max_size=20))
def test_shares_make_the_total_again(total: int, weights: list[int]) -> None:
    parts = shares(total, weights)
    assert len(parts) == len(weights)
    assert sum(parts) == total


@settings(deadline=None)
@given(amounts, st.lists(st.integers(1, 10**9), min_size=1, max_size=20))
def test_a_share_is_less_than_one_off(total: int, weights: list[int]) -> None:
    for part, weight in zip(shares(total, weights), weights, strict=True):
        assert abs(part - Fraction(total * weight, sum(weights))) <= 1


def test_a_weight_of_zero_gets_nothing_unless_all_are() -> None:
    assert shares(10, [0, 1, 0, 1]) == [0, 5, 0, 5]
    assert shares(10, [0, 0, 0]) == [0, 0, 10]


def test_shares_of_nothing() -> None:
    assert shares(0, []) == []
    with pytest.raises(ValueError, match="nothing to split"):
        shares(1, [])
    with pytest.raises(ValueError, match="negative"):
        shares(1, [2, -1])
