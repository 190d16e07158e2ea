"""Questions that points answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.gateway.settings import GatewaySettings
from tests.gateway.stage import PROGRAM, Instance, gateway, owner, purchase

pytestmark = pytest.mark.anyio

BASE = f"/v1/programs/{PROGRAM}"
PAGE = {"data": [{"journal": 1}], "next_cursor": "1"}


async def test_a_statement_is_passed_on_as_it_is(settings: GatewaySettings, here: Instance, member: str) -> None:
    made = await here.http.post("/v1/partners/operator/keys", json={"scopes": ["read"], "programs": [PROGRAM]})
    reader = {"authorization": f"Bearer {made.json()['secret']}"}
    async with (
        owner(PAGE) as (address, asked),
        gateway(settings.model_copy(update={"points_url": address}), "api") as there,
    ):
        for name in ("statement", "lots", "decisions"):
            answer = await there.http.get(
                f"{BASE}/members/m-1/{name}?limit=7&cursor=9", headers={"x-request-id": "q-1"}
            )
            assert (answer.status_code, answer.json()) == (200, PAGE)
            assert asked[-1].startswith(f"GET {BASE}/members/m-1/{name}?limit=7&cursor=9 ")
            assert "x-request-id: q-1" in asked[-1]
        await there.http.get(f"{BASE}/members/m-1/lots", headers=reader)
        assert "partner=operator" in asked[-1], "a partner is shown its own"
        await there.http.get(f"{BASE}/reports/liability")
        assert asked[-1].startswith(f"GET {BASE}/reports/liability?at="), "worth what the version in force says"
        await there.http.get(f"{BASE}/reports/breakage")
        assert asked[-1].startswith(f"GET {BASE}/reports/breakage ")
        path = f"{BASE}/reports/concentration?unit=spent&from=2024-01-01&until=2025-01-01"
        await there.http.get(path)
        assert asked[-1].startswith(f"GET {path}&top=20 ")
        wrong = await there.http.get(f"{BASE}/reports/concentration?unit=2&from=2024-1&until=&top=101")
        assert (wrong.status_code, [each["pointer"] for each in wrong.json()["errors"]]) == (
            422,
            ["/query/unit", "/query/from", "/query/until", "/query/top"],
        )
        assert (await there.http.get(path, headers=reader)).status_code == 403


async def test_a_quote_is_asked_with_the_member_resolved(
    settings: GatewaySettings, here: Instance, member: str
) -> None:
    body: dict[str, Any] = {**purchase("x", {"scheme": "card", "value": "6340001"}), "id": None}
    del body["id"]
    async with (
        owner({"awards": [], "decision": []}) as (address, asked),
        gateway(settings.model_copy(update={"points_url": address}), "api") as there,
    ):
        answer = await there.http.post(f"{BASE}/quotes", json=body)
    assert (answer.status_code, answer.json()) == (200, {"awards": [], "decision": []})
    said = json.loads(asked[0].partition("\r\n\r\n")[2])
    assert (said["member"], said["partner"], said["amount"]) == (member, "operator", 500)


async def test_an_owner_that_is_slow_or_broken_is_told_as_503(
    settings: GatewaySettings, here: Instance, member: str
) -> None:
    for status, after, code in ((200, 2.0, "overloaded"), (500, 0.0, "unavailable")):
        async with owner({}, status=status, after_seconds=after) as (address, _):
            changed = settings.model_copy(update={"points_url": address, "passed_on_seconds": 0.2})
            async with gateway(changed, "api") as there:
                answer = await there.http.get(f"{BASE}/members/m-1/lots")
        assert (answer.status_code, answer.json()["code"]) == (503, code)
        assert answer.headers["retry-after"] == "1"


async def test_a_problem_of_the_owner_is_the_callers(settings: GatewaySettings, here: Instance, member: str) -> None:
    async with (
        owner({"code": "member_unknown"}, status=404) as (address, _),
        gateway(settings.model_copy(update={"points_url": address}), "api") as there,
    ):
        answer = await there.http.get(f"{BASE}/members/m-1/lots")
    assert (answer.status_code, answer.json()["code"]) == (404, "member_unknown")
