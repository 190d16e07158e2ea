"""Vouchers of every kind: used in parts until nothing is left, worth a share of a basket, or good for a product."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from laurel.contracts.processing import CannotProcessError
from laurel.contracts.vouchers import VoucherTerms, VoucherWorth, voucher_faults
from services.redemption.domain.heard import VoucherEnds
from services.redemption.domain.vouchers import UseKey, VoucherState
from services.redemption.testing import PROGRAM, finish, voucher_voided
from tests.redemption.domain.till import GIFT_CARD, Till


def shown(said: dict[str, Any]) -> tuple[str, int | None, int | None]:
    return said["state"], said.get("amount"), said["left"]


def test_a_voucher_says_what_it_is_good_for_when_it_is_issued() -> None:
    till = Till(GIFT_CARD)
    (outcome,) = [each for each in till.made if each["type"] == "redemption.fulfilled.v1"]
    (made,) = [each for each in till.made if each["type"] == "voucher.issued.v1"]
    assert outcome["vouchers"][0]["value"] == {"amount": 5000, "currency": "GBP"}
    assert (made["state"], made["value"], made["left"], made["parts"]) == ("issued", 5000, 5000, True)
    assert "code" not in made


def test_a_gift_card_is_used_in_parts_until_nothing_is_left() -> None:
    till = Till(GIFT_CARD)
    assert shown(till.use("a", amount=2000, basket=2500)) == ("issued", 2000, 3000)
    assert shown(till.use("b", amount=1000, basket=1000)) == ("issued", 1000, 2000)
    assert shown(till.use("a", amount=2000, basket=2500)) == ("issued", 2000, 2000), "the same reference, the same use"
    more = till.use("c", amount=2001, basket=9000)
    assert (more["code"], more["left"]) == ("voucher_insufficient", 2000)
    above = till.use("d", amount=1500, basket=1400)
    assert (above["code"], above["left"]) == ("voucher_exceeds_basket", 2000)
    assert shown(till.use("e", basket=2000)) == ("spent", 2000, 0), "without an amount it is all that is left"
    assert till.use("f", amount=1, basket=100)["code"] == "voucher_spent"


def test_each_part_is_undone_by_its_own_reference() -> None:
    till = Till(GIFT_CARD)
    till.use("a", amount=2000, basket=2500)
    till.use("b", amount=3000, basket=3000)
    assert till.voucher.state is VoucherState.SPENT
    assert shown(till.undo("b")) == ("issued", None, 3000)
    assert till.undo("b")["code"] == "voucher_unknown"
    assert shown(till.undo("a")) == ("issued", None, 5000)
    assert till.voucher.uses == {}
    assert shown(till.use("c", basket=5000)) == ("spent", 5000, 0)


def test_partners_do_not_undo_each_others_parts_but_an_operator_may() -> None:
    till = Till(GIFT_CARD)
    till.use("a", amount=2000, basket=2500)
    till.use("a", amount=500, basket=2500, partner="bakery")
    assert till.undo("a", partner="bank")["code"] == "voucher_unknown"
    assert till.undo("a", partner="bakery")["left"] == 3000
    assert list(till.voucher.uses) == [UseKey("acme", "a")]
    assert till.undo("a", partner="operator", anybodys=True)["left"] == 5000


def test_what_is_left_of_a_dead_voucher_is_nothing_and_its_uses_stand() -> None:
    till = Till(GIFT_CARD)
    till.use("a", amount=2000, basket=2500)
    (dead,) = till.hear(voucher_voided("m-1", till.key.voucher))
    assert (dead["state"], dead["left"]) == ("void", 0)
    assert till.undo("a")["code"] == "voucher_void"
    assert till.voucher.remaining == 3000


def test_a_part_that_is_undone_after_the_end_stays_ended() -> None:
    till = Till(VoucherTerms(value=VoucherWorth(amount=5000, currency="GBP"), parts=True, valid_days=30))
    till.use("a", amount=2000)
    ends = till.voucher.expires_at
    assert ends is not None
    over = VoucherEnds(program=PROGRAM, member="m-1", voucher=till.key.voucher, at=ends)
    assert [each.type for each in finish(till.road.run_due(till.store, [over]))] == ["voucher.expired.v1"]
    undone = till.undo("a", at=ends + timedelta(days=1))
    assert (undone["state"], undone["left"], till.voucher.remaining) == ("expired", 0, 5000)


@pytest.mark.parametrize(("basket", "paid"), [(1000, 150), (999, 149), (6, 0), (10**15, 15 * 10**13)])
def test_a_percentage_is_of_the_basket_rounded_down(basket: int, paid: int) -> None:
    till = Till(VoucherTerms(percent=15))
    said = till.use("a", basket=basket, currency="EUR")
    assert (said["amount"], said["paid_in"], said["state"], said["left"]) == (paid, "EUR", "spent", None)
    assert till.use("b", basket=basket)["code"] == "voucher_spent"
    assert till.undo("a")["state"] == "issued"


def test_a_percentage_of_nothing_named_is_nobodys_mistake_but_ours() -> None:
    with pytest.raises(CannotProcessError, match="impossible"):
        Till(VoucherTerms(percent=15)).use("a", basket=None)


def test_a_product_is_given_once() -> None:
    till = Till(VoucherTerms(product="A coffee"))
    said = till.use("a", basket=None)
    assert (said["product"], said["amount"], said["state"]) == ("A coffee", None, "spent")
    assert till.use("a", basket=None)["type"] == "voucher.redeemed.v1"
    assert till.use("b", basket=None)["code"] == "voucher_spent"


def test_a_voucher_without_parts_is_used_whole() -> None:
    till = Till(VoucherTerms(value=VoucherWorth(amount=500, currency="GBP")))
    with pytest.raises(CannotProcessError, match="used whole"):
        till.use("a", amount=100)
    assert shown(till.use("a", amount=500)) == ("spent", 500, 0)


@pytest.mark.parametrize(
    ("terms", "pointers"),
    [
        ({}, ["/voucher/value"]),
        ({"percent": 10, "product": "x"}, ["/voucher/product"]),
        ({"percent": 10, "parts": True, "not_above_basket": True}, ["/voucher/parts", "/voucher/not_above_basket"]),
        ({"product": "x", "used_here": True}, ["/voucher/used_here"]),
        ({"codes": "pool"}, []),
        ({"percent": 100}, []),
    ],
)
def test_terms_that_make_no_sense_are_told(terms: dict[str, Any], pointers: list[str]) -> None:
    assert [fault.pointer for fault in voucher_faults(VoucherTerms(**terms))] == pointers
