"""A purchase is reported late, and points had ended that it would have kept alive: they are good again."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.points.lapsing import INACTIVITY, day
from tests.points.till import Till, document, purchase, report

pytestmark = pytest.mark.anyio


async def a_shopper(**changes: Any) -> Till:
    """Somebody whose points last for a month from each purchase, with ten of them bought on the first of March."""
    units = {"point": {"scale": 0, "validity": INACTIVITY}}
    till = Till(document("clubcard", clock="wall", units=units, **changes))
    await till.enrol()
    await till.buy("b-1", 1000)
    return till


async def report_late(till: Till, id_: str, occurred: int, points: int = 0) -> list[dict[str, Any]]:
    return await till.send(report(till.program, till.member, purchase(id_, points * 100, day(occurred)), till.at))


@pytest.mark.parametrize("is_noticed", [True, False])
async def test_what_ended_before_a_late_report_comes_back_with_it(is_noticed: bool) -> None:
    till = await a_shopper()
    till.pass_time(days=40)
    if is_noticed:
        await till.run_due()
        assert (till.balance.available, till.balance.expired) == (0, 10)
    said = await report_late(till, "b-2", 20, points=3)
    assert [one["type"] for one in said][-2:] == ["points.awarded.v1", "points.revived.v1"]
    revived = said[-1]
    assert (revived["unit"], revived["amount"], revived["activity"], revived["partner"]) == ("point", 10, "b-2", "shop")
    assert revived["lots"] == [{"lot": "2.1", "amount": 10}]
    assert said[-2]["balances"][0]["available"] == 13
    assert (till.balance.available, till.balance.expired, till.balance.earned) == (13, 0, 13)
    till.pass_time(days=11)
    await till.run_due()
    assert (till.balance.available, till.balance.expired) == (0, 13), "all of it ends a month after that purchase"


async def test_a_purchase_that_came_too_late_for_them_brings_nothing_back() -> None:
    till = await a_shopper()
    till.pass_time(days=60)
    await report_late(till, "b-2", 32, points=3)
    assert (till.balance.available, till.balance.expired) == (3, 10)


async def test_what_would_have_ended_again_by_now_stays_ended() -> None:
    till = await a_shopper()
    till.pass_time(days=60)
    said = await report_late(till, "b-2", 20)
    assert "points.revived.v1" not in [one["type"] for one in said]
    assert (till.balance.available, till.balance.expired) == (0, 10)


async def test_a_gap_that_it_does_not_close_stays_one() -> None:
    till = await a_shopper()
    till.pass_time(days=60)
    await till.buy("b-3", 500)
    await report_late(till, "b-2", 20)
    assert (till.balance.available, till.balance.expired) == (5, 10)


async def test_a_gap_before_what_was_bought_since_is_closed() -> None:
    till = await a_shopper()
    till.pass_time(days=45)
    await till.buy("b-3", 500)
    await report_late(till, "b-2", 20)
    assert (till.balance.available, till.balance.expired) == (15, 0)


@pytest.mark.parametrize("order", [(25, 50), (50, 25)])
@pytest.mark.parametrize("is_one_batch", [True, False])
async def test_two_late_reports_close_it_together(order: tuple[int, int], is_one_batch: bool) -> None:
    till = await a_shopper()
    till.pass_time(days=70)
    late = [report(till.program, till.member, purchase(f"l-{of}", 0, day(of)), till.at) for of in order]
    for notes in [late] if is_one_batch else [[each] for each in late]:
        await till.send(*notes)
    assert (till.balance.available, till.balance.expired) == (10, 0)


async def test_what_was_spent_stays_spent_and_what_is_owed_is_paid_first() -> None:
    till = await a_shopper()
    await till.buy("b-2", 2000)
    await till.hold("h-1", 12)
    await till.capture("h-1")
    till.pass_time(days=40)
    await till.give_back("r-1", "b-2")
    assert (till.balance.expired, till.balance.owed) == (18, 2), "of its own lot two were spent"
    await report_late(till, "b-3", 20)
    assert (till.balance.available, till.balance.owed, till.balance.spent) == (0, 2, 12)
    assert till.balance.expired == 18, "what came back was not asked for, and is not there any more"


async def test_what_comes_back_pays_what_is_owed() -> None:
    till = await a_shopper()
    await till.adjust("a-1", -4)
    till.pass_time(days=40)
    await till.run_due()
    await till.adjust("a-2", -1)
    said = await report_late(till, "b-3", 20)
    assert (till.balance.available, till.balance.owed, till.balance.expired) == (6, 0, 0), said


async def test_the_purchase_that_brought_them_back_may_come_back_itself() -> None:
    till = await a_shopper()
    till.pass_time(days=40)
    await report_late(till, "b-2", 20, points=3)
    await till.give_back("r-1", "b-2")
    assert (till.balance.available, till.balance.owed) == (10, 0), "as if it had been known in time, and returned"


async def test_a_return_asks_for_what_came_back() -> None:
    till = await a_shopper()
    till.pass_time(days=40)
    await report_late(till, "b-2", 20, points=3)
    said = await till.give_back("r-1", "b-1")
    assert [(back["taken"], back["expired"], back["owed"]) for back in said["reversals"]] == [(10, 0, 0)]


async def test_a_cap_on_the_balance_sees_what_comes_back() -> None:
    till = await a_shopper(caps=[{"cap": "most", "unit": "point", "of": "outstanding", "limit": 15}])
    till.pass_time(days=40)
    await report_late(till, "b-2", 20, points=9)
    assert till.balance.available == 15


async def test_the_same_report_again_says_it_as_before() -> None:
    till = await a_shopper()
    till.pass_time(days=40)
    await report_late(till, "b-2", 20, points=3)
    again = await report_late(till, "b-2", 20, points=3)
    assert [one["type"] for one in again] == ["points.awarded.v1"]
    assert till.balance.available == 13


@pytest.mark.parametrize("seed", range(60))
async def test_what_is_there_in_the_end_does_not_depend_on_when_it_was_reported(seed: int) -> None:
    """Purchases that earn are known at once; small ones, which only keep points alive, in time, late, or in files."""
    chance = random.Random(seed)
    bought = sorted((chance.randrange(0, 200), chance.randint(0, 1) * chance.randint(1, 9)) for _ in range(12))
    late = [(when if points else when + chance.randrange(0, 60), when, points) for when, points in bought]
    ends = []
    for reports in (sorted((when, when, points) for when, points in bought), sorted(late)):
        for in_files in (False, True):
            till = await a_shopper()
            for known in sorted({known for known, _, _ in reports}):
                till.at = day(known)
                notes = [
                    report(till.program, till.member, purchase(f"l-{place}", points * 100, day(when)), till.at)
                    for place, (at, when, points) in enumerate(reports)
                    if at == known
                ]
                for each in [notes] if in_files else [[note] for note in notes]:
                    await till.send(*each)
            till.at = day(max(known for known, _, _ in late))
            await till.run_due()
            balance = till.balance
            ends.append((balance.available, balance.earned, balance.expired))
    assert ends[0] == ends[1]
    assert ends[2] == ends[3]
    assert ends[0] == ends[2]
