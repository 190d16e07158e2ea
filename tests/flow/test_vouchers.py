"""Statements and vouchers through real processes: nobody twice, nobody missed, one use whoever asks how often."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from laurel.io.migrating import DatabaseUrls
from laurel.io.settings import KafkaSettings
from tests.flow.clubcard import BASE, CLUBCARD, FEBRUARY, basket, buy, enrol, turn, vouchers_of
from tests.flow.nursery import Nursery
from tests.flow.stage import Door, Town, gather_bounded

pytestmark = pytest.mark.anyio

MEMBERS = [f"m-{number:02}" for number in range(60)]


@pytest.fixture
async def town(
    database_urls: DatabaseUrls, town_kafka: KafkaSettings, tmp_path: Path, forks: Nursery | None
) -> AsyncIterator[Town]:
    parts = {"gateway": "both", "gateway-2": "both", "points": "both", "redemption": "both"}
    kafka = town_kafka.model_copy(update={"kafka_prefix": f"v{uuid.uuid4().hex[:8]}"})
    settings = {"expiry_batch_max": 7, "voucher_batch_max": 7, "turn_interval_seconds": 0.2}
    async with Town(tmp_path, database_urls, kafka, parts, forks, **settings).open() as town:
        await town.door().publish(CLUBCARD)
        yield town


@pytest.mark.crash
async def test_a_statement_that_stops_half_way_meets_nobody_twice_and_misses_nobody(town: Town) -> None:
    """TC-6 in small: both services die in the middle of the run, each after some steps that are committed whole."""
    door, other = town.door(), town.door("gateway-2")
    await enrol(door, *MEMBERS)
    poor = MEMBERS[:5]
    amounts = {member: 14900 if member in poor else 50000 for member in MEMBERS}
    await gather_bounded([partial(buy, door, f"b-{member}", member, amounts[member]) for member in MEMBERS], 8)
    town.kill("points")
    town.kill("redemption")
    assert (await turn(door, FEBRUARY, 202, prefer="respond-async"))["state"] == "pending"
    town.start("points", "after_commit:kill:4")
    await town.until(lambda: town.exit_code("points") is not None, "points to die in the middle")
    converted = await town.value("select count(*) from points.journals where kind = 'conversion'")
    assert 0 < converted < len(MEMBERS) - len(poor)
    town.start("points")
    town.start("redemption", "after_commit:kill:1")
    await town.until(lambda: town.exit_code("redemption") is not None, "redemption to die in the middle")
    town.start("redemption")
    answer = await turn(other, FEBRUARY, prefer="wait=30")
    rich = len(MEMBERS) - len(poor)
    assert (answer["converted"], answer["vouchers_issued"], answer["vouchers_expired"]) == (rich, rich, 0)
    # Read your writes: through any gateway each voucher is there.
    values: Counter[tuple[str, int, str]] = Counter()
    for member in MEMBERS:
        for voucher in await vouchers_of(other, member):
            values[member, voucher["value"], voucher["state"]] += 1
    assert values == {(member, 500, "issued"): 1 for member in MEMBERS if member not in poor}
    for member in (poor[0], MEMBERS[-1]):
        assert await door.available("clubcard", member) == (149 if member in poor else 0)
    await town.prove()


async def test_vouchers_live_and_end_by_the_clock(town: Town) -> None:
    door, other = town.door(), town.door("gateway-2")
    await enrol(door, "m-1", "m-2")
    await buy(door, "b-1", "m-1", 25000)
    await buy(door, "b-2", "m-2", 40000)
    answer = await turn(door, FEBRUARY)
    assert (answer["converted"], answer["vouchers_issued"]) == (2, 2)
    (voucher,) = await vouchers_of(other, "m-1")
    assert {name: voucher[name] for name in ("state", "value", "left", "currency", "issued_at", "member")} == {
        "state": "issued", "value": 250, "left": 250, "currency": "GBP", "issued_at": "2021-02-01T00:00:00+00:00",
        "member": "m-1",
    }  # fmt: skip
    assert voucher["expires_at"].startswith("2023-03-01T00:00:00")
    code, path = voucher["code"], f"{BASE}/vouchers/{voucher['code']}"
    assert await other.call("GET", f"{BASE}/vouchers/{code.lower().replace('-', '')}") == voucher

    # What is missing or wrong is told before anything is asked; a refusal keeps the voucher.
    missing = await door.call("POST", f"{path}/redeem", {"reference": "till-0"}, 422)
    assert [fault["pointer"] for fault in missing["errors"]] == ["/basket"]
    part = await door.call("POST", f"{path}/redeem", {**basket(500, "till-0"), "amount": 100}, 422)
    assert [fault["pointer"] for fault in part["errors"]] == ["/amount"]
    above = await door.call("POST", f"{path}/redeem", basket(200, "till-0"), 409)
    assert above["code"] == "voucher_exceeds_basket"
    unknown = await door.call("GET", f"{BASE}/vouchers/0000-0000-0000-0001", None, 404)
    assert unknown["code"] == "voucher_unknown"

    spent = await door.call("POST", f"{path}/redeem", basket(1000))
    assert (spent["state"], spent["left"], spent["code"]) == ("spent", 0, code)
    again = await other.ask("POST", f"{path}/redeem", basket(1000))
    assert (again.status_code, again.json(), again.headers["idempotency-replayed"]) == (200, spent, "true")
    mismatch = await other.call("POST", f"{path}/redeem", basket(1001), 422)
    assert mismatch["code"] == "idempotency_mismatch"
    assert (await door.call("POST", f"{path}/redeem", basket(1000, "till-2"), 409))["code"] == "voucher_spent"
    assert (await vouchers_of(other, "m-1", "spent"))[0]["voucher"] == voucher["voucher"]

    back = await door.call("POST", f"{path}/void", {"reference": "till-1"})
    assert (back["state"], back["left"], back["expires_at"]) == ("issued", 250, "2023-03-01T00:00:00Z")
    assert (await door.call("GET", path))["state"] == "issued"

    (dead,) = await vouchers_of(door, "m-2")
    void = await door.call("POST", f"{BASE}/vouchers/{dead['code']}/void", {})
    assert void["state"] == "void"
    assert (await door.call("POST", f"{BASE}/vouchers/{dead['code']}/redeem", basket(900), 409))[
        "code"
    ] == "voucher_void"

    # The last good day is whole; then the clock ends it.
    assert (await turn(door, "2023-02-28T23:59:59Z"))["vouchers_expired"] == 0
    assert (await turn(door, "2023-03-01T00:00:00Z"))["vouchers_expired"] == 1
    assert [each["state"] for each in await vouchers_of(other, "m-1")] == ["expired"]
    assert (await door.call("POST", f"{path}/redeem", basket(900, "till-3"), 409))["code"] == "voucher_expired"
    await town.prove()
    for table in ("gateway.outbox", "redemption.outbox", "gateway.requests", "redemption.voucher_decisions"):
        everything = repr(await town.rows(f"select t::text from {table} t"))
        assert code not in everything
        assert code.replace("-", "") not in everything
    assert code not in town.told()


async def test_years_at_once_are_as_if_done_on_time(town: Town) -> None:
    door = town.door()
    await enrol(door, "m-1")
    await buy(door, "b-1", "m-1", 26500)
    await buy(door, "b-2", "m-1", 13500, "2021-03-10T10:00:00Z")
    answer = await turn(door, "2023-06-15T00:00:00Z")
    assert (answer["converted"], answer["vouchers_issued"], answer["vouchers_expired"]) == (2, 2, 2)
    assert sorted(each["value"] for each in await vouchers_of(door, "m-1", "expired")) == [150, 250]
    await town.prove()


async def test_a_hundred_tills_race_for_one_voucher(town: Town) -> None:
    door, other = town.door(), town.door("gateway-2")
    await enrol(door, "m-1")
    await buy(door, "b-1", "m-1", 25000)
    await turn(door, FEBRUARY)
    (voucher,) = await vouchers_of(door, "m-1")
    path = f"{BASE}/vouchers/{voucher['code']}/redeem"

    async def till(number: int) -> tuple[int, str]:
        answer = await (door, other)[number % 2].ask("POST", path, basket(900, f"till-{number}"))
        return answer.status_code, answer.json().get("code", "") if answer.status_code != 200 else "won"

    answers = Counter(await asyncio.gather(*(till(number) for number in range(100))))
    assert answers == {(200, "won"): 1, (409, "voucher_spent"): 99}
    await town.prove()


async def test_keys_see_what_is_theirs_to_see(town: Town) -> None:
    door = town.door()
    await door.publish({**CLUBCARD, "program": "other"})
    await enrol(door, "m-1")
    await buy(door, "b-1", "m-1", 25000)
    await turn(door, FEBRUARY)
    (voucher,) = await vouchers_of(door, "m-1")
    await door.call("PUT", "partners/acme", {"name": "Acme"}, 201)
    keys = {}
    for scopes, programs in ((["read"], ["clubcard"]), (["earn"], ["clubcard"]), (["redeem"], ["other"])):
        made = await door.call("POST", "partners/acme/keys", {"scopes": scopes, "programs": programs}, 201)
        keys[scopes[0]] = town.door("gateway", made["secret"])
    path = f"{BASE}/vouchers/{voucher['code']}"
    (seen,) = await vouchers_of(keys["read"], "m-1")
    assert (seen["code"], seen["suffix"]) == (None, voucher["code"][-4:])
    assert (await keys["read"].call("GET", path))["code"] is None
    everybodys = await keys["read"].call("GET", f"{BASE}/vouchers", None, 422)
    assert [fault["pointer"] for fault in everybodys["errors"]] == ["/query/member"]
    for key, status, code in (
        ("read", 403, "scope_missing"),
        ("earn", 403, "scope_missing"),
        ("redeem", 404, "program_unknown"),
    ):
        assert (await keys[key].call("POST", f"{path}/redeem", basket(900), status))["code"] == code
    elsewhere = await door.call("GET", f"programs/other/vouchers/{voucher['code']}", None, 404)
    assert elsewhere["code"] == "voucher_unknown"


async def test_a_use_that_was_undone_is_not_said_to_stand(town: Town) -> None:
    """Whoever puts a voucher into a basket again, after taking it out, is not told of the use that is no more."""
    door, other = town.door(), town.door("gateway-2")
    await enrol(door, "m-1")
    await buy(door, "b-1", "m-1", 25000)
    await turn(door, FEBRUARY)
    (voucher,) = await vouchers_of(door, "m-1")
    path = f"{BASE}/vouchers/{voucher['code']}"
    await door.call("PUT", "partners/acme", {"name": "Acme"}, 201)
    made = await door.call("POST", "partners/acme/keys", {"scopes": ["redeem"], "programs": ["clubcard"]}, 201)
    till, second = town.door("gateway", made["secret"]), town.door("gateway-2", made["secret"])

    assert (await till.call("POST", f"{path}/redeem", basket(1000)))["state"] == "spent"
    assert (await second.call("POST", f"{path}/redeem", basket(1000)))["state"] == "spent"
    assert (await second.call("POST", f"{path}/void", {"reference": "till-1"}))["state"] == "issued"
    for each in (till, second):
        told = await each.call("POST", f"{path}/redeem", basket(1000), 409)
        assert (told["code"], told["voucher"]) == ("voucher_use_undone", voucher["voucher"])
    assert (await door.call("GET", path))["state"] == "issued"

    # Under another reference it pays; the operator undoes that, and its till is told so too.
    assert (await till.call("POST", f"{path}/redeem", basket(1000, "till-1-again")))["state"] == "spent"
    assert (await second.call("POST", f"{path}/void", {"reference": "till-1"}))["state"] == "issued", "what it undid"
    assert (await other.call("GET", path))["state"] == "spent", "and nothing else"
    assert (await other.call("POST", f"{path}/void", {"reference": "till-1-again"}))["state"] == "issued"
    told = await till.call("POST", f"{path}/redeem", basket(1000, "till-1-again"), 409)
    assert told["code"] == "voucher_use_undone"
    assert (await till.call("POST", f"{path}/redeem", basket(1000, "till-2")))["state"] == "spent"
    await town.prove()


async def bought(door: Door, reward: str, terms: dict[str, Any], number: int = 1) -> dict[str, Any]:
    """Publish a reward that makes such vouchers, and return one that m-1 buys."""
    document = {"name": "A gift", "kind": "voucher", "unit": "point", "price": 10, "voucher": terms}
    await door.call("PUT", f"{BASE}/rewards/{reward}", document, 201)
    made = await door.call(
        "POST", f"{BASE}/redemptions", {"member": "m-1", "reward": reward}, 201, idempotency_key=f'"{reward}-{number}"'
    )
    (voucher,) = made["vouchers"]
    return dict(voucher)


async def test_vouchers_of_every_kind_are_used_as_their_rewards_say(town: Town) -> None:
    door, other = town.door(), town.door("gateway-2")
    await enrol(door, "m-1")
    await buy(door, "b-1", "m-1", 10000)
    wrong = {"name": "x", "kind": "voucher", "unit": "point", "price": 10, "valid_days": 3, "voucher": {"percent": 101}}
    told = await door.call("PUT", f"{BASE}/rewards/wrong", wrong, 422)
    assert [fault["pointer"] for fault in told["errors"]] == ["/voucher/percent"]
    wrong["voucher"] = {"percent": 10, "parts": True, "value": {"amount": 1, "currency": "GBP"}}
    told = await door.call("PUT", f"{BASE}/rewards/wrong", wrong, 422)
    assert [fault["pointer"] for fault in told["errors"]] == ["/voucher/percent", "/valid_days"]

    terms = {"value": {"amount": 5000, "currency": "GBP"}, "parts": True, "not_above_basket": True, "valid_days": 30}
    card = await bought(door, "card", terms)
    path = f"{BASE}/vouchers/{card['code']}"
    mistyped = path[:-1] + ("0" if path[-1] != "0" else "1")
    detail = (await door.call("GET", mistyped, None, 404))["detail"]
    assert "mistyped" in detail

    async def till(number: int) -> tuple[int, str]:
        body = {**basket(900, f"till-{number}"), "amount": 300}
        answer = await (door, other)[number % 2].ask("POST", f"{path}/redeem", body)
        return answer.status_code, answer.json().get("code", "") if answer.status_code != 200 else "won"

    answers = Counter(await asyncio.gather(*(till(number) for number in range(30))))
    assert answers == {(200, "won"): 16, (409, "voucher_insufficient"): 14}
    seen = await other.call("GET", path)
    assert (seen["value"], seen["left"], seen["state"], seen["parts"]) == (5000, 200, "issued", True)
    above = await door.call("POST", f"{path}/redeem", basket(199, "rest"), 409)
    assert above["code"] == "voucher_exceeds_basket"
    rest = await door.call("POST", f"{path}/redeem", basket(200, "the-rest"))
    assert (rest["state"], rest["left"], rest["use"]) == (
        "spent", 0, {"reference": "the-rest", "amount": 200, "currency": "GBP"},
    )  # fmt: skip
    back = await door.call("POST", f"{path}/void", {"reference": "the-rest"})
    assert (back["state"], back["left"]) == ("issued", 200)
    assert (await other.call("GET", path))["left"] == 200

    share = await bought(door, "share", {"percent": 15})
    path = f"{BASE}/vouchers/{share['code']}/redeem"
    missing = await door.call("POST", path, {"reference": "s-1"}, 422)
    assert [fault["pointer"] for fault in missing["errors"]] == ["/basket"]
    paid = await door.call("POST", path, basket(999, "s-1"))
    assert (paid["use"]["amount"], paid["percent"], paid["left"]) == (149, 15, None)

    coffee = await bought(door, "coffee", {"product": "A coffee"})
    given = await door.call("POST", f"{BASE}/vouchers/{coffee['code']}/redeem", {"reference": "c-1"})
    assert (given["state"], given["product"], given["use"]["amount"]) == ("spent", "A coffee", None)
    await town.prove()
