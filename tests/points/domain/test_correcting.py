"""The operator's own error: reversed where unspent, written off up to a limit, then it waits (S18, BK-6)."""

from __future__ import annotations

import pytest

from services.points.domain.posting import entries
from tests.points.till import Till, document

pytestmark = pytest.mark.anyio


async def posted(points: int) -> Till:
    till = Till(document("grocery", clock="wall"))
    await till.enrol()
    await till.buy("wrong", points * 100, currency="USD")
    return till


async def spend(till: Till, points: int) -> None:
    await till.hold("spent", points)
    await till.capture("spent")


async def test_bk_6_a_spent_before_the_correction() -> None:
    till = await posted(10_000)
    await spend(till, 5_000)
    said = (await till.correct("a-1", "wrong", 100))[0]
    figures = (said["reversed"], said["written_off"], said["waiting"], said["bonus"])
    assert figures == (5_000, 4_900, 0, 0)
    assert (till.balance.available, till.balance.owed) == (0, 0)
    assert sum(amount for _, _, amount in entries(till.ledger.journals[-1].facts)) == 0


async def test_bk_6_b_reported_by_the_member_unspent() -> None:
    till = await posted(10_000)
    said = (await till.correct("a-1", "wrong", 100, reported_by="member"))[0]
    assert (said["reversed"], said["written_off"], said["waiting"], said["bonus"]) == (9_900, 0, 0, 300)
    assert till.balance.available == 400


@pytest.mark.parametrize(("approve", "owed", "written_off"), [(True, 14_900, 10_000), (False, 0, 24_900)])
async def test_bk_6_c_beyond_the_limit_it_waits(approve: bool, owed: int, written_off: int) -> None:
    till = await posted(30_000)
    await spend(till, 25_000)
    said = (await till.correct("a-1", "wrong", 100))[0]
    assert (said["reversed"], said["written_off"], said["waiting"]) == (5_000, 10_000, 14_900)
    assert (till.balance.available, till.balance.owed) == (0, 0)
    decided = (await till.decide("a-1", approve=approve))[0]
    assert (decided["waiting"], decided["written_off"]) == (0, written_off)
    assert (till.balance.available, till.balance.owed) == (0, owed)


async def test_a_return_takes_only_what_still_stands() -> None:
    till = await posted(10_000)
    await till.correct("a-1", "wrong", 100)
    back = await till.give_back("r-1", "wrong")
    assert [(each["amount"], each["taken"]) for each in back["reversals"]] == [(100, 100)]
    assert (till.balance.available, till.balance.owed) == (0, 0)


async def test_a_wrong_adjustment_is_corrected_once() -> None:
    till = await posted(1)
    await till.adjust("a-1", 10_000)
    said = (await till.correct("a-2", "a-1", 100))[0]
    assert (said["reversed"], said["corrects"]) == (9_900, "a-1")
    assert till.balance.available == 101
    assert (await till.correct("a-3", "a-1", 50))[0]["code"] == "already_corrected"
    assert (await till.correct("a-4", "nothing", 50))[0]["code"] == "activity_unknown"


async def test_what_was_posted_too_little_is_given() -> None:
    till = await posted(10)
    said = (await till.correct("a-1", "wrong", 25))[0]
    assert (said["amount"], said["reversed"]) == (15, 0)
    assert till.balance.available == 25


async def test_points_in_an_open_hold_are_not_taken() -> None:
    till = await posted(100)
    await till.hold("h-1", 60)
    said = (await till.correct("a-1", "wrong", 10))[0]
    assert (said["reversed"], said["written_off"]) == (40, 50)
    assert (till.balance.held, till.balance.available) == (60, 0)


async def test_what_a_return_had_refilled_is_part_of_what_was_posted() -> None:
    till = Till(document("gm-card", clock="wall"))
    await till.enrol()
    await till.buy("full", 1_000_000, currency="USD")
    await till.buy("late", 200_000, currency="USD")
    await till.give_back("r-1", "full", amount=300_000)
    assert till.wallet.balance("credit").available == 45_000, "10,000 of them are what late had been refused"
    said = (await till.ask(
        "adjustment.correction_requested.v1", adjustment="a-1", unit="credit", of="late", of_partner="shop",
        should_be=4_000, reason="correction", partner="bank", versions={"program": 1},
    ))[0]  # fmt: skip
    assert (said["reversed"], said["written_off"], said["waiting"]) == (6_000, 0, 0)
    assert till.wallet.balance("credit").available == 39_000
    back = await till.give_back("r-2", "late")
    assert [(each["amount"], each["taken"]) for each in back["reversals"]] == [(4_000, 4_000)]


async def test_a_refilled_award_that_came_back_in_part_is_corrected_by_what_stands() -> None:
    till = Till(document("gm-card", clock="wall"))
    await till.enrol()
    await till.buy("full", 960_000, currency="USD")
    await till.buy("late", 200_000, currency="USD")
    await till.give_back("r-1", "full", amount=100_000)
    # 2,000 granted, 5,000 refilled; of the 7,000 half of the price keeps 5,000.
    await till.give_back("r-2", "late", amount=100_000)
    assert till.wallet.balance("credit").available == 48_000
    said = (await till.ask(
        "adjustment.correction_requested.v1", adjustment="a-1", unit="credit", of="late", of_partner="shop",
        should_be=1_000, reason="correction", partner="bank", versions={"program": 1},
    ))[0]  # fmt: skip
    assert (said["reversed"], said["written_off"], till.wallet.balance("credit").available) == (4_000, 0, 44_000)
