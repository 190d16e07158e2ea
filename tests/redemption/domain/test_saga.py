"""Each message, in each state of a saga, in the order a newcomer would ask."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from laurel.contracts.processing import CannotProcessError
from services.redemption.domain.facts import decode_facts, encode_facts
from services.redemption.domain.moment import ProgramTerms
from services.redemption.domain.state import HoldState, SagaState, State
from services.redemption.testing import (
    NOON,
    PROGRAM,
    Told,
    hold_refused,
    points_captured,
    points_held,
    points_released,
    redemption_requested,
    reward_published,
)
from tests.redemption.domain.desk import Desk, body, types


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.hear(reward_published(stock=7, price=100))
    return desk


def test_published_reward_is_announced_with_its_terms(desk: Desk) -> None:
    said = desk.hear(reward_published("mug", stock=None, price=30, valid_days=None, value=None, kind="product"))
    assert types(said) == ["reward.published"]
    assert said[0].member == ""
    assert body(said[0])["document"] == {
        "reward": "mug", "name": "A cup", "kind": "product", "unit": "point", "price": 30,
    }  # fmt: skip
    assert body(said[0])["cause"] == {"kind": "reward", "id": "mug"}


def test_request_reserves_stock_and_asks_for_points(desk: Desk) -> None:
    said = desk.hear(redemption_requested("m-1", "r-1", quantity=2))
    assert types(said) == ["hold.requested"]
    assert body(said[0]) | {"at": ""} == {
        "program": PROGRAM, "member": "m-1", "at": "", "cause": {"kind": "redemption", "id": "r-1"},
        "hold": "r-1", "unit": "point", "amount": 200, "redemption": "r-1", "least": None, "partner": None,
        "waits_until": None, "versions": {"program": 1, "partners": 0, "as_of": None},
    }  # fmt: skip
    assert said[0].correlation == "redemption:r-1"
    assert (desk.saga().state, desk.saga().hold) == (SagaState.HOLDING, HoldState.ASKED)
    assert desk.saga().waits_until == NOON + timedelta(minutes=15)
    assert (desk.stock.reserved, desk.stock.taken, desk.left) == (2, 0, 5)


def test_held_points_make_the_voucher_and_ask_for_the_capture_at_once(desk: Desk) -> None:
    desk.hear(redemption_requested("m-1", "r-1", quantity=2))
    answer = points_held("m-1", "r-1", 200, version=9)
    answer.sequence = 4
    said = desk.hear(answer)
    assert types(said) == ["redemption.fulfilled", "voucher.issued", "voucher.issued", "hold.capture_requested"]
    outcome = body(said[0])
    assert outcome["price"] == {"unit": "point", "amount": 200}
    assert outcome["points"] == 200
    assert outcome["lots"] == [{"lot": "1.1", "amount": 200}]
    assert outcome["wallet"]["source"] == "laurel/points/1"
    assert (outcome["wallet"]["sequence"], outcome["wallet"]["version"]) == (4, 9)
    assert outcome["wallet"]["balances"][0]["available"] == 1000
    assert [voucher["value"] for voucher in outcome["vouchers"]] == [{"amount": 250, "currency": "GBP"}] * 2
    assert [voucher["voucher"] for voucher in outcome["vouchers"]] == [body(each)["voucher"] for each in said[1:3]]
    # 14 March and 30 days: the last good day is 12 April.
    assert outcome["vouchers"][0]["expires_at"] == "2036-04-13T00:00:00Z"
    assert (desk.saga().state, desk.saga().hold) == (SagaState.FULFILLED, HoldState.CAPTURE_ASKED)
    assert (desk.stock.reserved, desk.stock.taken, desk.left) == (0, 2, 5)
    assert desk.saga().open


def test_voucher_ends_at_a_midnight_of_the_program() -> None:
    desk = Desk(ProgramTerms(zone="America/New_York"))
    desk.hear(reward_published(valid_days=1))
    late = datetime(2026, 3, 15, 3, 30, tzinfo=UTC)  # still the 14th in New York
    desk.hear(redemption_requested("m-1", "r-1", at=late))
    said = desk.hear(points_held("m-1", "r-1", 100, at=late))
    assert body(said[1])["expires_at"] == "2026-03-15T04:00:00Z"


@pytest.mark.parametrize("days", [None, 10**15])
def test_voucher_may_last_for_ever(days: int | None) -> None:
    desk = Desk()
    desk.hear(reward_published(valid_days=days))
    desk.hear(redemption_requested("m-1", "r-1"))
    assert body(desk.hear(points_held("m-1", "r-1", 100))[1])["expires_at"] is None


def test_product_makes_no_voucher() -> None:
    desk = Desk()
    desk.hear(reward_published(kind="product", value=None))
    desk.hear(redemption_requested("m-1", "r-1"))
    assert types(desk.hear(points_held("m-1", "r-1", 100))) == ["redemption.fulfilled", "hold.capture_requested"]


def test_capture_closes_the_saga(desk: Desk) -> None:
    desk.hear(redemption_requested("m-1", "r-1"))
    desk.hear(points_held("m-1", "r-1", 100))
    assert desk.hear(points_captured("m-1", "r-1", 100)) == []
    assert desk.saga().hold is HoldState.CAPTURED
    assert not desk.saga().open


def test_refused_hold_gives_stock_back_and_says_what_is_missing(desk: Desk) -> None:
    desk.hear(redemption_requested("m-1", "r-1", quantity=2))
    said = desk.hear(hold_refused("m-1", "r-1", 200, available=150, shortfall=50))
    assert types(said) == ["redemption.refused"]
    outcome = body(said[0])
    assert outcome["code"] == "insufficient_points"
    assert outcome["facts"] == {"unit": "point", "amount": 200, "available": 150, "shortfall": 50}
    assert outcome["points"] == 0
    assert outcome["price"] == {"unit": "point", "amount": 200}
    assert outcome["wallet"] is not None
    assert (desk.stock.reserved, desk.stock.taken, desk.left) == (0, 0, 7)
    assert not desk.saga().open
    assert desk.saga().waits_until is None


def test_last_piece_is_sold_once(desk: Desk) -> None:
    said = desk.hear(*[redemption_requested(f"m-{n}", f"r-{n}") for n in range(9)])
    assert types(said).count("hold.requested") == 7
    assert types(said).count("redemption.refused") == 2
    assert {body(each)["code"] for each in said if "code" in body(each)} == {"sold_out"}
    # What one member cannot pay is free for the next.
    desk.hear(hold_refused("m-0", "r-0", 100))
    assert types(desk.hear(redemption_requested("m-9", "r-9"))) == ["hold.requested"]


def test_uncounted_reward_never_sells_out() -> None:
    desk = Desk()
    desk.hear(reward_published(stock=None))
    said = desk.hear(*[redemption_requested(f"m-{n}", f"r-{n}", quantity=1000) for n in range(9)])
    assert types(said) == ["hold.requested"] * 9
    assert desk.stock.reserved == 0


def test_unknown_reward_is_refused_and_leaves_the_id_free(desk: Desk) -> None:
    said = desk.hear(redemption_requested("m-1", "r-1", "saucer"))
    assert body(said[0])["code"] == "reward_unknown"
    assert body(said[0])["price"] is None
    assert types(desk.hear(redemption_requested("m-1", "r-1", "cup"))) == ["hold.requested"]
    assert types(desk.hear(points_held("m-1", "r-1", 100)))[0] == "redemption.fulfilled"


@pytest.mark.parametrize(("price", "quantity"), [(1, 1001), (10**15, 2)])
def test_more_than_can_be_done_at_once_is_refused(price: int, quantity: int) -> None:
    desk = Desk()
    desk.hear(reward_published(price=price, stock=None))
    said = desk.hear(redemption_requested("m-1", "r-1", quantity=quantity))
    assert body(said[0])["code"] == "limit_reached"


def test_every_message_a_second_time_changes_nothing(desk: Desk) -> None:
    story = [
        redemption_requested("m-1", "r-1"),
        points_held("m-1", "r-1", 100),
        points_captured("m-1", "r-1", 100),
        redemption_requested("m-2", "r-2"),
        hold_refused("m-2", "r-2", 100),
    ]
    for told in story:
        desk.hear(told)
        before = (desk.stock.reserved, desk.stock.taken)
        again = desk.hear(told)
        assert (desk.stock.reserved, desk.stock.taken) == before
        assert not [each for each in again if each.type.startswith(("hold.", "voucher."))]


def test_finished_request_that_comes_again_gets_the_same_outcome(desk: Desk) -> None:
    desk.hear(redemption_requested("m-1", "r-1"))
    first = desk.hear(points_held("m-1", "r-1", 100))[0]
    again = desk.hear(redemption_requested("m-1", "r-1", correlation="another"))
    assert [(each.type, each.body) for each in again] == [(first.type, first.body)]
    assert again[0].correlation == "another"


def test_other_request_under_a_taken_id_is_parked_and_touches_nothing(desk: Desk) -> None:
    desk.hear(redemption_requested("m-1", "r-1"))
    with pytest.raises(CannotProcessError, match="impossible"):
        desk.hear(redemption_requested("m-1", "r-1", quantity=3))
    assert desk.saga().state is SagaState.HOLDING
    assert desk.stock.reserved == 1


def test_held_price_is_kept_when_the_reward_changes(desk: Desk) -> None:
    desk.hear(redemption_requested("m-1", "r-1"))
    desk.hear(reward_published(stock=7, price=999, valid_days=1))
    said = desk.hear(points_held("m-1", "r-1", 100))
    assert body(said[0])["points"] == 100
    assert body(said[1])["expires_at"] == "2036-04-13T00:00:00Z"


def test_stock_that_is_cut_below_what_is_gone_leaves_nothing(desk: Desk) -> None:
    desk.hear(*[redemption_requested(f"m-{n}", f"r-{n}") for n in range(4)])
    desk.hear(reward_published(stock=2))
    assert desk.left == 0
    assert body(desk.hear(redemption_requested("m-9", "r-9"))[0])["code"] == "sold_out"
    # Those who were first still get theirs.
    assert types(desk.hear(points_held("m-0", "r-0", 100)))[0] == "redemption.fulfilled"


def test_saga_waits_fifteen_minutes_and_then_wants_no_points(desk: Desk) -> None:
    desk.hear(redemption_requested("m-1", "r-1"))
    assert desk.time_is_up("r-1", NOON + timedelta(minutes=14, seconds=59)) == []
    said = desk.time_is_up("r-1", NOON + timedelta(minutes=15))
    assert types(said) == ["hold.release_requested", "redemption.refused"]
    assert body(said[1])["code"] == "hold_expired"
    assert said[1].correlation == "redemption:r-1"
    assert desk.left == 7
    assert desk.saga().open
    assert desk.time_is_up("r-1", NOON + timedelta(minutes=16)) == []


def test_points_held_too_late_are_asked_back(desk: Desk) -> None:
    desk.hear(redemption_requested("m-1", "r-1"))
    desk.time_is_up("r-1", NOON + timedelta(minutes=15))
    assert types(desk.hear(points_held("m-1", "r-1", 100))) == ["hold.release_requested"]
    assert desk.hear(points_released("m-1", "r-1", 100)) == []
    assert desk.saga().state is SagaState.REFUSED
    assert not desk.saga().open
    assert desk.hear(points_held("m-1", "r-1", 100)) == []


def test_refusal_after_the_wait_closes_the_hold(desk: Desk) -> None:
    desk.hear(redemption_requested("m-1", "r-1"))
    desk.time_is_up("r-1", NOON + timedelta(minutes=15))
    assert desk.hear(hold_refused("m-1", "r-1", 100)) == []
    assert not desk.saga().open
    assert desk.left == 7


def test_outcome_does_not_depend_on_when_the_timer_ran(desk: Desk) -> None:
    desk.hear(redemption_requested("m-1", "r-1"))
    said = desk.hear(points_held("m-1", "r-1", 100, at=NOON + timedelta(minutes=15)))
    assert types(said) == ["hold.release_requested", "redemption.refused"]
    assert desk.left == 7


def test_timer_comes_after_the_point_of_no_return(desk: Desk) -> None:
    desk.hear(redemption_requested("m-1", "r-1"))
    desk.hear(points_held("m-1", "r-1", 100))
    assert desk.time_is_up("r-1", NOON + timedelta(days=1)) == []
    assert desk.saga().state is SagaState.FULFILLED


def test_manual_clock_never_times_out_by_itself() -> None:
    desk = Desk(ProgramTerms(manual=True))
    desk.hear(reward_published())
    desk.hear(redemption_requested("m-1", "r-1"))
    assert desk.saga().waits_until is None
    assert desk.time_is_up("r-1", NOON + timedelta(days=999)) == []
    assert types(desk.hear(points_held("m-1", "r-1", 100, at=NOON + timedelta(days=999))))[0] == "redemption.fulfilled"


def test_holds_of_others_are_no_concern_of_ours(desk: Desk) -> None:
    strangers = (points_held("m-1", "x", 5), hold_refused("m-1", "x", 5), points_captured("m-1", "x", 5))
    assert desk.hear(*strangers, points_released("m-1", "x", 5)) == []
    assert desk.store.state.sagas == {}


def test_answer_about_another_price_is_parked(desk: Desk) -> None:
    desk.hear(redemption_requested("m-1", "r-1"))
    with pytest.raises(CannotProcessError, match="asked for were 100 point"):
        desk.hear(points_held("m-1", "r-1", 99))


def test_unreadable_messages_are_named_all_at_once(desk: Desk) -> None:
    wrong = [
        Told("redemption.requested.v1", PROGRAM, "m-1", b"{"),
        Told("redemption.dreamt_of.v1", PROGRAM, "m-1", b"{}"),
        Told("redemption.requested.v1", PROGRAM, "m-9", redemption_requested("m-1", "r-1").body),
        Told("redemption.requested.v1", PROGRAM, "", reward_published().body),
    ]
    with pytest.raises(CannotProcessError) as caught:
        desk.hear(redemption_requested("m-1", "r-0"), *wrong)
    found = [caught.value, *caught.value.also]
    assert [each.message for each in found] == wrong
    assert [each.reason for each in found] == ["undecodable", "unknown_type", "undecodable", "undecodable"]


def test_what_is_meant_for_others_is_skipped(desk: Desk) -> None:
    others = ("activity.reported.v1", "member.enrolment_requested.v1", "points.awarded.v1", "tier.changed.v1")
    assert desk.hear(*[Told(name, PROGRAM, "m-1", b"not even JSON") for name in others]) == []


def test_time_of_a_saga_never_goes_back(desk: Desk) -> None:
    desk.hear(redemption_requested("m-1", "r-1"))
    said = desk.hear(points_held("m-1", "r-1", 100, at=NOON - timedelta(hours=1)))
    assert {each.at for each in said} == {NOON}


def test_decisions_fold_back_to_the_same_state(desk: Desk) -> None:
    desk.hear(redemption_requested("m-1", "r-1", quantity=3), redemption_requested("m-2", "r-2", "saucer"))
    desk.hear(points_held("m-1", "r-1", 300), redemption_requested("m-2", "r-2"))
    desk.hear(hold_refused("m-2", "r-2", 100), points_captured("m-1", "r-1", 300))
    folded = State()
    for decision in desk.store.decisions:
        for fact in decode_facts(encode_facts(decision.facts)):
            folded.apply(decision.program, decision.key, fact)
    assert folded.stock == desk.store.state.stock
    for key, saga in desk.store.state.sagas.items():
        again = folded.sagas[key]
        assert (again.state, again.hold, again.points, again.code) == (saga.state, saga.hold, saga.points, saga.code)


def test_no_event_and_no_fact_holds_a_code(desk: Desk) -> None:
    desk.hear(redemption_requested("m-1", "r-1"))
    said = desk.hear(points_held("m-1", "r-1", 100))
    kept = b"".join(encode_facts(decision.facts) for decision in desk.store.decisions)
    for text in (kept, *[each.body for each in said]):
        assert b"0000-0000" not in text  # what every code of the fake begins with
