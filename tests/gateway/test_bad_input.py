"""Bad input of every kind for every route: a problem document with a pointer, and nothing stored."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from laurel.io.database import Database
from services.gateway.app import application
from services.gateway.routes import ROUTERS
from tests.gateway.stage import PROGRAM, Instance, Others, grocery, purchase

pytestmark = pytest.mark.anyio

BASE = f"/v1/programs/{PROGRAM}"
JSON = {"content-type": "application/json"}
KEY = {"idempotency-key": '"k-1"'}
HUGE = 10**15 + 1
LINE = {"id": "1", "amount": 500}


@dataclass(frozen=True)
class Route:
    """A route that takes a JSON body, and a body that it would take."""

    method: str
    path: str
    good: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    bad: tuple[tuple[str, dict[str, Any]], ...] = ()
    """Pointer, and the change that is wrong there."""


ROUTES = [
    Route("PUT", f"/v1/programs/{PROGRAM}", grocery(), bad=(("/name", {"name": 7}), ("/clock", {"clock": "moon"}))),
    Route("POST", f"{BASE}/validate", grocery(), bad=(("/earning", {"earning": {}}),)),
    Route("PUT", "/v1/partners/acme", {"name": "Acme"}, bad=(("/name", {"name": ""}), ("/name", {"name": "a\x00b"}))),
    Route(
        "POST",
        "/v1/partners/operator/keys",
        {"scopes": ["read"], "programs": [PROGRAM]},
        bad=(
            ("/scopes", {"scopes": []}),
            ("/scopes/0", {"scopes": ["everything"]}),
            ("/programs", {"programs": "grocery"}),
            ("/programs/0", {"programs": ["a:b"]}),
            ("/expires_at", {"expires_at": "2030-01-01T00:00:00"}),
            ("/limits/adjust", {"limits": {"adjust": 0}}),
        ),
    ),
    Route(
        "POST",
        f"{BASE}/members",
        {"member": "m-7"},
        bad=(
            ("/member", {"member": ""}),
            ("/member", {"member": "-x"}),
            ("/member", {"member": "x" * 129}),
            ("/enrolled_at", {"enrolled_at": "2026-03-14T09:26:53"}),
            ("/enrolled_at", {"enrolled_at": 0}),
            ("/identifiers/0/scheme", {"identifiers": [{"scheme": "Card No", "value": "1"}]}),
            ("/identifiers/0/value", {"identifiers": [{"scheme": "card"}]}),
            ("/attributes/age", {"attributes": {"age": 1.5}}),
            ("/attributes/note", {"attributes": {"note": "a\x00b"}}),
        ),
    ),
    Route(
        "POST",
        f"{BASE}/members/m-1/status-match",
        {"tier": "gold", "evidence": {"issuer": "rival", "dated": "2026-01-15"}},
        bad=(
            ("/tier", {"tier": "Gold!"}),
            ("/tier", {"tier": None}),
            ("/evidence/dated", {"evidence": {"issuer": "rival", "dated": "2026-01-15T00:00:00Z"}}),
            ("/evidence/issuer", {"evidence": {"dated": "2026-01-15"}}),
            ("/until", {"until": "soon"}),
            ("/challenge/needs", {"challenge": {"needs": 0}}),
        ),
    ),
    Route("POST", f"{BASE}/members/find", {"scheme": "card", "value": "1"}, bad=(("/value", {"value": 1}),)),
    Route(
        "POST",
        f"{BASE}/activities",
        purchase("t-1"),
        bad=(
            ("/id", {"id": "no/slash"}),
            ("/id", {"id": None}),
            ("/type", {"type": "Purchase!"}),
            ("/occurred_at", {"occurred_at": "2026-03-14T09:26:53"}),
            ("/occurred_at", {"occurred_at": "yesterday"}),
            ("/currency", {"currency": "usd"}),
            ("/amount", {"amount": "500"}),
            ("/amount", {"amount": 500.0}),
            ("/amount", {"amount": True}),
            ("/amount", {"amount": -1}),
            ("/amount", {"amount": HUGE}),
            ("/member/value", {"member": {"scheme": "card"}}),
            ("/partner", {"partner": "a:b"}),
            ("/lines/0/quantity", {"lines": [{**LINE, "quantity": -1}]}),
            ("/lines/0/colour", {"lines": [{**LINE, "colour": "red"}]}),
            ("/lines/0/sku", {"lines": [{**LINE, "sku": "a\x00b"}]}),
            ("/lines/1/id", {"lines": [{**LINE, "amount": 250}, {**LINE, "amount": 250}]}),
            ("/lines", {"lines": [{**LINE, "amount": 499}]}),
            ("/tenders", {"tenders": [{"kind": "cash", "amount": 501}]}),
            ("/attributes/x", {"attributes": {"x": None}}),
        ),
    ),
    Route("POST", f"{BASE}/quotes", purchase("t-1"), bad=(("/occurred_at", {"occurred_at": None}),)),
    Route(
        "PUT",
        f"{BASE}/rewards/mug",
        {"name": "Mug", "kind": "product", "unit": "point", "price": 100},
        bad=(
            ("/price", {"price": 0}),
            ("/price", {"price": HUGE}),
            ("/kind", {"kind": "miracle"}),
            ("/reward", {"reward": "another"}),
            ("/value/currency", {"value": {"amount": 1, "currency": "euro"}}),
        ),
    ),
    Route(
        "POST",
        f"{BASE}/redemptions",
        {"member": "m-1", "reward": "mug"},
        headers=KEY,
        bad=(
            ("/quantity", {"quantity": 0}),
            ("/reward", {"reward": ""}),
            ("/pay", {"pay": {"points": 5}}),
            ("/member", {"member": None}),
        ),
    ),
]
BY_NAME = {f"{route.method} {route.path}": route for route in ROUTES}


async def counts(database: Database) -> dict[str, int]:
    tables = ("members", "identifiers", "requests", "redemptions", "program_versions", "partners", "api_keys", "outbox")
    async with database.connection() as connection:
        return {table: await connection.fetchval(f"select count(*) from {table}") for table in tables}


def is_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert set(problem) >= {"type", "title", "status", "detail", "instance", "code", "errors"}
    assert (problem["status"], problem["code"]) == (status, code), problem
    assert answer.headers["x-request-id"]
    return problem


async def test_bad_bodies(http: httpx.AsyncClient, member: str, database: Database) -> None:
    before = await counts(database)
    for route in ROUTES:
        headers = {**JSON, **route.headers}

        async def send(body: bytes, **changes: str) -> httpx.Response:
            return await http.request(route.method, route.path, content=body, headers={**headers, **changes})  # noqa: B023

        for broken in (b"", b"{", b"[1,]", b'{"a": nul}', b"\xff\xff", b"[" * 5000, b'{"a": "\xff"}'):
            is_problem(await send(broken), 400, "malformed")
        for shape in (b"[]", b"7", b'"text"', b"null"):
            is_problem(await send(shape), 422, "invalid")
        good = json.dumps(route.good).encode()
        is_problem(await send(good, **{"content-type": "text/plain"}), 415, "unsupported")
        is_problem(await send(good, **{"content-type": "application/json; charset=latin-1"}), 415, "unsupported")
        is_problem(await send(good, **{"content-encoding": "gzip"}), 415, "unsupported")
        is_problem(await send(b'{"x": "' + b"x" * 1_100_000 + b'"}'), 413, "too_large")
        surprise = is_problem(await send(json.dumps({**route.good, "surprise": 1}).encode()), 422, "invalid")
        assert [fault["pointer"] for fault in surprise["errors"]] == ["/surprise"], route.path
    assert await counts(database) == before


def faults() -> Iterator[tuple[Route, str, dict[str, Any]]]:
    for route in ROUTES:
        for pointer, change in route.bad:
            yield route, pointer, change


async def test_bad_values_are_named_with_their_pointer(
    http: httpx.AsyncClient, member: str, database: Database
) -> None:
    before = await counts(database)
    for route, pointer, change in faults():
        body = {**route.good, **change}
        answer = await http.request(route.method, route.path, json=body, headers=route.headers)
        assert answer.status_code == 422, (route.path, change, answer.text)
        named = [fault["pointer"] for fault in answer.json()["errors"]]
        assert pointer in named, (route.path, change, answer.text)
        for fault in answer.json()["errors"]:
            assert set(fault) == {"pointer", "code", "detail"}
            assert fault["detail"]
    assert await counts(database) == before


async def test_codes_of_their_own(http: httpx.AsyncClient, member: str) -> None:
    lines = await http.post(f"{BASE}/activities", json=purchase("t-1", lines=[{**LINE, "amount": 1}]))
    is_problem(lines, 422, "lines_do_not_sum")
    tenders = await http.post(f"{BASE}/activities", json=purchase("t-1", tenders=[{"kind": "cash", "amount": 501}]))
    is_problem(tenders, 422, "tenders_exceed_amount")


async def test_every_fault_is_named_at_once(http: httpx.AsyncClient) -> None:
    body = {"id": "x y", "type": 5, "occurred_at": "2026-03-14T09:26:53", "amount": "1", "surprise": True}
    answer = await http.post(f"{BASE}/activities", json=body)
    named = {fault["pointer"] for fault in is_problem(answer, 422, "invalid")["errors"]}
    assert named == {"/id", "/type", "/occurred_at", "/amount", "/surprise"}


async def test_bad_paths_queries_and_methods(http: httpx.AsyncClient, member: str) -> None:
    for path in ("/", "/v1", "/v1/nothing", f"{BASE}/nothing", "/v2/programs"):
        is_problem(await http.get(path), 404, "not_found")
    is_problem(await http.delete(f"{BASE}/activities"), 405, "method_not_allowed")
    for path, code in (
        ("members/%00", "member_unknown"),
        ("members/" + "x" * 200, "member_unknown"),
        ("members/m-2", "member_unknown"),
        ("members/m-2/statement", "member_unknown"),
        ("activities/none", "activity_unknown"),
        ("activities/%F0%9F%9B%92", "activity_unknown"),
        ("batches/none", "batch_unknown"),
        ("batches/none/errors", "batch_unknown"),
        ("batches/none/lines", "batch_unknown"),
        ("redemptions/none", "redemption_unknown"),
        ("members/m-1/status-match/none", "not_found"),
    ):
        is_problem(await http.get(f"{BASE}/{path}"), 404, code)
    for path in ("/v1/programs/none", "/v1/programs/a%3Ab", "/v1/programs/%00", "/v1/programs/none/members/m"):
        is_problem(await http.get(path), 404, "program_unknown")
    for query in (
        "limit=0",
        "limit=501",
        "limit=ten",
        "limit=1e2",
        "limit=%D9%A3",
        "cursor=%21",
        "cursor=AAA",
        "page=2",
    ):
        problem = is_problem(await http.get(f"{BASE}/rewards?{query}"), 422, "invalid")
        assert problem["errors"][0]["pointer"].startswith("/query/")
    is_problem(await http.get(f"{BASE}/rewards?limit=1&limit=2"), 422, "invalid")
    is_problem(await http.get(f"{BASE}/activities/t?partner=%00"), 422, "invalid")
    for path in ("/v1/programs/a%20b", "/v1/partners/a%3Ab"):
        problem = is_problem(await http.put(path, json={}), 422, "invalid")
        assert problem["errors"][0]["pointer"].startswith("/path/")


async def test_without_a_key_nothing_is_told(http: httpx.AsyncClient, here: Instance) -> None:
    """Walks every route there is."""
    seen = 0
    for router in ROUTERS:
        for route in router.routes:
            path = route.path  # type: ignore[attr-defined]
            for name in re.findall(r"{(\w+)}", path):
                path = path.replace("{" + name + "}", PROGRAM if name == "program" else "1")
            for method in route.methods:  # type: ignore[attr-defined]
                answer = await http.request(method, path, headers={"authorization": ""})
                is_problem(answer, 401, "unauthenticated")
                seen += 1
    assert seen > 20
    assert application(here.parts, here.api) is not None


async def test_redemptions_need_a_quoted_key(http: httpx.AsyncClient, member: str, database: Database) -> None:
    before = await counts(database)
    body = {"member": "m-1", "reward": "mug"}
    missing = await http.post(f"{BASE}/redemptions", json=body)
    is_problem(missing, 400, "idempotency_key_missing")
    for bad in ("bare", '""', '"open', '"' + "x" * 256 + '"', '"a" "b"'):
        answer = await http.post(f"{BASE}/redemptions", json=body, headers={"idempotency-key": bad})
        is_problem(answer, 400, "malformed")
    unknown = await http.post(f"{BASE}/redemptions", json={**body, "member": "nobody"}, headers=KEY)
    is_problem(unknown, 404, "member_unknown")
    assert await counts(database) == before


async def test_unknown_members_are_told_and_nothing_is_recorded(
    http: httpx.AsyncClient, database: Database, others: Others
) -> None:
    before = await counts(database)
    is_problem(await http.post(f"{BASE}/activities", json=purchase("t-1", "nobody")), 404, "member_unknown")
    is_problem(await http.post(f"{BASE}/quotes", json=purchase("t-1", "nobody")), 404, "member_unknown")
    assert await counts(database) == before
    assert not others.heard


async def test_when_an_owner_cannot_be_reached_that_is_said(http: httpx.AsyncClient, member: str) -> None:
    answer = await http.get(f"{BASE}/members/{member}/statement")
    is_problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "1"
