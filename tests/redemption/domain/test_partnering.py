"""What a partner says is done; what it does not say is waited for, and undone by nobody but an operator."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from laurel.contracts.fulfilment import Fulfilment
from services.redemption.domain.calling import Question, address_of, place_of
from services.redemption.domain.heard import PartnerAnswered, PartnerSilent
from services.redemption.domain.state import HoldState, SagaState
from services.redemption.ports import Announcement
from services.redemption.testing import (
    NOON,
    PROGRAM,
    finish,
    points_captured,
    points_held,
    points_restored,
    redemption_cancelled,
    redemption_confirmed,
    redemption_requested,
    reward_published,
)
from tests.redemption.domain.desk import Desk, body, types

URL = "https://partner.example/orders"


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.hear(reward_published(stock=7, price=100, fulfilment=Fulfilment(url=URL)))
    desk.hear(redemption_requested("m-1", "r-1", quantity=2))
    return desk


def asked(desk: Desk) -> list[Announcement]:
    return desk.hear(points_held("m-1", "r-1", 200))


def answered(desk: Desk, *, fulfilled: bool = True, **more: Any) -> list[Announcement]:
    heard = PartnerAnswered(program=PROGRAM, member="m-1", redemption="r-1", at=NOON, fulfilled=fulfilled, **more)
    return finish(desk.road.run_due(desk.store, [heard]))


def silent(desk: Desk) -> list[Announcement]:
    heard = PartnerSilent(program=PROGRAM, member="m-1", redemption="r-1", at=NOON)
    return finish(desk.road.run_due(desk.store, [heard]))


def test_held_points_lead_to_the_partner(desk: Desk) -> None:
    (said,) = asked(desk)
    assert (said.type, body(said)["delayed"]) == ("redemption.fulfilling.v1", False)
    assert (desk.saga().state, desk.saga().hold) == (SagaState.FULFILLING, HoldState.HELD)
    assert desk.saga().waits_until is None
    assert desk.stock.reserved == 2
    assert desk.time_is_up("r-1", NOON + timedelta(days=1)) == [], "past the point of no return nothing times out"


def test_fulfilled_as_the_partner_says(desk: Desk) -> None:
    asked(desk)
    said = answered(desk, reference="T-9")
    assert types(said) == ["redemption.fulfilled", "voucher.issued", "voucher.issued", "hold.capture_requested"]
    told = body(said[0])
    assert (told["reference"], told["lots"], said[0].correlation) == (
        "T-9",
        [{"lot": "1.1", "amount": 200}],
        "redemption:r-1",
    )
    assert answered(desk) == [], "said again it changes nothing"
    assert (desk.stock.reserved, desk.stock.taken) == (0, 2)


def test_refused_as_the_partner_says(desk: Desk) -> None:
    asked(desk)
    said = answered(desk, fulfilled=False, code="no_such_seat")
    assert types(said) == ["hold.release_requested", "redemption.refused"]
    assert (body(said[1])["code"], body(said[1])["facts"]) == ("partner_refused", {"partner_code": "no_such_seat"})
    assert desk.left == 7


def test_taken_back_while_the_partner_is_asked(desk: Desk) -> None:
    asked(desk)
    assert desk.hear(redemption_cancelled("m-1", "r-1", "provider")) == [], "it waits"
    said = answered(desk)
    assert types(said) == ["redemption.fulfilled", "hold.capture_requested", "hold.cancel_requested"]
    assert desk.left == 7
    desk.hear(points_captured("m-1", "r-1", 200))
    (told,) = desk.hear(points_restored("m-1", "r-1", 200))
    assert (told.type, told.correlation, body(told)["by"]) == ("redemption.cancelled.v1", "cancel:r-1", "provider")


def test_taken_back_what_the_partner_refuses(desk: Desk) -> None:
    asked(desk)
    desk.hear(redemption_cancelled("m-1", "r-1"))
    said = answered(desk, fulfilled=False, code="closed")
    assert types(said) == ["hold.release_requested", "redemption.refused", "redemption.ask_refused"]
    assert [each.correlation for each in said[1:]] == ["redemption:r-1", "cancel:r-1"]


def test_silence_is_told_once_and_undoes_nothing(desk: Desk) -> None:
    asked(desk)
    (said,) = silent(desk)
    assert (said.type, body(said)["delayed"]) == ("redemption.fulfilling.v1", True)
    assert silent(desk) == []
    assert desk.saga().state is SagaState.FULFILLING
    assert types(answered(desk))[0] == "redemption.fulfilled", "late is not too late"
    assert not desk.saga().delayed


@pytest.mark.parametrize("delayed", [True, False])
def test_an_operator_may_confirm_for_a_silent_partner(desk: Desk, delayed: bool) -> None:
    asked(desk)
    if delayed:
        silent(desk)
    said = desk.hear(redemption_confirmed("m-1", "r-1", settles=True))
    if not delayed:
        assert body(said[0])["code"] == "redemption_not_held"
        return
    assert types(said)[0] == "redemption.fulfilled"
    assert (said[0].correlation, body(said[0])["request"]) == ("confirm:r-1", "redemption:r-1")
    assert answered(desk, fulfilled=False, code="x") == [], "what it says later is kept, and changes nothing"


@pytest.mark.parametrize("settles", [True, False])
def test_an_operator_may_take_back_what_a_silent_partner_has(desk: Desk, settles: bool) -> None:
    asked(desk)
    silent(desk)
    said = desk.hear(redemption_cancelled("m-1", "r-1", "provider", settles=settles))
    assert types(said) == (["hold.release_requested"] if settles else [])
    assert desk.saga().state is (SagaState.CANCELLED if settles else SagaState.FULFILLING)
    assert desk.left == (7 if settles else 5)


def test_confirmed_later_it_is_the_partners_turn() -> None:
    desk = Desk()
    desk.hear(reward_published(kind="product", value=None, fulfilment=Fulfilment(url=URL)))
    desk.hear(redemption_requested("m-1", "r-1", later=True))
    assert types(desk.hear(points_held("m-1", "r-1", 100))) == ["redemption.held"]
    assert types(desk.hear(redemption_confirmed("m-1", "r-1"))) == ["redemption.fulfilling"]
    said = answered(desk)
    assert types(said) == ["redemption.fulfilled", "hold.capture_requested"]
    assert said[0].correlation == "confirm:r-1"


@pytest.mark.parametrize(
    ("url", "below"),
    [
        ("https://x.example/orders", "https://x.example/orders/f-1{}"),
        ("https://x.example/orders/", "https://x.example/orders/f-1{}"),
        ("https://x.example", "https://x.example/f-1{}"),
        ("https://x.example:8443/o?shop=7&key=a%2Fb", "https://x.example:8443/o/f-1{}?shop=7&key=a%2Fb"),
    ],
)
def test_an_order_lies_below_its_partner_whatever_the_query(url: str, below: str) -> None:
    assert address_of(url, Question.FULFIL, "f-1") == url
    assert address_of(url, Question.READ_BACK, "f-1") == below.format("")
    assert address_of(url, Question.CANCELLED, "f-1") == below.format("/cancel")


def test_an_address_that_is_none_is_a_place_all_the_same() -> None:
    """Rewards from before may name one; it is refused when it is asked, and parks nothing."""
    assert place_of("https://[x") == "https://[x"
    assert place_of("https://u:p@X.example:8443/o") == "x.example:8443"
