"""A basket becomes an activity that the contract takes."""

from __future__ import annotations

import msgspec
import pytest
from pydantic import TypeAdapter

from laurel.contracts.activity import Activity, check, content_hash
from laurel.contracts.http import EnrolMember
from laurel.replaying.complete_journey import Basket, Product, Sold, baskets, products
from laurel.replaying.mapping import encode, enrolment, ndjson, purchase
from laurel.shapes import decoder_of

PRODUCTS = {
    1: Product("SOUP", "National", "GROCERY", 69),
    2: Product(None, "Private", "PRODUCE", 2),
}
BASKET = Basket(77, 900, 330, 1_499_788_800, (Sold(1, 2, 598), Sold(2, 1, 0), Sold(3, 0, 120)))


def test_a_basket_with_everything_that_happens() -> None:
    said = msgspec.json.decode(encode(purchase(BASKET, PRODUCTS)))
    assert said == {
        "id": "cj-77",
        "type": "purchase",
        "member": "hh-900",
        "occurred_at": "2017-07-11T12:00:00-04:00",
        "currency": "USD",
        "amount": 718,
        "store": "s-330",
        "channel": "store",
        "lines": [
            {
                "id": "1",
                "sku": "1",
                "quantity": 2,
                "amount": 598,
                "category": "SOUP",
                "brand": "National",
                "attributes": {"department": "GROCERY", "manufacturer": "69"},
            },
            {
                "id": "2",
                "sku": "2",
                "quantity": 1,
                "amount": 0,
                "brand": "Private",
                "attributes": {"department": "PRODUCE", "manufacturer": "2"},
            },
            {"id": "3", "sku": "3", "quantity": 0, "amount": 120},
        ],
    }


def test_a_household_enrols_when_it_first_buys() -> None:
    body = encode(enrolment(BASKET))
    assert msgspec.json.decode(body) == {"member": "hh-900", "enrolled_at": "2017-07-11T12:00:00-04:00"}
    TypeAdapter(EnrolMember).validate_json(body)


@pytest.mark.parametrize(
    ("utc_seconds", "local"),
    [
        (1_489_301_999, "2017-03-12T01:59:59-05:00"),
        (1_489_302_000, "2017-03-12T03:00:00-04:00"),
        (1_509_859_800, "2017-11-05T01:30:00-04:00"),
        (1_509_863_400, "2017-11-05T01:30:00-05:00"),
    ],
)
def test_the_night_the_clocks_change(utc_seconds: int, local: str) -> None:
    basket = Basket(1, 1, 1, utc_seconds, (Sold(1, 1, 1),))
    assert purchase(basket, PRODUCTS).occurred_at == local


def test_real_baskets_are_what_the_contract_takes_and_always_the_same() -> None:
    known = products()
    decoder = decoder_of(Activity)
    pydantic = TypeAdapter(Activity)
    for basket in baskets(2_000):
        body = encode(purchase(basket, known))
        assert body == encode(purchase(basket, known))
        activity = decoder.decode(body)
        assert check(activity) == []
        assert activity.amount == basket.cents
        if basket.id % 50 == 0:
            assert content_hash(pydantic.validate_json(body)) == content_hash(activity)


def test_a_batch_is_one_activity_a_line() -> None:
    assert ndjson([]) == b""
    assert ndjson([b"{}", b"[]"]) == b"{}\n[]\n"
