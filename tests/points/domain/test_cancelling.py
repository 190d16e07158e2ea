"""A capture undone: points go back to the lots they came from, and what has ended since is the question (S13)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from services.points.domain.posting import entries
from tests.points.flights import miles
from tests.points.till import Till

pytestmark = pytest.mark.anyio

HOLD = datetime(2025, 1, 1, 5, 55, tzinfo=UTC)
MIDNIGHT = datetime(2025, 1, 1, 6, tzinfo=UTC)
FIVE_PAST = datetime(2025, 1, 1, 6, 5, tzinfo=UTC)
FEBRUARY = datetime(2025, 2, 1, 18, tzinfo=UTC)
FLIGHTS = (("2021-01-10", 12_000), ("2021-12-30", 9_000), ("2022-03-05", 8_000))


async def traveller(**changes: Any) -> Till:
    """The member of AA-4 to AA-6: 12,000, 9,000 and 8,000 miles."""
    till = Till(miles(**changes))
    till.at = datetime(2021, 1, 1, tzinfo=UTC)
    await till.enrol()
    for number, (day, flown) in enumerate(FLIGHTS, 1):
        at = f"{day}T18:00:00Z"
        till.at = datetime.fromisoformat(at)
        amount = flown * 100
        await till.report(
            {"id": f"f-{number}", "type": "flight", "occurred_at": at, "currency": "USD", "amount": amount}
        )
    return till


def figures(till: Till) -> tuple[int, int, int, int]:
    balance = till.balance
    return balance.available, balance.held, balance.spent, balance.expired


async def test_aa_4_what_nobody_spends_expires_at_midnight() -> None:
    till = await traveller()
    await till.turn(datetime(2025, 1, 1, 5, 59, tzinfo=UTC))
    assert figures(till) == (29_000, 0, 0, 0)
    await till.turn(MIDNIGHT)
    assert figures(till) == (8_000, 0, 0, 21_000)


async def held() -> Till:
    till = await traveller()
    await till.turn(HOLD)
    said = await till.timed("requested", "h-1", amount=25_000)
    assert [lot["amount"] for lot in said[0]["lots"]] == [12_000, 9_000, 4_000]
    assert said[0]["standing"]["expires_at"] == "2025-01-01T06:10:00Z"
    # At midnight 4,000 of the third lot are free, and good for another year.
    assert await till.turn(FIVE_PAST) == []
    assert figures(till) == (4_000, 25_000, 0, 0)
    return till


async def test_aa_5_a_captured_after_the_end_of_the_lots() -> None:
    till = await held()
    await till.timed("capture_requested", "h-1")
    assert figures(till) == (4_000, 0, 25_000, 0)


async def test_aa_5_b_released_after_the_end_of_the_lots() -> None:
    till = await held()
    said = await till.timed("release_requested", "h-1")
    assert [one["type"] for one in said] == ["points.released.v1", "points.expired.v1"]
    assert {one["at"] for one in said} == {"2025-01-01T06:05:00Z"}
    assert figures(till) == (8_000, 0, 0, 21_000)


async def test_left_alone_it_times_out_like_a_release() -> None:
    till = await held()
    said = await till.turn(FEBRUARY)
    assert [(one["type"], one["at"]) for one in said] == [
        ("points.released.v1", "2025-01-01T06:10:00Z"),
        ("points.expired.v1", "2025-01-01T06:10:00Z"),
    ]
    assert said[0]["standing"]["state"] == "expired"
    assert said[0]["cause"] == {"kind": "hold_timeout", "id": "h-1"}
    assert figures(till) == (8_000, 0, 0, 21_000)
    refused = await till.timed("capture_requested", "h-1")
    assert (refused[0]["type"], refused[0]["code"]) == ("points.hold_refused.v1", "hold_expired")


@pytest.mark.parametrize(("by", "available", "expired"), [("member", 8_000, 21_000), ("provider", 29_000, 0)])
async def test_aa_6(by: str, available: int, expired: int) -> None:
    till = await held()
    await till.timed("capture_requested", "h-1")
    await till.turn(FEBRUARY)
    said = await till.timed("cancel_requested", "h-1", by=by)
    assert said[0]["type"] == "points.restored.v1"
    assert said[0]["standing"]["state"] == "cancelled"
    assert figures(till) == (available, 0, 0, expired)
    new = [lot for lot in till.wallet.lots.values() if lot.granted == 21_000]
    assert [lot.expires_at for lot in new] == ([datetime(2025, 5, 2, 5, tzinfo=UTC)] if by == "provider" else [])
    assert {lot.funder for lot in new} <= {"aa"}
    for journal in till.ledger.journals:
        assert sum(amount for _, _, amount in entries(journal.facts)) == 0


async def test_a_part_is_captured_and_the_rest_released() -> None:
    till = await traveller()
    await till.timed("requested", "h-1", amount=25_000)
    said = await till.timed("capture_requested", "h-1", amount=13_000)
    assert [one["type"] for one in said] == ["points.released.v1", "points.captured.v1"]
    assert [(lot["lot"], lot["amount"]) for lot in said[1]["lots"]] == [("2.1", 12_000), ("3.1", 1_000)]
    assert {one["standing"]["state"] for one in said} == {"captured"}
    assert figures(till) == (16_000, 0, 13_000, 0)
    again = await till.timed("capture_requested", "h-1", amount=12_000)
    assert again[0]["code"] == "hold_captured"


async def test_no_more_is_captured_than_is_held() -> None:
    till = await traveller()
    await till.timed("requested", "h-1", amount=10)
    refused = (await till.timed("capture_requested", "h-1", amount=11))[0]
    assert (refused["code"], refused["available"], refused["shortfall"]) == ("insufficient_points", 10, 1)
    assert till.balance.held == 10


async def test_parts_come_back_from_what_lasts_longest_until_nothing_is_left() -> None:
    till = await traveller()
    await till.timed("requested", "h-1", amount=25_000)
    await till.timed("capture_requested", "h-1")
    first = await till.timed("cancel_requested", "h-1", by="member", amount=5_000)
    assert [lot["amount"] for lot in first[0]["lots"]] == [1_000, 4_000]
    assert (first[0]["standing"]["state"], first[0]["standing"]["captured"]) == ("captured", 20_000)
    over = await till.timed("cancel_requested", "h-1", by="member", amount=20_001)
    assert over[0]["code"] == "over_returned"
    last = await till.timed("cancel_requested", "h-1", by="member")
    assert (last[0]["standing"]["state"], last[0]["standing"]["cancelled"]) == ("cancelled", 25_000)
    assert figures(till) == (29_000, 0, 0, 0)
    assert [lot.remaining for lot in till.wallet.lots.values()] == [12_000, 9_000, 8_000]


async def test_what_comes_back_pays_what_is_owed() -> None:
    till = await traveller()
    await till.timed("requested", "h-1", amount=29_000)
    await till.timed("capture_requested", "h-1")
    await till.give_back("r-1", "f-1")
    assert till.balance.owed == 12_000
    await till.timed("cancel_requested", "h-1", by="member")
    assert (till.balance.available, till.balance.owed) == (17_000, 0)


async def test_an_open_hold_is_not_cancelled() -> None:
    till = await traveller()
    await till.timed("requested", "h-1", amount=1)
    refused = await till.timed("cancel_requested", "h-1", by="member")
    assert refused[0]["code"] == "hold_open"
    unknown = await till.timed("cancel_requested", "h-2", by="member")
    assert unknown[0]["code"] == "hold_unknown"


async def test_before_the_clock_is_set_a_hold_happens_at_the_latest_activity() -> None:
    till = await traveller()
    till.at = datetime(2030, 1, 1, tzinfo=UTC)
    said = await till.timed("requested", "h-1", amount=1)
    assert said[0]["at"] == "2022-03-05T18:00:00Z"
    assert said[0]["standing"]["expires_at"] == "2022-03-05T18:15:00Z"


async def test_a_redemption_has_no_claim_to_a_callers_hold() -> None:
    till = await traveller()
    await till.timed("requested", "h-1", amount=10)
    refused = await till.hold("h-1", 10)
    assert refused[0]["code"] == "idempotency_mismatch"
    await till.release("h-1")
    assert till.balance.held == 10


async def test_a_hold_times_out_before_lots_end_at_the_same_instant() -> None:
    """What it gives back expires with the rest."""
    till = await traveller()
    await till.turn(HOLD)
    await till.timed("requested", "h-1", amount=11_000, ttl_seconds=300)
    said = await till.turn(FIVE_PAST)
    assert [one["type"] for one in said] == ["points.released.v1", "points.expired.v1", "points.expired.v1"]
    assert {one["at"] for one in said} == {"2025-01-01T06:00:00Z"}
    assert figures(till) == (8_000, 0, 0, 21_000)


async def test_on_a_wall_clock_a_message_finds_the_hold_timed_out() -> None:
    till = await traveller(clock="wall")
    await till.timed("requested", "h-1", amount=29_000)
    till.pass_time(seconds=899)
    assert (await till.timed("requested", "h-2", amount=1))[0]["code"] == "insufficient_points"
    till.pass_time(seconds=1)
    said = await till.timed("requested", "h-3", amount=29_000)
    assert [one["type"] for one in said] == ["points.released.v1", "points.held.v1"]


async def test_points_in_a_new_lot_are_no_longer_those_of_their_activity() -> None:
    till = await traveller()
    await till.turn(HOLD)
    await till.timed("requested", "h-1", amount=12_000)
    await till.timed("capture_requested", "h-1")
    november = datetime(2025, 11, 15, 18, tzinfo=UTC)
    await till.turn(november)
    await till.timed("cancel_requested", "h-1", by="provider")
    assert figures(till) == (20_000, 0, 0, 9_000)
    till.at = november
    # A return takes from the lot of its activity, in which nothing is, then from whatever ends first.
    back = await till.give_back("r-1", "f-1")
    assert [(one["taken"], one["expired"], one["owed"]) for one in back["reversals"]] == [(12_000, 0, 0)]
    left = {lot.granted: lot.remaining for lot in till.wallet.lots.values() if lot.remaining}
    # The third flight's ended on 1 January, the new lot in February.
    assert left == {12_000: 8_000}
