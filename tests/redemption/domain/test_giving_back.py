"""Returns give back what vouchers paid: the whole use, or the share of a part, with the old end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from laurel.contracts.vouchers import VoucherTerms
from services.redemption.domain.vouchers import UseKey, VoucherKey, VoucherState
from services.redemption.testing import NOON, PROGRAM, points_converted, points_returned, voucher_used, voucher_voided
from tests.redemption.domain.statement import Desk
from tests.redemption.domain.till import GIFT_CARD, Till

ENDS = NOON + timedelta(days=730)


@pytest.fixture
def desk() -> Desk:
    """Return one with a voucher of £2.50 that has paid for a basket."""
    desk = Desk()
    desk.hear(points_converted("m-1", "v-1"), voucher_used("m-1", "v-1", "till-1"))
    return desk


def back(before: int, after: int, amount: int = 250, ref: str = "till-1") -> tuple[str, str, int, int, int]:
    return ("voucher", ref, amount, before, after)


def values(said: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(each["type"].removeprefix("voucher.").removesuffix(".v1"), each["value"]) for each in said]


def test_a_full_return_undoes_the_use_and_the_old_end_stays(desk: Desk) -> None:
    (said,) = desk.hear(points_returned("m-1", "r-1", back(0, 250)))
    assert (said["type"], said["state"], said["left"]) == ("voucher.undone.v1", "issued", 250)
    assert (desk.voucher.state, desk.voucher.expires_at) == (VoucherState.ISSUED, ENDS)
    assert desk.hear(points_returned("m-1", "r-1", back(0, 250))) == [], "told again it changes nothing"
    assert desk.one(voucher_used("m-1", "v-1", "till-2")) == ("redeemed", None)


def test_parts_come_back_as_vouchers_with_the_old_end_and_make_the_whole(desk: Desk) -> None:
    first = desk.hear(points_returned("m-1", "r-1", back(0, 83)))
    assert values(first) == [("issued", 83)]
    assert (first[0]["share_of"], first[0]["expires_at"]) == ("v-1", ENDS.isoformat().replace("+00:00", "Z"))
    assert desk.hear(points_returned("m-1", "r-1", back(0, 83))) == [], "told again it changes nothing"
    assert values(desk.hear(points_returned("m-1", "r-2", back(83, 250)))) == [("issued", 167)]
    assert desk.voucher.state is VoucherState.SPENT
    assert desk.one(voucher_voided("m-1", "v-1", "till-1")) == ("refused", "over_returned")


def test_a_return_that_gave_back_nothing_is_passed_over(desk: Desk) -> None:
    """A part was returned with `tenders: []`: what comes after it begins behind it."""
    assert values(desk.hear(points_returned("m-1", "r-2", back(100, 250)))) == [("issued", 150)]


def test_the_voucher_may_be_somebody_elses(desk: Desk) -> None:
    (said,) = desk.hear(points_returned("m-2", "r-1", back(0, 250)))
    assert (said["member"], said["state"]) == ("m-1", "issued")


def test_what_names_no_use_of_that_partner_gives_back_nothing(desk: Desk) -> None:
    assert desk.hear(points_returned("m-1", "r-1", back(0, 250, ref="till-9"))) == []
    assert desk.hear(points_returned("m-1", "r-1", back(0, 250), partner="bakery")) == []
    assert desk.hear(points_returned("m-1", "r-1", ("points", "till-1", 250, 0, 250))) == []
    assert desk.hear(points_returned("m-1", "r-1")) == []
    desk.hear(voucher_voided("m-1", "v-1", "till-1"))
    assert desk.hear(points_returned("m-1", "r-1", back(0, 250))) == [], "the till had undone it"
    assert desk.voucher.left == 250


def test_what_comes_back_after_the_end_ends() -> None:
    desk = Desk()
    desk.hear(points_converted("m-1", "v-1"), voucher_used("m-1", "v-1", "till-1"))
    (said,) = desk.hear(points_returned("m-1", "r-1", back(0, 250), at=ENDS))
    assert said["expires_at"] == ENDS.isoformat().replace("+00:00", "Z")
    assert desk.end(ENDS) == ["voucher.expired.v1"]


def test_of_a_gift_card_the_part_is_good_again_where_it_was() -> None:
    till = Till(GIFT_CARD)
    till.use("a", amount=2000, basket=4000)
    till.use("b", amount=3000, basket=3000)
    (said,) = till.hear(points_returned("m-1", "r-1", back(0, 500, 2000, "a")))
    assert (said["type"], said["amount"], said["state"], said["left"]) == ("voucher.undone.v1", 500, "issued", 500)
    (said,) = till.hear(points_returned("m-1", "r-2", back(500, 2000, 2000, "a")))
    assert (said["amount"], said["left"]) == (1500, 2000)
    assert till.voucher.uses[UseKey("acme", "a")].restored == 2000
    assert till.undo("a")["left"] == 2000, "what came back already does not come back twice"
    assert till.undo("b")["left"] == 5000


def test_the_share_of_a_percentage_is_a_value() -> None:
    till = Till(VoucherTerms(percent=20, valid_days=30))
    till.use("a", basket=1000)
    (said,) = till.hear(points_returned("m-1", "r-1", back(0, 50, 200, "a")))
    assert (said["value"], said["percent"], said["currency"]) == (50, None, "GBP")
    share = till.store.state.vouchers[VoucherKey(PROGRAM, "m-1", said["voucher"])]
    assert share.expires_at == till.voucher.expires_at


def test_two_vouchers_of_one_reference_come_back_each_by_its_share() -> None:
    desk = Desk()
    desk.hear(points_converted("m-1", "v-1", 250), points_converted("m-1", "v-2", 150))
    desk.hear(voucher_used("m-1", "v-1", "b-1"), voucher_used("m-1", "v-2", "b-1"))
    assert sorted(values(desk.hear(points_returned("m-1", "r-1", back(0, 200, 400, "b-1"))))) == [
        ("issued", 75), ("issued", 125),
    ]  # fmt: skip


def test_a_product_comes_back_whole_or_not_at_all() -> None:
    till = Till(VoucherTerms(product="A coffee", valid_days=30))
    till.use("a", basket=None)
    assert till.hear(points_returned("m-1", "r-1", back(0, 100, 300, "a"))) == []
    till = Till(VoucherTerms(product="A coffee", value=None))
    till.use("a", basket=None)
    (said,) = till.hear(points_returned("m-1", "r-1", back(0, 300, 300, "a")))
    assert said["state"] == "issued"
