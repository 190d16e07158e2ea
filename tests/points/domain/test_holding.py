"""Holds: all or nothing, from what expires first, spent or given back once (S5, S12)."""

from datetime import timedelta

import pytest

from tests.points.till import Till, document

pytestmark = pytest.mark.anyio


async def grocery(**changes: object) -> Till:
    till = Till(document("grocery", **changes))
    await till.enrol()
    return till


async def test_hold_takes_what_expires_first() -> None:
    till = await grocery()
    till.pass_time(days=40)
    await till.buy("late", 1000, currency="USD")
    till.pass_time(days=-40)
    await till.buy("early", 1000, currency="USD")
    said = await till.hold("h-1", 15)
    assert [(lot["lot"], lot["amount"]) for lot in said[0]["lots"]] == [("3.1", 10), ("2.1", 5)]


async def test_one_too_many_is_refused_with_the_shortfall() -> None:
    till = await grocery()
    await till.buy("b-1", 1000, currency="USD")
    refused = (await till.hold("h-1", 11))[0]
    assert (refused["code"], refused["available"], refused["shortfall"]) == ("insufficient_points", 10, 1)
    assert till.balance.held == 0


async def test_capture_spends_once() -> None:
    till = await grocery()
    await till.buy("b-1", 1000, currency="USD")
    await till.hold("h-1", 10)
    assert (await till.capture("h-1"))[0]["type"] == "points.captured.v1"
    assert await till.capture("h-1") == []
    assert (till.balance.available, till.balance.held, till.balance.spent) == (0, 0, 10)


async def test_hold_that_comes_after_its_release_is_refused() -> None:
    till = await grocery()
    await till.buy("b-1", 1000, currency="USD")
    await till.release("h-1")
    refused = (await till.hold("h-1", 5))[0]
    assert refused["code"] == "hold_released"
    assert till.balance.available == 10


async def test_last_lot_expires_while_held() -> None:
    till = await grocery(clock="wall")
    await till.buy("b-1", 1000, currency="USD")
    till.pass_time(days=729)
    await till.hold("h-1", 10)
    till.pass_time(days=10)
    said = await till.release("h-1")
    assert [one["type"] for one in said] == ["points.released.v1", "points.expired.v1"]
    assert (till.balance.available, till.balance.held, till.balance.expired) == (0, 0, 10)


async def test_held_points_may_still_be_captured_after_their_expiry() -> None:
    till = await grocery(clock="wall")
    await till.buy("b-1", 1000, currency="USD")
    till.pass_time(days=729)
    await till.hold("h-1", 10)
    till.pass_time(days=10)
    await till.capture("h-1")
    assert (till.balance.spent, till.balance.expired) == (10, 0)


async def test_as_many_points_as_there_are_where_less_than_all_will_do() -> None:
    till = await grocery()
    await till.buy("b-1", 1000, currency="USD")
    below = (await till.hold("h-1", 500, least=11))[0]
    assert (below["code"], below["available"], below["shortfall"]) == ("below_minimum", 10, 1)
    held = (await till.hold("h-2", 500, least=10, partner="hotel"))[0]
    assert (held["type"], held["amount"]) == ("points.held.v1", 10)
    assert await till.hold("h-2", 500, least=10) == [], "a repeat changes nothing"
    assert (await till.hold("h-3", 500, least=1))[0]["code"] == "below_minimum"
    await till.capture("h-2")
    assert (till.balance.available, till.balance.spent) == (0, 10)


async def test_no_more_is_held_than_was_asked_for() -> None:
    till = await grocery()
    await till.buy("b-1", 1000, currency="USD")
    assert (await till.hold("h-1", 4, least=1))[0]["amount"] == 4
    assert till.balance.available == 6


async def test_what_is_missing_of_the_least_is_told_with_what_is_owed() -> None:
    """S11: what is owed is paid before anything can be held."""
    till = await grocery()
    await till.buy("b-1", 2000, currency="USD")
    await till.hold("h-1", 20)
    await till.give_back("r-1", "b-1", amount=1500)
    assert (till.balance.available, till.balance.owed) == (0, 15)
    whole = (await till.hold("h-2", 4))[0]
    least = (await till.hold("h-3", 100, least=4))[0]
    assert [(each["available"], each["shortfall"]) for each in (whole, least)] == [(0, 19), (0, 19)]


async def test_nothing_is_spent_with_a_partner_that_does_not_take_part() -> None:
    """What was set aside before it left is captured all the same."""
    till = await grocery(clock="wall")
    await till.buy("b-1", 5000, currency="USD")
    await till.hold("h-1", 10, partner="hotel")
    till.programs.say("grocery", "hotel", "approved")
    till.programs.say("grocery", "hotel", "suspended", till.at + timedelta(hours=1))
    assert (await till.hold("h-2", 10, partner="hotel"))[0]["type"] == "points.held.v1"
    till.pass_time(hours=1)
    for partner, said in (("hotel", "points.hold_refused.v1"), ("shop", "points.held.v1")):
        answers = (
            await till.hold(f"h-{partner}", 1, partner=partner),
            await till.timed("requested", f"t-{partner}", amount=1, partner=partner),
        )
        assert [answer[0]["type"] for answer in answers] == [said, said]
    assert (await till.hold("h-3", 100, least=1, partner="hotel"))[0]["code"] == "partner_not_active"
    assert till.balance.held == 22
    await till.capture("h-1")
    await till.capture("h-2")
    assert (till.balance.held, till.balance.spent) == (2, 20)
