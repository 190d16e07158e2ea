"""Redeeming where two rules meet, through HTTP, Kafka and Postgres: what is closed, told with notice, undone late."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.flow.stage import Door, Town, grocery

pytestmark = pytest.mark.anyio

PROGRAM = "edges"
BASE = f"programs/{PROGRAM}"
JOINED = "2024-01-01T00:00:00Z"
NOW = "2024-03-10T12:00:00Z"


@pytest.fixture(scope="module")
async def town(town: Town) -> Town:
    door = town.door()
    await door.publish(grocery(PROGRAM, clock="manual"))
    await door.call("POST", f"{BASE}/clock", {"as_of": NOW})
    return town


async def given(door: Door, member: str, points: int = 0) -> None:
    await door.call("POST", f"{BASE}/members", {"member": member, "enrolled_at": JOINED}, 201)
    if points:
        gift = {"member": member, "unit": "point", "amount": points, "reason": "goodwill", "note": "a start"}
        await door.call("POST", f"{BASE}/adjustments", gift, 201, idempotency_key=f'"start-{member}"')


async def offer(door: Door, reward: str, **terms: Any) -> None:
    document = {"name": reward, "kind": "product", "unit": "point", **terms}
    await door.call("PUT", f"{BASE}/rewards/{reward}", document, 201)


async def codes_given(door: Door, reward: str, *lines: str) -> None:
    answer: httpx.Response = await door.http.post(
        f"/v1/{BASE}/rewards/{reward}/codes",
        content="\n".join(lines).encode(),
        headers={"content-type": "application/x-ndjson"},
    )
    assert (answer.status_code, answer.json()["added"]) == (200, len(lines)), answer.text


async def test_a_flight_gets_another_aircraft(town: Town, door: Door) -> None:
    path = f"{BASE}/resources/AA100"
    await door.call("PUT", path, {"capacity": 150}, 201)
    await door.call("PUT", path, {"capacity": 150})
    await door.call("PUT", path, {"capacity": 200}, 201)
    assert (await door.call("GET", f"{path}?on=2024-05-01"))["capacity"] == 200
    await door.call("PUT", path, {"capacity": 150}, 201)
    await door.call("PUT", path, {"capacity": 0}, 201)
    assert (await door.call("GET", f"{path}?on=2024-05-01"))["left"] == 0
    await town.prove()


async def test_who_is_closed_gets_nothing_that_is_free(town: Town, door: Door) -> None:
    await given(door, "gone")
    await given(door, "there")
    await offer(door, "coupon", kind="voucher", free=True, voucher={"product": "A coffee"})
    before = await door.redeem(PROGRAM, "gone-1", "gone", "coupon")
    held = await door.redeem(PROGRAM, "gone-0", "gone", "coupon", confirm="later")
    await door.call("POST", f"{BASE}/members/gone/close", {})
    for key, member, status in (("gone-2", "gone", 409), ("there-1", "there", 201)):
        told = await door.redeem(PROGRAM, key, member, "coupon", status)
        assert told.get("code") == ("member_not_active" if status == 409 else None)
    quote = await door.call("POST", f"{BASE}/redemptions/quote", {"member": "gone", "reward": "coupon"})
    assert (quote["eligible"], quote["reasons"]) == (False, ["member_not_active"])
    again = await door.redeem(PROGRAM, "gone-1", "gone", "coupon", 200)
    assert again["redemption"] == before["redemption"], "what it had before stays its own"
    late = await door.call("POST", f"{BASE}/redemptions/{held['redemption']}/confirm", {}, 409)
    assert late["code"] == "member_not_active"
    given_up = {"by": "member", "reason": "gone"}
    await door.call("POST", f"{BASE}/redemptions/{held['redemption']}/cancel", given_up)
    await town.prove()


async def test_a_voucher_that_was_spent_and_undone_can_be_made_void(town: Town, door: Door) -> None:
    await given(door, "m-void", 100)
    await offer(door, "card", kind="voucher", price=10, voucher={"value": {"amount": 500, "currency": "USD"}})
    (card,) = (await door.redeem(PROGRAM, "void", "m-void", "card"))["vouchers"]
    path = f"{BASE}/vouchers/{card['code']}"
    await door.call("POST", f"{path}/redeem", {"reference": "till-1"})
    early = await door.call("POST", f"{path}/void", {"reference": "till-2"}, 409)
    dead = await door.call("POST", f"{path}/void", {}, 409)
    assert (early["code"], dead["code"]) == ("voucher_spent", "voucher_spent")
    await door.call("POST", f"{path}/void", {"reference": "till-1"})
    await door.call("POST", f"{path}/redeem", {"reference": "till-2"})
    assert (await door.call("POST", f"{path}/void", {"reference": "till-2"}))["state"] == "issued"
    assert (await door.call("POST", f"{path}/void", {}))["state"] == "void"
    assert (await door.call("POST", f"{path}/void", {}))["state"] == "void"
    await town.prove()


async def test_held_for_later_while_an_activity_lies_ahead_of_the_clock(town: Town, door: Door) -> None:
    await given(door, "ahead", 1_000)
    await offer(door, "mug", price=100, stock=5)
    visit = {"id": "ahead-1", "type": "visit", "member": "ahead", "occurred_at": "2024-03-14T12:00:00Z"}
    await door.report(PROGRAM, visit)
    held = await door.redeem(PROGRAM, "ahead", "ahead", "mug", confirm="later")
    assert (held["state"], held["expires_at"][:16]) == ("holding", "2024-03-14T12:15")
    await door.report(PROGRAM, {**visit, "id": "ahead-2", "occurred_at": "2024-03-20T12:00:00Z"})
    done = await door.call("POST", f"{BASE}/redemptions/{held['redemption']}/confirm")
    assert done["state"] == "fulfilled"
    await town.prove()


async def test_the_catalogue_counts_the_codes_that_can_be_had(town: Town, door: Door) -> None:
    await given(door, "film", 1_000)
    await offer(door, "film", kind="voucher", price=10, voucher={"codes": "pool", "product": "A film"})
    await codes_given(
        door, "film", '{"code": "FILM-OLD", "expires_at": "2024-03-01T00:00:00Z"}', '{"code": "FILM-0001"}'
    )

    async def left() -> tuple[Any, Any]:
        shown = (await door.call("GET", f"{BASE}/rewards?member=film"))["data"]
        quote = await door.call("POST", f"{BASE}/redemptions/quote", {"member": "film", "reward": "film"})
        return {each["reward"]: each["left"] for each in shown}["film"], quote["eligible"]

    assert await left() == (1, True)
    bought = await door.redeem(PROGRAM, "film-1", "film", "film")
    assert await left() == (0, False)
    await door.call("POST", f"{BASE}/redemptions/{bought['redemption']}/cancel", {"by": "provider", "reason": "closed"})
    assert await left() == (0, False), "somebody has seen that code"
    assert (await door.redeem(PROGRAM, "film-2", "film", "film", 409))["code"] == "sold_out"
    await town.prove()


async def test_from_codes_of_our_own_to_those_of_a_partner_with_notice(town: Town, door: Door) -> None:
    await given(door, "notice", 1_000)
    ours = {"kind": "voucher", "price": 10, "voucher": {"product": "A film"}}
    theirs = {**ours, "voucher": {"codes": "pool", "product": "A film"}, "effective_from": "2025-01-01T00:00:00Z"}
    await offer(door, "cinema", **ours)
    held = await door.redeem(PROGRAM, "notice-1", "notice", "cinema", confirm="later")
    await offer(door, "cinema", **theirs)
    now = await door.redeem(PROGRAM, "notice-2", "notice", "cinema")
    done = await door.call("POST", f"{BASE}/redemptions/{held['redemption']}/confirm")
    for each in (now, done):
        (voucher,) = each["vouchers"]
        assert len(voucher["code"]) == 19, "made here"
    await codes_given(door, "cinema", '{"code": "CINEMA-1"}')
    still = await door.redeem(PROGRAM, "notice-3", "notice", "cinema")
    assert len(still["vouchers"][0]["code"]) == 19
    await town.prove()


async def test_what_does_not_fit_its_reward_is_said_with_its_place(town: Town, door: Door) -> None:
    await given(door, "wrong", 1_000)
    await offer(door, "plain", price=10)
    told = await door.redeem(PROGRAM, "wrong", "wrong", "plain", 422, amount=5, segments=[seat("AA7")])
    assert [(each["pointer"], each["code"]) for each in told["errors"]] == [
        ("/segments", "not_allowed"),
        ("/amount", "not_allowed"),
    ]
    assert (await door.redeem(PROGRAM, "wrong", "wrong", "plain"))["state"] == "fulfilled", "the key was left free"
    await town.prove()


async def test_an_id_that_a_refusal_left_free_may_be_asked_with_another_key(town: Town, door: Door) -> None:
    """Many applications make a new key for each attempt, and keep the id that is their own."""
    await given(door, "free-id", 1_000)
    await offer(door, "by-fare", by_amount={"points": 1, "per": 1, "currency": "USD"})
    wrong = {"id": "order-7", "amount": 100, "currency": "EUR"}
    refused = await door.redeem(PROGRAM, "free-1", "free-id", "by-fare", 409, **wrong)
    assert refused["code"] == "currency_not_accepted"
    done = await door.redeem(PROGRAM, "free-2", "free-id", "by-fare", id="order-7", amount=100, currency="USD")
    assert (done["redemption"], done["state"]) == ("order-7", "fulfilled")
    late = await door.redeem(PROGRAM, "free-1", "free-id", "by-fare", 422, **wrong)
    assert late["code"] == "idempotency_mismatch"
    assert await door.call("GET", f"{BASE}/redemptions/order-7") == done
    await town.prove()


def seat(resource: str) -> dict[str, str]:
    return {"resource": resource, "on": "2024-05-01"}


ENDS_OF_TIME = [
    "0001-01-01T00:00:00+14:00",
    "1899-12-31T23:59:59Z",
    "9000-01-01T00:00:00Z",
    "9999-12-31T23:59:59-12:00",
]


@pytest.mark.parametrize("at", ENDS_OF_TIME)
async def test_nothing_happens_at_the_ends_of_time(town: Town, door: Door, at: str) -> None:
    """Whoever was enrolled there could not ask for anything: no day, window or wait can be counted from it."""
    visit = {"id": "v-1", "type": "visit", "member": "nobody", "occurred_at": at}
    for path, body, pointer in (
        ("members", {"member": "old", "enrolled_at": at}, "/enrolled_at"),
        ("activities", visit, "/occurred_at"),
        ("quotes", visit, "/occurred_at"),
        ("clock", {"as_of": at}, "/as_of"),
    ):
        told = await door.call("POST", f"{BASE}/{path}", body, 422)
        assert [(each["pointer"], each["code"]) for each in told["errors"]] == [(pointer, "out_of_range")], path
    await town.rest()


async def test_a_quote_and_a_refusal_miss_the_same_with_what_is_owed(town: Town, door: Door) -> None:
    await given(door, "owing")
    await offer(door, "cup", price=100)
    basket = {"id": "owing-1", "type": "purchase", "member": "owing", "occurred_at": NOW, "currency": "USD"}
    await door.report(PROGRAM, {**basket, "amount": 20_000})
    await door.redeem(PROGRAM, "owing-1", "owing", "cup")
    back = {"id": "owing-2", "type": "return", "of": "owing-1", "member": "owing", "occurred_at": NOW}
    await door.report(PROGRAM, back)
    quote = await door.call("POST", f"{BASE}/redemptions/quote", {"member": "owing", "reward": "cup"})
    refused = await door.redeem(PROGRAM, "owing-2", "owing", "cup", 409)
    for told in (quote, refused):
        assert (told["available"], told["shortfall"]) == (0, 200), "100 are owed, 100 are wanted"
    await town.prove()
