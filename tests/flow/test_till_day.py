"""One day at the till, through real processes: a key, a program, members, baskets, returns, rewards."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from tests.flow.stage import (
    BOUGHT_AT,
    JOINED_AT,
    Door,
    Town,
    giving_back,
    grocery,
    points_of,
    purchase,
    voucher,
)

pytestmark = [pytest.mark.anyio, pytest.mark.kafka]

PROGRAM = "grocery"


@pytest.fixture(scope="module")
async def town(town: Town) -> Town:
    await town.door().publish(grocery(PROGRAM))
    return town


@pytest.fixture(scope="module")
async def admin(town: Town) -> Door:
    return town.door()


@pytest.fixture(scope="module")
async def till(town: Town, admin: Door) -> Door:
    """The till of a partner, with a key of its own."""
    await admin.call("PUT", "partners/acme", {"name": "Acme"}, 201)
    scopes = ["earn", "redeem", "members", "read"]
    made = await admin.call("POST", "partners/acme/keys", {"scopes": scopes, "programs": [PROGRAM]}, 201)
    return town.door(secret=made["secret"])


async def test_a_basket_is_bought_partly_returned_and_explained(town: Town, till: Door) -> None:
    card = {"scheme": "card", "value": "6340001"}
    joined = await till.call(
        "POST",
        f"programs/{PROGRAM}/members",
        {"member": "m-42", "identifiers": [card], "enrolled_at": JOINED_AT},
        201,
    )
    assert (joined["member"], joined["status"], joined["balances"]) == ("m-42", "active", [])

    basket = purchase("basket-1", "m-42", 4730, produce=1250)
    posted = await till.report(PROGRAM, {**basket, "member": card})
    earned = points_of(4730, 1250)
    assert {each["rule"]: each["amount"] for each in posted["awards"]} == {"base": 47, "fresh-produce": 25}
    assert [each["rule"] for each in posted["decision"] if not each["fired"]] == ["maker-103-soft-drinks"]
    assert await till.balance(PROGRAM, "m-42") == posted["balances"][0]
    assert await till.available(PROGRAM, "m-42") == earned
    assert await till.call("GET", f"programs/{PROGRAM}/activities/basket-1") == posted

    # The fruit comes back: 34.80 are kept, of the fruit nothing.
    back = await till.report(PROGRAM, giving_back("return-1", "basket-1", lines=[{"id": "2", "amount": 1250}]))
    taken = {each["rule"]: (each["amount"], each["taken"]) for each in back["reversals"]}
    assert taken == {"base": (13, 13), "fresh-produce": (25, 25)}
    assert await till.available(PROGRAM, "m-42") == earned - 38 == points_of(3480)

    statement = await till.call("GET", f"programs/{PROGRAM}/members/m-42/statement")
    by_kind = {each["kind"]: each for each in statement["data"]}
    assert by_kind.keys() == {"activity", "return"}  # joining moved no points
    assert all(sum(entry["amount"] for entry in each["entries"]) == 0 for each in statement["data"])
    lots = await till.call("GET", f"programs/{PROGRAM}/members/m-42/lots")
    assert sum(each["remaining"] for each in lots["data"]) == earned - 38
    decisions = await till.call("GET", f"programs/{PROGRAM}/members/m-42/decisions")
    assert {each["activity"] for each in decisions["data"]} == {"basket-1", "return-1"}
    await town.prove()


async def test_points_buy_a_voucher_until_they_or_the_stock_are_gone(town: Town, admin: Door, till: Door) -> None:
    await till.enrol(PROGRAM, "m-rich", "m-poor")
    await till.report(PROGRAM, purchase("rich-1", "m-rich", 25_000))
    await till.report(PROGRAM, purchase("poor-1", "m-poor", 9_900))
    await admin.call("PUT", f"programs/{PROGRAM}/rewards/five-off", voucher(100, stock=1, valid_days=30), 201)
    shelf = await till.call("GET", f"programs/{PROGRAM}/rewards")
    assert [(each["reward"], each["price"]) for each in shelf["data"]] == [("five-off", 100)]

    refused = await till.redeem(PROGRAM, "poor-key", "m-poor", "five-off", 409)
    assert (refused["code"], refused["unit"], refused["available"], refused["shortfall"]) == (
        "insufficient_points", "point", 99, 1,
    )  # fmt: skip
    assert (await _redemption(till, refused))["state"] == "refused"
    assert await till.available(PROGRAM, "m-poor") == 99

    bought = await till.redeem(PROGRAM, "rich-key", "m-rich", "five-off")
    assert (bought["state"], bought["points"], bought["price"]) == ("fulfilled", 100, {"unit": "point", "amount": 100})
    (piece,) = bought["vouchers"]
    assert piece["code"].endswith(piece["suffix"])
    assert piece["value"] == {"amount": 500, "currency": "USD"}
    after = await till.balance(PROGRAM, "m-rich")
    assert (after["available"], after["held"] + after["lifetime"]["spent"]) == (150, 100)
    assert (await _redemption(till, bought))["vouchers"] == bought["vouchers"]

    gone = await till.redeem(PROGRAM, "rich-key-2", "m-rich", "five-off", 409)
    assert gone["code"] == "sold_out"
    assert await till.available(PROGRAM, "m-rich") == 150
    unknown = await till.redeem(PROGRAM, "rich-key-3", "m-rich", "ten-off", 404)
    assert unknown["code"] == "reward_unknown"
    await town.prove()
    spent = await till.balance(PROGRAM, "m-rich")
    assert (spent["held"], spent["lifetime"]["spent"]) == (0, 100)
    said = await town.rows("select payload from redemption.outbox union all select payload from points.outbox")
    assert not [body for (body,) in said if piece["code"].encode() in body]


async def test_the_same_again_is_answered_as_before(town: Town, admin: Door, till: Door) -> None:
    await till.enrol(PROGRAM, "m-again")
    basket = purchase("again-1", "m-again", 20_000)
    first = await till.report(PROGRAM, basket)
    await admin.call("PUT", f"programs/{PROGRAM}/rewards/again-off", voucher(100), 201)
    bought = await till.redeem(PROGRAM, "again-key", "m-again", "again-off")
    refused = await till.redeem(PROGRAM, "again-key-2", "m-again", "again-off", 409, quantity=2)
    before = await _everything(town)

    for body in (basket, {**basket, "occurred_at": BOUGHT_AT.replace("+00:00", "Z")}):
        answer = await till.ask("POST", f"programs/{PROGRAM}/activities", body)
        assert (answer.status_code, answer.headers["idempotency-replayed"], answer.json()) == (200, "true", first)
    again = await till.redeem(PROGRAM, "again-key", "m-again", "again-off", 200)
    assert (again["redemption"], again["state"]) == (bought["redemption"], "fulfilled")
    assert "code" not in again["vouchers"][0]  # a replay never shows a secret again
    assert await till.redeem(PROGRAM, "again-key-2", "m-again", "again-off", 409, quantity=2) == refused
    assert (await till.redeem(PROGRAM, "again-key", "m-again", "five-off", 422))["code"] == "idempotency_mismatch"
    exists = await till.call("POST", f"programs/{PROGRAM}/members", {"member": "m-again"}, 409)
    assert exists["code"] == "member_exists"
    assert await admin.publish(grocery(PROGRAM)) == 1
    await admin.call("PUT", f"programs/{PROGRAM}/rewards/again-off", voucher(100), 200)

    assert await _everything(town) == before
    await town.prove()


async def test_a_file_sent_twice_counts_once(town: Town, till: Door) -> None:
    members = [f"m-file-{n}" for n in range(5)]
    await till.enrol(PROGRAM, *members)
    lines = [purchase(f"file-{n}", members[n % 5], 100 * n) for n in range(1, 101)]
    for is_first in (True, False):
        where = await till.send_batch(PROGRAM, lines)
        shown = await town.until(partial(_done, till, where), "the file to be done")
        assert (shown["posted"], shown["duplicate"]) == ((100, 0) if is_first else (0, 100))
    assert sum([await till.available(PROGRAM, member) for member in members]) == sum(range(1, 101))
    await town.prove()


async def _done(door: Door, where: str) -> Any:
    shown = await door.call("GET", where)
    return shown if shown["state"] == "done" else None


async def _redemption(door: Door, answer: dict[str, Any]) -> Any:
    return await door.call("GET", f"programs/{PROGRAM}/redemptions/{answer['redemption']}")


async def _everything(town: Town) -> list[tuple[Any, ...]]:
    """What was ever said and decided, once all of it has arrived."""
    await town.prove()
    return await town.rows(
        "select 'points', count(*) from points.journals"
        " union all select 'sagas', count(*) from redemption.saga_decisions"
        " union all select 'rewards', count(*) from redemption.rewards"
        " union all select 'asked', count(*) from gateway.outbox order by 1"
    )
