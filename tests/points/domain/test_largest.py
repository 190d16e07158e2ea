"""The largest amounts at every door (S1): what would make a total more than an amount can say is refused, as a whole.

The till reads all that is said by its contract, so an event that nobody could read fails each of these.
"""

from __future__ import annotations

from typing import Any

import pytest

from laurel.program import load_program
from laurel.values import AMOUNT_MAX
from services.points.testing import note
from tests.points.till import A_SHOP, Till, document, enrolment, purchase, report

pytestmark = pytest.mark.anyio

PLAIN = {**A_SHOP, "program": "vast"}
STEPS = {"rule": "steps", "on": ["purchase"], "unit": "step", "fixed": {"points": 1000, "per": "quantity"}}


async def member(**changes: Any) -> Till:
    till = Till(load_program({**PLAIN, **changes}))
    await till.enrol()
    return till


def lines(quantity: int) -> list[dict[str, Any]]:
    return [{"id": "1", "amount": 0, "quantity": quantity}]


def codes(said: list[dict[str, Any]]) -> list[str | None]:
    return [one.get("code") for one in said]


async def test_nobody_is_given_more_than_an_amount_can_say() -> None:
    till = await member()
    await till.adjust("a-1", AMOUNT_MAX)
    assert codes(await till.adjust("a-2", 1)) == ["limit_reached"]
    assert (till.balance.available, till.balance.adjusted) == (AMOUNT_MAX, AMOUNT_MAX)
    # What was ever given is a total like any other, and so is what was spent of it.
    await till.hold("h-1", AMOUNT_MAX)
    await till.capture("h-1")
    assert codes(await till.adjust("a-3", 1)) == ["limit_reached"]
    assert (await till.buy("b-1", 1))["code"] == "limit_reached"
    assert till.balance.spent == AMOUNT_MAX
    # It can be taken back, and given again.
    await till.adjust("a-4", -AMOUNT_MAX, reason="correction")
    await till.adjust("a-5", AMOUNT_MAX, reason="correction")
    assert (till.balance.available, till.balance.owed) == (0, 0)


async def test_what_waits_is_looked_at_when_it_is_approved() -> None:
    till = await member()
    await till.adjust("a-1", AMOUNT_MAX, limit=1)
    await till.adjust("a-2", AMOUNT_MAX, limit=1)
    await till.decide("a-1", approve=True)
    assert codes(await till.decide("a-2", approve=True)) == ["limit_reached"]
    # Nothing was decided about it.
    assert till.wallet.adjustments["a-2"].state == "waiting"
    await till.adjust("a-3", -1, reason="correction")
    assert codes(await till.decide("a-2", approve=True)) == ["limit_reached"]
    await till.decide("a-2", approve=False)
    assert till.balance.available == AMOUNT_MAX - 1


async def test_nobody_comes_to_owe_more_than_an_amount_can_say() -> None:
    till = await member()
    await till.adjust("a-1", -AMOUNT_MAX, reason="correction")
    assert till.balance.owed == AMOUNT_MAX
    assert codes(await till.adjust("a-2", -1, reason="correction")) == ["limit_reached"]
    assert codes(await till.adjust("a-3", -1)) == ["limit_reached"]


async def test_a_return_may_always_be_owed() -> None:
    till = await member()
    await till.buy("b-1", AMOUNT_MAX - 10)
    await till.hold("h-1", AMOUNT_MAX - 10)
    await till.capture("h-1")
    assert codes(await till.adjust("a-1", -11, reason="correction")) == ["limit_reached"]
    await till.adjust("a-2", -10, reason="correction")
    await till.give_back("r-1", "b-1")
    assert till.balance.owed == AMOUNT_MAX


async def test_a_refusal_beside_a_debt_says_no_more_than_an_amount() -> None:
    till = await member()
    await till.adjust("a-1", -(AMOUNT_MAX - 5), reason="correction")
    (refused,) = await till.adjust("a-2", -5)
    assert (refused["code"], refused["shortfall"]) == ("insufficient_points", AMOUNT_MAX)


async def test_a_correction_gives_all_or_nothing() -> None:
    till = await member()
    await till.buy("b-1", 100)
    await till.adjust("a-1", AMOUNT_MAX - 100)
    assert codes(await till.correct("c-1", "b-1", 101)) == ["limit_reached"]
    # The bonus of who reports it is no smaller than that.
    assert codes(await till.correct("c-2", "b-1", 100, reported_by="member")) == ["limit_reached"]
    assert till.balance.available == AMOUNT_MAX
    # Neither has corrected anything.
    await till.correct("c-3", "b-1", 90)
    assert till.balance.available == AMOUNT_MAX - 10


async def test_a_refill_ends_where_all_that_was_ever_earned_does() -> None:
    caps = [{"cap": "c", "unit": "point", "window": "lifetime", "limit": AMOUNT_MAX - 10}]
    till = await member(caps=caps, returns={"refill_on_return": True})
    await till.buy("b-1", AMOUNT_MAX - 10)
    await till.buy("b-2", AMOUNT_MAX)
    await till.give_back("r-1", "b-1")
    assert (till.balance.available, till.balance.earned) == (10, AMOUNT_MAX)


async def test_a_gift_to_whom_has_earned_all_that_can_be_said() -> None:
    till = await member(transfers={"point": {}})
    await till.buy("b-1", 7)
    giver = Till(load_program({**PLAIN, "transfers": {"point": {}}}), "m-2")
    giver.ledger, giver.road = till.ledger, till.road
    await giver.enrol()
    await giver.adjust("a-1", AMOUNT_MAX)
    asked = {"to": "m-1", "unit": "point", "amount": AMOUNT_MAX, "partner": "shop", "versions": {"program": 1}}
    said = await giver.ask("transfer.requested.v1", transfer="t-1", **asked)
    assert codes(said) == ["limit_reached"]


CLUB = {"segment": "s", "judged": {"every": "month"}, "sum": {"unit": "step", "months": 1, "least": 1}}
LEVELS = [{"tier": "a"}, {"tier": "b", "needs": {"c": 5}}]


@pytest.mark.parametrize(
    "more",
    [
        {"segments": [CLUB]},
        {"tiers": {"counters": {"c": {"unit": "step", "window": "lifetime"}}, "levels": LEVELS}},
    ],
)
async def test_what_only_counts_is_bounded_like_points(more: dict[str, Any]) -> None:
    till = await member(earning=[*PLAIN["earning"], STEPS], **more)
    assert (await till.buy("b-1", 0, lines=lines(AMOUNT_MAX)))["code"] == "limit_reached"
    assert (await till.buy("b-2", 0, lines=lines(AMOUNT_MAX // 1000)))["type"] != "activity.refused.v1"
    assert (await till.buy("b-3", 0, lines=lines(1)))["code"] == "limit_reached"
    # What comes back makes room.
    await till.give_back("r-1", "b-2")
    assert (await till.buy("b-4", 0, lines=lines(1)))["type"] != "activity.refused.v1"


async def test_what_a_threshold_adds_up_is_bounded() -> None:
    bonus = {
        "rule": "bonus", "on": ["purchase"], "unit": "point", "fixed": {"points": 5}, "funding": {"funder": "s"},
        "threshold": {"of": "steps", "reaches": AMOUNT_MAX, "window": "lifetime"},
    }  # fmt: skip
    till = await member(earning=[STEPS, bonus])
    assert (await till.buy("b-1", 0, lines=lines(AMOUNT_MAX)))["code"] == "limit_reached"
    await till.buy("b-2", 0, lines=lines(AMOUNT_MAX // 1000 - 1))
    assert (await till.buy("b-3", 0, lines=lines(2)))["code"] == "limit_reached"
    await till.buy("b-4", 0, lines=lines(1))
    assert till.balance.available == 5


async def test_a_counter_that_rolls_over_days_shows_no_more_than_an_amount() -> None:
    tiers = {
        "counters": {"c": {"unit": "step", "window": "rolling", "months": 1}},
        "levels": LEVELS,
    }
    till = await member(earning=[*PLAIN["earning"], STEPS], tiers=tiers)
    for day in range(2):
        await till.buy(f"b-{day}", 0, lines=lines(AMOUNT_MAX // 1000))
        till.pass_time(days=1)
    said = await till.send(report("vast", "m-1", purchase("b-9", 0, till.at, lines=lines(1)), till.at))
    shown = [one["tier_standing"]["progress"][0]["value"] for one in said if one["tier_standing"]]
    assert shown == [AMOUNT_MAX]


async def test_what_all_get_of_an_activity_is_an_amount() -> None:
    both = [
        {"rule": rule, "on": ["purchase"], "unit": "point", "rate": {"points": 1, "per": 1}, "funding": {"funder": "s"},
         "pending": {"approval": True}, **to}
        for rule, to in (("mine", {}), ("theirs", {"to": "payer"}))
    ]  # fmt: skip
    till = await member(earning=both)
    await till.send(enrolment("vast", "m-2"))
    payer = {"id": "m-2", "kind": "friend"}
    assert (await till.buy("b-1", AMOUNT_MAX // 2 + 1, payer=payer))["code"] == "limit_reached"
    await till.buy("b-2", AMOUNT_MAX // 2, payer=payer)
    asked = {"activity": "b-2", "partner": "shop", "approve": True, "versions": {"program": 1}}
    (first, *_) = await till.ask("pending.decision_requested.v1", **asked)
    assert first["amount"] == AMOUNT_MAX


async def test_a_household_lends_no_more_than_one_can_have_spent() -> None:
    till = await member()
    await till.send(enrolment("vast", "m-2"))
    fields = {
        "household": "h",
        "members": ["m-1", "m-2"],
        "pooling": True,
        "at": till.at,
        "cause": {"kind": "k", "id": "h"},
    }
    await till.send(note("household.set_requested.v1", "vast", "", **fields, versions={"program": 1}))
    await till.buy("b-1", AMOUNT_MAX)
    await till.hold("h-1", AMOUNT_MAX)
    await till.capture("h-1")
    other = Till(load_program(PLAIN), "m-2")
    other.ledger, other.road = till.ledger, till.road
    await other.buy("b-2", 5)
    assert codes(await till.hold("h-2", 5)) == ["insufficient_points"]
    assert other.balance.available == 5


@pytest.mark.parametrize("amount", [5, -5])
@pytest.mark.parametrize("unit", ["step", "nothing"])
async def test_what_is_no_points_is_not_adjusted(unit: str, amount: int) -> None:
    till = await member(earning=[*PLAIN["earning"], STEPS])
    fields = {"reason": "correction", "partner": "bank", "versions": {"program": 1}}
    said = await till.ask("adjustment.requested.v1", adjustment="a-1", unit=unit, amount=amount, **fields)
    assert [(one["type"], one["state"], one["code"]) for one in said] == [
        ("points.adjustment_held_back.v1", "refused", "not_offered")
    ]
    assert unit not in till.wallet.balances


async def test_what_a_version_gave_up_can_be_taken_and_no_more_given() -> None:
    till = Till(document("grocery", clock="wall"))
    await till.enrol()
    await till.adjust("a-1", 50)
    await till.adjust("a-2", 50, limit=1)
    plain = {**PLAIN, "program": till.program, "effective_from": "2024-04-01T00:00:00+00:00"}
    plain["units"] = {"star": {"scale": 0, "validity": {"kind": "never"}}}
    plain["earning"] = [{**PLAIN["earning"][0], "unit": "star"}]
    till.programs.publish(load_program(plain))
    till.pass_time(days=60)
    versions = {"versions": {"program": 2}}
    assert codes(await till.adjust("a-3", 50, **versions)) == ["not_offered"]
    decided = await till.ask("adjustment.decision_requested.v1", adjustment="a-2", approve=True, limit=None, **versions)
    assert [(one["type"], one["state"], one["code"]) for one in decided] == [
        ("points.adjustment_held_back.v1", "waiting", "not_offered")
    ]
    await till.adjust("a-4", -20, **versions)
    assert till.balance.available == 30
