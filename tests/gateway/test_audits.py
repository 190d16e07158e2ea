"""Who changed what: noted with the change, never altered, shown to whom it concerns."""

from __future__ import annotations

from typing import Any

import asyncpg
import httpx
import pytest

from laurel.io.database import Database
from tests.gateway.keys import bearer, key
from tests.gateway.stage import PROGRAM, grocery

pytestmark = pytest.mark.anyio

BASE = f"/v1/programs/{PROGRAM}"


async def audit(http: httpx.AsyncClient, query: str = "", **headers: str) -> list[dict[str, Any]]:
    answer = await http.get(f"/v1/audit?{query}", headers=headers)
    assert answer.status_code == 200, answer.text
    data: list[dict[str, Any]] = answer.json()["data"]
    return data


async def test_every_change_by_an_administrator_is_noted_once(http: httpx.AsyncClient) -> None:
    made = await key(http)
    path = f"/v1/partners/acme/keys/{made['key']}"
    await http.put("/v1/partners/acme", json={"name": "Acme"})  # as it was: nothing changes
    await http.put("/v1/partners/acme", json={"name": "Acme Limited"})
    assert (await http.post(f"{path}/rotate", json={})).status_code == 200
    for _ in range(2):
        assert (await http.delete(path)).status_code == 204
    changed = grocery(name="Grocery, renamed", effective_from="2040-01-01T00:00:00-05:00")
    for _ in range(2):
        assert (await http.put(BASE, json=changed)).status_code in {200, 201}
    for _ in range(2):
        assert (await http.put(f"{BASE}/partners/acme", json={"state": "approved"})).status_code in {200, 201, 503}
    reward = {"name": "5 off", "kind": "voucher", "unit": "point", "price": 100,
              "value": {"amount": 500, "currency": "USD"}}  # fmt: skip
    for _ in range(2):
        await http.put(f"{BASE}/rewards/five-off", json=reward, headers={"x-request-id": "req-17"})
    rows = await audit(http, "limit=100")
    assert [(row["action"], row["target"]) for row in reversed(rows)] == [
        ("program.published", PROGRAM),
        ("partner.saved", "acme"),
        ("key.made", made["key"]),
        ("partner.saved", "acme"),
        ("key.rotated", made["key"]),
        ("key.revoked", made["key"]),
        ("program.published", PROGRAM),
        ("terms.saved", "acme"),
        ("reward.published", "five-off"),
    ]
    newest, renamed = rows[0], rows[-4]
    assert newest["request"] == "req-17"
    assert {row["partner"] for row in rows} == {"operator"}
    assert all(row["key"].startswith("key-") for row in rows)
    assert renamed["action"] == "partner.saved" or renamed["before"] != renamed["after"]
    second, first = [row for row in rows if row["action"] == "program.published"]
    assert first["before"] is None
    assert second["before"] == first["after"] != second["after"]


async def test_what_was_rolled_back_was_no_change(http: httpx.AsyncClient) -> None:
    before = await audit(http)
    assert (await http.put(BASE, json=grocery(name="x", effective_from="2018-01-01T00:00:00Z"))).status_code == 409
    assert (await http.put(BASE, json=grocery(currency="nothing"))).status_code == 422
    assert await audit(http) == before


async def test_pages_go_back_and_filters_choose(http: httpx.AsyncClient) -> None:
    for name in ("a", "b", "c", "d"):
        await http.put("/v1/partners/acme", json={"name": name})
    whole = [row["id"] for row in await audit(http, "target=acme&action=partner.saved")]
    assert len(whole) == 4
    first = (await http.get("/v1/audit?target=acme&limit=3")).json()
    rest = (await http.get(f"/v1/audit?target=acme&limit=3&cursor={first['next_cursor']}")).json()
    assert [row["id"] for row in first["data"] + rest["data"]] == whole
    assert rest["next_cursor"] is None
    assert await audit(http, "action=nothing") == []
    assert len(await audit(http, f"program={PROGRAM}")) == 1
    assert (await http.get("/v1/audit?who=me")).status_code == 422


async def test_an_admin_of_some_programs_sees_those_and_its_own(http: httpx.AsyncClient) -> None:
    assert (await http.put("/v1/programs/other", json=grocery(program="other"))).status_code == 201
    theirs = await key(http, "rival", scopes=["admin"], programs=["other"])
    mine = await key(http, "acme", scopes=["read", "earn"])
    await http.put("/v1/partners/little", json={}, headers=bearer(theirs))
    seen = await audit(http, **bearer(theirs))
    assert [row["target"] for row in seen] == ["little", "other"]
    assert (await http.get(f"/v1/audit?program={PROGRAM}", headers=bearer(theirs))).status_code == 404
    assert (await http.get("/v1/audit", headers=bearer(mine))).status_code == 403


async def test_nobody_alters_it(http: httpx.AsyncClient, database: Database) -> None:
    async with database.connection() as connection:
        for deed in ("update gateway.audit set action = 'x'", "delete from gateway.audit", "truncate gateway.audit"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(deed)
