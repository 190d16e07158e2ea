"""Who may do what: keys, scopes, programs, partners, expiry, revocation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from laurel.io.database import Database
from services.gateway.settings import GatewaySettings
from tests.gateway.keys import bearer, key
from tests.gateway.stage import PROGRAM, Instance, gateway, grocery, purchase

pytestmark = pytest.mark.anyio

MEMBER = f"/v1/programs/{PROGRAM}/members/m-1"


async def test_a_secret_is_shown_once_and_kept_as_a_hash(http: httpx.AsyncClient, database: Database) -> None:
    answer_headers = await http.post(
        "/v1/partners/operator/keys", json={"scopes": ["read"], "programs": [PROGRAM], "limits": {"adjust": 500}}
    )
    assert answer_headers.headers["cache-control"] == "no-store"
    made = answer_headers.json()
    assert made["secret"].startswith(made["prefix"] + "_")
    assert made["limits"] == {"adjust": 500}
    assert made["partner"] == "operator"
    secret = made["secret"].rpartition("_")[2]
    async with database.connection() as connection:
        rows = await connection.fetch("select k::text from api_keys k")
    assert all(secret not in row[0] for row in rows)


async def test_wrong_keys_are_refused_alike(http: httpx.AsyncClient) -> None:
    made = await key(http)
    secret: str = made["secret"]
    wrong = [
        None,
        "",
        "Bearer",
        f"Basic {secret}",
        "Bearer nonsense",
        f"Bearer {secret[:-1]}x" if secret[-1] != "x" else f"Bearer {secret[:-1]}y",
        f"Bearer {secret} ",
        f"Bearer lk_0000000000_{'0' * 40}",
    ]
    for header in wrong:
        headers = {"authorization": header} if header is not None else {"authorization": ""}
        answer = await http.get(MEMBER, headers=headers)
        if header == f"Bearer {secret} ":
            assert answer.status_code == 404, "spaces around it mean nothing"
            continue
        assert answer.status_code == 401, header
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["code"] == "unauthenticated"


async def test_an_expired_key_is_refused(settings: GatewaySettings, here: Instance) -> None:
    assert here.api is not None
    soon = datetime.now(UTC) + timedelta(hours=1)
    made = await key(here.http, expires_at=soon.isoformat())
    path = f"/v1/programs/{PROGRAM}"
    assert (await here.http.get(path, headers=bearer(made))).status_code == 200
    later: Callable[[], datetime] = lambda: soon  # noqa: E731 - the moment at which it is no longer good
    async with gateway(settings, "api", clock=later) as there:
        assert (await there.http.get(path, headers=bearer(made))).status_code == 401
    over = await here.http.post(
        "/v1/partners/acme/keys",
        json={"scopes": ["read"], "programs": [PROGRAM], "expires_at": "2020-01-01T00:00:00Z"},
    )
    assert (over.status_code, over.json()["errors"][0]["pointer"]) == (422, "/expires_at")


async def test_a_revoked_key_is_refused_everywhere_within_seconds(settings: GatewaySettings, here: Instance) -> None:
    made = await key(here.http)
    path = f"/v1/programs/{PROGRAM}"
    async with gateway(settings, "api") as there:
        for each in (here, there):
            assert (await each.http.get(path, headers=bearer(made))).status_code == 200
        gone = await here.http.delete(f"/v1/partners/acme/keys/{made['key']}")
        assert gone.status_code == 204
        assert (await here.http.get(path, headers=bearer(made))).status_code == 401, "here at once"
        await asyncio.sleep(settings.key_cache_seconds + 0.05)
        assert (await there.http.get(path, headers=bearer(made))).status_code == 401
    assert (await here.http.delete(f"/v1/partners/acme/keys/{made['key']}")).status_code == 204
    unknown = await here.http.delete("/v1/partners/acme/keys/key-none")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "key_unknown")
    other = await here.http.delete(f"/v1/partners/operator/keys/{made['key']}")
    assert other.status_code == 404, "the key of another partner"


async def test_a_missing_scope_is_told_and_another_program_is_not(http: httpx.AsyncClient, member: str) -> None:
    await http.put("/v1/programs/second", json=grocery(program="second"))
    made = await key(http, scopes=["read"])
    reader = bearer(made)
    base = f"/v1/programs/{PROGRAM}"
    assert (await http.get(f"{base}/members/{member}", headers=reader)).status_code == 200
    for method, path, body in (
        ("POST", f"{base}/activities", purchase("t-1")),
        ("POST", f"{base}/members", {}),
        ("POST", f"{base}/redemptions", {}),
        ("PUT", base, grocery()),
        ("PUT", f"{base}/rewards/mug", {}),
        ("GET", f"{base}/reports/liability", None),
        ("PUT", "/v1/partners/acme", {}),
        ("POST", "/v1/partners/acme/keys", {}),
        ("DELETE", "/v1/partners/acme/keys/k", None),
    ):
        answer = await http.request(method, path, json=body, headers=reader)
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing"), path
    for path in ("second", "third"):
        for method in ("GET", "PUT"):
            answer = await http.request(method, f"/v1/programs/{path}", json=grocery(), headers=reader)
            assert (answer.status_code, answer.json()["code"]) == (404, "program_unknown")


async def test_a_partner_sees_its_own_activities_and_every_member(http: httpx.AsyncClient, member: str) -> None:
    acme, bolt = bearer(await key(http, "acme")), bearer(await key(http, "bolt"))
    path = f"/v1/programs/{PROGRAM}/activities"
    assert (await http.post(path, json=purchase("t-1"), headers=acme)).status_code == 201
    assert (await http.get(f"{path}/t-1", headers=acme)).status_code == 200
    assert (await http.get(f"{path}/t-1", headers=bolt)).status_code == 404
    assert (await http.get(f"{path}/t-1?partner=acme", headers=bolt)).status_code == 404
    assert (await http.get(f"{path}/t-1?partner=acme")).status_code == 200
    named = await http.post(path, json=purchase("t-2", partner="acme"), headers=bolt)
    assert (named.status_code, named.json()["code"]) == (404, "partner_unknown")
    own = await http.post(path, json=purchase("t-1", partner="bolt"), headers=bolt)
    assert own.status_code == 201, "another partner's id is free for this one"
    assert (await http.get(f"/v1/programs/{PROGRAM}/members/{member}", headers=bolt)).status_code == 200
    assert (await http.get("/v1/partners/bolt", headers=bolt)).status_code == 200
    assert (await http.get("/v1/partners/acme", headers=bolt)).status_code == 404


async def test_an_admin_of_one_program_cannot_reach_beyond_it(http: httpx.AsyncClient) -> None:
    await http.put("/v1/programs/second", json=grocery(program="second"))
    await http.put("/v1/partners/other", json={})
    admin = bearer(await key(http, "acme", scopes=["admin"]))
    own = await http.post("/v1/partners/acme/keys", json={"scopes": ["earn"], "programs": [PROGRAM]}, headers=admin)
    assert own.status_code == 201
    beyond = await http.post(
        "/v1/partners/acme/keys", json={"scopes": ["earn"], "programs": [PROGRAM, "second"]}, headers=admin
    )
    assert (beyond.status_code, beyond.json()["code"]) == (404, "program_unknown")
    for method, body in (("GET", None), ("PUT", {"name": "Mine"})):
        answer = await http.request(method, "/v1/partners/other", json=body, headers=admin)
        assert (answer.status_code, answer.json()["code"]) == (404, "partner_unknown")
    assert (await http.get("/v1/partners/other")).json()["name"] is None
    assert (await http.put("/v1/partners/new", json={"name": "New"}, headers=admin)).status_code == 201
    assert (await http.get("/v1/partners/new", headers=admin)).status_code == 200
    star = await http.post("/v1/partners/acme/keys", json={"scopes": ["earn"], "programs": ["*"]})
    assert star.status_code == 422, "what opens everything cannot be handed out"


async def test_the_operators_first_key_is_written_privately_and_kept(
    settings: GatewaySettings, here: Instance, database: Database
) -> None:
    file = settings.admin_key_file
    assert file is not None
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_text(encoding="utf-8")
    async with gateway(settings, "api") as again:
        assert (await again.http.get("/v1/partners/operator")).status_code == 200
    assert file.read_text(encoding="utf-8") == before
    file.write_text("lk_not a key", encoding="utf-8")
    async with gateway(settings, "api") as once_more:
        assert (await once_more.http.get("/v1/partners/operator")).status_code == 200
    assert file.read_text(encoding="utf-8") != before
    assert file.stat().st_mode & 0o777 == 0o600
    async with database.connection() as connection:
        assert await connection.fetchval("select count(*) from partners") == 1


async def test_a_rotated_key_has_two_secrets_for_a_while(settings: GatewaySettings, here: Instance) -> None:
    assert here.api is not None
    made = await key(here.http)
    path, rotate = f"/v1/programs/{PROGRAM}", f"/v1/partners/acme/keys/{made['key']}/rotate"
    answer = await here.http.post(rotate, json={"overlap_seconds": 3600})
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    new = answer.json()
    assert (new["key"], new["previous"]["prefix"]) == (made["key"], made["prefix"])
    assert new["secret"].startswith(new["prefix"] + "_")
    assert new["secret"] != made["secret"]
    for each in (made, new):
        assert (await here.http.get(path, headers=bearer(each))).status_code == 200
    over = datetime.fromisoformat(new["previous"]["good_until"])
    async with gateway(settings, "api", clock=lambda: over) as later:
        assert (await later.http.get(path, headers=bearer(made))).status_code == 401
        assert (await later.http.get(path, headers=bearer(new))).status_code == 200


async def test_a_second_rotation_ends_the_first_secret_everywhere(settings: GatewaySettings, here: Instance) -> None:
    made = await key(here.http)
    path, rotate = f"/v1/programs/{PROGRAM}", f"/v1/partners/acme/keys/{made['key']}/rotate"
    async with gateway(settings, "api") as there:
        for instance in (here, there):
            assert (await instance.http.get(path, headers=bearer(made))).status_code == 200
        second = (await here.http.post(rotate)).json()
        third = (await here.http.post(rotate, json={"overlap_seconds": 0})).json()
        await asyncio.sleep(settings.key_cache_seconds + 0.1)
        for instance in (here, there):
            seen = [(await instance.http.get(path, headers=bearer(each))).status_code for each in (made, second, third)]
            assert seen == [401, 401, 200]
    assert (await here.http.delete(f"/v1/partners/acme/keys/{made['key']}")).status_code == 204
    assert (await here.http.get(path, headers=bearer(third))).status_code == 401
    assert (await here.http.post(rotate)).status_code == 404


async def test_only_an_admin_of_all_its_programs_rotates_a_key(here: Instance) -> None:
    made = await key(here.http)
    plain = await key(here.http, "other", scopes=["earn", "adjust"])
    assert (await here.http.put("/v1/programs/second", json=grocery(program="second"))).status_code == 201
    admin = await key(here.http, "acme", scopes=["admin"], programs=["second"])
    rotate = f"/v1/partners/acme/keys/{made['key']}/rotate"
    assert (await here.http.post(rotate, headers=bearer(plain))).status_code == 403
    assert (await here.http.post(rotate, headers=bearer(admin))).status_code == 404
    assert (await here.http.post(rotate, json={"overlap_seconds": -1})).status_code == 422
    assert (await here.http.get(f"/v1/programs/{PROGRAM}", headers=bearer(made))).status_code == 200
