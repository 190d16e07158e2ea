"""What activities earn, what is refused, and what the same activity twice leads to."""

from datetime import UTC, datetime

import pytest

from laurel.values import AMOUNT_MAX
from services.points.road import Road
from services.points.testing import FixedPrograms
from tests.points.till import START, Till, document, purchase, report

pytestmark = pytest.mark.anyio


async def clubcard(**changes: object) -> Till:
    till = Till(document("clubcard", **changes))
    await till.enrol()
    return till


@pytest.mark.parametrize(
    ("amount", "tenders", "points"),
    [
        (3740, None, 37),
        (99, None, 0),
        (2530, [{"kind": "voucher", "amount": 250, "ref": "v"}, {"kind": "card", "amount": 2280}], 22),
    ],
)
async def test_one_point_for_each_whole_pound_paid(amount: int, tenders: object, points: int) -> None:
    till = await clubcard()
    extra = {} if tenders is None else {"tenders": tenders}
    said = await till.buy("b-1", amount, **extra)
    assert sum(award["amount"] for award in said["awards"]) == points
    assert till.balance.available == points
    assert len(till.wallet.lots) == (1 if points else 0)


async def test_same_activity_twice_is_answered_again_and_posted_once() -> None:
    till = await clubcard()
    first = await till.buy("b-1", 1000)
    again = await till.buy("b-1", 1000)
    assert again["awards"] == first["awards"]
    assert again["decision"] == first["decision"]
    assert till.balance.available == 10
    assert till.wallet.version == 2


async def test_same_id_with_another_body_is_refused_and_changes_nothing() -> None:
    till = await clubcard()
    await till.buy("b-1", 1000)
    refused = await till.buy("b-1", 2000)
    assert refused["code"] == "idempotency_mismatch"
    assert till.balance.available == 10


async def test_same_activity_twice_in_one_batch() -> None:
    till = await clubcard()
    one = report("clubcard", "m-1", purchase("b-1", 500), till.at)
    said = await till.send(one, one)
    assert said[0]["awards"] == said[1]["awards"]
    assert till.balance.available == 5


async def test_other_currency_frees_the_id() -> None:
    till = await clubcard()
    refused = await till.buy("b-1", 1000, currency="USD")
    assert refused["code"] == "currency_not_accepted"
    assert (await till.buy("b-1", 1000))["type"] == "points.awarded.v1"


async def test_nobody_enrolled_earns_nothing() -> None:
    till = Till(document("clubcard"))
    refused = await till.buy("b-1", 1000)
    assert refused["code"] == "member_unknown"


async def test_late_claim_is_good_through_its_last_day() -> None:
    flown = datetime(2023, 8, 31, 12, tzinfo=UTC)
    till = Till(document("clubcard", clock="wall"))
    till.at = flown
    await till.enrol()
    till.at = datetime(2024, 2, 29, 23, 30, tzinfo=UTC)
    assert (await till.report(purchase("b-1", 1000, flown)))["type"] == "points.awarded.v1"
    till.at = datetime(2024, 3, 1, 0, 0, tzinfo=UTC)
    assert (await till.report(purchase("b-2", 1000, flown)))["code"] == "claim_too_late"


async def test_points_last_while_the_member_shops() -> None:
    till = await clubcard(clock="wall")
    await till.buy("b-1", 1000)
    till.pass_time(days=700)
    await till.buy("b-2", 1000)
    assert till.balance.available == 20
    till.pass_time(days=740)
    said = await till.send(report("clubcard", "m-1", purchase("b-3", 500, till.at), till.at))
    assert [one["type"] for one in said] == ["points.expired.v1", "points.awarded.v1"]
    assert (till.balance.available, till.balance.expired) == (5, 20)


async def test_sandbox_expires_nothing_by_itself() -> None:
    till = await clubcard()
    await till.buy("b-1", 1000)
    till.pass_time(days=4000)
    await till.buy("b-2", 1000)
    assert till.balance.available == 20


async def test_what_is_refused_moves_no_time_in_a_sandbox() -> None:
    """What has no time of its own happens at the member's latest activity that was posted."""
    till = await clubcard()
    await till.buy("b-1", 1000)
    bought_at = till.at
    till.pass_time(days=4000)
    refused = await till.buy("b-2", 1000, currency="USD")
    assert refused["code"] == "currency_not_accepted"
    unknown = await till.give_back("r-1", "nothing")
    assert unknown["code"] == "activity_unknown"
    (held,) = await till.timed("requested", "h-1", amount=5)
    assert datetime.fromisoformat(held["at"]) == bought_at, held


async def test_version_in_force_when_it_happened_judges() -> None:
    first = document("clubcard")
    double = document("clubcard", effective_from="2024-03-02T00:00:00+00:00", earning=[
        {"rule": "base", "on": ["purchase"], "unit": "point", "rate": {"points": 2, "per": 100},
         "funding": {"funder": "tesco"}},
    ])  # fmt: skip
    till = await clubcard()
    till.road = Road(FixedPrograms(first, double))
    old = await till.report(purchase("b-1", 1000, START), version=2)
    till.pass_time(days=1)
    new = await till.report(purchase("b-2", 1000, till.at), version=2)
    unseen = await till.report(purchase("b-3", 1000, till.at), version=1)
    assert [one["awards"][0]["amount"] for one in (old, new, unseen)] == [10, 20, 10]


async def test_late_activity_whose_points_have_ended_leaves_nothing_to_spend() -> None:
    units = {"point": {"scale": 0, "validity": {"kind": "rolling", "days": 10}}}
    till = await clubcard(units=units, clock="wall")
    till.pass_time(days=30)
    said = await till.send(report("clubcard", "m-1", purchase("b-1", 1000, START), till.at))
    assert [one["type"] for one in said] == ["points.awarded.v1", "points.expired.v1"]
    assert (till.balance.available, till.balance.expired) == (0, 10)


def packs(quantity: int, lines: int = 1) -> dict[str, object]:
    """Lines that clubcard gives 50 points a piece for, whatever they cost."""
    return {"lines": [{"id": f"{n}", "sku": "pack-50", "quantity": quantity, "amount": 0} for n in range(lines)]}


@pytest.mark.parametrize(("quantity", "lines"), [(AMOUNT_MAX // 50 + 1, 1), (10**15, 1), (10**15, 2000)])
async def test_award_beyond_what_an_amount_can_be_is_refused_and_kept(quantity: int, lines: int) -> None:
    till = await clubcard()
    refused = await till.buy("b-1", 0, **packs(quantity, lines))
    assert (refused["type"], refused["code"]) == ("activity.refused.v1", "limit_reached")
    assert till.balance.available == 0
    assert not till.wallet.lots
    assert (await till.buy("b-1", 0, **packs(quantity, lines)))["code"] == "limit_reached"
    assert (await till.buy("b-1", 1000))["code"] == "idempotency_mismatch"
    assert till.wallet.version == 3


async def test_total_stops_at_the_last_point_that_an_amount_can_say() -> None:
    till = await clubcard()
    await till.buy("b-1", 0, **packs(AMOUNT_MAX // 50))
    assert till.balance.available == AMOUNT_MAX
    assert (await till.buy("b-2", 100))["code"] == "limit_reached"
    assert (await till.buy("b-3", 99))["type"] == "points.awarded.v1"
    await till.hold("h-1", AMOUNT_MAX)
    await till.capture("h-1")
    # What was ever earned is a total like any other.
    assert (await till.buy("b-4", 100))["code"] == "limit_reached"
    await till.give_back("r-1", "b-1")
    refused = await till.hold("h-2", AMOUNT_MAX)
    assert (refused[0]["code"], refused[0]["shortfall"]) == ("insufficient_points", AMOUNT_MAX)


async def test_two_awards_of_one_activity_end_together_where_one_would_fit() -> None:
    till = await clubcard()
    line = {"id": "1", "sku": "pack-50", "quantity": AMOUNT_MAX // 50, "amount": 0}
    both = [line, {"id": "2", "sku": "x", "amount": 100}]
    assert (await till.buy("b-1", 100, lines=both))["code"] == "limit_reached"
    assert (await till.buy("b-2", 0, lines=[line]))["awards"][0]["amount"] == AMOUNT_MAX


async def test_each_component_makes_one_lot_that_says_where_it_comes_from() -> None:
    """S4: granted, remaining, held, when it was earned and ends, what granted it, who pays, by which version."""
    till = await clubcard()
    happened = till.at
    till.pass_time(days=3)
    said = await till.report(purchase("b-1", 250, happened, lines=[{"id": "1", "sku": "pack-50", "amount": 250}]))
    lots = list(till.wallet.lots.values())
    assert [(lot.rule, lot.granted, lot.remaining, lot.held) for lot in lots] == [
        ("base", 2, 2, 0),
        ("supplier-a-pack-50", 50, 50, 0),
    ]
    assert {(lot.activity, lot.partner, lot.earned_at, lot.version) for lot in lots} == {("b-1", "shop", happened, 1)}
    assert [(lot.rule, lot.funder) for lot in lots] == [("base", "tesco"), ("supplier-a-pack-50", "supplier-a")]
    assert [award["lot"] for award in said["awards"]] == [str(lot.name) for lot in lots]
    # A component of zero makes none.
    await till.buy("b-2", 99)
    assert len(till.wallet.lots) == 2
