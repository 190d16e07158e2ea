"""Held now, finished later: at the price that was held, and only while it is."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from services.redemption.domain.moment import ProgramTerms
from services.redemption.domain.state import HoldState, SagaState
from services.redemption.testing import (
    NOON,
    points_captured,
    points_held,
    points_released,
    redemption_cancelled,
    redemption_confirmed,
    redemption_requested,
    reward_published,
)
from tests.redemption.domain.desk import Desk, body, types

QUARTER = NOON + timedelta(minutes=15)


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.hear(reward_published(stock=7, price=100), redemption_requested("m-1", "r-1", quantity=2, later=True))
    return desk


def held(desk: Desk) -> Desk:
    desk.hear(points_held("m-1", "r-1", 200))
    return desk


def test_held_points_are_told_with_the_end_of_the_wait(desk: Desk) -> None:
    (said,) = desk.hear(points_held("m-1", "r-1", 200))
    assert (said.type, said.correlation) == ("redemption.held.v1", "redemption:r-1")
    told = body(said)
    assert (told["price"], told["points"]) == ({"unit": "point", "amount": 200}, 200)
    assert told["lots"] == [{"lot": "1.1", "amount": 200}]
    assert told["expires_at"] == "2036-03-14T12:15:00Z"
    assert (desk.saga().state, desk.saga().hold) == (SagaState.HOLDING, HoldState.HELD)
    assert (desk.stock.reserved, desk.left) == (2, 5)
    assert desk.hear(points_held("m-1", "r-1", 200)) == [], "told once"


def test_confirmed_it_is_finished_at_the_held_price(desk: Desk) -> None:
    held(desk).hear(reward_published(stock=7, price=900))
    said = desk.hear(redemption_confirmed("m-1", "r-1"))
    assert types(said) == ["redemption.fulfilled", "voucher.issued", "voucher.issued", "hold.capture_requested"]
    assert said[0].correlation == "confirm:r-1"
    told = body(said[0])
    assert (told["points"], told["lots"]) == (200, [{"lot": "1.1", "amount": 200}])
    desk.hear(points_captured("m-1", "r-1", 200))
    assert not desk.saga().open
    assert (desk.stock.reserved, desk.stock.taken) == (0, 2)


def test_not_confirmed_in_time_all_of_it_is_given_back(desk: Desk) -> None:
    said = held(desk).time_is_up("r-1", QUARTER)
    assert types(said) == ["hold.release_requested", "redemption.refused"]
    assert (body(said[1])["code"], body(said[1])["detail"]) == ("hold_expired", "It was not confirmed in time")
    assert desk.left == 7
    desk.hear(points_released("m-1", "r-1", 200))
    assert not desk.saga().open


def test_a_confirmation_that_comes_with_the_end_is_told_so(desk: Desk) -> None:
    said = held(desk).hear(redemption_confirmed("m-1", "r-1", at=QUARTER))
    assert types(said) == ["hold.release_requested", "redemption.refused"]
    assert said[1].correlation == "confirm:r-1"
    assert desk.time_is_up("r-1", QUARTER) == []


def test_confirmed_too_early_or_too_late(desk: Desk) -> None:
    (early,) = desk.hear(redemption_confirmed("m-1", "r-1"))
    assert early.type == "redemption.ask_refused.v1"
    assert (body(early)["asked"], body(early)["code"]) == ("confirm", "redemption_not_held")
    held(desk).time_is_up("r-1", QUARTER)
    (late,) = desk.hear(redemption_confirmed("m-1", "r-1", at=QUARTER))
    assert (body(late)["code"], body(late)["facts"]) == ("redemption_ended", {"ended": "refused"})


def test_what_is_finished_at_once_waits_for_nobody(desk: Desk) -> None:
    desk.hear(redemption_requested("m-1", "r-2"))
    (said,) = desk.hear(redemption_confirmed("m-1", "r-2"))
    assert body(said)["code"] == "redemption_not_held"


AHEAD = NOON + timedelta(days=9)


@pytest.mark.parametrize("at", [NOON, AHEAD], ids=["now", "ahead"])
def test_on_a_manual_clock_the_wait_begins_with_the_request_and_the_clock_ends_it(at: datetime) -> None:
    """A member whose latest activity lies ahead of the clock redeems then, and nothing of that is over."""
    desk = Desk(ProgramTerms(manual=True))
    desk.hear(reward_published(), redemption_requested("m-1", "r-1", later=True, as_of=NOON, at=at))
    (said,) = desk.hear(points_held("m-1", "r-1", 100, at=at))
    until = at + timedelta(minutes=15)
    assert (said.type, datetime.fromisoformat(body(said)["expires_at"])) == ("redemption.held.v1", until)
    far = until + timedelta(days=1)
    done = desk.hear(redemption_confirmed("m-1", "r-1", at=far, as_of=until - timedelta(seconds=1)))
    assert types(done)[-1] == "hold.capture_requested", "the member's time is not the clock's"
    again = redemption_requested("m-1", "r-2", later=True, as_of=NOON, at=at)
    desk.hear(again, points_held("m-1", "r-2", 100, at=at))
    late = desk.hear(redemption_cancelled("m-1", "r-2", at=until, as_of=until))
    assert body(late[1])["code"] == "hold_expired"


@pytest.mark.parametrize("set_since", [None, NOON + timedelta(minutes=15)])
def test_a_manual_clock_that_was_never_set_ends_nothing_until_it_is(set_since: datetime | None) -> None:
    desk = Desk(ProgramTerms(manual=True))
    desk.hear(reward_published(), redemption_requested("m-1", "r-1", later=True))
    (said,) = desk.hear(points_held("m-1", "r-1", 100))
    assert (body(said)["expires_at"], desk.saga().manual) == ("2036-03-14T12:15:00Z", True)
    done = desk.hear(redemption_confirmed("m-1", "r-1", at=AHEAD, as_of=set_since))
    assert types(done)[-1] == ("redemption.refused" if set_since else "hold.capture_requested")
