"""What an activity brings to the rules, less what vouchers and points paid."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from laurel.program import basis_of
from laurel.program.bases import spread
from tests.program.samples import a_purchase


@given(st.lists(st.integers(0, 1_000), max_size=12), st.data())
def test_what_is_spread_sums_to_the_total_and_exceeds_no_line(weights: list[int], data: st.DataObject) -> None:
    total = data.draw(st.integers(0, sum(weights)))
    parts = spread(total, weights)
    assert len(parts) == len(weights)
    assert sum(parts) == (total if sum(weights) else 0)
    assert all(0 <= part <= weight for part, weight in zip(parts, weights, strict=True))


def test_the_largest_remainder_gets_what_is_missing() -> None:
    assert spread(500, [1000, 2000]) == (167, 333)
    assert spread(1, [1, 1, 1]) == (1, 0, 0)
    assert spread(2, [1, 5, 4]) == (0, 1, 1)


def test_vouchers_and_points_are_excluded_and_cash_is_not() -> None:
    tenders = [{"kind": kind, "amount": amount} for kind, amount in (("voucher", 200), ("points", 50), ("card", 750))]
    basis = basis_of(a_purchase(amount=1000, tenders=tenders))
    assert (basis.amount, basis.tender_excluded, basis.line_excluded) == (1000, 250, ())


def test_the_reporting_partner_stands_in_where_the_body_names_none() -> None:
    assert basis_of(a_purchase(amount=1), partner="acme").partner == "acme"
    assert basis_of(a_purchase(amount=1, partner="other"), partner="acme").partner == "other"
