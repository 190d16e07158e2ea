"""Cards are added, replaced and blocked; a blocked one finds nobody and is never another member's."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from services.gateway.settings import GatewaySettings
from tests.gateway.stage import PROGRAM, Instance, Others, gateway, purchase, until

pytestmark = pytest.mark.anyio

BASE = f"/v1/programs/{PROGRAM}"
MEMBERS = f"{BASE}/members"
OLD, NEW = "6340001", "6340002"


def card(value: str) -> dict[str, str]:
    return {"scheme": "card", "value": value}


async def add(http: httpx.AsyncClient, member: str, value: str, **more: str) -> tuple[int, str | None]:
    answer = await http.post(f"{MEMBERS}/{member}/identifiers", json={**card(value), **more})
    return answer.status_code, answer.json().get("code")


async def block(http: httpx.AsyncClient, member: str, value: str) -> tuple[int, str | None]:
    answer = await http.delete(f"{MEMBERS}/{member}/identifiers/card/{value}")
    return answer.status_code, answer.json()["code"] if answer.content else None


async def whose(http: httpx.AsyncClient, value: str) -> str:
    shown = (await http.post(f"{MEMBERS}/find", json=card(value))).json()
    return str(shown.get("member") or shown["code"])


@pytest.fixture
async def other(http: httpx.AsyncClient, member: str) -> str:
    answer = await http.post(MEMBERS, json={"member": "m-2"})
    assert answer.status_code == 201, answer.text
    return "m-2"


async def test_a_further_card_finds_the_member_too(http: httpx.AsyncClient, member: str, other: str) -> None:
    added = await http.post(f"{MEMBERS}/{member}/identifiers", json=card(NEW))
    assert added.status_code == 201
    assert added.json() == {"member": member, "program": PROGRAM, "scheme": "card", "state": "active"}
    assert NEW not in added.text
    assert await add(http, member, NEW) == (200, None)
    assert await whose(http, OLD) == await whose(http, NEW) == member
    assert await add(http, other, NEW) == (409, "identifier_taken")
    assert await add(http, "nobody", "7") == (404, "member_unknown")


async def test_a_replaced_card_is_blocked_and_never_given_again(
    http: httpx.AsyncClient, member: str, other: str
) -> None:
    assert await add(http, member, NEW, replaces=OLD) == (201, None)
    assert await add(http, member, NEW, replaces=OLD) == (200, None)
    assert await whose(http, OLD) == "identifier_blocked"
    assert await whose(http, NEW) == member
    for who in (member, other):
        assert await add(http, who, OLD) == (409, "identifier_blocked")
    taken = await http.post(MEMBERS, json={"member": "m-3", "identifiers": [card(OLD)]})
    assert (taken.status_code, taken.json()["code"]) == (409, "identifier_taken")
    assert await add(http, other, "8", replaces=NEW) == (422, "invalid")
    assert await whose(http, "8") == "member_unknown"
    assert await whose(http, NEW) == member
    assert await add(http, member, NEW, replaces=NEW) == (422, "invalid")


async def test_only_the_owners_card_is_blocked(http: httpx.AsyncClient, member: str, other: str) -> None:
    assert await block(http, other, OLD) == (404, "identifier_unknown")
    assert await whose(http, OLD) == member
    assert await block(http, member, OLD) == (204, None)
    assert await block(http, member, OLD) == (204, None)
    assert await whose(http, OLD) == "identifier_blocked"
    assert await block(http, member, "%00") == (404, "identifier_unknown")


async def test_a_blocked_card_earns_nothing_and_what_it_earned_before_is_answered_as_before(
    http: httpx.AsyncClient, member: str, others: Others
) -> None:
    bought = purchase("t-1", card(OLD))
    first = await http.post(f"{BASE}/activities", json=bought)
    assert first.status_code == 201, first.text
    await block(http, member, OLD)
    again = await http.post(f"{BASE}/activities", json=bought)
    assert (again.status_code, again.json()) == (200, first.json())
    heard = len(others.heard)
    for status in (409, 409):
        refused = await http.post(f"{BASE}/activities", json=purchase("t-2", card(OLD)))
        assert (refused.status_code, refused.json()["code"]) == (status, "identifier_blocked")
    shown = (await http.get(f"{BASE}/activities/t-2")).json()
    assert (shown["state"], shown["code"]) == ("refused", "identifier_blocked")
    other = await http.post(f"{BASE}/activities", json=purchase("t-2", member))
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert len(others.heard) == heard
    assert (await http.post(f"{BASE}/quotes", json=purchase("q", card(OLD)))).json()["code"] == "identifier_blocked"


async def test_a_hold_asked_for_before_its_card_was_blocked_is_the_same_hold(
    http: httpx.AsyncClient, member: str, others: Others
) -> None:
    others.silent = True
    body = {"member": card(OLD), "unit": "point", "amount": 5, "reference": "sale"}
    headers = {"idempotency-key": '"k"', "prefer": "respond-async"}
    first = await http.post(f"{BASE}/holds", json=body, headers=headers)
    assert first.status_code == 202, first.text
    await block(http, member, OLD)
    again = await http.post(f"{BASE}/holds", json=body, headers=headers)
    assert (again.status_code, again.json()["hold"]) == (202, first.json()["hold"])
    fresh = await http.post(f"{BASE}/holds", json=body, headers={**headers, "idempotency-key": '"k-2"'})
    assert (fresh.status_code, fresh.json()["code"]) == (409, "identifier_blocked")


async def test_what_was_asked_before_its_card_was_blocked_is_the_same_when_it_is_asked_again(
    http: httpx.AsyncClient, member: str, other: str, others: Others
) -> None:
    """Whoever heard no answer asks again, and the card may have been replaced meanwhile."""
    others.silent = True
    gift = {"from": card(OLD), "to": other, "unit": "point", "amount": 5}
    asked = [("transfers", gift), (f"members/{other}/merge", {"into": card(OLD)})]
    headers = {"prefer": "respond-async"}
    firsts = []
    for path, body in asked:
        answer = await http.post(f"{BASE}/{path}", json=body, headers={**headers, "idempotency-key": '"k"'})
        assert answer.status_code == 202, answer.text
        firsts.append(answer.headers["location"])
    await block(http, member, OLD)
    for (path, body), first in zip(asked, firsts, strict=True):
        again = await http.post(f"{BASE}/{path}", json=body, headers={**headers, "idempotency-key": '"k"'})
        assert (again.status_code, again.headers.get("location")) == (202, first), again.text
        fresh = await http.post(f"{BASE}/{path}", json=body, headers={**headers, "idempotency-key": '"k-2"'})
        assert (fresh.status_code, fresh.json()["code"]) == (409, "identifier_blocked")
        assert fresh.json()["errors"][0]["code"] == "blocked"


async def test_a_line_of_a_file_with_a_blocked_card_stops_no_other(
    http: httpx.AsyncClient, member: str, projecting: Instance
) -> None:
    await add(http, member, NEW, replaces=OLD)
    lines = [purchase("f-1", card(OLD)), purchase("f-2", card(NEW))]
    content = "\n".join(json.dumps(line) for line in lines).encode()
    sent = await http.post(f"{BASE}/batches", content=content, headers={"content-type": "application/x-ndjson"})
    where = sent.headers["location"]

    async def done() -> Any:
        shown = (await http.get(where)).json()
        return shown if shown["state"] == "done" else None

    shown = await until(done)
    assert (shown["posted"], shown["rejected"]) == (1, 1)
    (fault,) = [json.loads(line) for line in (await http.get(f"{where}/errors")).text.splitlines()]
    assert (fault["id"], fault["status"], fault["code"]) == ("f-1", 409, "identifier_blocked")
    assert [each["pointer"] for each in fault["errors"]] == ["/member"]


async def test_of_two_members_who_want_one_card_at_once_exactly_one_gets_it(
    settings: GatewaySettings, here: Instance, member: str, other: str
) -> None:
    async with gateway(settings, "api") as there:
        both = (here.http, there.http)
        answers = await asyncio.gather(*(add(both[n % 2], (member, other)[n % 2], "7") for n in range(10)))
    winner = await whose(here.http, "7")
    assert {answer for n, answer in enumerate(answers) if (member, other)[n % 2] != winner} == {
        (409, "identifier_taken")
    }
    assert sorted(answer for n, answer in enumerate(answers) if (member, other)[n % 2] == winner) == [
        (200, None), (200, None), (200, None), (200, None), (201, None),
    ]  # fmt: skip


async def test_scopes_and_strangers(http: httpx.AsyncClient, member: str) -> None:
    made = await http.post("/v1/partners/operator/keys", json={"scopes": ["earn", "read"], "programs": [PROGRAM]})
    narrow = {"authorization": f"Bearer {made.json()['secret']}"}
    for method, path, body in (
        ("POST", f"{MEMBERS}/{member}/identifiers", card("9")),
        ("DELETE", f"{MEMBERS}/{member}/identifiers/card/{OLD}", None),
        ("PATCH", f"{MEMBERS}/{member}", {"attributes": {"x": 1}}),
        ("POST", f"{MEMBERS}/{member}/close", {}),
    ):
        answer = await http.request(method, path, json=body, headers=narrow)
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing"), path
        foreign = await http.request(method, path.replace(PROGRAM, "another"), json=body)
        assert (foreign.status_code, foreign.json()["code"]) == (404, "program_unknown"), path
    assert await whose(http, OLD) == member


@pytest.mark.parametrize("value", ["a/b", "/", "a//b/", "a%2Fb", "?", ".."])
async def test_whatever_can_be_added_can_be_blocked(http: httpx.AsyncClient, member: str, value: str) -> None:
    assert (await add(http, member, value))[0] == 201
    assert await block(http, member, quote(value, safe="").replace(".", "%2E")) == (204, None)
    assert await whose(http, value) == "identifier_blocked"
