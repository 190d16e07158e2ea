"""Points by a person's decision: given, taken, above a limit only with another's approval."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.points.till import Till, document

pytestmark = pytest.mark.anyio


async def member(points: int = 0) -> Till:
    till = Till(document("grocery", clock="wall"))
    await till.enrol()
    if points:
        await till.buy("b-1", points * 100, currency="USD")
    return till


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("goodwill", "goodwill"),
        ("service_recovery", "service_recovery"),
        ("correction", "correction"),
        ("Mrs Smith complained", None),
    ],
)
async def test_an_event_tells_a_reason_that_means_something_and_nobody_s_words(reason: str, told: str | None) -> None:
    till = await member()
    waits = (await till.adjust("a-1", 50, reason=reason, limit=10))[0]
    done = (await till.decide("a-1", approve=True))[0]
    assert (waits["reason"], done["type"], done["reason"]) == (told, "points.adjusted.v1", told)


async def test_goodwill_is_a_lot_of_its_own() -> None:
    till = await member(10)
    said = (await till.adjust("a-1", 50))[0]
    assert (said["type"], said["state"], said["amount"]) == ("points.adjusted.v1", "posted", 50)
    assert said["lots"] == [{"lot": "3.1", "amount": 50}]
    assert (till.balance.available, till.balance.earned, till.balance.adjusted) == (60, 10, 50)
    assert till.wallet.lots[max(till.wallet.lots)].funder == "bank"
    assert await till.adjust("a-1", 50) == []


@pytest.mark.parametrize(
    ("reason", "year"), [("goodwill", 2025), ("service_recovery", 2025), ("correction", 2026), ("a raffle", 2026)]
)
async def test_goodwill_lasts_twelve_months_and_anything_else_as_long_as_what_is_earned(reason: str, year: int) -> None:
    till = await member()
    await till.adjust("a-1", 50, reason=reason)
    (lot,) = till.wallet.lots.values()
    # What is earned is good for two years from its day, in New York.
    assert lot.expires_at == datetime(year, 3, 1, 5, tzinfo=UTC)


async def test_an_end_of_its_own_is_kept_to_midnight() -> None:
    till = await member()
    told = await till.adjust("a-1", 5, expires_at=datetime(2024, 6, 1, 12, tzinfo=UTC))
    assert [each["expires_at"] for each in told] == ["2024-06-01T12:00:00Z"]
    await till.adjust("a-2", 5, expires_at=datetime(2024, 6, 1, 4, tzinfo=UTC))
    ends = [lot.expires_at for lot in till.wallet.lots.values()]
    assert ends == [datetime(2024, 6, 2, 4, tzinfo=UTC), datetime(2024, 6, 1, 4, tzinfo=UTC)]


async def test_goodwill_that_waited_lasts_from_the_day_on_which_it_is_given() -> None:
    till = await member()
    await till.adjust("a-1", 500, limit=100)
    till.at = datetime(2024, 8, 31, 12, tzinfo=UTC)
    await till.decide("a-1", approve=True)
    (lot,) = till.wallet.lots.values()
    assert lot.expires_at == datetime(2025, 8, 31, 4, tzinfo=UTC)


async def test_nothing_is_given_that_has_ended_before_it_is_approved() -> None:
    till = await member()
    await till.adjust("a-1", 500, limit=100, expires_at=datetime(2024, 6, 1, 12, tzinfo=UTC))
    till.at = datetime(2024, 6, 2, 4, tzinfo=UTC)
    refused = (await till.decide("a-1", approve=True))[0]
    assert (refused["type"], refused["code"]) == ("points.adjustment_held_back.v1", "not_offered")
    assert (till.balance.available, till.balance.adjusted, till.wallet.lots) == (0, 0, {})
    assert (await till.decide("a-1", approve=False))[0]["state"] == "rejected", "it waited still"


async def test_what_ends_today_is_given_today() -> None:
    till = await member()
    await till.adjust("a-1", 500, limit=100, expires_at=datetime(2024, 6, 1, 12, tzinfo=UTC))
    till.at = datetime(2024, 6, 2, 3, 59, tzinfo=UTC)
    await till.decide("a-1", approve=True)
    assert till.balance.available == 500


async def test_no_more_is_taken_than_there_is_unless_it_is_a_correction() -> None:
    till = await member(10)
    refused = (await till.adjust("a-1", -11))[0]
    assert (refused["type"], refused["code"], refused["shortfall"]) == (
        "points.adjustment_held_back.v1",
        "insufficient_points",
        1,
    )
    await till.adjust("a-2", -4)
    assert (till.balance.available, till.balance.adjusted) == (6, -4)
    await till.adjust("a-3", -11, reason="correction")
    assert (till.balance.available, till.balance.owed, till.balance.adjusted) == (0, 5, -15)
    await till.adjust("a-4", 7)
    assert (till.balance.available, till.balance.owed, till.balance.adjusted) == (2, 0, -8)


async def test_above_the_limit_it_waits_for_somebody_whose_limit_suffices() -> None:
    till = await member()
    waiting = (await till.adjust("a-1", 500, limit=100))[0]
    assert (waiting["code"], waiting["state"], waiting["waiting"]) == ("needs_approval", "waiting", 500)
    assert till.balance.available == 0
    assert (await till.decide("a-1", approve=True, limit=499))[0]["code"] == "needs_approval"
    approved = (await till.decide("a-1", approve=True, limit=500))[0]
    assert (approved["state"], approved["waiting"], till.balance.available) == ("posted", 0, 500)
    assert (await till.decide("a-1", approve=False))[0]["code"] == "adjustment_decided"


async def test_what_is_rejected_never_happens() -> None:
    till = await member()
    await till.adjust("a-1", -500, limit=100)
    rejected = (await till.decide("a-1", approve=False))[0]
    assert (rejected["type"], rejected["state"]) == ("points.adjusted.v1", "rejected")
    assert (till.balance.available, till.balance.adjusted) == (0, 0)
    assert (await till.decide("a-1", approve=True))[0]["code"] == "adjustment_decided"


async def test_nobody_unknown_is_given_anything() -> None:
    till = Till(document("grocery"))
    assert (await till.adjust("a-1", 5))[0]["code"] == "member_unknown"
