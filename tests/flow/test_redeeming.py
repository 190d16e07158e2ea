"""What the twelve programs offer, through HTTP, Kafka and Postgres: prices, seats, limits and keys, and for whom."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import Any

import pytest

from laurel.embedded.publishing import offered_beside, program_files
from laurel.program.reading import read_yaml
from tests.flow.stage import Door, Town, gather_bounded

pytestmark = pytest.mark.anyio

PROGRAMS = (
    "aadvantage",
    "revenue-flyer",
    "coalition",
    "worldperks",
    "gm-card",
    "ford-card",
    "hanting",
    "bank-classes",
    "seven-eleven",
)
UNITS = {"aadvantage": "mile", "coalition": "mile", "worldperks": "mile", "gm-card": "credit", "ford-card": "credit"}
DAY = "2024-03-20"


@pytest.fixture(scope="module")
async def town(town: Town) -> Town:
    door = town.door()
    for file in program_files():
        if file.stem in PROGRAMS:
            document: Any = read_yaml(file.read_text("utf-8"))
            await door.publish({**document, "clock": "manual"})
            for path, offered in offered_beside(file).items():
                await door.call("PUT", f"programs/{file.stem}/{path}", offered, 201)
            await door.call("POST", f"programs/{file.stem}/clock", {"as_of": "2024-03-10T12:00:00Z"})
    return town


async def given(door: Door, program: str, **points: int) -> None:
    """Enrol members and give them points."""
    for name, amount in points.items():
        member = name.replace("_", "-")
        await door.call(
            "POST", f"programs/{program}/members", {"member": member, "enrolled_at": "2020-01-01T00:00:00Z"}, 201
        )
        if amount:
            gift = {
                "member": member,
                "unit": next((unit for name, unit in UNITS.items() if program.startswith(name)), "point"),
                "amount": amount,
                "reason": "goodwill",
                "note": "a start",
            }
            await door.call(
                "POST", f"programs/{program}/adjustments", gift, 201, idempotency_key=f'"start-{program}-{member}"'
            )


async def left(door: Door, program: str, member: str) -> int:
    shown = await door.call("GET", f"programs/{program}/members/{member}")
    return sum(each["available"] for each in shown["balances"])


async def copy_of(door: Door, program: str, name: str) -> str:
    """Return a sandbox of the example's own, whose clock was never set."""
    await door.call("POST", f"programs/{program}/copy", {"to": f"{program}-{name}"}, 201)
    return f"{program}-{name}"


async def turn(door: Door, program: str, as_of: str) -> None:
    await door.call("POST", f"programs/{program}/clock", {"as_of": as_of})


async def lots(door: Door, program: str, member: str) -> list[tuple[int, str]]:
    """Return what is left in a member's lots, by their end."""
    found = (await door.call("GET", f"programs/{program}/members/{member}/lots"))["data"]
    return sorted((each["remaining"], each["expires_at"]) for each in found if each["remaining"])


def seats(*days: str, resource: str = "AA100") -> dict[str, Any]:
    return {"segments": [{"resource": resource, "on": day} for day in days]}


async def test_aa_2_3_7_8_9_awards(town: Town, door: Door) -> None:
    """AA-2, AA-3, AA-7, AA-8 and AA-9: how many seats, on which days, for whom."""
    await door.call("PUT", "programs/aadvantage/resources/AA100", {"capacity": 150}, 201)
    await given(door, "aadvantage", a_1=24_999, a_2=50_000, a_3=200_000, a_4=25_000, spouse=0)
    redeem = partial(door.redeem, "aadvantage")
    short = await redeem("a-1", "a-1", "award-domestic", 409, **seats(DAY))
    assert (short["code"], short["available"], short["shortfall"], short["unit"]) == (
        "insufficient_points",
        24_999,
        1,
        "mile",
    )

    europe = await redeem("a-2", "a-2", "award-europe", beneficiary={"member": "spouse"}, **seats(DAY))
    assert (europe["state"], europe["points"], europe["beneficiary"]) == ("fulfilled", 50_000, "spouse")
    assert (await left(door, "aadvantage", "a-2"), await left(door, "aadvantage", "spouse")) == (0, 0)

    # AA-3: one is gone, five more go; a party of two is not served by the last one, who asks alone is.
    await redeem("a-3", "a-3", "award-domestic", **seats(DAY), party=5)
    standing = await door.call("GET", f"programs/aadvantage/resources/AA100?on={DAY}")
    assert {name: standing[name] for name in ("capacity", "quota", "taken", "left")} == {
        "capacity": 150, "quota": 7, "taken": 6, "left": 1,
    }  # fmt: skip
    party = await redeem("a-3b", "a-3", "award-domestic", 409, **seats(DAY), party=2)
    assert (party["code"], party["left"]) == ("sold_out", 1)
    assert await left(door, "aadvantage", "a-3") == 75_000
    alone = await redeem("a-3g", "a-3", "award-domestic", **seats(DAY))
    assert (await redeem("a-3h", "a-3", "award-domestic", 409, **seats(DAY)))["code"] == "sold_out"
    cancelling = {"by": "member", "reason": "no time"}
    back = await door.call("POST", f"programs/aadvantage/redemptions/{alone['redemption']}/cancel", cancelling)
    assert back["state"] == "cancelled"
    await redeem("a-3i", "a-3", "award-domestic", **seats(DAY))
    assert (await redeem("a-3j", "a-3", "award-domestic", 409, **seats(DAY)))["code"] == "sold_out"
    assert await left(door, "aadvantage", "a-3") == 50_000

    # AA-8: every segment's day is looked at.
    dark = await redeem("a-3c", "a-3", "award-domestic", 409, **seats("2024-12-19", "2025-01-03"))
    assert (dark["code"], dark["on"]) == ("blacked_out", ["2025-01-03"])
    out = await redeem("a-3k", "a-3", "award-domestic", 409, **seats("2024-12-20", "2025-01-04"))
    assert (out["code"], out["on"]) == ("blacked_out", ["2024-12-20"])
    await redeem("a-3d", "a-3", "award-domestic", **seats("2024-12-19", "2025-01-04"))
    nobody = await redeem("a-3e", "a-3", "award-domestic", 404, **seats(DAY, resource="AA999"))
    assert nobody["code"] == "resource_unknown"
    bare = await redeem("a-3f", "a-3", "award-domestic", 422)
    assert bare["code"] == "invalid"

    # AA-9
    wish = {"member": "a-4", "reward": "award-domestic", **seats("2024-03-21")}
    both = await asyncio.gather(
        *(door.ask("POST", "programs/aadvantage/redemptions", wish, idempotency_key=f'"a-4-{n}"') for n in range(2))
    )
    assert sorted(each.status_code for each in both) == [201, 409]
    refused = next(each.json() for each in both if each.status_code == 409)
    assert (refused["code"], refused["shortfall"]) == ("insufficient_points", 25_000)
    assert await left(door, "aadvantage", "a-4") == 0
    await town.prove()


FLOWN = {"2021-01-10": 12_000, "2021-12-30": 9_000, "2022-03-05": 8_000}
HELD_AT, LATER = "2024-12-31T23:55:00-06:00", "2025-01-01T00:05:00-06:00"
NEXT_YEARS = "2026-01-01T06:00:00Z"


async def held_over_new_year(door: Door, name: str) -> tuple[str, dict[str, Any]]:
    """AA-4 and AA-5: three flights' miles, 25,000 of them held five minutes before 21,000 end."""
    program = await copy_of(door, "aadvantage", name)
    await door.call("POST", f"programs/{program}/members", {"member": "m", "enrolled_at": "2020-01-01T00:00:00Z"}, 201)
    for day, miles in FLOWN.items():
        flight = {
            "id": f"f-{day}", "type": "flight", "member": "m", "occurred_at": f"{day}T12:00:00-06:00",
            "attributes": {"miles": miles, "cabin": "economy"},
        }  # fmt: skip
        await door.report(program, flight)
    # A copy takes along what another test may have said of the flight already.
    assert (await door.ask("PUT", f"programs/{program}/resources/AA100", {"capacity": 150})).is_success
    await turn(door, program, HELD_AT)
    assert await left(door, program, "m") == 29_000
    held = await door.redeem(program, name, "m", "award-domestic", **seats("2025-03-01"), confirm="later")
    assert (held["state"], sorted(each["amount"] for each in held["lots"])) == ("holding", [4_000, 9_000, 12_000])
    await turn(door, program, LATER)
    return program, dict(held)


@pytest.mark.parametrize("by", ["member", "provider"])
async def test_aa_5_6_an_award_over_the_end_of_its_miles_is_cancelled(town: Town, door: Door, by: str) -> None:
    """AA-5 (a) and AA-6 (a), (b): what ended meanwhile expires at once, or comes in a new lot of 90 days."""
    program, held = await held_over_new_year(door, f"aa-6-{by}")
    path = f"programs/{program}/redemptions/{held['redemption']}"
    assert (await door.call("POST", f"{path}/confirm"))["state"] == "fulfilled"
    assert await left(door, program, "m") == 4_000

    async def captured() -> bool:
        # What is held still lies in its lots until points have heard that it is spent.
        return await lots(door, program, "m") == [(4_000, NEXT_YEARS)]

    await town.until(captured, "the miles to be spent")
    await turn(door, program, "2025-02-01T10:00:00-06:00")
    cancelled = await door.call("POST", f"{path}/cancel", {"by": by, "reason": "no flight"})
    assert cancelled["state"] == "cancelled"
    renewed = [(21_000, "2025-05-02T05:00:00Z")] if by == "provider" else []
    assert sum(amount for amount, _ in await lots(door, program, "m")) == (29_000 if renewed else 8_000)
    assert await lots(door, program, "m") == sorted([(8_000, NEXT_YEARS), *renewed])
    assert await left(door, program, "m") == (29_000 if renewed else 8_000)
    standing = await door.call("GET", f"programs/{program}/resources/AA100?on=2025-03-01")
    assert standing["taken"] == 0
    await town.prove()


async def test_aa_5_an_award_that_is_given_up_over_the_end_of_its_miles(town: Town, door: Door) -> None:
    """AA-5 (b): released after their end they expire at that moment."""
    program, held = await held_over_new_year(door, "aa-5")
    given_up = {"by": "member", "reason": "no time"}
    await door.call("POST", f"programs/{program}/redemptions/{held['redemption']}/cancel", given_up)
    assert await lots(door, program, "m") == [(8_000, NEXT_YEARS)]
    assert await left(door, program, "m") == 8_000
    await town.prove()


async def test_two_hundred_buyers_race_for_seven_seats(town: Town, door: Door) -> None:
    await door.call("PUT", "programs/aadvantage/resources/AA200", {"capacity": 150}, 201)
    names = [f"race-{number:03}" for number in range(200)]
    await gather_bounded([partial(given, door, "aadvantage", **{name.replace("-", "_"): 25_000}) for name in names], 16)

    async def buy(member: str) -> str:
        body = {"member": member, "reward": "award-domestic", **seats(DAY, resource="AA200")}
        answer = await door.ask("POST", "programs/aadvantage/redemptions", body, idempotency_key=f'"{member}"')
        return "won" if answer.status_code == 201 else str(answer.json()["code"])

    assert Counter(await asyncio.gather(*(buy(name) for name in names))) == {"won": 7, "sold_out": 193}
    standing = await door.call("GET", f"programs/aadvantage/resources/AA200?on={DAY}")
    assert (standing["taken"], standing["left"]) == (7, 0)
    assert sum([await left(door, "aadvantage", name) == 0 for name in names[:50]]) <= 7
    await town.prove()


async def test_rb_7_points_and_cash(town: Town, door: Door) -> None:
    """RB-7: 12,000 points pay $150.00 of a fare of $250.00, and the $100.00 in cash earn 500."""
    await given(door, "revenue-flyer", f_1=40_000)
    body: dict[str, Any] = {
        "member": "f-1",
        "reward": "fare",
        "amount": 25_000,
        "currency": "USD",
        "pay": {"points": 12_000},
    }
    quoted = await door.call("POST", "programs/revenue-flyer/redemptions/quote", body)
    names = ("eligible", "reasons", "price", "points", "to_pay", "available", "shortfall")
    assert {name: quoted[name] for name in names} == {
        "eligible": True, "reasons": [], "price": {"unit": "point", "amount": 20_000}, "points": 12_000,
        "to_pay": {"amount": 10_000, "currency": "USD"}, "available": 40_000, "shortfall": 0,
    }  # fmt: skip
    del body["member"], body["reward"]
    paid = await door.redeem("revenue-flyer", "f-1", "f-1", "fare", **body)
    assert (paid["points"], paid["to_pay"]) == (12_000, {"amount": 10_000, "currency": "USD"})
    # The purchase is reported as an activity: what was paid in cash earns.
    tenders = [
        {"kind": "points", "amount": 15_000, "ref": paid["redemption"]}, {"kind": "card", "amount": 10_000},
    ]  # fmt: skip
    flight = {
        "id": "f-1", "type": "flight", "member": "f-1", "occurred_at": "2024-03-10T12:00:00Z", "currency": "USD",
        "amount": 25_000, "attributes": {"fare": 25_000, "surcharge": 0, "taxes": 0, "miles": 900}, "tenders": tenders,
    }  # fmt: skip
    flown = await door.report("revenue-flyer", flight)
    assert [each["amount"] for each in flown["awards"]] == [500]
    whole = await door.redeem("revenue-flyer", "f-2", "f-1", "fare", amount=19_999)
    assert (whole["points"], whole["to_pay"]) == (16_000, None)
    assert await left(door, "revenue-flyer", "f-1") == 12_500
    wrong = await door.redeem("revenue-flyer", "f-3", "f-1", "fare", 409, amount=100, currency="EUR")
    assert wrong["code"] == "currency_not_accepted"
    short = await door.call(
        "POST", "programs/revenue-flyer/redemptions/quote", {"member": "f-1", "reward": "fare", "amount": 25_000}
    )
    assert (short["available"], short["shortfall"]) == (12_500, 7_500)
    foreign = await door.call(
        "POST", "programs/revenue-flyer/redemptions/quote", {"member": "a-1", "reward": "fare", "amount": 1}, 404
    )
    assert foreign["code"] == "member_unknown"
    await town.prove()


async def test_co_3_who_honours_the_miles_is_told(town: Town, door: Door) -> None:
    await given(door, "coalition", c_1=12_000)
    await door.redeem("coalition", "c-1", "c-1", "hotel-night", on=DAY)
    # CA-5: Northwest's member on a seat of Air China.
    await door.call("PUT", "programs/worldperks/resources/CA981", {"capacity": 300, "partner": "air-china"}, 201)
    await given(door, "worldperks", w_1=60_000)
    await door.redeem("worldperks", "w-1", "w-1", "award-asia-pacific", **seats(DAY, resource="CA981"))
    assert await left(door, "worldperks", "w-1") == 0
    of_both = "points.holds where partner <> '' and program = any($1::text[])"
    both = ["coalition", "worldperks"]
    # A redemption is fulfilled with the request for the capture, which comes a moment later.
    await town.until(
        lambda: town.value(f"select bool_and(state <> 'held') from {of_both}", both), "both holds are captured"
    )
    assert await town.rows(f"select program, partner, amount, state from {of_both} order by 1", both) == [
        ("coalition", "hotel", 12_000, "captured"), ("worldperks", "air-china", 60_000, "captured"),
    ]  # fmt: skip
    await town.prove()


VEHICLE: dict[str, Any] = {"amount": 1_725_000, "currency": "USD"}


async def test_gm_7_a_vehicle_is_bought_with_credit_once_until_its_sale_is_cancelled(town: Town, door: Door) -> None:
    """GM-7: $1,234.56 of three account years pay for one vehicle, and come back into their lots."""
    program = await copy_of(door, "gm-card", "gm-7")
    for member in ("g-1", "g-2"):
        joined = {"member": member, "enrolled_at": "2020-06-01T12:00:00Z"}
        await door.call("POST", f"programs/{program}/members", joined, 201)
    for number, amount in enumerate((1_000_000, 1_000_000, 469_120)):
        bought = {
            "id": f"g-{number}", "type": "purchase", "member": "g-1", "currency": "USD", "amount": amount,
            "occurred_at": f"202{number}-07-01T12:00:00Z",
        }  # fmt: skip
        await door.report(program, bought)
    little = {"id": "g-9", "type": "purchase", "member": "g-2", "currency": "USD", "amount": 10_000}
    await door.report(program, {**little, "occurred_at": "2022-07-01T12:00:00Z"})
    await turn(door, program, "2024-03-10T12:00:00Z")
    before = await lots(door, program, "g-1")
    assert [amount for amount, _ in before] == [23_456, 50_000, 50_000]
    # $18,250.00 less the dealer's $1,000.00.
    car = {**VEHICLE, "attributes": {"vin": "1G1"}}
    bought = await door.redeem(program, "g-1", "g-1", "new-vehicle", **car)
    assert (bought["points"], bought["to_pay"]) == (123_456, {"amount": 1_601_544, "currency": "USD"})
    assert await left(door, program, "g-1") == 0
    assert (await door.redeem(program, "g-2", "g-2", "new-vehicle", 409, **car))["code"] == "key_used"
    cancelling = {"by": "member", "reason": "another colour"}
    sale = f"programs/{program}/redemptions/{bought['redemption']}/cancel"
    assert (await door.call("POST", sale, cancelling))["state"] == "cancelled"
    assert await lots(door, program, "g-1") == before
    assert await left(door, program, "g-1") == 123_456
    other = await door.redeem(program, "g-3", "g-2", "new-vehicle", **car)
    assert (other["points"], other["to_pay"]["amount"]) == (500, 1_724_500)
    assert (await door.redeem(program, "g-4", "g-1", "new-vehicle", 409, **car))["code"] == "key_used"
    await town.prove()


async def test_fd_4_6_credit_for_a_vehicle_of_ford(town: Town, door: Door) -> None:
    """FD-4 and FD-6: credit is worth the same whatever the list says, and $50.00 at the least."""
    await given(door, "ford-card", d_1=4_999, d_2=5_000, d_3=100_000, d_4=0)
    for price, holder, others in ((1_500_000, 1_400_000, 1_500_000), (1_550_000, 1_450_000, 1_550_000)):
        for member, net in (("d-3", holder), ("d-4", others)):
            wish = {"member": member, "reward": "new-vehicle", "amount": price, "currency": "USD"}
            quoted = await door.call("POST", "programs/ford-card/redemptions/quote", wish)
            assert quoted["to_pay"] == {"amount": net, "currency": "USD"}
    car: dict[str, Any] = {"amount": 1_500_000, "currency": "USD", "pay": {"points": "all"}}
    below = await door.redeem("ford-card", "d-1", "d-1", "new-vehicle", 409, **car)
    assert (below["code"], await left(door, "ford-card", "d-1")) == ("below_minimum", 4_999)
    done = await door.redeem("ford-card", "d-2", "d-2", "new-vehicle", **car)
    assert (done["points"], done["to_pay"]["amount"], await left(door, "ford-card", "d-2")) == (5_000, 1_495_000, 0)
    # One vehicle, one redemption: where its number is told, it can be told once.
    numbered = {**car, "attributes": {"vin": "1FA"}}
    await door.redeem("ford-card", "d-3", "d-3", "new-vehicle", **numbered)
    await given(door, "ford-card", d_5=10_000)
    again = await door.redeem("ford-card", "d-5", "d-5", "new-vehicle", 409, **numbered)
    assert again["code"] == "key_used"
    await town.prove()


async def test_ht_2_7_8_nights_coupons_and_breakfasts(town: Town, door: Door) -> None:
    """HT-2, HT-7 and HT-8."""
    await given(door, "hanting", h_1=7_999, h_2=8_000, h_3=8_000)
    redeem = partial(door.redeem, "hanting")
    assert (await redeem("h-1", "h-1", "free-night", 409))["shortfall"] == 1
    await redeem("h-2", "h-2", "free-night")
    half = (await redeem("h-3", "h-3", "half-price-night"))["vouchers"][0]
    night = {"reference": "night", "basket": {"amount": 30_001, "currency": "CNY"}}
    paid = await door.call("POST", f"programs/hanting/vouchers/{half['code']}/redeem", night)
    assert paid["state"] == "spent"
    await redeem("h-3b", "h-3", "partner-coffee", quantity=2)
    assert (await left(door, "hanting", "h-2"), await left(door, "hanting", "h-3")) == (0, 1_000)

    # The first check-out, of 10 March in Shanghai.
    assert (await redeem("h-2c", "h-2", "new-guest-coupon", 409))["code"] == "not_eligible"
    await door.report("hanting", stay_of("h-2"))
    coupon = await redeem("h-2d", "h-2", "new-guest-coupon")
    (voucher,) = coupon["vouchers"]
    assert (coupon["points"], voucher["value"]["amount"]) == (0, 3_000)
    assert voucher["expires_at"].startswith("2024-06-07T16:00"), "usable through 7 June in Shanghai"
    assert len(voucher["code"]) == 19
    for member in ("twin-1", "twin-2"):
        await door.call("POST", "programs/hanting/members", {"member": member, "person": "p-1"}, 201)
        await door.report("hanting", stay_of(member))
    await redeem("t-1", "twin-1", "new-guest-coupon")
    assert (await redeem("t-2", "twin-2", "new-guest-coupon", 409))["code"] == "limit_reached"

    # 0070: who has just risen gets at once what is for its new tier.
    breakfast: dict[str, Any] = {"attributes": {"stay": "s-1", "nights": 2}}
    assert (await redeem("b-0", "h-1", "breakfast", 409, **breakfast))["code"] == "not_eligible"
    for number in range(3):
        stay = {
            "id": f"stay-{number}", "type": "stay", "member": "h-1", "occurred_at": f"2024-03-1{number}T09:00:00Z",
            "currency": "CNY", "amount": 30_000,
            "attributes": {"nights": 5, "checked_in_at": f"2024-03-0{number + 1}T09:00:00Z"},
        }  # fmt: skip
        tier = (await door.report("hanting", stay))["tier"]["name"]
    assert tier == "gold"
    await redeem("b-1", "h-1", "breakfast", **breakfast, quantity=2)
    assert (await redeem("b-2", "h-1", "breakfast", 409, **breakfast))["code"] == "limit_reached"
    await town.prove()


def stay_of(member: str) -> dict[str, Any]:
    """A night, paid at check-out."""
    return {
        "id": f"stay-{member}", "type": "stay", "member": member, "occurred_at": "2024-03-10T12:00:00+08:00",
        "currency": "CNY", "amount": 100, "attributes": {"nights": 1, "checked_in_at": "2024-03-09T18:00:00+08:00"},
    }  # fmt: skip


async def test_spending_at_a_bank_and_at_a_till(town: Town, door: Door) -> None:
    await given(door, "bank-classes", k_1=2_500)
    credit = await door.redeem("bank-classes", "k-1", "k-1", "account-credit")
    assert (credit["points"], await left(door, "bank-classes", "k-1")) == (1_000, 1_500)
    await given(door, "seven-eleven", s_1=300)
    till = await door.redeem(
        "seven-eleven", "s-1", "s-1", "pay-at-till", amount=980, currency="JPY", pay={"points": "all"}
    )
    assert (till["points"], till["to_pay"]) == (300, {"amount": 680, "currency": "JPY"})
    await town.prove()


async def test_the_catalogue_for_a_member_and_a_day(town: Town, door: Door) -> None:
    await given(door, "hanting", q_1=5_000)
    shown = {each["reward"]: each for each in (await door.call("GET", "programs/hanting/rewards?member=q-1"))["data"]}
    assert shown["free-night"]["price"] == {"unit": "point", "amount": 8_000}
    assert {name: (each["eligible"], each["affordable"]) for name, each in shown.items()} == {
        "breakfast": (False, True), "free-night": (True, False), "half-price-night": (True, True),
        "new-guest-coupon": (False, True), "partner-coffee": (True, True),
    }  # fmt: skip
    assert shown["breakfast"]["reasons"] == ["not_eligible"]
    may = await door.call("GET", "programs/hanting/rewards?member=q-1&affordable=true")
    assert [each["reward"] for each in may["data"]] == ["half-price-night", "partner-coffee"]
    dark = (await door.call("GET", "programs/aadvantage/rewards?on=2024-12-24"))["data"]
    assert {each["reward"]: each["reasons"] for each in dark} == {
        "award-asia-pacific": ["blacked_out"], "award-domestic": ["blacked_out"], "award-europe": ["blacked_out"],
    }  # fmt: skip
    unknown = await door.call("GET", "programs/hanting/rewards?member=nobody", None, 404)
    assert unknown["code"] == "member_unknown"


async def test_a_copy_takes_rewards_and_resources_along(town: Town, door: Door) -> None:
    await door.call("PUT", "programs/coalition/resources/grand", {"capacity": 10, "partner": "hotel"}, 201)
    await door.call("PUT", "programs/coalition/resources/grand", {"capacity": 4, "from": DAY, "until": DAY}, 201)
    assert (
        await door.ask("PUT", "programs/coalition/resources/grand", {"capacity": 10, "partner": "hotel"})
    ).status_code == 200
    wrong = await door.call("PUT", "programs/coalition/resources/grand", {"capacity": -1, "seats": 2}, 422)
    assert {fault["pointer"] for fault in wrong["errors"]} == {"/capacity", "/seats"}
    await door.call("POST", "programs/coalition/copy", {"to": "coalition-2"}, 201)
    for day, capacity in ((DAY, 4), ("2024-03-21", 10)):
        standing = await door.call("GET", f"programs/coalition-2/resources/grand?on={day}")
        assert (standing["capacity"], standing["quota"]) == (capacity, capacity)
    offered = await door.call("GET", "programs/coalition-2/rewards")
    assert [each["reward"] for each in offered["data"]] == ["hotel-night"]
    assert (await door.call("GET", "programs/coalition-2/resources/tiny", None, 404))["code"] == "resource_unknown"


async def test_a_sandbox_whose_clock_was_never_set_goes_by_its_members(town: Town, door: Door) -> None:
    """HT-7 again: what has no time of its own happens when the member's latest activity did, not when it is asked."""
    program = await copy_of(door, "hanting", "unset")
    base = f"programs/{program}"
    await door.call("POST", f"{base}/members", {"member": "m", "enrolled_at": "2023-05-01T00:00:00Z"}, 201)
    await door.report(program, stay_of("m"))
    coupon = await door.redeem(program, "c", "m", "new-guest-coupon")
    assert coupon["vouchers"][0]["expires_at"].startswith("2024-06-07T16:00")
    # What is offered until the day after the stay is offered to the member; who joined later comes too late.
    day = {"name": "Of March", "kind": "product", "unit": "point", "price": 1, "closes_at": "2024-03-11T00:00:00Z"}
    await door.call("PUT", f"{base}/rewards/of-march", day, 201)
    wish = {"member": "m", "reward": "of-march"}
    assert (await door.call("POST", f"{base}/redemptions/quote", wish))["eligible"] is True
    held = await door.redeem(program, "w", "m", "of-march", confirm="later")
    done = await door.call("POST", f"{base}/redemptions/{held['redemption']}/confirm")
    assert (held["state"], done["state"]) == ("holding", "fulfilled")
    await door.call("POST", f"{base}/members", {"member": "late", "enrolled_at": "2024-04-01T00:00:00Z"}, 201)
    late = await door.redeem(program, "l", "late", "of-march", 409)
    assert (late["code"], late["why"]) == ("not_eligible", "closed")
    shown = await door.call("GET", f"{base}/rewards?member=late")
    assert {each["reward"]: each["eligible"] for each in shown["data"]}["of-march"] is False
    # A limit of a month counts by the same time: another one, another month.
    monthly = {**day, "closes_at": None, "limits": [{"limit": "monthly", "per": "month", "times": 1}], "price": 0}
    await door.call("PUT", f"{base}/rewards/monthly", {**monthly, "free": True}, 201)
    await door.redeem(program, "m-1", "m", "monthly")
    assert (await door.redeem(program, "m-2", "m", "monthly", 409))["code"] == "limit_reached"
    again = {**stay_of("m"), "id": "april", "occurred_at": "2024-04-02T12:00:00+08:00"}
    await door.report(program, again)
    await door.redeem(program, "m-3", "m", "monthly")
    # Once it is set, what lies ahead of it still counts.
    await turn(door, program, "2024-03-20T00:00:00Z")
    assert (await door.redeem(program, "m-4", "m", "monthly", 409))["code"] == "limit_reached"
    await turn(door, program, "2024-05-02T00:00:00Z")
    await door.redeem(program, "m-5", "m", "monthly")
    await town.prove()


async def test_aa_10_what_a_billion_miles_would_buy(town: Town, door: Door) -> None:
    """AA-10: 1,000,000,000 miles outstanding, of which a quarter is never redeemed, at 2 cents a mile."""
    program = await copy_of(door, "aadvantage", "aa-10")
    await given(door, program, **{f"b_{number}": 250_000_000 for number in range(4)})
    (miles,) = (await door.call("GET", f"programs/{program}/reports/liability"))["units"]
    assert miles["outstanding"] == 1_000_000_000
    assert miles["provision"] == {"amount": 1_500_000_000, "currency": "USD"}
    assert miles["affords"] == [
        {"reward": "award-asia-pacific", "count": 16_666, "rest": 40_000},
        {"reward": "award-domestic", "count": 40_000, "rest": 0},
        {"reward": "award-europe", "count": 20_000, "rest": 0},
    ]
    # Without a value nothing is set aside; what has no fixed price is afforded by nobody.
    await given(door, "seven-eleven", b_1=1_000)
    (credit,) = (await door.call("GET", "programs/seven-eleven/reports/liability"))["units"]
    assert (credit["provision"], credit["affords"]) == (None, [])
