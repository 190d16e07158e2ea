"""Vouchers: issued once, used once, undone, dead or over; each decided from what is known and when."""

from __future__ import annotations

from datetime import timedelta

import pytest

from laurel.contracts.processing import CannotProcessError
from services.redemption.testing import NOON, PROGRAM, clock_turned, points_converted, voucher_used, voucher_voided
from tests.redemption.domain.statement import Desk

ENDS = NOON + timedelta(days=730)


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.hear(points_converted("m-1", "v-1"))
    return desk


def test_what_points_became_is_issued_once() -> None:
    desk = Desk()
    (said,) = desk.hear(points_converted("m-1", "v-1"))
    assert said["type"] == "voucher.issued.v1"
    assert {name: said[name] for name in ("voucher", "value", "currency", "conversion", "redemption")} == {
        "voucher": "v-1", "value": 250, "currency": "GBP", "conversion": "statement", "redemption": None,
    }  # fmt: skip
    assert len(said["suffix"]) == 4
    assert "code" not in said
    assert desk.hear(points_converted("m-1", "v-1")) == []
    assert len(desk.store.decisions) == 1


def test_a_voucher_is_spent_once_and_the_same_reference_is_the_same_use(desk: Desk) -> None:
    (said,) = desk.hear(voucher_used("m-1", "v-1", "till-1", basket=250))
    assert (said["type"], said["reference"], said["partner"]) == ("voucher.redeemed.v1", "till-1", "acme")
    assert desk.one(voucher_used("m-1", "v-1", "till-1", basket=250)) == ("redeemed", None)
    assert desk.one(voucher_used("m-1", "v-1", "till-2", basket=250)) == ("refused", "voucher_spent")
    assert desk.one(voucher_used("m-1", "v-1", "till-1", partner="bank")) == ("refused", "voucher_spent")


def test_a_voucher_above_the_basket_is_kept(desk: Desk) -> None:
    for refused in ({"basket": 200}, {"basket": None}, {"basket": 5000, "currency": "USD"}):
        answer = desk.one(voucher_used("m-1", "v-1", f"till-{refused}", **refused))
        assert answer == ("refused", "voucher_exceeds_basket")
    assert desk.one(voucher_used("m-1", "v-1", "till-9", basket=250)) == ("redeemed", None)


def test_one_that_may_exceed_the_basket_does() -> None:
    desk = Desk()
    desk.hear(points_converted("m-1", "v-1", not_above_basket=False))
    assert desk.one(voucher_used("m-1", "v-1", basket=None)) == ("redeemed", None)


def test_the_last_moment_is_good_and_the_next_is_not(desk: Desk) -> None:
    late = voucher_used("m-1", "v-1", "till-1", at=ENDS)
    assert desk.one(late) == ("refused", "voucher_expired")
    in_time = voucher_used("m-1", "v-1", "till-2", at=ENDS - timedelta(microseconds=1))
    assert desk.one(in_time) == ("redeemed", None)


def test_a_manual_clock_says_when_and_before_it_is_set_nothing_is_over() -> None:
    desk = Desk(manual=True)
    desk.hear(points_converted("m-1", "v-1"))
    later = NOON + timedelta(days=9999)
    assert desk.one(voucher_used("m-1", "v-1", "till-1", at=later, as_of=ENDS)) == ("refused", "voucher_expired")
    assert desk.one(voucher_used("m-1", "v-1", "till-2", at=later)) == ("redeemed", None)


def test_a_use_is_undone_and_the_voucher_keeps_its_end(desk: Desk) -> None:
    desk.hear(voucher_used("m-1", "v-1", "till-1"))
    assert desk.one(voucher_voided("m-1", "v-1", "till-2")) == ("refused", "voucher_spent")
    assert desk.one(voucher_voided("m-1", "v-1", "till-1", partner="bank")) == ("refused", "voucher_spent")
    assert desk.one(voucher_voided("m-1", "v-1", "till-1")) == ("undone", None)
    assert desk.voucher.expires_at == ENDS
    assert desk.one(voucher_voided("m-1", "v-1", "till-1")) == ("refused", "voucher_unknown")
    assert desk.one(voucher_used("m-1", "v-1", "till-3")) == ("redeemed", None)
    assert desk.one(voucher_voided("m-1", "v-1", "till-3", partner="operator", anybodys=True)) == ("undone", None)


def test_a_voucher_that_is_undone_after_its_end_ends(desk: Desk) -> None:
    desk.hear(voucher_used("m-1", "v-1", "till-1"))
    assert desk.end(ENDS) == []
    assert desk.one(voucher_voided("m-1", "v-1", "till-1", at=ENDS)) == ("undone", None)
    assert desk.one(voucher_used("m-1", "v-1", "till-2", at=ENDS)) == ("refused", "voucher_expired")
    assert desk.end(ENDS) == ["voucher.expired.v1"]
    assert desk.end(ENDS) == []


def test_a_dead_voucher_stays_dead(desk: Desk) -> None:
    assert desk.one(voucher_voided("m-1", "v-1")) == ("voided", None)
    assert desk.one(voucher_voided("m-1", "v-1")) == ("voided", None)
    assert desk.one(voucher_used("m-1", "v-1")) == ("refused", "voucher_void")
    assert desk.one(voucher_voided("m-1", "v-1", "till-1")) == ("refused", "voucher_void")
    assert desk.end(ENDS) == []


def test_what_is_spent_or_over_is_not_made_dead(desk: Desk) -> None:
    desk.hear(voucher_used("m-1", "v-1", "till-1"))
    assert desk.one(voucher_voided("m-1", "v-1")) == ("refused", "voucher_spent")
    desk.hear(voucher_voided("m-1", "v-1", "till-1"))
    assert desk.one(voucher_voided("m-1", "v-1", at=ENDS)) == ("refused", "voucher_expired")


def test_a_voucher_ends_at_its_end_and_not_before(desk: Desk) -> None:
    assert desk.end(ENDS - timedelta(seconds=1)) == []
    assert desk.end(ENDS) == ["voucher.expired.v1"]
    assert desk.one(voucher_used("m-1", "v-1", "till-1", at=NOON)) == ("refused", "voucher_expired")


def test_a_voucher_that_was_never_issued_is_nobodys_mistake_but_ours(desk: Desk) -> None:
    with pytest.raises(CannotProcessError, match="impossible"):
        desk.hear(voucher_used("m-1", "v-2"))


def test_a_turned_clock_is_noted() -> None:
    desk = Desk(manual=True)
    assert desk.hear(clock_turned(NOON, 3)) == []
    assert [(each.program, each.as_of, each.converted) for each in desk.store.turns] == [(PROGRAM, NOON, 3)]
