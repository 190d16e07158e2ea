"""Returns rewind what an activity earned, to the last point (S10, S11, TC-4, TC-5)."""

import pytest

from tests.points.till import Till, document

pytestmark = pytest.mark.anyio


async def clubcard(**changes: object) -> Till:
    till = Till(document("clubcard", **changes))
    await till.enrol()
    return till


async def test_supplier_bonus_goes_back_with_its_pack() -> None:
    till = await clubcard()
    packs = [{"id": "1", "sku": "pack-50", "quantity": 2, "amount": 800}, {"id": "2", "sku": "x", "amount": 3400}]
    bought = await till.buy("b-1", 4200, lines=packs)
    assert [(award["rule"], award["amount"]) for award in bought["awards"]] == [
        ("base", 42),
        ("supplier-a-pack-50", 100),
    ]
    back = await till.give_back("r-1", "b-1", lines=[{"id": "1", "quantity": 1}])
    assert [(one["rule"], one["amount"], one["taken"]) for one in back["reversals"]] == [
        ("base", 4, 4),
        ("supplier-a-pack-50", 50, 50),
    ]
    assert till.balance.available == 88


async def test_what_was_spent_is_owed_and_paid_first() -> None:
    till = await clubcard()
    await till.buy("b-1", 18000)
    await till.hold("h-1", 150)
    await till.capture("h-1")
    back = await till.give_back("r-1", "b-1", amount=4550)
    assert back["reversals"] == [{"rule": "base", "unit": "point", "amount": 46, "taken": 30, "expired": 0, "owed": 16}]
    assert (till.balance.available, till.balance.owed) == (0, 16)
    await till.buy("b-2", 30000)
    assert (till.balance.available, till.balance.owed) == (284, 0)


async def test_held_points_are_owed_not_clawed_back() -> None:
    till = await clubcard()
    await till.buy("b-1", 10000)
    await till.hold("h-1", 80)
    await till.give_back("r-1", "b-1")
    assert (till.balance.available, till.balance.held, till.balance.owed) == (0, 80, 80)
    said = await till.release("h-1")
    assert said[0]["type"] == "points.released.v1"
    assert (till.balance.available, till.balance.held, till.balance.owed) == (0, 0, 0)


async def test_return_that_overtakes_its_purchase_is_unknown_and_keeps_its_id_free() -> None:
    till = await clubcard()
    early = await till.give_back("r-1", "b-1")
    assert (early["type"], early["code"]) == ("activity.refused.v1", "activity_unknown")
    await till.buy("b-1", 1000)
    again = await till.give_back("r-1", "b-1")
    assert again["type"] == "points.clawed_back.v1"
    assert till.balance.available == 0


async def test_more_than_was_bought_is_refused_for_good() -> None:
    till = await clubcard()
    await till.buy("b-1", 1000)
    await till.give_back("r-1", "b-1")
    refused = await till.give_back("r-2", "b-1", amount=1)
    assert refused["code"] == "over_returned"
    assert (await till.give_back("r-2", "b-1", amount=1))["code"] == "over_returned"
    assert till.balance.available == 0


async def test_parts_give_back_exactly_the_whole() -> None:
    till = await clubcard()
    await till.buy("b-1", 999, lines=[{"id": "1", "sku": "x", "quantity": 3, "amount": 999}])
    taken = 0
    for number in range(3):
        back = await till.give_back(f"r-{number}", "b-1", lines=[{"id": "1", "quantity": 1}])
        taken += sum(one["amount"] for one in back["reversals"])
    assert taken == 9
    assert till.balance.available == 0


async def test_purchase_and_return_in_one_batch() -> None:
    from tests.points.till import purchase, report

    till = await clubcard()
    back = {"id": "r-1", "type": "return", "of": "b-1", "occurred_at": till.at.isoformat()}
    said = await till.send(
        report("clubcard", "m-1", purchase("b-1", 1000), till.at),
        report("clubcard", "m-1", back, till.at),
    )
    assert [one["type"] for one in said] == ["points.awarded.v1", "points.clawed_back.v1"]
    assert till.balance.available == 0


async def test_expired_points_are_not_asked_for() -> None:
    rolling = {"point": {"scale": 0, "validity": {"kind": "rolling", "months": 1}}}
    till = await clubcard(units=rolling, clock="wall")
    await till.buy("b-1", 10000)
    till.pass_time(days=40)
    back = await till.give_back("r-1", "b-1")
    assert back["reversals"][0] == {
        "rule": "base", "unit": "point", "amount": 100, "taken": 0, "expired": 100, "owed": 0,
    }  # fmt: skip
    assert (till.balance.available, till.balance.owed, till.balance.expired) == (0, 0, 100)


async def test_a_return_says_what_comes_back_of_the_tenders_that_name_something() -> None:
    till = await clubcard()
    tenders = [
        {"kind": "voucher", "amount": 250, "ref": "till-1"},
        {"kind": "points", "amount": 101, "ref": "h-1"},
        {"kind": "card", "amount": 649},
    ]
    await till.buy("b-1", 1000, tenders=tenders)

    def told(back: dict[str, object]) -> object:
        return [tuple(each.values()) for each in back["tenders"]]  # type: ignore[attr-defined]

    first = await till.give_back("r-1", "b-1", amount=333)
    assert told(first) == [("voucher", "till-1", 250, 0, 83), ("points", "h-1", 101, 0, 34)]
    assert told(await till.give_back("r-2", "b-1", amount=100, tenders=[])) == []
    rest = await till.give_back("r-3", "b-1")
    assert told(rest) == [("voucher", "till-1", 250, 108, 250), ("points", "h-1", 101, 44, 101)]
