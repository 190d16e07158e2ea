"""Activities at the till: reported, answered, repeated, shown again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import httpx
import pytest

from laurel.io.database import Database
from laurel.io.message import Message
from tests.gateway.stage import NOON, PROGRAM, Instance, Others, grocery, purchase, until

pytestmark = pytest.mark.anyio

ACTIVITIES = f"/v1/programs/{PROGRAM}/activities"


async def test_a_purchase_is_answered_with_what_it_earned_and_shown_again(http: httpx.AsyncClient, member: str) -> None:
    answer = await http.post(ACTIVITIES, json=purchase("t-1", amount=730))
    assert answer.status_code == 201, answer.text
    shown = answer.json()
    assert shown["state"] == "posted"
    assert shown["awards"][0]["amount"] == 7
    assert shown["balances"][0]["available"] == 7
    assert answer.headers["location"] == f"{ACTIVITIES}/t-1"
    assert answer.headers["x-request-id"]
    assert (await http.get(f"{ACTIVITIES}/t-1")).json() == shown
    assert (await http.get(f"/v1/programs/{PROGRAM}/members/{member}")).json()["balances"] == shown["balances"]


async def test_the_member_may_be_named_by_an_identifier(http: httpx.AsyncClient, member: str, others: Others) -> None:
    answer = await http.post(ACTIVITIES, json=purchase("t-1", {"scheme": "card", "value": "6340001"}))
    assert answer.status_code == 201
    assert others.heard[-1].member == member
    assert b"6340001" not in others.heard[-1].body
    unknown = await http.post(ACTIVITIES, json=purchase("t-2", {"scheme": "card", "value": "6340002"}))
    assert (unknown.status_code, unknown.json()["code"]) == (404, "member_unknown")


async def test_the_same_again_is_the_same_answer_and_is_asked_once(
    http: httpx.AsyncClient, member: str, others: Others
) -> None:
    first = await http.post(ACTIVITIES, json=purchase("t-1"))
    heard = len(others.heard)
    # The same instant in another zone, and a field at its default, are the same request.
    again = await http.post(
        ACTIVITIES, json=purchase("t-1", occurred_at="2026-03-14T11:26:53+02:00", attributes={}, lines=[])
    )
    assert again.status_code == 200
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == first.json()
    assert "idempotency-replayed" not in first.headers
    other = await http.post(ACTIVITIES, json=purchase("t-1", amount=501))
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    by_card = await http.post(ACTIVITIES, json=purchase("t-1", {"scheme": "card", "value": "6340001"}))
    assert by_card.json()["code"] == "idempotency_mismatch", "identifiers are compared unresolved"
    assert len(others.heard) == heard


async def test_twenty_at_once_with_one_id_are_one_activity(
    http: httpx.AsyncClient, member: str, others: Others
) -> None:
    answers = await asyncio.gather(*(http.post(ACTIVITIES, json=purchase("t-1")) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert len({answer.content for answer in answers}) == 1
    assert [message.type for message in others.heard].count("activity.reported.v1") == 1


async def test_two_hundred_at_once_are_all_answered(http: httpx.AsyncClient, member: str) -> None:
    answers = await asyncio.gather(
        *(http.post(ACTIVITIES, json=purchase(f"t-{n}", amount=100), headers={"prefer": "wait=20"}) for n in range(200))
    )
    assert {answer.status_code for answer in answers} == {201}
    shown = (await http.get(f"/v1/programs/{PROGRAM}/members/{member}")).json()
    assert shown["balances"][0]["available"] == 200


async def test_whoever_does_not_want_to_wait_looks_later(
    http: httpx.AsyncClient, member: str, others: Others, projecting: Instance
) -> None:
    others.silent = True
    answer = await http.post(ACTIVITIES, json=purchase("t-1"), headers={"prefer": "respond-async"})
    assert (answer.status_code, answer.json()) == (202, {"id": "t-1", "state": "pending"})
    assert answer.headers["preference-applied"] == "respond-async"
    location = answer.headers["location"]
    assert (await http.get(location)).json() == {"id": "t-1", "state": "pending"}
    # The same request again, while it is pending, waits as its own wish says and gets the same place to look.
    again = await http.post(ACTIVITIES, json=purchase("t-1"), headers={"prefer": "wait=0"})
    assert (again.status_code, again.headers["location"]) == (202, location)
    assert again.headers["idempotency-replayed"] == "true"
    waiting = asyncio.create_task(http.post(ACTIVITIES, json=purchase("t-1"), headers={"prefer": "wait=20"}))
    await until(lambda: len(others.heard) == 2)
    await asyncio.sleep(0.1)
    await others.resume()
    answered = await waiting
    assert (answered.status_code, answered.headers["preference-applied"]) == (200, "wait=20")

    async def posted() -> bool:
        return bool((await http.get(location)).json()["state"] == "posted")

    await until(posted)


async def test_who_waits_in_vain_is_told_where_to_look(http: httpx.AsyncClient, member: str, others: Others) -> None:
    others.silent = True
    answer = await http.post(ACTIVITIES, json=purchase("t-1"), headers={"prefer": "respond-async, wait=1"})
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async, wait=1"


async def test_a_refusal_is_kept_and_final(http: httpx.AsyncClient, member: str, others: Others) -> None:
    others.answer = lambda message: others.refused(message, "claim_too_late", late_by_days=3)
    answer = await http.post(ACTIVITIES, json=purchase("t-1"))
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["code"], problem["detail"], problem["late_by_days"]) == ("claim_too_late", "because", 3)
    assert problem["instance"] == ACTIVITIES
    others.answer = others.as_usual
    again = await http.post(ACTIVITIES, json=purchase("t-1"))
    assert (again.status_code, again.headers["idempotency-replayed"]) == (409, "true")
    shown = (await http.get(f"{ACTIVITIES}/t-1")).json()
    assert (shown["state"], shown["code"]) == ("refused", "claim_too_late")


async def test_a_refusal_that_is_not_kept_leaves_the_id_free(
    http: httpx.AsyncClient, member: str, others: Others
) -> None:
    others.answer = lambda message: others.refused(message, "currency_not_accepted")
    answer = await http.post(ACTIVITIES, json=purchase("t-1", currency="EUR"))
    assert (answer.status_code, answer.json()["code"]) == (409, "currency_not_accepted")
    assert (await http.get(f"{ACTIVITIES}/t-1")).json()["state"] == "refused"
    others.answer = others.as_usual
    again = await http.post(ACTIVITIES, json=purchase("t-1"))
    assert again.status_code == 201, "sent again, even with another body, it is judged again"
    assert "idempotency-replayed" not in again.headers
    assert (await http.get(f"{ACTIVITIES}/t-1")).json()["state"] == "posted"


async def test_a_purchase_of_nobody_is_kept_and_earns_nothing(
    http: httpx.AsyncClient, others: Others, database: Database
) -> None:
    answer = await http.post(ACTIVITIES, json=purchase("t-1", None))
    assert answer.status_code == 201, answer.text
    shown = {"id": "t-1", "state": "posted", "awards": [], "balances": [], "decision": []}
    assert answer.json() == shown
    assert (await http.get(f"{ACTIVITIES}/t-1")).json() == shown
    assert (await http.post(ACTIVITIES, json=purchase("t-1", None))).status_code == 200
    assert not [message for message in others.heard if message.type == "activity.reported.v1"]
    async with database.connection() as connection:
        kept = await connection.fetchval("select body from requests where id = 't-1'")
    assert json.loads(kept)["amount"] == 500
    survey = await http.post(ACTIVITIES, json={**purchase("t-2", None), "type": "survey"})
    assert survey.status_code == 422
    assert survey.json()["errors"][0]["pointer"] == "/member"


async def test_a_return_belongs_to_whom_its_purchase_belonged(
    http: httpx.AsyncClient, member: str, others: Others
) -> None:
    back = {"id": "t-2", "type": "return", "of": "t-1", "occurred_at": "2026-03-15T09:00:00Z"}
    unknown = await http.post(ACTIVITIES, json=back)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "activity_unknown")
    await http.post(ACTIVITIES, json=purchase("t-1"))

    def clawed_back(message: Message) -> Sequence[tuple[str, str, dict[str, Any]]]:
        fields = {**others.awarded(message, json.loads(message.body)), "of": "t-1", "reversals": [{"rule": "base"}]}
        return [("points", "points.clawed_back.v1", fields)]

    others.answer = clawed_back
    answer = await http.post(ACTIVITIES, json=back)
    assert answer.status_code == 201, "the same id again, which was free"
    assert answer.json()["reversals"] == [{"rule": "base"}]
    assert others.heard[-1].member == member
    assert json.loads(others.heard[-1].body)["activity"]["member"] == member


async def test_time_may_not_lie_ahead_of_a_wall_clock(http: httpx.AsyncClient, here: Instance, member: str) -> None:
    assert here.api is not None
    ahead = (here.api.clock() + timedelta(minutes=6)).isoformat()
    answer = await http.post(ACTIVITIES, json=purchase("t-1", occurred_at=ahead))
    assert (answer.status_code, answer.json()["code"]) == (422, "in_the_future")
    assert answer.json()["errors"][0]["pointer"] == "/occurred_at"
    near = (here.api.clock() + timedelta(minutes=4)).isoformat()
    assert (await http.post(ACTIVITIES, json=purchase("t-1", occurred_at=near))).status_code == 201
    manual = grocery(program="sandbox", clock="manual")
    assert (await http.put("/v1/programs/sandbox", json=manual)).status_code == 201
    enrolled = await http.post("/v1/programs/sandbox/members", json={"member": "m-1", "enrolled_at": NOON.isoformat()})
    assert enrolled.status_code == 201
    far = await http.post("/v1/programs/sandbox/activities", json=purchase("t-1", occurred_at="2099-01-01T00:00:00Z"))
    assert far.status_code == 201, "a sandbox has its own time"


async def test_an_admin_reports_for_another_partner_and_finds_it_there(http: httpx.AsyncClient, member: str) -> None:
    assert (await http.post(ACTIVITIES, json=purchase("t-1", partner="acme"))).json()["code"] == "partner_unknown"
    await http.put("/v1/partners/acme", json={"name": "Acme"})
    answer = await http.post(ACTIVITIES, json=purchase("t-1", partner="acme"))
    assert (answer.status_code, answer.headers["location"]) == (201, f"{ACTIVITIES}/t-1?partner=acme")
    assert (await http.get(f"{ACTIVITIES}/t-1")).status_code == 404
    assert (await http.get(answer.headers["location"])).json() == answer.json()
    own = await http.post(ACTIVITIES, json=purchase("t-1", amount=100))
    assert own.status_code == 201, "the same id of another partner is another activity"


async def test_each_request_carries_the_newest_version(http: httpx.AsyncClient, member: str, others: Others) -> None:
    await http.post(ACTIVITIES, json=purchase("t-1"))
    assert json.loads(others.heard[-1].body)["versions"] == {"program": 1, "partners": 0, "as_of": None}
    newer = grocery(name="Newer", effective_from="2099-01-01T00:00:00+00:00")
    assert (await http.put(f"/v1/programs/{PROGRAM}", json=newer)).status_code == 201
    await http.post(ACTIVITIES, json=purchase("t-2"))
    assert json.loads(others.heard[-1].body)["versions"] == {"program": 2, "partners": 0, "as_of": None}


async def test_a_trace_travels_with_the_message(http: httpx.AsyncClient, member: str, others: Others) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    await http.post(ACTIVITIES, json=purchase("t-1"), headers={"traceparent": trace, "x-request-id": "till-7.1"})
    assert others.heard[-1].traceparent == trace
    assert others.heard[-1].correlation == "a:grocery:operator:1:t-1"
