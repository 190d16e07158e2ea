"""A person is forgotten through real processes, and until then stands in no event, no log and no table in clear."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from laurel.io.kafka import partitions_of
from laurel.io.migrating import DatabaseUrls
from laurel.io.settings import KafkaSettings
from tests.flow.nursery import Nursery
from tests.flow.stage import JOINED_AT, ONE_OF_EACH, Door, Town, grocery, points_of, purchase, voucher

pytestmark = pytest.mark.anyio

PROGRAM = "forgetting"
MEMBERS = f"programs/{PROGRAM}/members"
CANARY = "Zanzibarcanary"
AMOUNT = 50_000
SERVICES = ("gateway", "points", "redemption")


def canary(what: str) -> str:
    """Return what stands nowhere but where it was put."""
    return f"{CANARY}-{what}"


def card(what: str) -> dict[str, str]:
    return {"scheme": "card", "value": canary(what)}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("forgetting")


@pytest.fixture(scope="module")
async def town(town_urls: DatabaseUrls, town_kafka: KafkaSettings, forks: Nursery | None, place: Path) -> Any:
    async with Town(place, town_urls, town_kafka, ONE_OF_EACH, forks).open() as town:
        await town.door().publish(grocery(PROGRAM))
        await town.door().call("PUT", f"programs/{PROGRAM}/rewards/off", voucher(10), 201)
        yield town


async def live(door: Door, member: str, cards: str) -> list[str]:
    """Let a member do all that leaves words behind; returns its voucher codes."""
    found = [card(f"{cards}-first"), {"scheme": "email", "value": canary(f"{cards}-email")}]
    await door.call("POST", MEMBERS, {"member": member, "identifiers": found, "enrolled_at": JOINED_AT}, 201)
    first, second = card(f"{cards}-first"), card(f"{cards}-second")
    await door.call("POST", f"{MEMBERS}/find", first)
    await door.report(PROGRAM, {**purchase(f"{cards}-1", member, AMOUNT), "member": first})
    replaced = {**second, "replaces": first["value"]}
    await door.call("POST", f"{MEMBERS}/{member}/identifiers", replaced, 201)
    assert (await door.report(PROGRAM, {**purchase(f"{cards}-2", member, 100), "member": first}, 409))["code"]
    for nobody in (card("nobody"), {"scheme": "card", "value": canary("no body")}):
        await door.report(PROGRAM, {**purchase(f"{cards}-3", member, 100), "member": nobody}, 404)
    note = {"member": second, "unit": "point", "amount": 5, "reason": "goodwill", "note": canary(f"{cards}-note")}
    adjusted = await door.call("POST", f"programs/{PROGRAM}/adjustments", note, 201, idempotency_key=f'"{cards}-a"')
    path = f"programs/{PROGRAM}/adjustments/{adjusted['adjustment']}"
    assert (await door.call("GET", path))["note"] == canary(f"{cards}-note")
    hold = {"member": second, "unit": "point", "amount": 5, "reference": f"{cards}-sale"}
    held = await door.call("POST", f"programs/{PROGRAM}/holds", hold, 201, idempotency_key=f'"{canary(cards)}"')
    holds = f"programs/{PROGRAM}/holds/{held['hold']}"
    await door.call("POST", f"{holds}/capture", {})
    await door.call("POST", f"{holds}/cancel", {"by": "member", "reason": canary(f"{cards}-reason")})
    redeemed = [await door.redeem(PROGRAM, f"{cards}-{n}", member, "off") for n in range(2)]
    codes = [each["vouchers"][0]["code"] for each in redeemed]
    used = {"reference": f"{cards}-till", "basket": {"amount": 5000, "currency": "USD"}}
    await door.call("POST", f"programs/{PROGRAM}/vouchers/{codes[0]}/redeem", used)
    lines = [{**purchase(f"{cards}-file-{n}", member, 100), "member": second} for n in range(3)]
    batch = await door.send_batch(PROGRAM, [*lines, {**lines[0], "id": f"{cards}-file-x", "member": card("nobody")}])
    while (await door.call("GET", batch))["state"] != "done":
        pass
    await door.http.delete(f"/v1/{MEMBERS}/{member}/identifiers/card/{first['value']}")
    await door.http.get(f"/v1/{MEMBERS}/{member}?card={first['value']}")
    await door.http.post(f"/v1/{MEMBERS}/find", content=json.dumps(second).encode()[:-3])
    return codes


async def said(kafka: KafkaSettings) -> list[bytes]:
    """Return everything that lies on any topic: headers, keys and bodies."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.kafka_bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        places = [
            TopicPartition(topic, partition)
            for topic in await consumer.topics()
            if topic.startswith(kafka.kafka_prefix)
            for partition in await partitions_of(consumer, topic)
        ]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        ends = await consumer.end_offsets(places)
        found: list[bytes] = []
        for tp in places:
            while await consumer.position(tp) < ends[tp]:
                heard = (await consumer.getmany(tp, timeout_ms=500)).get(tp, [])
                found += [
                    b"\n".join([each.key or b"", each.value or b"", *dict(each.headers).values()]) for each in heard
                ]
        return found
    finally:
        await consumer.stop()


async def rows(urls: DatabaseUrls, *, besides: tuple[str, ...] = ()) -> dict[str, list[bytes]]:
    """Return every row of every table as bytes: what lies in a column of bytes is looked into."""
    connection = await asyncpg.connect(urls.auditor)
    try:
        names = await connection.fetch(
            "select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace "
            "where n.nspname = any($1::text[]) and c.relkind in ('r', 'p') and not c.relispartition",
            list(SERVICES),
        )
        return {
            name: [
                b"\n".join(_bytes(value) for value in row) for row in await connection.fetch(f"select * from {name}")
            ]
            for (name,) in names
            if name not in besides
        }
    finally:
        await connection.close()


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def traces(secret: str) -> list[bytes]:
    """Return how something may be written down: as it is, quoted, in base 64."""
    plain = secret.encode()
    return [plain, plain.hex().encode(), base64.b64encode(plain)[:-4]]


def holding(secret: str, found: list[bytes]) -> list[bytes]:
    return [each for each in found if any(trace in each for trace in traces(secret))]


async def test_words_about_people_stand_nowhere_in_clear(
    town: Town, town_urls: DatabaseUrls, town_kafka: KafkaSettings, place: Path
) -> None:
    codes = await live(town.door(), "m-1", "clear")
    await town.prove()
    tables = await rows(town_urls)
    topics = await said(town_kafka)
    logs = [path.read_bytes() for path in sorted((place / "logs").iterdir())]
    assert len(logs) == len(ONE_OF_EACH)
    assert sum(map(len, tables.values())) > 50
    assert len(topics) > 20
    assert holding("m-1", topics), "what is looked for is found where it is"
    for secret in (CANARY, *codes, *(code.replace("-", "") for code in codes)):
        assert holding(secret, topics) == []
        assert holding(secret, logs) == []
        assert {name: found for name, each in tables.items() if (found := holding(secret, each))} == {}


async def test_the_person_goes_and_the_ledger_stays(town: Town, town_urls: DatabaseUrls) -> None:
    door = town.door()
    codes = await live(door, "m-2", "gone")
    path = f"{MEMBERS}/m-2"
    document = await door.call("GET", f"{path}/export")
    held = {(each["scheme"], each["value"], each["state"]) for each in document["identifiers"]}
    assert held == {
        ("card", canary("gone-first"), "blocked"),
        ("card", canary("gone-second"), "active"),
        ("email", canary("gone-email"), "active"),
    }
    assert canary("gone-note") in [each["note"] for each in document["operations"]]
    assert {each["code"] for each in document["vouchers"]} == set(codes)
    assert {each["activity"] for each in document["decisions"]} >= {"gone-1", "gone-file-0"}
    assert document["statement"]
    assert document["lots"]
    ledger = "select program, member, journal, kind, facts from points.journals where member = 'm-2' order by journal"
    entries = "select * from points.entries where member = 'm-2' order by journal, entry"
    before, booked = await town.rows(ledger), await town.rows(entries)

    erased = await door.call("POST", f"{path}/erase", {})
    assert (erased["status"], erased["person"], erased["attributes"]) == ("erased", None, {})
    assert erased == await door.call("GET", path)
    assert erased["balances"] == document["profile"]["balances"]
    again = await door.ask("POST", f"{path}/erase")
    assert (again.status_code, again.headers["idempotency-replayed"]) == (200, "true")
    await town.prove()
    assert (await town.rows(ledger))[: len(before)] == before
    assert (await town.rows(entries))[: len(booked)] == booked

    for what, status in (("gone-email", 404), ("gone-second", 404), ("gone-first", 409)):
        scheme = "email" if what == "gone-email" else "card"
        found = await door.ask("POST", f"{MEMBERS}/find", {"scheme": scheme, "value": canary(what)})
        assert found.status_code == status, found.text
    document = await door.call("GET", f"{path}/export")
    assert document["identifiers"] == []
    assert not [each for each in document["operations"] if each["note"]]
    assert [each["code"] for each in document["vouchers"]] == [None, None]
    assert await town.rows("select key from gateway.members where member = 'm-2' and key is not null") == []
    assert await town.rows("select key from redemption.members where member = 'm-2' and key is not null") == []

    assert (await door.report(PROGRAM, purchase("after", "m-2", AMOUNT), 409))["code"] == "member_not_active"
    assert (await door.call("PATCH", path, {"attributes": {"a": "b"}}, 409))["code"] == "member_not_active"
    card_again = await door.ask("POST", f"{path}/identifiers", card("gone-new"))
    assert (card_again.status_code, card_again.json()["code"]) == (409, "member_not_active")
    taken = {"member": "m-3", "identifiers": [{"scheme": "email", "value": canary("gone-email")}]}
    await door.call("POST", MEMBERS, {**taken, "enrolled_at": JOINED_AT}, 201)
    assert (await door.ask("POST", MEMBERS, {"member": "m-4", "identifiers": [card("gone-first")]})).status_code == 409
    assert (await door.ask("POST", MEMBERS, {"member": "m-2"})).json()["code"] == "member_exists"
    # What was bought can still come back, and whoever holds the code of a voucher can still pay with it.
    back = {"id": "back", "type": "return", "of": "gone-1", "member": "m-2", "occurred_at": JOINED_AT}
    assert (await door.report(PROGRAM, back))["reversals"]
    await town.prove()


async def test_nobody_is_erased_while_points_are_held(town: Town) -> None:
    door = town.door()
    await door.enrol(PROGRAM, "m-5")
    await door.report(PROGRAM, purchase("held-1", "m-5", AMOUNT))
    body = {"member": "m-5", "unit": "point", "amount": 5, "reference": "held"}
    held = await door.call("POST", f"programs/{PROGRAM}/holds", body, 201, idempotency_key='"held"')
    assert (await door.call("POST", f"{MEMBERS}/m-5/erase", {}, 409))["code"] == "hold_open"
    await door.call("POST", f"programs/{PROGRAM}/holds/{held['hold']}/release", {})
    assert (await door.call("POST", f"{MEMBERS}/m-5/erase", {}))["status"] == "erased"
    assert await door.available(PROGRAM, "m-5") == points_of(AMOUNT)


async def test_accounts_and_households_of_the_person_go_along(town: Town) -> None:
    door = town.door()
    for member in ("old", "new", "friend"):
        body = {"member": member, "identifiers": [card(member)], "enrolled_at": JOINED_AT}
        await door.call("POST", MEMBERS, body, 201)
    await door.call("POST", f"{MEMBERS}/old/merge", {"into": "new"}, 201, idempotency_key='"join"')
    home = f"programs/{PROGRAM}/households/home"
    await door.call("PUT", home, {"members": ["friend", "new"]}, 201)
    exported = await door.call("GET", f"{MEMBERS}/old/export")
    assert (exported["member"], exported["accounts"]) == ("new", ["old"])
    assert {each["value"] for each in exported["identifiers"]} == {canary("old"), canary("new")}
    erased = await door.call("POST", f"{MEMBERS}/old/erase", {})
    assert (erased["member"], erased["status"], erased["household"]) == ("new", "erased", None)
    for each in ("old", "new"):
        assert (await door.ask("POST", f"{MEMBERS}/find", card(each))).status_code == 404
    assert (await door.call("GET", home))["members"] == ["friend"]
    assert (await door.call("PUT", home, {"members": ["friend", "new"]}, 409))["code"] == "member_not_active"
    await door.call("PUT", home, {"members": ["friend"], "pooling": False}, 200)
    await town.prove()
