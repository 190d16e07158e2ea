"""Rewards published through redemption, and redeemed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from laurel.io.database import Database
from laurel.io.message import Message
from services.gateway.settings import GatewaySettings
from tests.gateway.stage import PROGRAM, Instance, Others, gateway, owner, until

pytestmark = pytest.mark.anyio

REWARDS = f"/v1/programs/{PROGRAM}/rewards"
REDEMPTIONS = f"/v1/programs/{PROGRAM}/redemptions"
MUG = {"name": "Mug", "kind": "product", "unit": "point", "price": 100}
WISH = {"member": "m-1", "reward": "mug"}


def key(text: str) -> dict[str, str]:
    return {"idempotency-key": f'"{text}"', "prefer": "wait=20"}


async def test_a_reward_is_published_changed_and_listed(http: httpx.AsyncClient, others: Others) -> None:
    first = await http.put(f"{REWARDS}/mug", json=MUG)
    assert first.status_code == 201, first.text
    assert first.json()["reward"] == "mug"
    heard = len(others.heard)
    same = await http.put(f"{REWARDS}/mug", json={**MUG, "reward": "mug"})
    assert (same.status_code, len(others.heard)) == (200, heard), "the same document changes nothing"
    changed = await http.put(f"{REWARDS}/mug", json={**MUG, "price": 120})
    assert changed.status_code == 201
    back = await http.put(f"{REWARDS}/mug", json=MUG)
    assert back.status_code == 201, "an earlier document is a change, too"
    await asyncio.gather(*(http.put(f"{REWARDS}/r-{n}", json=MUG) for n in range(4)))
    page = (await http.get(f"{REWARDS}?limit=3")).json()
    assert [each["reward"] for each in page["data"]] == ["mug", "r-0", "r-1"]
    assert page["data"][0]["price"] == 100
    rest = (await http.get(REWARDS, params={"limit": 3, "cursor": page["next_cursor"]})).json()
    assert [each["reward"] for each in rest["data"]] == ["r-2", "r-3"]


async def test_how_a_partner_is_reached_is_shown_to_the_operator_alone(http: httpx.AsyncClient) -> None:
    door = {"url": "https://acme.example/fulfil"}
    assert (await http.put(f"{REWARDS}/mug", json={**MUG, "fulfilment": door})).status_code == 201
    made = await http.post("/v1/partners/operator/keys", json={"scopes": ["read"], "programs": [PROGRAM]})
    reader = {"authorization": f"Bearer {made.json()['secret']}"}
    for path in (REWARDS, f"{REWARDS}/mug"):
        assert "acme.example" in (await http.get(path)).text
        seen = await http.get(path, headers=reader)
        assert (seen.status_code, "acme.example" in seen.text) == (200, False)


async def test_a_reward_on_its_way_is_shown_where_its_answer_says(
    http: httpx.AsyncClient, others: Others, projecting: Instance
) -> None:
    others.silent = True
    unknown = await http.get(f"{REWARDS}/mug")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "reward_unknown")
    answer = await http.put(f"{REWARDS}/mug", json=MUG, headers={"prefer": "respond-async"})
    location = answer.headers["location"]
    assert (answer.status_code, location) == (202, f"{REWARDS}/mug")
    assert (await http.get(location)).json() == {"reward": "mug", "state": "pending"}
    await until(lambda: others.heard)
    (asked,) = others.heard
    told = {"source": asked.source, "sequence": asked.sequence, "type": asked.type, "reason": "poison"}
    await others.say("redemption", "message.parked.v1", asked, told)

    async def shown(**wanted: Any) -> bool:
        return bool(wanted.items() <= (await http.get(location)).json().items())

    await until(lambda: shown(state="pending", delayed=True))
    await others.resume()
    await until(lambda: shown(state="posted", reward="mug", name="Mug", price=100))
    assert "delayed" not in (await http.get(location)).json()
    # What is offered goes on being shown while another document is on its way, and after that was given up.
    others.silent = True
    await http.put(location, json={**MUG, "price": 120}, headers={"prefer": "respond-async"})
    assert await shown(state="pending", price=100)
    await until(lambda: len(others.heard) == 2)
    told |= {"sequence": others.heard[-1].sequence, "reason": "discarded"}
    await others.say("redemption", "message.discarded.v1", others.heard[-1], told)
    await until(lambda: shown(state="refused", code="discarded", price=100))


async def test_a_redemption_is_answered_shown_and_replayed(
    http: httpx.AsyncClient, member: str, others: Others
) -> None:
    answer = await http.post(REDEMPTIONS, json=WISH, headers=key("k-1"))
    assert answer.status_code == 201, answer.text
    shown = answer.json()
    assert shown["state"] == "fulfilled"
    assert shown["price"] == {"unit": "point", "amount": 100}
    assert answer.headers["location"] == f"{REDEMPTIONS}/{shown['redemption']}"
    assert (await http.get(answer.headers["location"])).json() == shown
    again = await http.post(REDEMPTIONS, json=WISH, headers=key("k-1"))
    assert (again.status_code, again.headers["idempotency-replayed"]) == (200, "true")
    assert again.json() == shown
    other = await http.post(REDEMPTIONS, json={**WISH, "quantity": 2}, headers=key("k-1"))
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    second = await http.post(REDEMPTIONS, json=WISH, headers=key("k-2"))
    assert second.status_code == 201
    assert second.json()["redemption"] != shown["redemption"]
    asked = [message for message in others.heard if message.type == "redemption.requested.v1"]
    assert len(asked) == 2
    assert all(b"k-1" not in message.body for message in asked), "a caller's key is the caller's"


async def test_twenty_at_once_with_one_key_are_one_redemption(
    http: httpx.AsyncClient, member: str, others: Others
) -> None:
    answers = await asyncio.gather(*(http.post(REDEMPTIONS, json=WISH, headers=key("k-1")) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert len({answer.json()["redemption"] for answer in answers}) == 1
    assert len([message for message in others.heard if message.type == "redemption.requested.v1"]) == 1


async def test_one_id_under_two_keys_is_a_mismatch(http: httpx.AsyncClient, member: str) -> None:
    body = {**WISH, "id": "r-1"}
    assert (await http.post(REDEMPTIONS, json=body, headers=key("k-1"))).status_code == 201
    other = await http.post(REDEMPTIONS, json=body, headers=key("k-2"))
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    free = await http.post(REDEMPTIONS, json=WISH, headers=key("k-2"))
    assert free.status_code == 201, "the second key was never used"


def refusing(code: str, **facts: Any) -> Any:
    def answer(message: Message) -> Sequence[tuple[str, str, dict[str, Any]]]:
        body = json.loads(message.body)
        fields = {
            "redemption": body["redemption"],
            "reward": body["reward"],
            "price": {"unit": "point", "amount": 100},
            "code": code,
            "facts": facts,
        }
        return [("redemption", "redemption.refused.v1", fields)]

    return answer


async def test_a_refusal_explains_itself(http: httpx.AsyncClient, member: str, others: Others) -> None:
    others.answer = refusing("insufficient_points", available=30, shortfall=70)
    answer = await http.post(REDEMPTIONS, json=WISH, headers=key("k-1"))
    assert answer.status_code == 409
    problem = answer.json()
    assert problem["code"] == "insufficient_points"
    assert (problem["unit"], problem["available"], problem["shortfall"]) == ("point", 30, 70)
    others.answer = others.as_usual
    again = await http.post(REDEMPTIONS, json=WISH, headers=key("k-1"))
    assert again.status_code == 409, "final under its key"
    shown = (await http.get(f"{REDEMPTIONS}/{problem['redemption']}")).json()
    assert (shown["state"], shown["code"]) == ("refused", "insufficient_points")


async def test_an_unknown_reward_leaves_the_key_free(http: httpx.AsyncClient, member: str, others: Others) -> None:
    others.answer = refusing("reward_unknown")
    body = {**WISH, "id": "r-1"}
    answer = await http.post(REDEMPTIONS, json=body, headers=key("k-1"))
    assert (answer.status_code, answer.json()["code"]) == (404, "reward_unknown")
    others.answer = others.as_usual
    again = await http.post(REDEMPTIONS, json=body, headers=key("k-1"))
    assert again.status_code == 201, again.text
    assert (await http.get(f"{REDEMPTIONS}/r-1")).json()["state"] == "fulfilled"


async def test_a_redemption_on_its_way_is_shown_as_it_stands(
    http: httpx.AsyncClient, member: str, others: Others, projecting: Instance
) -> None:
    others.silent = True
    headers = {**key("k-1"), "prefer": "respond-async"}
    answer = await http.post(REDEMPTIONS, json=WISH, headers=headers)
    assert (answer.status_code, answer.json()["state"]) == (202, "pending")
    location = answer.headers["location"]
    assert (await http.get(location)).json()["state"] == "requested"
    again = await http.post(REDEMPTIONS, json=WISH, headers=headers)
    assert (again.status_code, again.headers["location"]) == (202, location), "the redemption it was the first time"
    await until(lambda: len(others.heard) == 2)
    fields = others.fulfilled(json.loads(others.heard[-1].body))
    await others.say("redemption", "redemption.held.v1", others.heard[-1], fields)

    async def stands(state: str) -> bool:
        return bool((await http.get(location)).json()["state"] == state)

    await until(lambda: stands("holding"))
    shown = (await http.get(location)).json()
    assert "delayed" not in shown
    again = await http.post(REDEMPTIONS, json=WISH, headers=headers)
    assert (again.status_code, again.json()) == (200, shown), "what is held is answered"
    asked = await http.post(f"{location}/confirm", headers={"prefer": "respond-async"})
    assert asked.status_code == 202
    await until(lambda: len(others.heard) == 3)
    # The confirmation came, and redemption could not read it.
    told = {"source": "laurel/points/1", "sequence": 2, "type": "points.held.v1", "reason": "poison"}
    await others.say("redemption", "message.parked.v1", others.heard[-1], told)

    async def delayed() -> bool:
        shown = (await http.get(location)).json()
        return bool((shown["state"], shown.get("delayed")) == ("holding", True))

    await until(delayed)
    fields = others.fulfilled({**json.loads(others.heard[-1].body), "reward": WISH["reward"]})
    await others.say("redemption", "redemption.fulfilled.v1", others.heard[-1], fields)
    await until(lambda: stands("fulfilled"))
    confirmed = await http.post(f"{location}/confirm")
    assert (confirmed.status_code, confirmed.json()["state"]) == (200, "fulfilled")


STATES = {
    "redemption.held.v1": "holding",
    "redemption.fulfilling.v1": "fulfilling",
    "redemption.cancelled.v1": "cancelled",
}
"""What stands between or after; the others come twice in tests/flow/test_out_of_turn.py."""


@pytest.mark.parametrize("type_", sorted(STATES))
async def test_what_is_said_of_a_redemption_twice_changes_nothing(
    http: httpx.AsyncClient,
    member: str,
    others: Others,
    projecting: Instance,
    database: Database,
    type_: str,
) -> None:
    others.silent = True
    answer = await http.post(REDEMPTIONS, json=WISH, headers={**key("k-1"), "prefer": "respond-async"})
    location = answer.headers["location"]
    await until(lambda: len(others.heard) == 2)
    asked = others.heard[-1]
    fields = others.fulfilled(json.loads(asked.body))
    await others.say("redemption", type_, asked, fields)

    async def stands() -> bool:
        return bool((await http.get(location)).json()["state"] == STATES[type_])

    await until(stands)
    shown = (await http.get(location)).json()
    before = await _everything(database)
    # The same again, and under the same number what would show if it were believed; then what tells that it was heard.
    for again in (fields, {**fields, "points": 7}):
        await others.say("redemption", type_, asked, again, repeat=True)
    await others.say("redemption", "voucher.issued.v1", asked, {"voucher": "v-1", "suffix": "7GQ2"})

    async def heard() -> bool:
        number = "select number from inbox where member = 'm-1' and source = 'laurel/redemption/1'"
        async with database.connection() as connection:
            return bool(await connection.fetchval(number) == 2)

    await until(heard)
    assert (await http.get(location)).json() == shown
    assert await _everything(database) == before


async def _everything(database: Database) -> dict[str, str]:
    """A digest of what the gateway keeps of members, requests and redemptions, and of what it says."""
    found: dict[str, str] = {}
    async with database.reading() as connection:
        for table in ("members", "outbox", "parked", "redemptions", "requests"):
            rows = f"select coalesce(md5(string_agg(t::text, '|' order by t::text)), '') from {table} t"
            found[table] = await connection.fetchval(rows)
    return found


async def test_codes_are_asked_of_redemption_and_shown_to_keys_that_redeem(
    settings: GatewaySettings, here: Instance, member: str
) -> None:
    data = [{"voucher": "v-1", "code": "AAAA-7GQ2", "suffix": "7GQ2"}]
    async with owner({"data": data, "next_cursor": None}) as (address, asked):
        changes = {"redemption_url": address, "redemption_codes_token": SecretStr("between-us")}
        async with gateway(settings.model_copy(update=changes), "api") as there:
            fulfilled = await there.http.post(REDEMPTIONS, json=WISH, headers=key("k-1"))
            shown = fulfilled.json()
            assert shown["vouchers"][0]["code"] == "AAAA-7GQ2"
            query = f"redemption={shown['redemption']}&member=m-1"
            assert asked[0].startswith(f"GET /v1/programs/{PROGRAM}/vouchers?{query} ")
            assert "authorization: Bearer between-us" in asked[0]
            path = fulfilled.headers["location"]
            assert (await there.http.get(path)).json()["vouchers"][0]["code"] == "AAAA-7GQ2"
            replayed = await there.http.post(REDEMPTIONS, json=WISH, headers=key("k-1"))
            assert "code" not in replayed.json()["vouchers"][0], "a replay never shows a secret again"
            body = {"scopes": ["read"], "programs": [PROGRAM]}
            made = (await there.http.post("/v1/partners/operator/keys", json=body)).json()
            reader = {"authorization": f"Bearer {made['secret']}"}
            assert "code" not in (await there.http.get(path, headers=reader)).json()["vouchers"][0]
    assert "code" not in (await here.http.get(path)).json()["vouchers"][0], "it stands, whoever can be reached"


@pytest.mark.parametrize(
    ("more", "pointer"),
    [
        ({"party": 0}, "/party"),
        ({"on": "2026-03-01", "segments": [{"resource": "AA100", "on": "2026-03-01"}]}, "/on"),
        ({"segments": [{"resource": "AA100", "on": "2026-03-01"}] * 2}, "/segments/1"),
        ({"segments": [{"resource": "AA100", "on": "2026-02-30"}]}, "/segments/0/on"),
        ({"segments": []}, "/segments"),
        ({"currency": "USD"}, "/amount"),
        ({"beneficiary": {}}, "/beneficiary"),
        ({"beneficiary": {"member": "m-1", "name": "A"}}, "/beneficiary"),
        ({"pay": {}}, "/pay"),
        ({"pay": {"points": "some"}}, "/pay/points"),
        ({"pay": {"cash": {"amount": 1, "currency": "dollars"}}}, "/pay/cash/currency"),
        ({"confirm": "never"}, "/confirm"),
    ],
)
async def test_what_is_wrong_with_a_wish_is_said_with_its_place(
    http: httpx.AsyncClient, member: str, others: Others, more: dict[str, Any], pointer: str
) -> None:
    heard = len(others.heard)
    answer = await http.post(REDEMPTIONS, json={**WISH, **more}, headers=key("k-1"))
    assert (answer.status_code, [fault["pointer"] for fault in answer.json()["errors"]]) == (422, [pointer])
    assert len(others.heard) == heard, "nothing was asked"


async def test_a_reward_that_does_not_fit_its_program_is_refused(http: httpx.AsyncClient) -> None:
    answer = await http.put(f"{REWARDS}/mug", json={**MUG, "unit": "mile", "eligibility": {"tiers": ["gold"]}})
    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/unit", "/eligibility/tiers/0"]


async def test_a_beneficiary_must_be_somebody_of_the_program(http: httpx.AsyncClient, member: str) -> None:
    answer = await http.post(REDEMPTIONS, json={**WISH, "beneficiary": {"member": "nobody"}}, headers=key("k-1"))
    assert (answer.status_code, answer.json()["code"]) == (404, "member_unknown")
