"""Points become vouchers at the dates of a program: what is there by then, once, in whole steps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from laurel.values import AMOUNT_MAX
from services.points.domain.facts import PointsConverted
from services.points.domain.folding import fold
from services.points.domain.state import Wallet
from tests.points.till import Till, document, enrolment, purchase, report

pytestmark = pytest.mark.anyio

MAY = datetime(2024, 4, 30, 23, tzinfo=UTC)
AUGUST = datetime(2024, 7, 31, 23, tzinfo=UTC)
TICK = timedelta(seconds=1)


async def till_of(**changes: Any) -> Till:
    till = Till(document("clubcard", **{"clock": "wall", **changes}))
    await till.enrol()
    return till


def conversions(till: Till) -> list[PointsConverted]:
    return [fact for j in till.ledger.journals for fact in j.facts if isinstance(fact, PointsConverted)]


def refolded(till: Till) -> Wallet:
    wallet = Wallet(till.program, till.member)
    for journal in till.ledger.journals:
        if journal.wallet is till.wallet:
            for fact in journal.facts:
                fold(wallet, journal.number, fact)
    return wallet


async def test_what_was_posted_before_becomes_a_voucher() -> None:
    till = await till_of()
    await till.buy("b-1", 20000)
    till.pass_time(days=1)
    await till.buy("b-2", 6500)
    assert till.wallet.next_due_at == MAY
    till.at = MAY
    await till.run_due()
    (fact,) = conversions(till)
    assert (fact.amount, fact.value, fact.currency) == (250, 250, "GBP")
    assert [part.amount for part in fact.parts] == [200, 50]
    assert fact.expires_at == datetime(2026, 5, 31, 23, tzinfo=UTC)
    assert (till.balance.available, till.balance.spent, till.balance.earned) == (15, 250, 265)
    journal = till.ledger.journals[-1]
    assert (journal.kind, journal.cause, journal.occurred_at) == ("conversion", "2024-04-30T23:00:00Z", MAY)
    assert refolded(till).balances == till.wallet.balances
    assert till.wallet.converts_at is None


async def test_the_event_says_which_voucher_of_which_points() -> None:
    till = await till_of(clock="manual")
    await till.buy("b-1", 18000)
    said = await till.turn(MAY)
    (event,) = said
    assert event["type"] == "points.converted.v1"
    assert {name: event[name] for name in ("conversion", "unit", "amount", "value", "currency", "turned_to")} == {
        "conversion": "statement", "unit": "point", "amount": 150, "value": 150, "currency": "GBP",
        "turned_to": "2024-04-30T23:00:00Z",
    }  # fmt: skip
    assert event["lots"] == [{"lot": "2.1", "amount": 150}]
    assert event["not_above_basket"] is True
    assert event["cause"] == {"kind": "conversion", "id": "2024-04-30T23:00:00Z"}
    assert event["balances"][0]["available"] == 30


async def test_nobody_is_met_twice() -> None:
    till = await till_of()
    await till.buy("b-1", 40000)
    till.at = MAY
    await till.run_due()
    await till.run_due()
    till.pass_time(days=3)
    # It was bought before the statement, and posted after it.
    late = purchase("late", 30000, datetime(2024, 4, 28, 12, tzinfo=UTC))
    await till.report(late)
    await till.run_due()
    assert [fact.amount for fact in conversions(till)] == [400]
    assert till.wallet.next_due_at == AUGUST
    till.at = AUGUST + timedelta(days=10)
    await till.run_due()
    assert [fact.amount for fact in conversions(till)] == [400, 300]
    assert len({fact.voucher for fact in conversions(till)}) == 2


async def test_too_few_points_leave_nothing_to_look_for() -> None:
    till = await till_of()
    await till.buy("b-1", 14900)
    assert till.wallet.next_due_at == till.balance.active_until
    before = till.wallet.version
    till.at = MAY
    await till.run_due()
    assert till.wallet.version == before
    await till.buy("b-2", 100)
    assert till.wallet.next_due_at == AUGUST, "what comes at the very moment is posted after it"


async def test_the_next_message_converts_first() -> None:
    till = await till_of()
    await till.buy("b-1", 18000)
    till.at = MAY + timedelta(days=5)
    back = await till.give_back("r-1", "b-1", amount=4550)
    assert [(one["taken"], one["owed"]) for one in back["reversals"]] == [(30, 16)]
    assert [fact.amount for fact in conversions(till)] == [150]


async def test_messages_on_both_sides_of_a_date_in_one_batch() -> None:
    till = await till_of()
    before, after = MAY - TICK, MAY + TICK
    await till.send(
        report(till.program, till.member, purchase("b-1", 20000, before), before),
        report(till.program, till.member, purchase("b-2", 20000, after), after),
    )
    assert [fact.amount for fact in conversions(till)] == [200]
    assert till.balance.available == 200


async def test_held_points_stay_and_what_times_out_at_that_moment_is_taken() -> None:
    till = await till_of()
    await till.buy("b-1", 30000)
    await till.hold("h-1", 100)
    till.at = MAY - timedelta(seconds=60)
    await till.timed("requested", "h-2", amount=150, ttl_seconds=60)
    till.at = MAY
    await till.run_due()
    assert [journal.kind for journal in till.ledger.journals[-2:]] == ["hold_timeout", "conversion"]
    assert [fact.amount for fact in conversions(till)] == [200]
    assert (till.balance.available, till.balance.held) == (0, 100)


async def test_points_that_end_at_that_moment_end_first() -> None:
    units = {"point": {"scale": 0, "validity": {"kind": "end_of_period", "period": "month", "after": 1}}}
    till = await till_of(units=units)
    till.at = datetime(2024, 3, 20, 12, tzinfo=UTC)
    await till.buy("b-1", 20000)
    till.at = datetime(2024, 4, 20, 12, tzinfo=UTC)
    await till.buy("b-2", 15900)
    till.at = MAY
    await till.run_due()
    assert till.balance.expired == 200
    assert [fact.amount for fact in conversions(till)] == [150]


async def test_nothing_is_converted_while_points_are_owed() -> None:
    till = await till_of()
    await till.buy("b-1", 20000)
    await till.hold("h-1", 200)
    await till.capture("h-1")
    await till.give_back("r-1", "b-1")
    assert till.balance.owed == 200
    await till.buy("b-2", 34900)
    assert (till.balance.available, till.balance.owed) == (149, 0)
    till.at = MAY
    await till.run_due()
    assert not conversions(till)


async def test_a_clock_that_was_never_set_does_each_date_as_if_on_time() -> None:
    """What was reported ahead of its day was not there before it."""
    till = await till_of(clock="manual")
    await till.report(purchase("b-2", 20000, datetime(2024, 6, 10, 12, tzinfo=UTC)))
    await till.report(purchase("b-1", 18000, datetime(2024, 4, 10, 12, tzinfo=UTC)))
    await till.turn(datetime(2024, 12, 1, tzinfo=UTC))
    assert [(fact.due_at, fact.amount) for fact in conversions(till)] == [(MAY, 150), (AUGUST, 200)]
    assert till.balance.available == 30


async def test_what_lies_ahead_of_a_clock_waits_for_its_date() -> None:
    till = await till_of(clock="manual")
    await till.turn(datetime(2024, 4, 1, tzinfo=UTC))
    await till.report(purchase("ahead", 20000, datetime(2024, 5, 10, 12, tzinfo=UTC)))
    assert await till.turn(MAY) == []
    said = await till.turn(AUGUST)
    assert [one["amount"] for one in said] == [200]


async def test_the_version_in_force_says_what_is_converted() -> None:
    till = await till_of()
    await till.buy("b-1", 20000)
    till.programs.publish(
        document("clubcard", clock="wall", conversions=[], effective_from="2024-04-15T00:00:00+00:00")
    )
    till.at = MAY
    await till.run_due()
    assert not conversions(till)
    assert till.balance.available == 200


async def test_a_value_beyond_what_an_amount_can_say_is_cut_to_it() -> None:
    statement = {
        "conversion": "statement", "unit": "point", "on": {"months": [5], "day": 1}, "from": 1, "step": 1,
        "voucher": {"per_step": {"amount": AMOUNT_MAX // 10, "currency": "GBP"}, "validity": {"kind": "never"}},
    }  # fmt: skip
    till = await till_of(conversions=[statement])
    await till.buy("b-1", 2500)
    till.at = MAY
    await till.run_due()
    (fact,) = conversions(till)
    assert (fact.amount, fact.value, fact.expires_at) == (10, AMOUNT_MAX, None)
    assert till.balance.available == 15


async def test_other_members_have_vouchers_of_their_own() -> None:
    till = await till_of()
    await till.send(enrolment(till.program, "m-2"), report(till.program, "m-2", purchase("b-2", 20000), till.at))
    await till.buy("b-1", 20000)
    till.at = MAY
    await till.road.run_due(till.ledger, list(till.ledger.wallets), till.at)
    assert len({fact.voucher for fact in conversions(till)}) == 2
