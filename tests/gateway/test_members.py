"""Members: enrolled once, found by what they carry."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from laurel.io.database import Database
from services.gateway.settings import GatewaySettings
from tests.gateway.stage import PROGRAM, Instance, Others, gateway, until

pytestmark = pytest.mark.anyio

MEMBERS = f"/v1/programs/{PROGRAM}/members"


def card(value: str) -> dict[str, str]:
    return {"scheme": "card", "value": value}


async def test_a_member_is_enrolled_and_shown_as_the_contract_says(http: httpx.AsyncClient) -> None:
    body = {
        "member": "m-1",
        "identifiers": [card("1"), {"scheme": "phone", "value": "+44 20"}],
        "enrolled_at": "2026-01-01T00:00:00+01:00",
        "person": "p-1",
        "attributes": {"child": True, "age": 40, "tone": "short"},
    }
    answer = await http.post(MEMBERS, json=body)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"{MEMBERS}/m-1"
    shown = answer.json()
    assert shown == {
        "member": "m-1",
        "program": PROGRAM,
        "state": "posted",
        "status": "active",
        "enrolled_at": "2025-12-31T23:00:00Z",
        "person": "p-1",
        "tier": {"name": None, "since": None, "until": None, "years": 0, "benefits": [], "progress": []},
        "attributes": {"child": True, "age": 40, "tone": "short"},
        "segments": [],
        "household": None,
        "counters": [],
        "balances": [],
    }
    assert (await http.get(f"{MEMBERS}/m-1")).json() == shown
    found = await http.post(f"{MEMBERS}/find", json={"scheme": "phone", "value": "+44 20"})
    assert found.json() == {"member": "m-1", "program": PROGRAM}
    assert (await http.post(f"{MEMBERS}/find", json=card("2"))).json()["code"] == "member_unknown"


async def test_without_an_id_the_gateway_makes_one(http: httpx.AsyncClient) -> None:
    first, second = [(await http.post(MEMBERS, json={})).json()["member"] for _ in range(2)]
    assert first != second
    assert (await http.get(f"{MEMBERS}/{first}")).status_code == 200


async def test_an_identifier_is_kept_as_a_keyed_hash_and_travels_nowhere(
    http: httpx.AsyncClient, database: Database, others: Others
) -> None:
    secret = "6340-1234-5678"
    await http.post(MEMBERS, json={"member": "m-1", "identifiers": [card(secret)]})
    async with database.connection() as connection:
        tables = await connection.fetch(
            "select tablename from pg_tables where schemaname = 'gateway' and tablename not like '%\\_p_'"
        )
        for (table,) in tables:
            found = await connection.fetchval(f'select count(*) from "{table}" t where t::text like $1', f"%{secret}%")
            assert found == 0, table
            as_hex = f"%{secret.encode().hex()}%"
            assert await connection.fetchval(f'select count(*) from "{table}" t where t::text like $1', as_hex) == 0
    assert all(secret.encode() not in message.body for message in others.heard)


async def test_of_many_enrolments_at_once_exactly_one_wins(
    settings: GatewaySettings, here: Instance, others: Others
) -> None:
    async with gateway(settings, "api") as there:
        both = (here.http, there.http)

        async def race(*bodies: dict[str, Any]) -> list[httpx.Response]:
            return await asyncio.gather(*(both[i % 2].post(MEMBERS, json=b) for i, b in enumerate(bodies)))

        same_id = await race(*({"member": "m-1"} for _ in range(10)))
        assert sorted(answer.status_code for answer in same_id) == [201] + [409] * 9
        assert {answer.json()["code"] for answer in same_id if answer.status_code == 409} == {"member_exists"}
        same_card = await race(*({"member": f"c-{n}", "identifiers": [card("7")]} for n in range(10)))
        assert sorted(answer.status_code for answer in same_card) == [201] + [409] * 9
        assert {answer.json()["code"] for answer in same_card if answer.status_code == 409} == {"identifier_taken"}
        winner = next(answer.json()["member"] for answer in same_card if answer.status_code == 201)
        found = await here.http.post(f"{MEMBERS}/find", json=card("7"))
        assert found.json()["member"] == winner
        for n in range(10):
            status = (await here.http.get(f"{MEMBERS}/c-{n}")).status_code
            assert status == (200 if f"c-{n}" == winner else 404), "nothing is left of those who lost"
    assert len([message for message in others.heard if message.member.startswith("c-")]) == 1


async def test_who_loses_one_identifier_takes_none(http: httpx.AsyncClient) -> None:
    await http.post(MEMBERS, json={"member": "m-1", "identifiers": [card("1")]})
    lost = await http.post(MEMBERS, json={"member": "m-2", "identifiers": [card("2"), card("1")]})
    assert (lost.status_code, lost.json()["code"]) == (409, "identifier_taken")
    won = await http.post(MEMBERS, json={"member": "m-3", "identifiers": [card("2"), card("2")]})
    assert won.status_code == 201


async def test_identifiers_of_other_programs_are_others(http: httpx.AsyncClient) -> None:
    from tests.gateway.stage import grocery

    await http.put("/v1/programs/second", json=grocery(program="second"))
    for program in (PROGRAM, "second"):
        answer = await http.post(f"/v1/programs/{program}/members", json={"member": "m", "identifiers": [card("1")]})
        assert answer.status_code == 201


async def test_only_a_member_can_have_referred_somebody(http: httpx.AsyncClient, member: str) -> None:
    nobody = await http.post(MEMBERS, json={"member": "m-2", "referred_by": "m-7"})
    assert (nobody.status_code, nobody.json()["code"]) == (404, "member_unknown")
    assert nobody.json()["errors"][0]["pointer"] == "/referred_by"
    assert (await http.post(MEMBERS, json={"member": "m-2", "referred_by": member})).status_code == 201


async def test_nobody_is_enrolled_in_the_future(http: httpx.AsyncClient) -> None:
    answer = await http.post(MEMBERS, json={"enrolled_at": "2099-01-01T00:00:00Z"})
    assert (answer.status_code, answer.json()["code"]) == (422, "in_the_future")
    assert answer.json()["errors"][0]["pointer"] == "/enrolled_at"


async def test_an_enrolment_that_is_parked_is_shown_as_delayed_until_it_is_done(
    http: httpx.AsyncClient, projecting: Instance, others: Others
) -> None:
    others.silent = True
    answer = await http.post(MEMBERS, json={"member": "m-9"}, headers={"prefer": "respond-async"})
    assert answer.status_code == 202
    location = answer.headers["location"]
    await until(lambda: others.heard)
    (asked,) = others.heard
    told = {"source": asked.source, "sequence": asked.sequence, "type": asked.type, "reason": "poison"}
    await others.say("points", "message.parked.v1", asked, told)

    async def shown(wanted: dict[str, object]) -> bool:
        found = (await http.get(location)).json()
        return bool(wanted.items() <= found.items())

    await until(lambda: shown({"state": "pending", "delayed": True}))
    await others.resume()
    await until(lambda: shown({"state": "posted", "status": "active"}))
    assert "delayed" not in (await http.get(location)).json()


async def test_an_enrolment_with_a_key_is_answered_with_the_same_member_again(
    settings: GatewaySettings, here: Instance, others: Others, database: Database
) -> None:
    async with gateway(settings, "api") as there:
        both = (here.http, there.http)
        headers = {"idempotency-key": '"k-1"'}
        at_once = await asyncio.gather(*(both[n % 2].post(MEMBERS, json={}, headers=headers) for n in range(10)))
        assert sorted(answer.status_code for answer in at_once) == [200] * 9 + [201]
        (member,) = {answer.json()["member"] for answer in at_once}
        assert {answer.headers.get("idempotency-replayed") for answer in at_once if answer.status_code == 200} == {
            "true"
        }
        for http in both:
            again = await http.post(MEMBERS, json={"attributes": {}}, headers=headers)
            shown = (await http.get(f"{MEMBERS}/{member}")).json()
            assert (again.status_code, again.json()) == (200, shown)
            other = await http.post(MEMBERS, json={"person": "p-1"}, headers=headers)
            assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
        named = {"member": "m-1", "identifiers": [card("6340-5")]}
        first = await here.http.post(MEMBERS, json=named, headers={"idempotency-key": '"k-2"'})
        again = await there.http.post(MEMBERS, json=named, headers={"idempotency-key": '"k-2"'})
        assert (first.status_code, again.status_code) == (201, 200)
        # Another key is another request, and so is none.
        another = await here.http.post(MEMBERS, json=named, headers={"idempotency-key": '"k-3"'})
        assert (another.status_code, another.json()["code"]) == (409, "member_exists")
        without = await here.http.post(MEMBERS, json=named)
        assert (without.status_code, without.json()["code"]) == (409, "member_exists")
        assert len({(await here.http.post(MEMBERS, json={})).json()["member"] for _ in range(2)}) == 2
    async with database.connection() as connection:
        kept = await connection.fetchval("select count(*) from requests where kind = 'enrolment'")
    assert kept == 2, "nothing is kept of what was not done"
    enrolled = [message.member for message in others.heard if message.type == "member.enrolment_requested.v1"]
    assert len(enrolled) == len(set(enrolled)) == 4


async def test_two_bodies_at_once_with_one_key_enrol_one_member(here: Instance) -> None:
    bodies = [{"member": f"k-{number}"} for number in range(8)]
    headers = {"idempotency-key": '"one"'}
    answers = await asyncio.gather(*(here.http.post(MEMBERS, json=body, headers=headers) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201] + [422] * 7
    found = [(await here.http.get(f"{MEMBERS}/k-{number}")).status_code for number in range(8)]
    assert sorted(found) == [200] + [404] * 7


async def test_whoever_asks_again_for_an_enrolment_that_is_on_its_way_waits_as_it_wishes(
    http: httpx.AsyncClient, others: Others
) -> None:
    others.silent = True
    headers = {"idempotency-key": '"k-1"', "prefer": "respond-async"}
    first = await http.post(MEMBERS, json={}, headers=headers)
    again = await http.post(MEMBERS, json={}, headers=headers)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.headers["location"] == again.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
