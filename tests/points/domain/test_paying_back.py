"""A purchase that points paid for is returned: they come back into their lots, pro rata, once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from services.points.domain.posting import entries
from services.points.testing import Note
from tests.points.flights import miles
from tests.points.till import Till, purchase, report

pytestmark = pytest.mark.anyio

FLOWN = ("2021-01-10T18:00:00Z", "2022-03-05T18:00:00Z")
BOUGHT = datetime(2024, 6, 1, 12, tzinfo=UTC)


async def shopper(*, saga: bool = False, **held: Any) -> Till:
    """A member with 100 points to the end of 2024 and 100 to the end of 2025, who pays 150 of them for a basket."""
    earning = [
        {"rule": "base", "on": ["flight"], "unit": "point", "rate": {"points": 1, "per": 100},
         "funding": {"funder": "aa"}},
    ]  # fmt: skip
    till = Till(miles(earning=earning))
    till.at = datetime(2021, 1, 1, tzinfo=UTC)
    await till.enrol()
    for number, at in enumerate(FLOWN, 1):
        till.at = datetime.fromisoformat(at)
        flight = {"id": f"f-{number}", "type": "flight", "occurred_at": at, "currency": "USD", "amount": 10_000}
        await till.report(flight)
    await till.turn(BOUGHT)
    if saga:
        await till.hold("h-1", 150, **held)
        await till.capture("h-1")
    else:
        await till.timed("requested", "h-1", amount=150, **held)
        await till.timed("capture_requested", "h-1")
    return till


async def buy(till: Till, *, paid: int = 1_500, total: int = 2_000, ref: str = "h-1", kind: str = "points") -> None:
    tenders = [{"kind": kind, "amount": paid, "ref": ref}, {"kind": "card", "amount": total - paid}]
    await till.buy("b-1", total, currency="USD", tenders=tenders)


def back(till: Till, id_: str = "r-1", **more: Any) -> Note:
    activity = {"id": id_, "type": "return", "of": "b-1", "occurred_at": till.at.isoformat(), **more}
    return report(till.program, till.member, activity, till.at, as_of=till.as_of)


def remaining(till: Till) -> list[int]:
    return [lot.remaining for lot in sorted(till.wallet.lots.values(), key=lambda lot: lot.name)]


async def test_all_of_it_comes_back_into_its_lots_before_the_return_is_answered() -> None:
    till = await shopper()
    await buy(till)
    assert remaining(till) == [0, 50]
    said = await till.send(back(till))
    assert [each["type"] for each in said] == ["points.restored.v1", "points.clawed_back.v1"]
    restored, answer = said
    assert (restored["amount"], restored["by"], restored["by_return"], restored["left"]) == (150, "provider", "r-1", 0)
    assert restored["standing"]["state"] == "cancelled"
    assert restored["cause"] == {"kind": "return_of_points", "id": "r-1"}
    assert [(each["available"], each["lifetime"]["spent"]) for each in answer["balances"]] == [(200, 0)]
    assert remaining(till) == [100, 100]
    for journal in till.ledger.journals:
        assert sum(entry.amount for entry in entries(journal.facts)) == 0


async def test_the_same_return_again_gives_nothing_twice() -> None:
    till = await shopper()
    await buy(till)
    note = back(till, amount=1_000)
    await till.send(note)
    assert (till.balance.available, till.wallet.holds["h-1"].captured) == (125, 75)
    again = await till.send(back(till, amount=1_000))
    assert [each["type"] for each in again] == ["points.clawed_back.v1"]
    assert (till.balance.available, till.wallet.holds["h-1"].captured) == (125, 75)


async def test_parts_make_the_whole_and_what_was_spent_last_comes_back_first() -> None:
    till = await shopper()
    await buy(till)
    # A third of it is 50 points: of the lot that lasts longer.
    (first, _) = await till.send(back(till, "r-1", amount=667))
    assert (first["amount"], first["left"], first["standing"]["state"]) == (50, 100, "captured")
    assert remaining(till) == [0, 100]
    (nothing,) = await till.send(back(till, "r-2", amount=1))
    assert nothing["type"] == "points.clawed_back.v1"
    (third, _) = await till.send(back(till, "r-3"))
    assert (third["amount"], third["left"], remaining(till)) == (100, 0, [100, 100])


async def test_what_a_return_wants_nothing_of_stays_spent() -> None:
    till = await shopper()
    await buy(till)
    said = await till.send(back(till, "r-1", amount=1_000, tenders=[]))
    assert [each["type"] for each in said] == ["points.clawed_back.v1"]
    (rest, _) = await till.send(back(till, "r-2"))
    assert (rest["amount"], rest["left"], till.balance.available) == (75, 75, 125)


@pytest.mark.parametrize(("by", "available", "expired"), [("member", 100, 100), (None, 200, 0)])
async def test_what_has_ended_since_is_as_with_a_cancellation(by: str | None, available: int, expired: int) -> None:
    """S13: gone where the member chose, and for 90 days where the provider is to blame, as unless it says otherwise."""
    till = await shopper()
    await buy(till)
    await till.turn(datetime(2025, 2, 1, 12, tzinfo=UTC))
    await till.send(back(till, **({"by": by} if by else {})))
    assert (till.balance.available, till.balance.expired) == (available, expired)


async def test_what_comes_back_pays_what_is_owed_and_what_the_return_takes() -> None:
    till = await shopper()
    await buy(till)
    flight = {"id": "r-f", "type": "return", "of": "f-1", "occurred_at": till.at.isoformat()}
    await till.send(report(till.program, till.member, flight, till.at, as_of=till.as_of))
    assert (till.balance.available, till.balance.owed) == (0, 50)
    await till.send(back(till))
    assert (till.balance.available, till.balance.owed) == (100, 0)


@pytest.mark.parametrize(
    ("held", "tender"),
    [
        ({"partner": "another"}, {}),
        ({}, {"ref": "h-9"}),
        ({}, {"kind": "gift_card"}),
        ({}, {"paid": 0}),
    ],
)
async def test_what_is_not_this_ones_capture_is_left_alone(held: dict[str, Any], tender: dict[str, Any]) -> None:
    till = await shopper(**held)
    await buy(till, **tender)
    said = await till.send(back(till))
    assert [each["type"] for each in said] == ["points.clawed_back.v1"]
    assert till.wallet.holds["h-1"].captured == 150


async def test_a_refused_return_gives_nothing_back() -> None:
    till = await shopper()
    await buy(till)
    said = await till.send(back(till, amount=2_001))
    assert [(each["type"], each["code"]) for each in said] == [("activity.refused.v1", "over_returned")]
    assert till.balance.available == 50


async def test_a_redemptions_points_come_back_and_its_saga_hears_whether_all_did() -> None:
    till = await shopper(saga=True)
    await buy(till)
    (part, _) = await till.send(back(till, "r-1", amount=1_000))
    assert (part["hold"], part["amount"], part["left"], part["standing"]) == ("h-1", 75, 75, None)
    # Whoever cancels the redemption afterwards gets the rest.
    (rest,) = await till.ask("hold.cancel_requested.v1", hold="h-1", redemption="h-1", by="member")
    assert (rest["amount"], rest["left"], rest.get("by_return")) == (75, 0, None)
    said = await till.send(back(till, "r-2"))
    assert [each["type"] for each in said] == ["points.clawed_back.v1"]
    assert till.balance.available == 200


async def test_bought_and_returned_at_once() -> None:
    till = await shopper()
    tenders = [{"kind": "points", "amount": 1_500, "ref": "h-1"}]
    basket = purchase("b-1", 2_000, till.at, currency="USD", tenders=tenders)
    bought = report(till.program, till.member, basket, till.at, as_of=till.as_of)
    await till.send(bought, back(till))
    assert till.balance.available == 200
