"""Taken back: before the points are spent as if nothing had been, afterwards as S13 says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from laurel.contracts.processing import CannotProcessError
from services.redemption.domain.state import HoldState, SagaState
from services.redemption.domain.vouchers import VoucherState
from services.redemption.testing import (
    NOON,
    hold_refused,
    points_captured,
    points_held,
    points_released,
    points_restored,
    redemption_cancelled,
    redemption_requested,
    reward_published,
    voucher_used,
    voucher_voided,
)
from tests.redemption.domain.desk import Desk, body, types


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.hear(reward_published(stock=7, price=100), redemption_requested("m-1", "r-1", quantity=2))
    return desk


def fulfilled(desk: Desk) -> Desk:
    desk.hear(points_held("m-1", "r-1", 200))
    return desk


def test_before_the_points_are_held_it_wins(desk: Desk) -> None:
    (asked,) = desk.hear(redemption_cancelled("m-1", "r-1"))
    assert asked.type == "hold.release_requested.v1"
    assert (desk.saga().state, desk.saga().hold) == (SagaState.CANCELLED, HoldState.RELEASE_ASKED)
    assert desk.left == 7
    # The points come all the same, and are asked back.
    assert types(desk.hear(points_held("m-1", "r-1", 200))) == ["hold.release_requested"]
    (said,) = desk.hear(points_released("m-1", "r-1", 200))
    assert (said.type, said.correlation) == ("redemption.cancelled.v1", "cancel:r-1")
    told = body(said)
    assert (told["by"], told["request"], told["vouchers"]) == ("member", "redemption:r-1", [])
    assert told["wallet"]["source"] == "laurel/points/1"
    assert not desk.saga().open
    assert desk.saga().told


def test_points_that_were_never_held_end_it_too(desk: Desk) -> None:
    desk.hear(redemption_cancelled("m-1", "r-1", "provider"))
    (said,) = desk.hear(hold_refused("m-1", "r-1", 200))
    assert (said.type, said.correlation) == ("redemption.cancelled.v1", "cancel:r-1")
    assert desk.saga().hold is HoldState.REFUSED
    assert desk.hear(points_released("m-1", "r-1", 0)) == []


@pytest.mark.parametrize("captured_first", [True, False])
def test_afterwards_the_capture_is_undone_and_vouchers_are_dead(desk: Desk, captured_first: bool) -> None:
    fulfilled(desk)
    if captured_first:
        desk.hear(points_captured("m-1", "r-1", 200))
    said = desk.hear(redemption_cancelled("m-1", "r-1", "provider"))
    assert types(said) == ["hold.cancel_requested", "voucher.voided", "voucher.voided"]
    assert body(said[0])["by"] == "provider"
    assert body(said[1])["partner"] == "acme"
    assert {each.state for each in desk.vouchers()} == {VoucherState.VOID}
    assert (desk.stock.reserved, desk.stock.taken, desk.left) == (0, 0, 7)
    assert (desk.saga().state, desk.saga().hold) == (SagaState.CANCELLED, HoldState.CANCEL_ASKED)
    if not captured_first:
        assert desk.hear(points_captured("m-1", "r-1", 200)) == []
    (told,) = desk.hear(points_restored("m-1", "r-1", 200))
    assert (told.type, told.correlation) == ("redemption.cancelled.v1", "cancel:r-1")
    assert body(told)["lots"] == [{"lot": "1.1", "amount": 200}]
    assert (desk.saga().hold, desk.saga().open) == (HoldState.CANCELLED, False)


def test_the_same_again_is_said_again(desk: Desk) -> None:
    fulfilled(desk).hear(redemption_cancelled("m-1", "r-1"))
    assert desk.hear(redemption_cancelled("m-1", "r-1")) == [], "it will be told"
    (told,) = desk.hear(points_restored("m-1", "r-1", 200))
    (again,) = desk.hear(redemption_cancelled("m-1", "r-1"))
    assert (again.type, again.body) == (told.type, told.body)
    assert desk.hear(points_restored("m-1", "r-1", 200)) == []
    (outcome,) = desk.hear(redemption_requested("m-1", "r-1", quantity=2))
    assert outcome.body == told.body


@pytest.mark.parametrize("by", ["member", "provider"])
def test_a_spent_voucher_stands_in_the_way_until_its_use_is_undone(desk: Desk, by: str) -> None:
    fulfilled(desk)
    voucher = desk.vouchers()[0].key.voucher
    desk.hear(voucher_used("m-1", voucher, "till-1"))
    (said,) = desk.hear(redemption_cancelled("m-1", "r-1", by))
    assert said.type == "redemption.ask_refused.v1"
    told = body(said)
    assert (told["asked"], told["code"], told["facts"]) == ("cancel", "redemption_used", {"voucher": voucher})
    assert desk.saga().state is SagaState.FULFILLED
    desk.hear(voucher_voided("m-1", voucher, "till-1"))
    assert types(desk.hear(redemption_cancelled("m-1", "r-1", by)))[0] == "hold.cancel_requested"


@pytest.mark.parametrize(("by", "first"), [("member", "redemption.ask_refused"), ("provider", "hold.cancel_requested")])
def test_a_member_cannot_undo_what_has_expired(desk: Desk, by: str, first: str) -> None:
    fulfilled(desk)
    assert types(desk.hear(redemption_cancelled("m-1", "r-1", by, at=NOON + timedelta(days=31))))[0] == first


def test_what_was_made_void_before_stays_so(desk: Desk) -> None:
    fulfilled(desk)
    desk.hear(voucher_voided("m-1", desk.vouchers()[0].key.voucher))
    said = desk.hear(redemption_cancelled("m-1", "r-1"))
    assert types(said) == ["hold.cancel_requested", "voucher.voided"]


def test_refused_there_is_nothing_to_take_back(desk: Desk) -> None:
    desk.hear(hold_refused("m-1", "r-1", 200))
    (said,) = desk.hear(redemption_cancelled("m-1", "r-1"))
    assert body(said)["code"] == "redemption_ended"


def test_what_has_waited_too_long_ends_as_that(desk: Desk) -> None:
    said = desk.hear(redemption_cancelled("m-1", "r-1", at=NOON + timedelta(minutes=15)))
    assert types(said) == ["hold.release_requested", "redemption.refused", "redemption.ask_refused"]
    assert [each.correlation for each in said[1:]] == ["redemption:r-1", "cancel:r-1"]


def test_what_was_never_asked_for_is_parked(desk: Desk) -> None:
    with pytest.raises(CannotProcessError) as caught:
        desk.hear(redemption_cancelled("m-1", "r-9"))
    assert caught.value.reason == "impossible"


def returned(desk: Desk, amount: int = 200, **more: object) -> list[str]:
    told: dict[str, Any] = {"by": "provider", "by_return": "back-1", **more}
    return types(desk.hear(points_restored("m-1", "r-1", amount, **told)))


def test_a_return_of_all_that_its_points_paid_for_cancels_it(desk: Desk) -> None:
    fulfilled(desk)
    desk.hear(points_captured("m-1", "r-1", 200))
    assert desk.left == 5
    assert returned(desk) == ["redemption.cancelled", "voucher.voided", "voucher.voided"]
    saga = desk.saga()
    assert (saga.state, saga.hold, saga.cancelled_by) == (SagaState.CANCELLED, HoldState.CANCELLED, "provider")
    assert (desk.left, saga.told, saga.open) == (7, True, False)
    assert {each.state for each in desk.store.state.vouchers.values()} == {VoucherState.VOID}
    assert returned(desk) == []
    # Whoever cancels it now is told that it is done.
    assert types(desk.hear(redemption_cancelled("m-1", "r-1"))) == ["redemption.cancelled"]


def test_a_part_of_it_comes_back_and_the_rest_can_be_cancelled(desk: Desk) -> None:
    fulfilled(desk)
    desk.hear(points_captured("m-1", "r-1", 200))
    assert returned(desk, 50, left=150) == []
    assert (desk.saga().state, desk.saga().hold) == (SagaState.FULFILLED, HoldState.CAPTURED)
    desk.hear(redemption_cancelled("m-1", "r-1"))
    # Another part was on its way: the answer waits for all.
    assert returned(desk, 50, left=100) == []
    assert types(desk.hear(points_restored("m-1", "r-1", 100))) == ["redemption.cancelled"]


def test_a_cancellation_that_a_return_was_quicker_than(desk: Desk) -> None:
    fulfilled(desk)
    desk.hear(points_captured("m-1", "r-1", 200))
    desk.hear(redemption_cancelled("m-1", "r-1"))
    assert returned(desk) == ["redemption.cancelled"]
    assert (desk.saga().state, desk.saga().cancelled_by) == (SagaState.CANCELLED, "member")
    assert desk.left == 7
