"""Gifts between members, on paper: lots keep what they are, limits hold, debts are paid, and both halves agree."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.points.pair import Pair, gifts
from tests.points.till import START, document, enrolment, report

pytestmark = pytest.mark.anyio


async def a_pair(**changes: Any) -> Pair:
    pair = Pair(document("clubcard", **{"clock": "wall", **gifts(), **changes}))
    await pair.enrol()
    return pair


async def test_lots_keep_what_they_are() -> None:
    units = {"point": {"scale": 0, "validity": {"kind": "rolling", "days": 30}}}
    pair = await a_pair(units=units)
    await pair.buy("b-1", 1000)
    pair.pass_time(days=2)
    await pair.buy("b-2", 2000)
    pair.pass_time(days=1)
    sent, received = await pair.give("g-1", 25)
    assert [sent["direction"], sent["other"], sent["amount"]] == ["sent", "m-2", 25]
    assert sent["lots"] == [{"lot": "2.1", "amount": 10}, {"lot": "3.1", "amount": 15}]
    assert (received["member"], received["direction"], received["other"]) == ("m-2", "received", "m-1")
    assert received["lots"] == [{"lot": "2.1", "amount": 10}, {"lot": "2.2", "amount": 15}]
    assert (sent["other_version"], received["version"]) == (2, 2)
    kept = ("unit", "rule", "partner", "earned_at", "available_at", "expires_at", "funder", "version")
    before, after = pair.of("m-1").lots.values(), pair.of("m-2").lots.values()
    for one, other in zip(before, after, strict=True):
        assert [getattr(one, name) for name in kept] == [getattr(other, name) for name in kept]
        assert other.activity == "g-1"
    assert (pair.points("m-1").available, pair.points("m-1").adjusted) == (5, -25)
    assert (pair.points("m-2").available, pair.points("m-2").adjusted, pair.points("m-2").earned) == (25, 25, 0)
    pair.pass_time(days=30)
    said = await pair.buy_for("m-2", "b-3", 100)
    assert said["type"] == "points.expired.v1"
    assert pair.points("m-2").expired == 10 + 15


async def test_what_is_received_pays_what_is_owed_first() -> None:
    pair = await a_pair()
    await pair.buy("b-1", 5000)
    await pair.buy_for("m-2", "b-2", 3000)
    await pair.give("g-1", 30, giver="m-2", to="m-1")
    back = {"id": "r-1", "type": "return", "of": "b-2", "occurred_at": pair.at.isoformat()}
    await pair.send(report(pair.program, "m-2", back, pair.at))
    assert pair.points("m-2").owed == 30, "a return asks whoever earned the points, wherever they are"
    short = (await pair.give("g-2", 5, giver="m-2", to="m-1"))[0]
    assert (short["code"], short["available"], short["shortfall"]) == ("insufficient_points", 0, 35)
    _, received = await pair.give("g-3", 50)
    assert received["balances"][0]["owed"] == 0
    assert (pair.points("m-2").available, pair.points("m-1").available) == (20, 30)


async def test_given_back_it_is_not_the_purchase_s_own_lot() -> None:
    """What a return takes first is what is left of the purchase's own lot, then whatever would be spent first."""
    pair = await a_pair()
    await pair.buy("b-1", 1000)
    await pair.give("g-1", 10)
    await pair.give("g-2", 10, giver="m-2", to="m-1")
    back = await pair.give_back("r-1", "b-1")
    assert [one["taken"] for one in back["reversals"]] == [10]
    assert (pair.points("m-1").available, pair.points("m-1").owed) == (0, 0)


@pytest.mark.parametrize(
    ("changes", "gift", "code"),
    [
        ({"transfers": {}}, {"amount": 5}, "not_offered"),
        (gifts(least=6), {"amount": 5}, "below_minimum"),
        (gifts(most=4), {"amount": 5}, "limit_reached"),
        ({}, {"amount": 5, "to": "nobody"}, "member_unknown"),
        ({}, {"amount": 5, "giver": "nobody"}, "member_unknown"),
        ({}, {"amount": 5, "to": "m-1"}, "not_offered"),
        ({}, {"amount": 101}, "insufficient_points"),
    ],
)
async def test_a_gift_that_is_refused_moves_nothing(changes: dict[str, Any], gift: dict[str, Any], code: str) -> None:
    pair = await a_pair(**changes)
    await pair.buy("b-1", 10000)
    said = await pair.give("g-1", **gift)
    assert [one["type"] for one in said] == ["points.transfer_refused.v1"]
    assert said[0]["code"] == code
    assert (pair.points("m-1").available, pair.points("m-2").available) == (100, 0)


async def test_a_member_who_is_not_active_gives_and_gets_nothing() -> None:
    pair = await a_pair()
    await pair.buy("b-1", 1000)
    pair.of("m-2").status = "closed"
    assert (await pair.give("g-1", 5))[0]["code"] == "member_not_active"


async def test_what_may_be_given_and_received_in_a_window() -> None:
    window = {"window": "month"}
    pair = await a_pair(**gifts(given={"points": 50, **window}, received={"points": 60, **window}))
    await pair.send(enrolment(pair.program, "m-3", pair.at))
    for member in ("m-1", "m-3"):
        await pair.buy_for(member, f"b-{member}", 20000)
    await pair.give("g-1", 40)
    over = (await pair.give("g-2", 11))[0]
    assert (over["code"], over["left"]) == ("limit_reached", 10)
    full = (await pair.give("g-3", 30, giver="m-3"))[0]
    assert (full["code"], full["left"]) == ("limit_reached", 20), "what the other may still receive"
    await pair.give("g-4", 10)
    pair.at = datetime(2024, 4, 1, tzinfo=UTC)
    assert (await pair.give("g-5", 50))[0]["type"] == "points.transferred.v1"


async def test_a_gift_is_no_accrual() -> None:
    cap = {"cap": "year", "unit": "point", "window": "calendar_year", "limit": 100}
    pair = await a_pair(caps=[cap])
    await pair.buy("b-1", 10000)
    await pair.give("g-1", 100)
    await pair.buy_for("m-2", "b-2", 10000)
    assert pair.points("m-2").available == 200


async def test_points_in_a_hold_are_not_given_away() -> None:
    pair = await a_pair()
    await pair.buy("b-1", 1000)
    await pair.timed("requested", "h-1", amount=8)
    short = (await pair.give("g-1", 3))[0]
    assert (short["code"], short["available"], short["shortfall"]) == ("insufficient_points", 2, 1)


async def test_what_has_ended_for_either_is_seen_first() -> None:
    units = {"point": {"scale": 0, "validity": {"kind": "rolling", "days": 10}}}
    pair = await a_pair(units=units)
    await pair.buy("b-1", 1000)
    await pair.buy_for("m-2", "b-2", 1000)
    pair.pass_time(days=20)
    await pair.buy("b-3", 2000)
    said = await pair.give("g-1", 20)
    assert [(one["type"], one["member"]) for one in said] == [
        ("points.expired.v1", "m-2"),
        ("points.transferred.v1", "m-1"),
        ("points.transferred.v1", "m-2"),
    ]
    assert pair.points("m-2").available == 20


async def test_points_that_end_by_inactivity_last_as_long_as_they_did() -> None:
    """Somebody who was never active would lose a gift at once, or keep it for ever."""
    inactive = {"kind": "inactivity", "months": 12, "kept_by": ["purchase"]}
    pair = await a_pair(units={"point": {"scale": 0, "validity": inactive}})
    await pair.buy("b-1", 1000)
    pair.pass_time(days=30)
    await pair.give("g-1", 10)
    assert pair.points("m-2").active_until == pair.points("m-1").active_until != None  # noqa: E711
    pair.pass_time(days=400)
    await pair.buy_for("m-2", "b-2", 100)
    assert pair.points("m-2").expired == 10


async def test_gifts_of_one_batch_go_on_from_each_other() -> None:
    pair = await a_pair()
    await pair.buy("b-1", 1000)
    there, again, back = pair.gift("g-1", 10), pair.gift("g-2", 1), pair.gift("g-3", 4, giver="m-2", to="m-1")
    said = await pair.send(there, again, back)
    assert [one["type"].split(".")[1] for one in said] == ["transferred"] * 2 + ["transfer_refused"] + [
        "transferred"
    ] * 2
    assert (pair.points("m-1").available, pair.points("m-2").available) == (4, 6)


async def test_what_comes_late_is_given_at_the_time_of_both_wallets() -> None:
    pair = await a_pair()
    await pair.buy("b-1", 1000)
    pair.pass_time(hours=5)
    await pair.buy_for("m-2", "b-2", 1000)
    late = pair.at
    pair.at = START + timedelta(hours=1)
    said = await pair.give("g-1", 5)
    assert {one["at"] for one in said} == {late.isoformat().replace("+00:00", "Z")}


async def test_in_a_sandbox_it_happens_now() -> None:
    pair = await a_pair(clock="manual")
    await pair.buy("b-1", 1000)
    await pair.turn(START + timedelta(days=3))
    said = await pair.give("g-1", 5)
    assert {one["at"] for one in said} == {"2024-03-04T12:00:00Z"}
