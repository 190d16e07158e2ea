"""What caps cut is said, once; caps per transaction come first; refills pay debts."""

from typing import Any

import pytest

from laurel.program import load_program
from tests.points.till import Till, document, purchase, report
from tests.program.samples import a_document

pytestmark = pytest.mark.anyio

RATE = {"rule": "base", "rate": {"points": 1, "per": 100}}


async def capped(*rules: dict[str, Any], **changes: Any) -> Till:
    till = Till(load_program(a_document(*rules, program="capped", **changes)))
    await till.enrol()
    return till


def cap(**fields: Any) -> dict[str, Any]:
    return {"cap": "c", "unit": "point", **fields}


async def test_what_was_cut_is_said_once_beside_the_award() -> None:
    till = await capped(RATE, caps=[cap(window="transaction", limit=70)])
    said = await till.send(report("capped", "m-1", purchase("b", 10_000), till.at))
    assert [one["type"] for one in said] == ["points.awarded.v1", "points.capped.v1"]
    cut = {"rule": "base", "unit": "point", "computed": 100, "amount": 70}
    assert said[1]["capped"] == [{**cut, "capped_by": [{"cap": "transaction_cap", "cut": 30}]}]
    assert said[0]["decision"][0]["capped_by"] == said[1]["capped"][0]["capped_by"]
    again = await till.send(report("capped", "m-1", purchase("b", 10_000), till.at))
    assert [one["type"] for one in again] == ["points.awarded.v1"]


@pytest.mark.parametrize(
    ("transaction", "month", "most", "granted", "reason"),
    [
        (70, 50, 30, 30, "balance_cap"),
        (70, 30, 50, 30, "window_cap"),
        (30, 70, 50, 30, "transaction_cap"),
        (30, 30, 30, 30, "transaction_cap"),
        (70, 30, 30, 30, "window_cap"),
    ],
)
async def test_the_cap_that_left_least_room_is_the_reason(
    transaction: int, month: int, most: int, granted: int, reason: str
) -> None:
    till = await capped(
        RATE,
        caps=[
            {"cap": "most", "unit": "point", "of": "outstanding", "limit": most},
            {"cap": "month", "unit": "point", "window": "month", "limit": month},
            {"cap": "each", "unit": "point", "window": "transaction", "limit": transaction},
        ],
    )
    said = await till.buy("b", 10_000)
    assert said["decision"][0]["amount"] == granted
    assert said["decision"][0]["capped_by"] == [{"cap": reason, "cut": 100 - granted}]


async def test_held_points_stand_and_owed_points_do_not() -> None:
    till = await capped(RATE, caps=[cap(of="outstanding", limit=100)])
    await till.buy("a", 10_000)
    await till.hold("h", 100)
    assert (await till.buy("b", 5_000))["awards"] == []
    await till.give_back("r", "a")
    assert (till.balance.held, till.balance.owed) == (100, 100)
    assert (await till.buy("c", 20_000))["awards"][0]["amount"] == 100


async def test_one_cap_over_two_rules_cuts_the_later() -> None:
    bonus = {"rule": "bonus", "fixed": {"points": 50}}
    till = await capped(RATE, bonus, caps=[cap(window="transaction", limit=120)])
    said = await till.buy("b", 10_000)
    assert [(award["rule"], award["amount"]) for award in said["awards"]] == [("base", 100), ("bonus", 20)]


async def test_a_refill_pays_what_is_owed_first() -> None:
    till = Till(document("gm-card"))
    await till.enrol()
    await till.buy("a", 1_000_000, currency="USD")
    await till.buy("b", 100_000, currency="USD")
    await till.hold("h", 50_000, unit="credit")
    await till.capture("h")
    await till.give_back("r", "a", amount=200_000)
    balance = till.wallet.balance("credit")
    assert (balance.available, balance.owed, balance.reversed) == (0, 5_000, 10_000)


async def test_a_member_whose_attribute_changes_is_counted_on() -> None:
    variants = [cap(window="month", limit=500, where='member.attributes.card == "gold"'), cap(window="month", limit=50)]
    till = await capped(RATE, caps=variants)
    till.wallet.attributes["card"] = "gold"
    assert (await till.buy("a", 40_000))["awards"][0]["amount"] == 400
    till.wallet.attributes["card"] = "plain"
    assert (await till.buy("b", 40_000))["awards"] == []


async def test_what_caps_have_counted_is_told_with_their_windows() -> None:
    till = Till(document("gm-card"))
    await till.enrol()
    year = {"rule": "year", "unit": "credit", "from": "2024-03-01", "until": "2025-02-28", "limit": 50_000}
    posted = await till.buy("a", 100_000, currency="USD")
    assert posted["counters"] == [{**year, "granted": 5_000}]
    posted = await till.buy("b", 1_000_000, currency="USD")
    assert posted["counters"] == [{**year, "granted": 50_000}]
    back = await till.give_back("r", "a", amount=20_000)
    # A thousand goes back, and the other purchase gets it.
    assert sum(award["amount"] for award in back["awards"]) == 1_000
    assert back["counters"] == []
    back = await till.give_back("s", "b")
    assert back["counters"] == [{**year, "granted": 4_000}]
