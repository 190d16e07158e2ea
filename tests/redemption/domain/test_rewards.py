"""What rewards cost, who may have them, and what there is only so much of: examples of the programs, on paper."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest

from laurel.contracts.asking import MemberStands, PayAsked, SegmentAsked
from laurel.contracts.rewards import (
    AmountPrice,
    CashRate,
    ChartRow,
    DayRange,
    Eligibility,
    Money,
    PayTerms,
    RewardLimit,
)
from laurel.contracts.vouchers import VoucherTerms
from services.redemption.domain.drawing import give_back_draws
from services.redemption.domain.heard import Redeem, Share, TimeIsUp
from services.redemption.domain.moment import Moment, ProgramTerms
from services.redemption.domain.quoting import offer
from services.redemption.domain.state import SagaKey, TallyKey
from services.redemption.road import Road
from services.redemption.testing import (
    NOON,
    PROGRAM,
    FixedPrograms,
    MemoryStore,
    PaperPoints,
    finish,
    redemption_requested,
    resource_published,
    reward_published,
)

DAY = date(2036, 3, 20)
WINTER = DayRange.model_validate({"from": "12-20", "until": "01-03"})
AWARD: dict[str, Any] = {"kind": "award_ticket", "segments": True, "stock": None, "value": None, "valid_days": None}
CREDIT = AmountPrice(points=1, per=1, currency="USD")
MEMBER_KINDS = {"card": "text"}


class Desk:
    """Redemption and points on paper: who asks gets the last word of both."""

    def __init__(self, **points: int) -> None:
        self.store = MemoryStore()
        share = Share(percent=5)
        terms = ProgramTerms(zone="America/Chicago", member_attributes=MEMBER_KINDS, tiers=True, share=share)
        self.terms = terms
        self.road = Road(FixedPrograms(terms))
        self.points = PaperPoints(balances={f"m-{name[1:]}": amount for name, amount in points.items()})
        self._count = 0

    def offer(self, reward: str, **terms: Any) -> None:
        base = {"kind": "product", "stock": None, "value": None, "valid_days": None}
        finish(self.road.run(self.store, [reward_published(reward, **{**base, **terms})]))

    def seats(self, resource: str, capacity: int, **terms: Any) -> None:
        finish(self.road.run(self.store, [resource_published(resource, capacity, **terms)]))

    def ask(self, reward: str, member: str = "m-1", **wish: Any) -> dict[str, Any]:
        """Return the outcome of a wish."""
        self._count += 1
        name = wish.pop("redemption", f"r-{self._count}")
        said = finish(self.road.run(self.store, [redemption_requested(member, name, reward, **wish)]))
        while told := [each for event in said for each in self.points.answer(event)]:
            answered = finish(self.road.run(self.store, told))
            said = [*[event for event in said if not event.type.startswith("hold.")], *answered]
        (outcome,) = [event for event in said if event.type.startswith("redemption.")]
        return {"state": outcome.type.split(".")[1], **msgspec.json.decode(outcome.body)}

    def code(self, reward: str, member: str = "m-1", **wish: Any) -> str:
        """Return the code of the refusal, or nothing."""
        return str(self.ask(reward, member, **wish)["code"] or "")

    def seen(
        self, reward: str, member: str = "m-1", at: datetime = NOON, away: Iterable[str] = (), **wish: Any
    ) -> tuple[str, ...]:
        """Return what the catalogue says stands in the way, where some partners are away."""
        heard = msgspec.json.decode(redemption_requested(member, "seen", reward, **wish).body, type=Redeem)
        moment = Moment(at, self.terms, away=frozenset(away))
        return offer(self.store.state, heard, moment, self.points.balances).reasons

    def used(self, name: str) -> int:
        return self.store.state.tallies.get(TallyKey(PROGRAM, name), 0)


def out(*days: date, resource: str = "AA100") -> list[SegmentAsked]:
    return [SegmentAsked(resource=resource, on=day) for day in days]


def gold(**more: Any) -> MemberStands:
    return MemberStands(**{"tier": "gold", "enrolled_at": datetime(2035, 9, 14, tzinfo=UTC), **more})


# Who gives it


def test_what_a_partner_gives_is_not_offered_while_it_is_away() -> None:
    """By its reward, or by the first seat that it flies; what costs no points, points are not asked about."""
    desk = Desk(m1=1_000)
    desk.offer("night", price=100, partner="hotel")
    desk.offer("breakfast", price=0, partner="hotel")
    desk.offer("trip", **{**AWARD, "partner": "agency"}, price=100)
    desk.seats("AA100", 150, partner="airline")
    desk.seats("BB100", 150)
    assert desk.seen("night", away=["hotel", "airline"]) == ("partner_not_active",)
    assert desk.seen("night", away=["airline"]) == ()
    assert desk.seen("breakfast", away=["hotel"]) == ()
    assert desk.seen("trip", away=["airline"], segments=out(DAY)) == ("partner_not_active",)
    assert desk.seen("trip", away=["agency"], segments=out(DAY)) == ()
    assert desk.seen("trip", away=["agency"], segments=out(DAY, resource="BB100")) == ("partner_not_active",)


def test_that_a_partner_is_away_is_said_behind_what_a_request_is_refused_for_first() -> None:
    desk = Desk(m1=1_000)
    desk.offer("night", price=100, partner="hotel", stock=1, quantity_max=1)
    assert desk.seen("night", away=["hotel"], quantity=2) == ("limit_reached", "sold_out", "partner_not_active")


# Prices


def test_aa_2_one_mile_short_and_exactly_enough() -> None:
    desk = Desk(m1=24_999, m2=25_000)
    desk.offer("award-domestic", **AWARD, price=25_000)
    desk.seats("AA100", 150)
    short = desk.ask("award-domestic", segments=out(DAY))
    assert (short["code"], short["facts"]["available"], short["facts"]["shortfall"]) == (
        "insufficient_points",
        24_999,
        1,
    )
    assert desk.used(f"seats:AA100:{DAY}") == 0, "a refusal gives the seat back"
    assert desk.ask("award-domestic", "m-2", segments=out(DAY))["state"] == "fulfilled"
    assert desk.points.balances["m-2"] == 0


def test_rb_7_points_and_cash_and_a_price_rounded_up() -> None:
    desk = Desk(m1=60_000)
    rate = AmountPrice(points=4, per=5, currency="USD")
    desk.offer("fare", by_amount=rate, price=0, pay=PayTerms(cash=True))
    fare: dict[str, Any] = {"amount": 25_000, "currency": "USD"}
    part = desk.ask("fare", **fare, pay=PayAsked(points=12_000))
    assert (part["price"]["amount"], part["points"], part["to_pay"]) == (
        20_000,
        12_000,
        {"amount": 10_000, "currency": "USD"},
    )
    said = desk.ask("fare", **fare, pay=PayAsked(cash=Money(amount=10_000, currency="USD")))
    assert (said["points"], said["to_pay"]["amount"]) == (12_000, 10_000)
    wrong = desk.ask("fare", **fare, pay=PayAsked(points=12_000, cash=Money(amount=9_999, currency="USD")))
    assert (wrong["code"], wrong["facts"]) == ("not_eligible", {"why": "cash", "points": 12_000, "to_pay": 10_000})
    whole = desk.ask("fare", amount=19_999)
    assert (whole["points"], whole["to_pay"]) == (16_000, None)
    assert desk.code("fare", amount=100, currency="EUR") == "currency_not_accepted"
    assert desk.code("fare", amount=100, pay=PayAsked(cash=Money(amount=1, currency="EUR"))) == "currency_not_accepted"
    assert desk.code("fare") == "invalid"
    more = desk.ask("fare", amount=1000, pay=PayAsked(points=5000))
    assert more["points"] == 800, "nobody pays more than the price"


def test_a_price_is_for_each_piece_and_each_person() -> None:
    desk = Desk(m1=10**6)
    desk.offer("fare", by_amount=AmountPrice(points=4, per=5, currency="USD"), price=0)
    assert desk.ask("fare", amount=19_999, quantity=2, party=3)["points"] == 6 * 16_000
    assert desk.code("fare", amount=10**15, quantity=3) == "limit_reached"
    assert desk.code("fare", amount=1, quantity=1000, party=2) == "limit_reached"


def test_gm_7_as_much_as_there_is_and_each_vehicle_once() -> None:
    desk = Desk(m1=123_456, m2=10**9)
    desk.offer(
        "new-vehicle",
        by_amount=CREDIT,
        price=0,
        pay=PayTerms(cash=True, most=True),
        attributes={"vin": "text"},
        key="vin",
    )
    car: dict[str, Any] = {"amount": 1_725_000, "currency": "USD", "attributes": {"vin": "1G1"}}
    bought = desk.ask("new-vehicle", **car)
    assert (bought["points"], bought["to_pay"]["amount"]) == (123_456, 1_601_544)
    assert desk.points.balances["m-1"] == 0
    assert desk.code("new-vehicle", "m-2", **car) == "key_used"
    assert desk.code("new-vehicle", "m-2", amount=100) == "invalid"
    assert desk.code("new-vehicle", "m-2", amount=100, attributes={"vin": 7}) == "invalid"
    saga = desk.store.state.sagas[SagaKey(PROGRAM, "m-1", "r-1")]
    for fact in give_back_draws(saga):
        desk.store.state.apply(PROGRAM, saga.key, fact)
    assert give_back_draws(saga) == ()
    whole = desk.ask("new-vehicle", "m-2", **car)
    assert (whole["state"], whole["points"], whole["to_pay"]) == ("fulfilled", 1_725_000, None)


def test_fd_6_at_least_fifty_dollars() -> None:
    desk = Desk(m1=4_999, m2=5_000, m3=10_000)
    desk.offer(
        "new-vehicle",
        by_amount=CREDIT,
        price=0,
        pay=PayTerms(cash=True, most=True, least=5_000),
        attributes={"vin": "text"},
        key="vin",
        key_needed=False,
    )
    assert desk.code("new-vehicle", amount=1_500_000) == "below_minimum"
    assert desk.ask("new-vehicle", "m-2", amount=1_500_000, pay=PayAsked(all_points=True))["points"] == 5_000
    assert desk.points.balances["m-2"] == 0
    assert desk.code("new-vehicle", "m-3", amount=1_500_000, pay=PayAsked(points=4_999)) == "below_minimum"
    assert desk.code("new-vehicle", "m-3", amount=4_999) == "below_minimum"


def test_points_that_cannot_be_made_up_by_cash_are_paid_whole() -> None:
    desk = Desk(m1=7_999, m2=16_000)
    desk.offer("free-night", price=8_000)
    assert desk.code("free-night", pay=PayAsked(all_points=True)) == "insufficient_points"
    assert desk.ask("free-night", "m-2", pay=PayAsked(points=4_000))["facts"] == {"why": "cash"}
    assert desk.ask("free-night", "m-2", pay=PayAsked(all_points=True))["points"] == 8_000
    assert desk.code("free-night", "m-2", amount=8_000) == "invalid"


def test_a_fixed_price_paid_partly_in_cash_is_rounded_for_the_house() -> None:
    desk = Desk(m1=8_000)
    rate = CashRate(points=3, per=1, currency="CNY")
    desk.offer("free-night", price=8_000, pay=PayTerms(cash=True, rate=rate))
    paid = desk.ask("free-night", pay=PayAsked(points=7_000))
    assert paid["to_pay"] == {"amount": 2667 - 2333, "currency": "CNY"}


def test_a_chart_by_zone_season_tier_and_condition() -> None:
    desk = Desk(m1=10**6)
    desk.offer(
        "award",
        price=0,
        seasons={"high": [WINTER]},
        attributes={"zone": "text"},
        chart=[
            ChartRow(zone="europe", season="high", price=70_000),
            ChartRow(zone="europe", tiers=["gold"], price=45_000),
            ChartRow(zone="europe", where='member.attributes.card == "black" && request.quantity > 1', price=48_000),
            ChartRow(zone="europe", price=50_000),
        ],
    )
    europe: dict[str, Any] = {"attributes": {"zone": "europe"}}
    assert desk.ask("award", **europe, on=date(2036, 12, 24), stands=gold())["points"] == 70_000
    assert desk.ask("award", **europe, on=DAY, stands=gold())["points"] == 45_000
    black = MemberStands(tier="member", attributes={"card": "black"})
    assert desk.ask("award", **europe, quantity=2, stands=black)["points"] == 96_000
    assert desk.ask("award", **europe)["points"] == 50_000
    assert desk.ask("award", attributes={"zone": "mars"})["facts"] == {"why": "chart"}


@pytest.mark.parametrize("blank", ["", "  "])
def test_a_blank_is_the_name_of_nothing(blank: str) -> None:
    desk = Desk(m1=1_000, m2=1_000)
    desk.offer("car", price=10, attributes={"vin": "text"}, key="vin")
    desk.offer("van", price=10, attributes={"vin": "text"}, key="vin", key_needed=False)
    stay = RewardLimit(limit="one", per="attributes.stay", times=1)
    desk.offer("breakfast", price=10, attributes={"stay": "text"}, limits=[stay])
    nothing: Any = {"vin": blank, "stay": blank}
    assert [desk.code(each, attributes=nothing) for each in ("car", "breakfast")] == ["invalid", "invalid"]
    assert [desk.code("van", each, attributes=nothing) for each in ("m-1", "m-2")] == ["", ""]


def test_what_a_wish_has_still_to_say_stands_in_nobodys_way() -> None:
    desk = Desk(m1=100_000)
    christmas = datetime(2036, 12, 24, 12, tzinfo=UTC)
    desk.offer("trip", **AWARD, price=25_000, blackouts=[WINTER])
    desk.offer("mug", price=100, blackouts=[WINTER])
    assert desk.seen("trip", at=christmas) == (), "it is not said yet for which day it is"
    assert desk.seen("trip", at=christmas, on=date(2036, 12, 31)) == ("blacked_out",)
    assert desk.seen("mug", at=christmas) == ("blacked_out",), "where no day is to be said, today is meant"


def test_a_price_by_zone_and_season_stands_in_nobodys_way_before_they_are_said() -> None:
    desk = Desk(m1=100_000)
    zones = {"attributes": {"zone": "text"}, "seasons": {"high": [WINTER]}, "price": 0}
    high = ChartRow(zone="europe", season="high", price=70_000)
    desk.offer("trip", **AWARD, **zones, chart=[high])
    desk.offer("gold-trip", **AWARD, **zones, chart=[ChartRow(zone="europe", tiers=["gold"], price=45_000)])
    assert (desk.seen("trip"), desk.seen("trip", on=date(2036, 12, 31))) == ((), ())
    assert desk.seen("trip", on=DAY) == ("not_eligible",), "no zone has a price for that day"
    assert desk.seen("trip", attributes={"zone": "mars"}) == ("not_eligible",)
    assert (desk.seen("gold-trip"), desk.seen("gold-trip", stands=gold())) == (("not_eligible",), ())


def test_a_price_counts_from_its_day_on_and_a_held_one_is_honoured() -> None:
    desk = Desk(m1=1_000)
    desk.offer("mug", price=100)
    desk.offer("mug", price=120, effective_from=NOON + timedelta(days=30))
    before, after = NOON + timedelta(days=30, seconds=-1), NOON + timedelta(days=30)
    assert desk.ask("mug", at=before)["points"] == 100
    assert desk.ask("mug", at=after)["points"] == 120
    # S14: asked for under the old price, answered under the new one.
    asked = finish(desk.road.run(desk.store, [redemption_requested("m-1", "r-9", "mug", at=before)]))
    desk.offer("mug", price=200)
    (held,) = desk.points.answer(asked[0])
    fulfilled = msgspec.json.decode(finish(desk.road.run(desk.store, [held]))[0].body)
    assert (fulfilled["price"]["amount"], fulfilled["points"]) == (100, 100)
    assert desk.ask("mug", at=before)["points"] == 200, "without notice it counts at once"


def test_what_is_free_asks_for_no_points() -> None:
    desk = Desk()
    desk.offer("coupon", kind="voucher", price=0, free=True, value=Money(amount=3_000, currency="CNY"), valid_days=90)
    got = desk.ask("coupon", at=datetime(2024, 3, 10, 12, tzinfo=UTC))
    assert (got["state"], got["points"], len(got["vouchers"])) == ("fulfilled", 0, 1)
    # HT-7: usable through 7 June 2024.
    assert got["vouchers"][0]["expires_at"].startswith("2024-06-08T05:00")
    assert str(desk.store.state.sagas[SagaKey(PROGRAM, "m-1", "r-1")].hold) == "none"


# Who


@pytest.mark.parametrize(
    ("eligibility", "stands", "why"),
    [
        ({"tiers": ["gold"]}, gold(), ""),
        ({"tiers": ["gold"]}, gold(tier="silver"), "tier"),
        ({"tiers": ["gold"]}, None, "tier"),
        ({"segments": ["plus", "club"]}, gold(segments=["club"]), ""),
        ({"segments": ["plus"]}, gold(segments=["club"]), "segment"),
        ({"member_months": 6}, gold(), ""),
        ({"member_months": 6, "member_days": 2}, gold(), "member_since"),
        ({"member_days": 1}, MemberStands(), "member_since"),
        ({"where": 'member.attributes.card == "gold"'}, gold(attributes={"card": "gold"}), ""),
        ({"where": 'member.attributes.card == "gold"'}, gold(), "where"),
        ({"where": 'member.tier == "gold" && request.party < 2'}, gold(), ""),
    ],
)
def test_who_may_have_it(eligibility: dict[str, Any], stands: MemberStands | None, why: str) -> None:
    desk = Desk(m1=1_000)
    desk.offer("mug", eligibility=Eligibility(**eligibility))
    outcome = desk.ask("mug", stands=stands)
    assert (outcome["state"], outcome["facts"].get("why", "")) == (("refused", why) if why else ("fulfilled", ""))


def test_a_reward_is_open_for_a_time() -> None:
    desk = Desk(m1=1_000)
    desk.offer("mug", opens_at=NOON, closes_at=NOON + timedelta(days=1))
    desk.offer("cup", effective_from=NOON)
    early, late = NOON - timedelta(seconds=1), NOON + timedelta(days=1)
    assert desk.ask("mug", at=early)["facts"] == {"why": "not_yet_open"}
    assert desk.ask("mug", at=NOON)["state"] == "fulfilled"
    assert desk.ask("mug", at=late)["facts"] == {"why": "closed"}
    assert desk.ask("cup", at=early)["facts"] == {"why": "not_yet_open"}


def test_what_is_for_the_owner_is_for_nobody_else() -> None:
    desk = Desk(m1=1_000)
    desk.offer("mug")
    desk.offer("upgrade", owner_only=True)
    given = desk.ask("mug", beneficiary="m-2")
    assert (given["state"], given["beneficiary"], given["member"]) == ("fulfilled", "m-2", "m-1")
    assert desk.ask("upgrade", beneficiary="m-2")["facts"] == {"why": "beneficiary"}
    assert desk.ask("upgrade", for_other=True)["facts"] == {"why": "beneficiary"}
    assert desk.ask("upgrade")["state"] == "fulfilled"


def test_who_takes_part_no_more_gets_nothing_that_is_free_either() -> None:
    desk = Desk()
    desk.offer("coupon", kind="voucher", price=0, free=True, value=Money(amount=3_000, currency="CNY"))
    assert desk.code("coupon", redemption="r-9", stands=gold(active=False)) == "member_not_active"
    assert desk.code("coupon", redemption="r-9", stands=gold()) == "", "the id was left free"


# Limits


def test_ht_8_a_breakfast_a_night_by_tier() -> None:
    desk = Desk()
    a_stay = RewardLimit(
        limit="a-stay", per="attributes.stay", by_tier={"gold": 1, "platinum": 2}, each="attributes.nights"
    )
    desk.offer("breakfast", price=0, free=True, attributes={"stay": "text", "nights": "integer"}, limits=[a_stay])
    stay: dict[str, Any] = {"attributes": {"stay": "s-1", "nights": 2}, "stands": gold()}
    assert [desk.code("breakfast", **stay) for _ in range(3)] == ["", "", "limit_reached"]
    assert desk.code("breakfast", **{**stay, "stands": gold(tier="platinum")}) == ""
    other: dict[str, Any] = {"attributes": {"stay": "s-2", "nights": 2}, "stands": gold()}
    assert [desk.code("breakfast", **other, quantity=3), desk.code("breakfast", **other, quantity=2)] == [
        "limit_reached",
        "",
    ]
    assert desk.code("breakfast", attributes={"stay": "s-3", "nights": 2}) == "limit_reached", "no tier, no breakfast"
    assert desk.code("breakfast", stands=gold()) == "invalid"


def test_ht_7_one_coupon_for_a_person_whatever_its_members() -> None:
    desk = Desk()
    once = RewardLimit(limit="once", per="lifetime", of="person", times=1)
    desk.offer(
        "new-guest-coupon", kind="voucher", price=0, free=True, limits=[once], value=Money(amount=3000, currency="CNY")
    )
    assert desk.code("new-guest-coupon", "m-1", stands=gold(person="p-1")) == ""
    assert desk.code("new-guest-coupon", "m-2", stands=gold(person="p-1")) == "limit_reached"
    assert desk.code("new-guest-coupon", "m-3", stands=gold()) == ""
    assert desk.code("new-guest-coupon", "m-4", stands=gold()) == ""


def test_a_window_begins_anew() -> None:
    desk = Desk(m1=1_000)
    desk.offer("mug", limits=[RewardLimit(limit="yearly", per="account_year", times=1)])
    eve = datetime(2036, 9, 14, 4, 59, 59, tzinfo=UTC)
    stands = gold(enrolled_at=datetime(2035, 9, 14, 12, tzinfo=UTC))
    assert desk.code("mug", at=eve, stands=stands) == ""
    assert desk.code("mug", at=eve, stands=stands) == "limit_reached"
    assert desk.code("mug", at=eve + timedelta(seconds=1), stands=stands) == ""


def test_what_was_refused_or_timed_out_counts_for_no_limit() -> None:
    desk = Desk()
    desk.offer("mug", limits=[RewardLimit(limit="once", per="lifetime", times=1)])
    assert desk.code("mug") == "insufficient_points"
    desk.points.balances["m-1"] = 100
    finish(desk.road.run(desk.store, [redemption_requested("m-1", "r-7", "mug")]))
    assert desk.code("mug") == "limit_reached"
    late = TimeIsUp(program=PROGRAM, member="m-1", redemption="r-7", at=NOON + timedelta(minutes=15))
    finish(desk.road.run_due(desk.store, [late]))
    assert desk.code("mug") == ""


# Seats


def test_aa_3_a_share_of_the_seats_and_a_party_as_a_whole() -> None:
    desk = Desk(m1=10**6)
    desk.offer("award-domestic", **AWARD, price=25_000)
    desk.seats("AA100", 150)
    assert desk.ask("award-domestic", segments=out(DAY), party=6)["points"] == 150_000
    before = desk.points.balances["m-1"]
    party = desk.ask("award-domestic", segments=out(DAY), party=2)
    assert (party["code"], party["facts"]) == ("sold_out", {"left": 1, "of": 7, "asked": 2})
    assert (desk.points.balances["m-1"], desk.used(f"seats:AA100:{DAY}")) == (before, 6)
    assert desk.code("award-domestic", segments=out(DAY), redemption="last") == ""
    assert desk.code("award-domestic", segments=out(DAY)) == "sold_out"
    saga = desk.store.state.sagas[SagaKey(PROGRAM, "m-1", "last")]
    for fact in give_back_draws(saga):
        desk.store.state.apply(PROGRAM, saga.key, fact)
    assert desk.code("award-domestic", segments=out(DAY)) == ""


def test_segments_are_served_together_or_not_at_all() -> None:
    desk = Desk(m1=10**6)
    desk.offer("award-domestic", **AWARD, price=25_000)
    desk.seats("AA100", 150)
    desk.seats("AA101", 19)
    there, back = out(DAY), out(DAY, resource="AA101")
    assert desk.code("award-domestic", segments=[*there, *back]) == "sold_out"
    assert desk.used(f"seats:AA100:{DAY}") == 0
    desk.seats("AA101", 20, **{"from": DAY, "until": DAY}, partner="codeshare")
    both = desk.ask("award-domestic", segments=[*there, *back])
    assert (both["points"], desk.used(f"seats:AA100:{DAY}"), desk.used(f"seats:AA101:{DAY}")) == (25_000, 1, 1)
    assert desk.code("award-domestic", segments=out(DAY + timedelta(days=1), resource="AA101")) == "sold_out"
    assert desk.code("award-domestic", segments=out(DAY, resource="AA999")) == "resource_unknown"
    assert desk.code("award-domestic") == "invalid"
    assert desk.code("award-domestic", on=DAY) == "invalid"


def test_what_was_said_last_of_a_day_counts_and_what_was_sold_stays_sold() -> None:
    desk = Desk(m1=10**6)
    desk.offer("award-domestic", **AWARD, price=25_000)
    desk.seats("AA100", 150, share={"percent": 10, "least": 1, "overbook": 20})
    assert desk.code("award-domestic", segments=out(DAY), party=18) == "", "15 and a fifth of them"
    desk.seats("AA100", 100, **{"from": DAY})
    assert desk.ask("award-domestic", segments=out(DAY))["facts"] == {"left": 0, "of": 5, "asked": 1}
    assert desk.code("award-domestic", segments=out(DAY - timedelta(days=1)), party=18) == ""


def test_aa_8_a_blackout_lies_on_any_segment() -> None:
    desk = Desk(m1=10**6)
    desk.offer("award-domestic", **AWARD, price=25_000, blackouts=[WINTER])
    desk.seats("AA100", 150)
    year = 2036
    home = {"a": date(year + 1, 1, 3), "b": date(year + 1, 1, 4)}
    dark = desk.ask("award-domestic", segments=out(date(year, 12, 19), home["a"]))
    assert (dark["code"], dark["facts"]) == ("blacked_out", {"on": [f"{year + 1}-01-03"]})
    assert desk.code("award-domestic", segments=out(date(year, 12, 19), home["b"])) == ""
    assert desk.code("award-domestic", segments=out(date(year, 12, 20), home["b"])) == "blacked_out"


def test_a_reward_with_rooms_of_its_own_asks_for_the_day() -> None:
    desk = Desk(m1=10**6)
    desk.offer("hotel-night", resource="grand", partner="hotel", price=12_000)
    desk.seats("grand", 20)
    assert desk.code("hotel-night") == "invalid"
    night = desk.ask("hotel-night", on=DAY)
    assert (night["state"], night["honoured_by"]) == ("fulfilled", "hotel")
    assert desk.code("hotel-night", on=DAY) == "sold_out"


def test_a_message_says_what_a_fold_says() -> None:
    desk = Desk(m1=123_456)
    desk.offer(
        "new-vehicle",
        by_amount=CREDIT,
        price=0,
        pay=PayTerms(cash=True, most=True),
        attributes={"vin": "text"},
        key="vin",
    )
    desk.ask("new-vehicle", amount=1_725_000, attributes={"vin": "1G1"})
    folded = MemoryStore().state
    for decision in desk.store.decisions:
        for fact in decision.facts:
            folded.apply(decision.program, decision.key, fact)
    saga = desk.store.state.sagas[SagaKey(PROGRAM, "m-1", "r-1")]
    again = folded.sagas[saga.key]
    assert (again.points, again.bargain, folded.tallies) == (saga.points, saga.bargain, desk.store.state.tallies)


def test_a_party_is_no_way_around_a_limit() -> None:
    """What is had for each person counts for each: a hundred coupons are not one."""
    desk = Desk(m1=10_000)
    once = RewardLimit(limit="once", per="lifetime", times=1)
    desk.offer("coupon", kind="voucher", price=0, free=True, limits=[once], value=Money(amount=3000, currency="CNY"))
    refused = desk.ask("coupon", party=100)
    assert (refused["code"], refused["facts"]) == ("limit_reached", {"left": 1, "of": 1, "asked": 100})
    assert len(desk.ask("coupon")["vouchers"]) == 1
    twice = RewardLimit(limit="twice", per="month", times=4)
    desk.offer("mug", limits=[twice])
    assert [desk.code("mug", quantity=2, party=2), desk.code("mug")] == ["", "limit_reached"]
    desk.offer("cup", quantity_max=2)
    assert [desk.code("cup", quantity=2, party=2), desk.code("cup", party=2)] == ["limit_reached", ""]


def test_the_season_is_that_of_the_earliest_day_however_days_are_ordered() -> None:
    desk = Desk(m1=10**6)
    chart = [ChartRow(season="high", price=70_000), ChartRow(price=50_000)]
    desk.offer("award", **AWARD, price=0, seasons={"high": [WINTER]}, chart=chart)
    desk.seats("AA100", 150)
    home = out(date(2037, 2, 1))
    away = out(date(2036, 12, 24))
    assert desk.ask("award", segments=[*away, *home])["points"] == 70_000
    assert desk.ask("award", segments=[*home, *away])["points"] == 70_000


def test_the_owner_named_as_beneficiary_is_the_owner() -> None:
    desk = Desk(m1=1_000)
    desk.offer("upgrade", owner_only=True)
    assert desk.ask("upgrade", beneficiary="m-1")["state"] == "fulfilled"


FARE: dict[str, Any] = {"amount": 25_000, "currency": "USD"}


def dollars(amount: int) -> Money:
    return Money(amount=amount, currency="USD")


def fare_desk(**points: int) -> Desk:
    desk = Desk(**points)
    desk.offer("fare", by_amount=AmountPrice(points=4, per=5, currency="USD"), price=0, pay=PayTerms(cash=True))
    return desk


def test_any_cash_can_be_paid_and_the_rest_is_rounded_up_to_points() -> None:
    desk = fare_desk(m1=60_000)
    odd = desk.ask("fare", **FARE, pay=PayAsked(cash=dollars(10_001)))
    # $149.99 are 11,999.2 points; S2 has them rounded up.
    assert (odd["points"], odd["to_pay"]["amount"]) == (12_000, 10_001)
    same = desk.ask("fare", **FARE, pay=PayAsked(points=12_000, cash=dollars(10_001)))
    assert (same["points"], same["to_pay"]["amount"]) == (12_000, 10_001)
    assert desk.code("fare", **FARE, pay=PayAsked(points=12_000, cash=dollars(10_002))) == "not_eligible"


def test_cash_beside_all_points_is_the_most_that_is_paid_in_money() -> None:
    desk = fare_desk(m1=11_999, m2=12_000, m3=19_000)
    wish = PayAsked(all_points=True, cash=dollars(10_000))
    short = desk.ask("fare", **FARE, pay=wish)
    assert (short["code"], desk.points.balances["m-1"]) == ("below_minimum", 11_999)
    enough = desk.ask("fare", "m-2", **FARE, pay=wish)
    assert (enough["points"], enough["to_pay"]["amount"]) == (12_000, 10_000)
    more = desk.ask("fare", "m-3", **FARE, pay=wish)
    assert (more["points"], more["to_pay"]["amount"]) == (19_000, 1_250)


def test_cash_for_what_takes_none_is_refused_with_all_points_too() -> None:
    desk = Desk(m1=30_000)
    desk.offer("fare", by_amount=AmountPrice(points=4, per=5, currency="USD"), price=0)
    wish = PayAsked(all_points=True, cash=dollars(10_000))
    assert desk.ask("fare", **FARE, pay=wish)["facts"] == {"why": "cash"}
    assert desk.ask("fare", **FARE, pay=PayAsked(all_points=True, cash=dollars(0)))["points"] == 20_000


def test_a_price_whose_money_is_beyond_all_amounts_is_refused() -> None:
    desk = Desk(m1=10**15)
    rate = CashRate(points=1, per=10, currency="USD")
    desk.offer("island", price=10**15, pay=PayTerms(cash=True, rate=rate))
    assert desk.ask("island", pay=PayAsked(points=1))["code"] == "limit_reached"


def test_a_change_with_notice_leaves_what_there_is_today_alone() -> None:
    desk = Desk(m1=10_000)
    later = NOON + timedelta(days=30)
    desk.offer("mug", stock=2)
    desk.offer("mug", stock=0, effective_from=later)
    assert desk.code("mug") == ""
    assert desk.code("mug", at=later) == "sold_out"
    desk.offer("cup", stock=1)
    desk.offer("cup", stock=None, effective_from=later)
    assert [desk.code("cup"), desk.code("cup"), desk.code("cup", at=later)] == ["", "sold_out", ""]
    desk.offer("film", kind="voucher", value=Money(amount=900, currency="GBP"))
    desk.offer("film", kind="voucher", voucher=VoucherTerms(codes="pool"), effective_from=later)
    assert [desk.code("film"), desk.code("film", at=later)] == ["", "sold_out"], "no code was given yet"


def test_nobody_draws_from_what_is_counted_for_another() -> None:
    """Ids may have colons, and so may what a limit counts by."""
    desk = Desk()
    a_stay = RewardLimit(limit="a-stay", per="attributes.stay", times=1)
    desk.offer("breakfast", price=0, free=True, attributes={"stay": "text"}, limits=[a_stay])
    assert desk.code("breakfast", "m-1", attributes={"stay": "1:s"}) == ""
    assert desk.code("breakfast", "m-1:1", attributes={"stay": "s"}) == ""
    assert desk.code("breakfast", "m-1", attributes={"stay": "1:s"}) == "limit_reached"
    assert desk.code("breakfast", "m-1", attributes={"stay": "1%3As"}) == ""


def test_all_that_does_not_fit_is_said_with_its_place() -> None:
    desk = Desk(m1=10**6)
    kinds: Any = {"vin": "text", "miles": "integer"}
    desk.offer("trip", **AWARD, price=10, attributes=kinds, key="vin")
    refused = desk.ask("trip", amount=5, attributes={"miles": "many"})
    assert [(each["pointer"], each["code"]) for each in refused["facts"]["errors"]] == [
        ("/segments", "missing"),
        ("/attributes/miles", "wrong_type"),
        ("/attributes/vin", "missing"),
        ("/amount", "not_allowed"),
    ]


def test_the_catalogue_says_what_is_short_whatever_else_a_wish_would_have_to_say() -> None:
    desk = Desk(m1=10**6)
    kinds: Any = {"vin": "text"}
    desk.offer("car", price=10, attributes=kinds, key="vin", stock=1)
    a_day = RewardLimit(limit="a-day", per="day", times=1)
    a_car = RewardLimit(limit="a-car", per="attributes.vin", times=1)
    desk.offer("wash", price=10, attributes=kinds, limits=[a_car, a_day])
    assert (desk.seen("car"), desk.seen("wash")) == ((), ())
    assert [desk.code(each, attributes={"vin": "v"}) for each in ("car", "wash")] == ["", ""]
    assert (desk.seen("car"), desk.seen("wash")) == (("sold_out",), ("limit_reached",))
    assert desk.code("car") == "invalid", "what was not understood comes first"


@pytest.mark.parametrize("wanted", [{"member_days": 4_000_000}, {"member_months": 10**15}, {"member_days": 10**15}])
def test_a_membership_longer_than_there_are_dates_is_nobodys(wanted: Any) -> None:
    desk = Desk(m1=1_000)
    desk.offer("mug", eligibility=Eligibility(**wanted))
    assert desk.ask("mug", stands=gold())["facts"] == {"why": "member_since"}


def test_a_limit_of_very_many_stays_a_number_that_rows_can_hold() -> None:
    desk = Desk()
    many = RewardLimit(limit="many", per="lifetime", times=10**15, each="attributes.nights")
    desk.offer("breakfast", price=0, free=True, attributes={"nights": "integer"}, limits=[many])
    assert desk.code("breakfast", attributes={"nights": 10**15}) == ""
    (draw,) = desk.store.state.sagas[SagaKey(PROGRAM, "m-1", "r-1")].bargain.drawn
    assert draw.of == 10**15


@pytest.mark.parametrize("where", ['member.attributes.card == "gold"', 'member.tier == "gold"'])
def test_what_a_later_version_of_the_program_no_longer_knows_is_not_so(where: str) -> None:
    """The program gave up an attribute, or its tiers; the reward still asks for them."""
    desk = Desk(m1=1_000)
    desk.road = Road(FixedPrograms(ProgramTerms(zone="America/Chicago")))
    desk.offer("mug", eligibility=Eligibility(where=where))
    desk.offer("cup", price=0, chart=[ChartRow(where=where, price=5), ChartRow(price=7)])
    stands = gold(attributes={"card": "gold"})
    assert desk.ask("mug", stands=stands)["facts"] == {"why": "where"}
    assert desk.ask("cup", stands=stands)["points"] == 7


@pytest.mark.parametrize(("net", "available", "shortfall"), [(-16, 0, 116), (0, 0, 100), (99, 99, 1), (100, 100, 0)])
def test_a_quote_says_what_is_missing_with_what_is_owed(net: int, available: int, shortfall: int) -> None:
    desk = Desk()
    desk.offer("mug", price=100)
    desk.offer("leaf", price=0, free=True)
    heard = msgspec.json.decode(redemption_requested("m-1", "seen", "mug").body, type=Redeem)
    told = offer(desk.store.state, heard, Moment(NOON, desk.terms), {"point": net})
    assert (told.available, told.shortfall, told.affordable) == (available, shortfall, not shortfall)
    free = msgspec.structs.replace(heard, reward="leaf")
    assert offer(desk.store.state, free, Moment(NOON, desk.terms), {"point": net}).affordable
