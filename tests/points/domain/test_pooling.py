"""Households, on paper: what one cannot pay comes from the others, what expires first before all."""

from __future__ import annotations

import pytest

from services.points.testing import note
from tests.points.family import a_family
from tests.points.pair import gifts
from tests.points.till import enrolment

pytestmark = pytest.mark.anyio


async def test_every_member_says_how_the_household_is() -> None:
    family = await a_family()
    said = await family.settle("m-1", "m-2", leaving=("m-3",))
    assert [(one["type"], one["member"], one["members"]) for one in said] == [
        ("member.household_changed.v1", "m-1", ["m-1", "m-2"]),
        ("member.household_changed.v1", "m-2", ["m-1", "m-2"]),
        ("member.household_changed.v1", "m-3", []),
    ]
    again = await family.settle("m-1", "m-2")
    assert len(again) == 1, "somebody answers, and nobody changes"


async def test_one_s_own_points_go_first_then_what_expires_first() -> None:
    family = await a_family(("m-3", 10), ("m-2", 20), ("m-3", 10), ("m-1", 5))
    said = await family.hold("h-1", 40)
    assert [one["type"] for one in said][-1] == "points.held.v1"
    assert family.has() == [0, 0, 5]
    assert [(one["member"], one["direction"], one["amount"]) for one in said[:-1]] == [
        ("m-3", "sent", 15), ("m-1", "received", 15), ("m-2", "sent", 20), ("m-1", "received", 20),
    ]  # fmt: skip
    assert {one["reason"] for one in said[:-1]} == {"pooling"}
    await family.release("h-1")
    assert family.has() == [40, 0, 5], "what was lent stays in the household, where it was last"


async def test_of_points_that_end_by_inactivity_those_go_first_whose_member_was_away_for_longest() -> None:
    inactivity = {"kind": "inactivity", "months": 1, "kept_by": ["purchase"]}
    family = await a_family(("m-2", 20), ("m-3", 10), units={"point": {"scale": 0, "validity": inactivity}})
    family.pass_time(days=10)
    await family.buy_for("m-2", "b-2", 100)
    await family.hold("h-1", 15)
    assert family.has() == [0, 16, 0], "the points of the third would have ended before all of the second's"


async def test_who_has_enough_draws_on_nobody() -> None:
    family = await a_family(("m-2", 20), ("m-1", 30))
    assert len(await family.hold("h-1", 30)) == 1
    assert family.has() == [0, 20, 0]


async def test_a_household_that_has_not_enough_is_refused_as_one() -> None:
    family = await a_family(("m-2", 20), ("m-1", 30))
    (refused,) = await family.hold("h-1", 60)
    assert (refused["code"], refused["available"], refused["shortfall"]) == ("insufficient_points", 50, 10)
    assert family.has() == [30, 20, 0]


async def test_a_debt_is_paid_before_others_can_help() -> None:
    family = await a_family(("m-1", 10), ("m-2", 50))
    await family.hold("h-1", 10)
    await family.capture("h-1")
    await family.give_back("r-1", "b-0")
    assert family.points("m-1").owed == 10
    await family.hold("h-2", 30)
    assert (family.points("m-1").owed, family.points("m-1").held, family.has()) == (0, 30, [0, 10, 0])


async def test_who_left_neither_pays_nor_draws() -> None:
    family = await a_family(("m-2", 20), ("m-3", 20))
    await family.settle("m-1", "m-2", leaving=("m-3",))
    (refused,) = await family.hold("h-1", 30)
    assert refused["available"] == 20
    family.member = "m-3"
    (refused,) = await family.hold("h-2", 30)
    assert refused["available"] == 20


async def test_without_pooling_it_is_only_a_name() -> None:
    family = await a_family(("m-2", 20))
    await family.settle("m-1", "m-2", "m-3", pooling=False)
    (refused,) = await family.hold("h-1", 5)
    assert (refused["available"], refused["shortfall"]) == (0, 5)


async def test_what_has_ended_for_the_others_does_not_pay() -> None:
    family = await a_family(("m-2", 20), ("m-3", 10))
    family.pass_time(days=298)
    said = await family.hold("h-1", 15)
    assert [one["type"] for one in said] == ["points.expired.v1", "points.hold_refused.v1"]
    assert (said[1]["available"], said[1]["shortfall"]) == (10, 5)


async def test_a_gift_and_a_timed_hold_draw_on_the_household() -> None:
    family = await a_family(("m-2", 20), **gifts(most=15))
    await family.send(enrolment(family.program, "m-4", family.at))
    said = await family.give("g-1", 12, to="m-4")
    assert [(one["member"], one["reason"]) for one in said] == [
        ("m-2", "pooling"), ("m-1", "pooling"), ("m-1", "gift"), ("m-4", "gift"),
    ]  # fmt: skip
    assert (await family.give("g-2", 16, to="m-4"))[0]["code"] == "limit_reached", "nobody lends for what is refused"
    await family.timed("requested", "t-1", amount=8)
    assert (family.has(), family.points("m-1").held) == ([0, 0, 0], 8)


async def test_a_hold_asked_for_twice_draws_once() -> None:
    family = await a_family(("m-2", 20))
    await family.hold("h-1", 15)
    assert await family.hold("h-1", 15) == []
    assert family.has() == [0, 5, 0]


async def test_of_one_batch_each_sees_what_the_one_before_left() -> None:
    family = await a_family(("m-2", 20))
    common = {"at": family.at, "cause": {"kind": "redemption", "id": "r"}, "unit": "point", "amount": 15}
    holds = [
        note("hold.requested.v1", family.program, member, hold=f"h-{member}", redemption="r", **common)
        for member in ("m-1", "m-3")
    ]
    said = await family.send(*holds)
    assert [one["type"] for one in said] == [
        "points.transferred.v1", "points.transferred.v1", "points.held.v1", "points.hold_refused.v1",
    ]  # fmt: skip
    assert (said[-1]["available"], said[-1]["shortfall"]) == (5, 10)


async def test_as_many_as_there_are_are_those_of_the_household() -> None:
    family = await a_family(("m-2", 20), ("m-1", 30), ("m-3", 10))
    said = await family.hold("h-1", 100, least=5)
    assert (said[-1]["type"], said[-1]["amount"], family.has()) == ("points.held.v1", 60, [0, 0, 0])
    assert await family.hold("h-1", 100, least=5) == [], "asked again it draws on nobody"


async def test_of_many_only_as_many_as_it_costs_are_lent() -> None:
    family = await a_family(("m-2", 20), ("m-1", 30))
    said = await family.hold("h-1", 35, least=5)
    assert (said[-1]["amount"], family.has()) == (35, [0, 15, 0])
    family = await a_family(("m-2", 20), ("m-1", 30))
    assert [one["amount"] for one in await family.hold("h-1", 30, least=5)] == [30]
    assert family.has() == [0, 20, 0]


async def test_the_least_is_asked_of_the_household() -> None:
    family = await a_family(("m-2", 20), ("m-1", 3))
    said = await family.hold("h-1", 100, least=23)
    assert (said[-1]["type"], said[-1]["amount"]) == ("points.held.v1", 23)
    family = await a_family(("m-2", 20), ("m-1", 3))
    (refused,) = await family.hold("h-1", 100, least=24)
    assert (refused["code"], refused["available"], refused["shortfall"]) == ("below_minimum", 23, 1)
    assert family.has() == [3, 20, 0]


async def test_as_many_as_there_are_after_a_debt_is_paid() -> None:
    family = await a_family(("m-1", 10), ("m-2", 50))
    await family.hold("h-1", 10)
    await family.capture("h-1")
    await family.give_back("r-1", "b-0")
    said = await family.hold("h-2", 100, least=1)
    assert (said[-1]["amount"], family.points("m-1").owed, family.has()) == (40, 0, [0, 0, 0])
