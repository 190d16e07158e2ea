"""What is left of an activity after returns: all parts make the whole, and nothing grows by coming back."""

from __future__ import annotations

from contextlib import suppress
from itertools import accumulate
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laurel.contracts.activity import Activity
from laurel.errors import Refused
from laurel.program import (
    NOTHING_RETURNED,
    Basis,
    Returned,
    ReturnedLine,
    basis_less_returns,
    basis_of,
    is_all,
    plus_return,
    returned_total,
)
from laurel.program.bases import total_of
from tests.program.samples import a_program, a_purchase, a_return, computed

PROGRAM = a_program(
    {"rate": {"points": 1, "per": 100}},
    {"rate": {"points": "5/3", "per": 7}, "lines": 'line.category == "A"'},
    {"fixed": {"points": 50, "per": "quantity"}, "lines": 'line.category in ["A", "B"]'},
    {"fixed": {"points": 5, "per": "line"}},
    {"fixed": {"points": 9}},
    {"multiplier": {"of": "rule-0", "percent": 50}},
    {"rate": {"points": 1, "per": 10}, "rounding": "up", "paid_by_points_and_vouchers": "earns"},
)


def earned(basis: Basis) -> list[int]:
    return computed(PROGRAM.evaluate(basis, {}))


@st.composite
def purchases(draw: st.DrawFn) -> Activity:
    """A basket of one to five lines, part of it perhaps paid by voucher and points."""
    lines: list[dict[str, Any]] = draw(
        st.lists(
            st.fixed_dictionaries(
                {"amount": st.integers(0, 2_000), "category": st.sampled_from(["A", "B", "C"])},
                optional={"quantity": st.integers(0, 7)},
            ),
            min_size=1,
            max_size=5,
        )
    )
    total = sum(line["amount"] for line in lines)
    voucher = draw(st.integers(0, total))
    points = draw(st.integers(0, total - voucher))
    tenders = [{"kind": "voucher", "amount": voucher}, {"kind": "points", "amount": points}]
    return a_purchase(lines=lines, tenders=tenders if draw(st.booleans()) else None)


@st.composite
def returns(draw: st.DrawFn, activity: Activity, so_far: Returned) -> Activity | None:
    """One more return of something that is left, by quantity or by amount; None where nothing can be named."""
    ways = []
    for line in activity.lines:
        back = so_far.lines.get(line.id, ReturnedLine())
        pieces = (1 if line.quantity is None else line.quantity) - back.quantity
        money = (line.amount or 0) - (returned_total(activity, Returned(lines={line.id: back})))
        ways += [{"id": line.id, "quantity": count} for count in (1, pieces) if 0 < count <= pieces]
        ways += [{"id": line.id, "amount": amount} for amount in (1, money) if 0 < amount <= money]
    if not ways:
        return None
    return a_return(lines=[draw(st.sampled_from(ways))])


@given(purchases())
def test_nothing_returned_leaves_everything(activity: Activity) -> None:
    assert basis_less_returns(activity, NOTHING_RETURNED) == basis_of(activity)


@given(purchases())
def test_everything_returned_leaves_nothing(activity: Activity) -> None:
    everything = plus_return(activity, NOTHING_RETURNED, a_return())
    basis = basis_less_returns(activity, everything)
    assert (basis.kept, basis.amount, basis.tender_excluded) == (False, 0, 0)
    assert earned(basis) == [0] * len(PROGRAM.rules)
    with pytest.raises(Refused, match="over_returned"):
        plus_return(activity, everything, a_return())


def test_free_lines_earn_no_more_when_what_points_paid_for_comes_back() -> None:
    lines = [{"amount": 0, "category": "A"}, {"amount": 1, "category": "A"}]
    activity = a_purchase(lines=lines, tenders=[{"kind": "points", "amount": 1}])
    returned = plus_return(activity, NOTHING_RETURNED, a_return(lines=[{"id": "2", "quantity": 1}]))
    fixed = slice(2, 5)
    assert earned(basis_of(activity))[fixed] == [0, 0, 0]
    assert earned(basis_less_returns(activity, returned))[fixed] == [0, 0, 0]


@given(purchases(), st.data())
def test_nothing_grows_by_coming_back_and_all_parts_make_the_whole(activity: Activity, data: st.DataObject) -> None:
    whole = basis_of(activity)
    returned = NOTHING_RETURNED
    before = earned(whole)
    for _ in range(12):
        back = None if is_all(activity, returned) else data.draw(returns(activity, returned))
        if back is None:
            break
        # Pieces after money may round up to more than is left of the line.
        with suppress(Refused):
            returned = plus_return(activity, returned, back)
        basis = basis_less_returns(activity, returned)
        assert basis.amount == (total_of(activity) or 0) - returned_total(activity, returned)
        assert basis.tender_excluded == sum(basis.line_excluded)
        assert 0 <= basis.tender_excluded <= basis.amount
        assert all(0 <= out <= (line.amount or 0) for out, line in zip(basis.line_excluded, basis.lines, strict=False))
        now = earned(basis)
        assert all(new <= old for new, old in zip(now, before, strict=True))
        before = now
    if is_all(activity, returned):
        assert before == [0] * len(before)
        assert returned_total(activity, returned) == total_of(activity)


@given(st.integers(0, 10_000), st.integers(1, 20), st.data())
def test_pieces_that_come_back_in_any_split_make_the_line(amount: int, quantity: int, data: st.DataObject) -> None:
    activity = a_purchase(lines=[{"quantity": quantity, "amount": amount}, {"quantity": 1, "amount": 100}])
    cuts = sorted(data.draw(st.sets(st.integers(1, quantity), max_size=quantity)) | {quantity})
    returned = NOTHING_RETURNED
    given_back = []
    for count in [after - before for before, after in zip([0, *cuts], cuts, strict=False)]:
        old = returned_total(activity, returned)
        returned = plus_return(activity, returned, a_return(lines=[{"quantity": count}]))
        given_back.append(returned_total(activity, returned) - old)
    assert sum(given_back) == amount
    # Where it was cut makes no difference to what had come back by then.
    assert list(accumulate(given_back)) == [(2 * amount * cut + quantity) // (2 * quantity) for cut in cuts]
    assert basis_less_returns(activity, returned).amount == 100


def test_a_return_takes_the_voucher_back_in_step() -> None:
    activity = a_purchase(amount=1000, tenders=[{"kind": "voucher", "amount": 250}])
    half = basis_less_returns(activity, Returned(amount=500))
    assert (half.amount, half.tender_excluded) == (500, 125)


def test_an_activity_without_lines_comes_back_by_amount() -> None:
    activity = a_purchase(amount=1000)
    returned = plus_return(activity, NOTHING_RETURNED, a_return(amount=400))
    assert basis_less_returns(activity, returned).amount == 600
    with pytest.raises(Refused) as found:
        plus_return(activity, returned, a_return(amount=601))
    assert (found.value.code, found.value.facts) == ("over_returned", {"left": 600})
    assert is_all(activity, plus_return(activity, returned, a_return(amount=600)))


@pytest.mark.parametrize(
    ("back", "code"),
    [
        ({"lines": [{"id": "9", "quantity": 1}]}, "over_returned"),
        ({"lines": [{"id": "1", "quantity": 3}]}, "over_returned"),
        ({"lines": [{"id": "1", "amount": 201}]}, "over_returned"),
        ({"lines": [{"id": "1", "quantity": 1}], "amount": 99}, "lines_do_not_sum"),
        ({"amount": 299}, "lines_do_not_sum"),
        ({"amount": 301}, "over_returned"),
        ({"lines": [{"id": "1", "quantity": 1}], "attributes": {"nights": 3}}, "over_returned"),
    ],
)
def test_too_much_is_refused(back: dict[str, Any], code: str) -> None:
    lines = [{"quantity": 2, "amount": 200}, {"quantity": 1, "amount": 100}]
    activity = a_purchase(lines=lines, attributes={"nights": 2})
    with pytest.raises(Refused) as found:
        plus_return(activity, NOTHING_RETURNED, a_return(**back))
    assert found.value.code == code


def test_the_whole_amount_alone_is_all_of_it() -> None:
    activity = a_purchase(lines=[{"quantity": 2, "amount": 200}, {"amount": 100}])
    assert is_all(activity, plus_return(activity, NOTHING_RETURNED, a_return(amount=300)))


def test_a_line_by_quantity_may_say_what_it_comes_to() -> None:
    activity = a_purchase(lines=[{"quantity": 3, "amount": 100}])
    returned = plus_return(activity, NOTHING_RETURNED, a_return(lines=[{"quantity": 1}], amount=33))
    returned = plus_return(activity, returned, a_return(lines=[{"quantity": 1}], amount=34))
    assert is_all(activity, plus_return(activity, returned, a_return(lines=[{"quantity": 1}], amount=33)))


def test_a_free_line_comes_back_by_its_pieces() -> None:
    activity = a_purchase(lines=[{"quantity": 2, "amount": 0}])
    half = plus_return(activity, NOTHING_RETURNED, a_return(lines=[{"quantity": 1}]))
    assert not is_all(activity, half)
    assert basis_less_returns(activity, half).lines[0].quantity == 1
    assert is_all(activity, plus_return(activity, half, a_return(lines=[{"quantity": 1}])))


def test_an_activity_without_a_price_comes_back_only_whole() -> None:
    activity = a_purchase(type="survey", currency=None)
    assert basis_of(activity).amount is None
    assert not is_all(activity, NOTHING_RETURNED)
    assert not basis_less_returns(activity, plus_return(activity, NOTHING_RETURNED, a_return())).kept


def test_numbers_among_the_attributes_are_taken_off() -> None:
    activity = a_purchase(amount=100, attributes={"nights": 3, "room": "12"})
    back = a_return(amount=10, attributes={"nights": 1, "room": "12", "other": 5})
    returned = plus_return(activity, NOTHING_RETURNED, back)
    assert basis_less_returns(activity, returned).attributes == {"nights": 2, "room": "12"}


def test_what_came_back_can_be_kept_as_json() -> None:
    returned = Returned(lines={"1": ReturnedLine(2, 30)}, amount=4, attributes={"nights": 1}, everything=True)
    assert msgspec.json.decode(msgspec.json.encode(returned), type=Returned) == returned
    assert msgspec.json.encode(NOTHING_RETURNED) == b"{}"
