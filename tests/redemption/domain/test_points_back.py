"""What costs no points holds none: it waits for nobody, whichever way it goes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.redemption.domain.state import HoldState, SagaState
from services.redemption.domain.vouchers import VoucherState
from services.redemption.testing import (
    NOON,
    redemption_cancelled,
    redemption_confirmed,
    redemption_requested,
    reward_published,
)
from tests.redemption.domain.desk import Desk, body, types

LATE = NOON + timedelta(minutes=15)


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.hear(reward_published(stock=7, price=0, free=True))
    return desk


def stands(desk: Desk) -> tuple[SagaState, HoldState, int | None]:
    return desk.saga().state, desk.saga().hold, desk.left


def test_it_is_given_at_once_and_taken_back_at_once(desk: Desk) -> None:
    said = desk.hear(redemption_requested("m-1", "r-1", quantity=2))
    assert types(said) == ["redemption.fulfilled", "voucher.issued", "voucher.issued"]
    assert stands(desk) == (SagaState.FULFILLED, HoldState.NONE, 5)
    assert not desk.saga().open
    back = desk.hear(redemption_cancelled("m-1", "r-1", "provider"))
    assert types(back) == ["redemption.cancelled", "voucher.voided", "voucher.voided"]
    assert back[0].correlation == "cancel:r-1"
    assert (body(back[0])["points"], body(back[0])["lots"]) == (0, [])
    assert {each.state for each in desk.vouchers()} == {VoucherState.VOID}
    assert stands(desk) == (SagaState.CANCELLED, HoldState.NONE, 7)
    assert desk.saga().told
    assert types(desk.hear(redemption_cancelled("m-1", "r-1", "provider"))) == ["redemption.cancelled"]


def test_held_for_later_it_is_confirmed(desk: Desk) -> None:
    (held,) = desk.hear(redemption_requested("m-1", "r-1", later=True))
    assert held.type == "redemption.held.v1"
    assert body(held)["expires_at"] == "2036-03-14T12:15:00Z"
    assert stands(desk) == (SagaState.HOLDING, HoldState.NONE, 6)
    said = desk.hear(redemption_confirmed("m-1", "r-1"))
    assert types(said) == ["redemption.fulfilled", "voucher.issued"]
    assert said[0].correlation == "confirm:r-1"
    assert stands(desk) == (SagaState.FULFILLED, HoldState.NONE, 6)


def test_held_for_later_it_is_let_go(desk: Desk) -> None:
    desk.hear(redemption_requested("m-1", "r-1", later=True))
    assert types(desk.hear(redemption_cancelled("m-1", "r-1"))) == ["redemption.cancelled"]
    assert stands(desk) == (SagaState.CANCELLED, HoldState.NONE, 7)


def test_held_for_later_it_is_forgotten(desk: Desk) -> None:
    desk.hear(redemption_requested("m-1", "r-1", later=True))
    assert desk.time_is_up("r-1", LATE - timedelta(seconds=1)) == []
    (refused,) = desk.time_is_up("r-1", LATE)
    assert (refused.type, body(refused)["code"]) == ("redemption.refused.v1", "hold_expired")
    assert body(refused)["detail"] == "It was not confirmed in time"
    assert stands(desk) == (SagaState.REFUSED, HoldState.NONE, 7)
