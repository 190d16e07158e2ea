"""The real data is what the reader says it is."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laurel.replaying.complete_journey import (
    BASKETS,
    HOUSEHOLDS,
    LINES,
    STORES,
    DataUnexpectedError,
    baskets,
    cents,
    products,
)


def test_a_year_is_read_whole_and_in_order() -> None:
    known = products()
    households: set[int] = set()
    stores: set[int] = set()
    ids: set[int] = set()
    hours: Counter[tuple[bool, int]] = Counter()
    lines = total = unlisted = free = uncounted = 0
    last = 0
    years: set[int] = set()
    for basket in baskets():
        assert basket.seconds >= last
        last = basket.seconds
        ids.add(basket.id)
        households.add(basket.household)
        stores.add(basket.store)
        at = basket.occurred_at
        years.add(at.year)
        summer = bool(at.dst())
        hours[summer, at.hour] += 1
        assert len({row.product for row in basket.sold}) == len(basket.sold)
        for row in basket.sold:
            lines += 1
            total += row.cents
            unlisted += row.product not in known
            free += row.cents == 0
            uncounted += row.quantity == 0
            assert row.cents >= 0
            assert row.quantity >= 0
    assert len(ids) == BASKETS, "the rows of a basket lie together"
    assert (len(households), len(stores), lines) == (HOUSEHOLDS, STORES, LINES)
    assert total == 459_603_958
    assert years == {2017}, "the times are UTC: in the stores' zone they are exactly one year"
    for summer in (False, True):
        assert max((hours[summer, hour], hour) for hour in range(24))[1] == 17
        assert min((hours[summer, hour], hour) for hour in range(24))[1] in range(1, 6)
    assert (unlisted > 0, free > 10_000, uncounted > 8_000) == (True, True, True)


def test_the_first_basket() -> None:
    (first,) = baskets(1)
    assert (first.id, first.household, first.store, first.cents) == (31198570044, 900, 330, 50)
    assert first.occurred_at.isoformat() == "2017-01-01T06:53:26-05:00"
    assert first.occurred_at.astimezone(UTC) == datetime(2017, 1, 1, 11, 53, 26, tzinfo=UTC)
    assert [(row.product, row.quantity, row.cents) for row in first.sold] == [(1095275, 1, 50)]


def test_products_may_lack_a_category() -> None:
    known = products()
    assert len(known) == 92_331
    assert sum(product.category is None for product in known.values()) == 540
    assert {product.brand for product in known.values()} == {"National", "Private"}
    assert all(product.manufacturer is not None for product in known.values())


@pytest.mark.parametrize("limit", [-1, 0])
def test_no_baskets_are_asked_for(limit: int) -> None:
    assert list(baskets(limit)) == []


def test_a_slice_is_the_beginning_of_the_year() -> None:
    assert [basket.id for basket in baskets(5)] == [basket.id for basket in baskets(9)][:5]


@given(st.integers(min_value=0, max_value=10**9))
def test_every_amount_with_two_decimals_is_read_exactly(amount: int) -> None:
    assert cents(float(Decimal(amount).scaleb(-2))) == amount


def test_dust_is_nothing_but_a_fraction_of_a_cent_is_refused() -> None:
    assert cents(1.776357e-15) == 0
    assert cents(2.9999999999999996) == 300
    with pytest.raises(DataUnexpectedError):
        cents(1.005)
