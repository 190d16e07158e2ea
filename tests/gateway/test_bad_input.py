"""Bad input of every kind for every route: a problem document with a pointer, and nothing stored."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from laurel.io.database import Database
from laurel.io.migrating import DatabaseUrls
from services.gateway.app import application
from services.gateway.naming import ADJUSTMENT, HOLD
from services.gateway.routes import ROUTERS
from services.gateway.settings import GatewaySettings
from services.gateway.store import operations, webhooks
from services.gateway.store.operations import NewOperation
from tests.gateway.paths import filled
from tests.gateway.stage import PROGRAM, Instance, Others, gateway, grocery, points_door, purchase, redemption_door

pytestmark = pytest.mark.anyio

BASE = f"/v1/programs/{PROGRAM}"
JSON = {"content-type": "application/json"}
CODE = "7GQ2-7GQ2-7GQ2-7GQ2"
KEY = {"idempotency-key": '"k-1"'}
HUGE = 10**15 + 1
CARD = {"scheme": "card"}
LINE = {"id": "1", "amount": 500}
SCORES = {"brand_fit": 4, "customers": 4, "information_system": 4, "service": 4, "database_marketing": 4}


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
        f"{BASE}/activities/t-1/claim",
        {"member": "m-1"},
        bad=(("/member", {"member": None}), ("/member", {"member": "-x"}), ("/member/value", {"member": CARD})),
    ),
    Route("POST", f"{BASE}/activities/t-1/approve", {}),
    Route("POST", f"{BASE}/activities/t-1/reject", {}),
    Route(
        "PUT",
        f"{BASE}/partners/operator",
        {"state": "approved"},
        bad=(
            ("/state", {"state": "friend"}),
            ("/since", {"since": "2026-03-14T09:26:53"}),
            ("/billing", {"billing": "later"}),
            ("/scores/service", {"scores": {**SCORES, "service": 6}}),
            ("/scores/service", {"scores": {**SCORES, "service": 0}}),
            ("/scores/service", {"scores": {name: 4 for name in SCORES if name != "service"}}),
        ),
    ),
    Route(
        "POST",
        f"{BASE}/partners/operator/blocks",
        {"unit": "point", "units": 5, "amount": 10, "currency": "USD", "reference": "r-1"},
        bad=(
            ("/unit", {"unit": "mile"}),
            ("/units", {"units": 0}),
            ("/units", {"units": HUGE}),
            ("/amount", {"amount": -1}),
            ("/currency", {"currency": "dollars"}),
            ("/reference", {"reference": ""}),
            ("/reference", {"reference": "a\x00b"}),
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
    Route(
        "POST",
        f"{BASE}/members/m-1/identifiers",
        {"scheme": "card", "value": "2"},
        bad=(
            ("/scheme", {"scheme": "Card No"}),
            ("/value", {"value": ""}),
            ("/value", {"value": "a\x00b"}),
            ("/replaces", {"replaces": 7}),
            ("/replaces", {"replaces": "2"}),
            ("/replaces", {"replaces": "nobody's"}),
        ),
    ),
    Route(
        "PATCH",
        f"{BASE}/members/m-1",
        {"attributes": {"card": "gold"}},
        bad=(
            ("/person", {"person": "no/slash"}),
            ("/attributes/age", {"attributes": {"age": 1.5}}),
            ("/attributes/age", {"attributes": {"age": None}}),
            ("/attributes", {"attributes": []}),
        ),
    ),
    Route("POST", f"{BASE}/members/m-1/close", {}),
    Route("POST", f"{BASE}/members/m-1/erase", {}),
    Route(
        "POST",
        "/v1/webhooks",
        {"url": "https://example.com/hooks", "types": ["points.*"], "programs": [PROGRAM]},
        bad=(
            ("/url", {"url": ""}),
            ("/url", {"url": "a\x00b"}),
            ("/types", {"types": []}),
            ("/types/0", {"types": ["a\x00b"]}),
            ("/programs", {"programs": []}),
            ("/programs/0", {"programs": ["a:b"]}),
        ),
    ),
    Route("POST", "/v1/webhooks/whk-1/rotate", {}, bad=(("/overlap_seconds", {"overlap_seconds": -1}),)),
    Route(
        "POST",
        "/v1/partners/operator/keys/k-1/rotate",
        {},
        bad=(("/overlap_seconds", {"overlap_seconds": -1}), ("/overlap_seconds", {"overlap_seconds": "1"})),
    ),
    Route("POST", "/v1/webhooks/whk-1/enable", {}),
    Route("POST", "/v1/webhooks/whk-1/disable", {}),
    Route("POST", "/v1/deliveries/whk-1-5/redeliver", {}),
    Route(
        "POST",
        f"{BASE}/members/m-1/merge",
        {"into": "m-3"},
        headers=KEY,
        bad=(
            ("/into", {"into": "-x"}),
            ("/into", {"into": None}),
            ("/into/value", {"into": {"scheme": "card"}}),
            ("/into", {"into": "m-1"}),
        ),
    ),
    Route("POST", f"{BASE}/members/m-1/unmerge", {}, headers=KEY),
    Route(
        "PUT",
        f"{BASE}/households/h-1",
        {"members": ["m-1"], "pooling": True},
        bad=(
            ("/members", {"members": []}),
            ("/members", {"members": "m-1"}),
            ("/members/0", {"members": ["-x"]}),
            ("/members/1", {"members": ["m-1", "m-1"]}),
            ("/pooling", {"pooling": "yes"}),
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
            ("/pay", {"pay": {}}),
            ("/confirm", {"confirm": "now"}),
            ("/member", {"member": None}),
        ),
    ),
    Route("POST", f"{BASE}/redemptions/quote", {"member": "m-1", "reward": "mug"}, bad=(("/party", {"party": 0}),)),
    Route("POST", f"{BASE}/redemptions/r-1/confirm", {}),
    Route(
        "POST",
        f"{BASE}/redemptions/r-1/cancel",
        {"by": "member", "reason": "changed plans"},
        bad=(("/by", {"by": "nobody"}), ("/reason", {"reason": None})),
    ),
    Route(
        "PUT",
        f"{BASE}/resources/AA100",
        {"capacity": 150},
        bad=(
            ("/capacity", {"capacity": -1}),
            ("/from", {"from": "2024-02-30"}),
            ("/share/percent", {"share": {"percent": 101}}),
        ),
    ),
    Route(
        "POST",
        f"{BASE}/holds",
        {"member": "m-1", "unit": "point", "amount": 5, "reference": "t-1"},
        headers=KEY,
        bad=(
            ("/amount", {"amount": 0}),
            ("/amount", {"amount": HUGE}),
            ("/amount", {"amount": "5"}),
            ("/unit", {"unit": "mile"}),
            ("/unit", {"unit": ""}),
            ("/ttl_seconds", {"ttl_seconds": 0}),
            ("/ttl_seconds", {"ttl_seconds": 2_592_001}),
            ("/reference", {"reference": ""}),
            ("/reference", {"reference": None}),
            ("/reference", {"reference": "a\x00b"}),
            ("/partner", {"partner": "a:b"}),
            ("/member/value", {"member": {"scheme": "card"}}),
        ),
    ),
    Route(
        "POST",
        f"{BASE}/copy",
        {"to": "grocery-copy"},
        bad=(
            ("/to", {"to": None}),
            ("/to", {"to": "a:b"}),
            ("/changes", {"changes": []}),
            ("/changes/name", {"changes": {"name": "x"}}),
            ("/changes/~1units~1mile~1scale", {"changes": {"/units/mile/scale": 0}}),
            ("/changes/~1name", {"changes": {"/name": 7}}),
            ("/changes/~1earning~10~1rate~1per", {"changes": {"/earning/0/rate/per": 0}}),
            ("/changes/~1surprise", {"changes": {"/surprise": 1}}),
        ),
    ),
    Route(
        "POST",
        f"{BASE}/clock",
        {"as_of": "2030-01-01T00:00:00Z"},
        bad=(
            ("/as_of", {"as_of": None}),
            ("/as_of", {"as_of": "2030-01-01T00:00:00"}),
            ("/as_of", {"as_of": "tomorrow"}),
            ("/as_of", {}),
        ),
    ),
    Route(
        "POST",
        f"{BASE}/adjustments",
        {"member": "m-1", "unit": "point", "amount": 5, "reason": "goodwill", "note": "Sorry for the wait."},
        headers=KEY,
        bad=(
            ("/amount", {"amount": 0}),
            ("/amount", {"amount": None}),
            ("/amount", {"amount": 1.5}),
            ("/amount", {"amount": -HUGE}),
            ("/reason", {"reason": None}),
            ("/note", {"note": None}),
            ("/note", {"note": "a\x00b"}),
            ("/unit", {"unit": "mile"}),
            ("/expires_at", {"expires_at": "2020-01-01T00:00:00Z"}),
            ("/expires_at", {"expires_at": "2099-01-01T00:00:00Z", "amount": -5}),
            ("/amount", {"corrects": {"id": "b-1", "should_be": 5}}),
            ("/corrects/should_be", {"corrects": {"id": "b-1", "should_be": -5}, "amount": None}),
            ("/corrects/reported_by", {"corrects": {"id": "b-1", "should_be": 5, "reported_by": "press"}}),
        ),
    ),
    Route(
        "POST",
        f"{BASE}/transfers",
        {"from": "m-1", "to": "m-3", "unit": "point", "amount": 5},
        headers=KEY,
        bad=(
            ("/amount", {"amount": 0}),
            ("/amount", {"amount": -5}),
            ("/amount", {"amount": HUGE}),
            ("/amount", {"amount": "5"}),
            ("/unit", {"unit": "mile"}),
            ("/unit", {"unit": None}),
            ("/from", {"from": "-x"}),
            ("/from", {"from": None}),
            ("/to/value", {"to": {"scheme": "card"}}),
            ("/to", {"to": "m-1"}),
        ),
    ),
    Route(
        "POST",
        f"{BASE}/exchanges",
        {"member": "m-1", "to": {"program": "other", "member": "m-3"}, "unit": "point", "amount": 5},
        headers=KEY,
        bad=(
            ("/amount", {"amount": 0}),
            ("/to", {"to": "m-3"}),
            ("/to/program", {"to": {"program": "a:b", "member": "m-3"}}),
            ("/to/program", {"to": {"program": PROGRAM, "member": "m-3"}}),
            ("/to/member", {"to": {"program": "other"}}),
            ("/to/unit", {"to": {"program": "other", "member": "m-3", "unit": "mile"}}),
        ),
    ),
    Route("POST", f"{BASE}/adjustments/a-1/approve", {}),
    Route("POST", f"{BASE}/adjustments/a-1/reject", {}),
    Route("POST", f"{BASE}/holds/h-1/capture", {}, bad=(("/amount", {"amount": 0}), ("/amount", {"amount": -1}))),
    Route("POST", f"{BASE}/holds/h-1/release", {}),
    Route(
        "POST",
        f"{BASE}/vouchers/{CODE}/redeem",
        {"reference": "t-1", "basket": {"amount": 500, "currency": "USD"}},
        bad=(
            ("/reference", {"reference": ""}),
            ("/reference", {"reference": None}),
            ("/reference", {"reference": "a\x00b"}),
            ("/basket/amount", {"basket": {"amount": -1, "currency": "USD"}}),
            ("/basket/currency", {"basket": {"amount": 5, "currency": "dollar"}}),
            ("/amount", {"amount": 0}),
            ("/amount", {"amount": "5"}),
        ),
    ),
    Route("POST", f"{BASE}/vouchers/{CODE}/void", {}, bad=(("/reference", {"reference": ""}),)),
    Route(
        "POST",
        f"{BASE}/holds/h-1/cancel",
        {"by": "member", "reason": "changed plans"},
        bad=(
            ("/by", {"by": "weather"}),
            ("/by", {"by": None}),
            ("/reason", {"reason": ""}),
            ("/amount", {"amount": 0}),
        ),
    ),
]
FILES = [
    ("POST", "/v1/programs/{program}/batches"),
    ("PATCH", "/v1/programs/{program}/batches/{batch}"),
    ("POST", "/v1/programs/{program}/rewards/{reward}/codes"),
]
"""Takes no JSON; what can be wrong with a file is in test_batches, test_resuming and tests/flow/test_pools."""


def every_route() -> Iterator[tuple[str, str]]:
    """Yield the method and path of every route there is."""
    for router in ROUTERS:
        for route in router.routes:
            for method in route.methods:  # type: ignore[attr-defined]
                yield method, route.path_format  # type: ignore[attr-defined]


def test_no_route_that_takes_a_body_is_left_out() -> None:
    def tried(method: str, path: str) -> bool:
        pattern = re.compile(re.sub(r"{\w+}", "[^/]+", path))
        return any(route.method == method and pattern.fullmatch(route.path) for route in ROUTES)

    left_out = [each for each in every_route() if each[0] in {"PUT", "POST", "PATCH"} and not tried(*each)]
    assert sorted(left_out) == sorted(FILES)


async def counts(database: Database) -> dict[str, int]:
    tables = (
        "members", "identifiers", "requests", "redemptions", "operations", "program_versions", "partners", "api_keys",
        "outbox",
    )  # fmt: skip
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


@pytest.fixture
async def held(database: Database) -> None:
    """A hold and a redemption of the operator's, and a webhook."""
    async with database.transaction() as connection:
        await connection.execute(
            """insert into redemptions (program, redemption, partner, member, reward, request, state, created_at)
            values ($1, 'r-1', 'operator', 'm-1', 'mug', 'k', 'holding', now())""",
            PROGRAM,
        )
        for kind, name in ((HOLD, "h-1"), (ADJUSTMENT, "a-1")):
            new = NewOperation(PROGRAM, kind, name, "operator", "m-1", "k")
            await operations.add(connection, [new], datetime.now(UTC))
        url, types, now = "https://example.com/hooks", ["points.*"], datetime.now(UTC)
        await webhooks.add(connection, "whk-1", "operator", "k-1", url, types, [PROGRAM], now, own_only=False)


async def test_bad_bodies(http: httpx.AsyncClient, member: str, held: None, database: Database) -> None:
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
    http: httpx.AsyncClient, member: str, held: None, database: Database
) -> None:
    before = await counts(database)
    for route, pointer, change in faults():
        body = {**route.good, **change}
        answer = await http.request(route.method, route.path, json=body, headers=route.headers)
        own = "tenders_exceed_amount" if pointer == "/tenders" else "invalid"
        problem = is_problem(answer, 422, "lines_do_not_sum" if pointer == "/lines" else own)
        named = [fault["pointer"] for fault in problem["errors"]]
        assert pointer in named, (route.path, change, answer.text)
        for fault in problem["errors"]:
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
    # A slash more is another path, and nobody is sent elsewhere with a key in hand.
    for path in ("/", "/v1", "/v1/nothing", f"{BASE}/nothing", "/v2/programs", f"{BASE}/members/m-1/", f"{BASE}/"):
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
        ("holds/none", "hold_unknown"),
        ("adjustments/none", "adjustment_unknown"),
        ("transfers/none", "transfer_unknown"),
        ("exchanges/none", "exchange_unknown"),
        ("members/m-1/status-match/none", "not_found"),
        ("members/m-1/merge/none", "not_found"),
        ("households/none", "household_unknown"),
        ("members/m-1/unmerge/none", "not_found"),
    ):
        is_problem(await http.get(f"{BASE}/{path}"), 404, code)
    for path in ("/v1/programs/none", "/v1/programs/a%3Ab", "/v1/programs/%00", "/v1/programs/none/members/m"):
        is_problem(await http.get(path), 404, "program_unknown")
    is_problem(await http.get(f"{BASE}/activities/t?partner=%00"), 422, "invalid")
    for path in ("/v1/programs/a%20b", "/v1/partners/a%3Ab"):
        problem = is_problem(await http.put(path, json={}), 422, "invalid")
        assert problem["errors"][0]["pointer"].startswith("/path/")


BAD_QUERIES = (
    "limit=0",
    "limit=501",
    "limit=ten",
    "limit=1e2",
    "limit=%D9%A3",
    "limit=",
    "limit=1&limit=2",
    "cursor=%21",
    "cursor=AAA",
    "cursor=%00",
    "cursor=" + "9" * 400,
    "cursor=-1",
    "cursor=1&cursor=1",
)


async def test_bad_queries_of_every_list(
    settings: GatewaySettings, http: httpx.AsyncClient, member: str, held: None, database_urls: DatabaseUrls
) -> None:
    """Some lists are another service's, which has to tell what is wrong as well as we do."""
    document = (await http.get("/openapi.json")).json()
    lists = [
        path
        for path, item in document["paths"].items()
        if "limit" in {each["name"] for each in item.get("get", {}).get("parameters", ())}
    ]
    assert {path.rpartition("/")[2] for path in lists} == {
        "audit", "batches", "decisions", "deliveries", "lots", "rewards", "statement", "versions", "vouchers",
        "webhooks",
    }  # fmt: skip
    async with (
        points_door(settings, database_urls.points) as points,
        redemption_door(settings, database_urls.redemption) as redemption,
        gateway(settings.model_copy(update={"points_url": points, "redemption_url": redemption}), "api") as there,
    ):
        for path in lists:
            for query in BAD_QUERIES:
                problem = is_problem(await there.http.get(f"{filled(path)}?{query}"), 422, "invalid")
                named = query.partition("=")[0]
                assert [fault["pointer"] for fault in problem["errors"]] == [f"/query/{named}"], (path, query)


async def test_a_parameter_that_a_route_does_not_know_is_refused(http: httpx.AsyncClient, member: str) -> None:
    await http.put("/v1/partners/1", json={})
    for method, path in every_route():
        answer = await http.request(method, f"{filled(path)}?page=2", headers=JSON)
        if method == "HEAD":
            assert answer.status_code == 422, path
            continue
        problem = is_problem(answer, 422, "invalid")
        assert [fault["pointer"] for fault in problem["errors"]] == ["/query/page"], (method, path)


async def test_without_a_key_nothing_is_told(http: httpx.AsyncClient, here: Instance) -> None:
    """Walks every route there is."""
    seen = 0
    for method, path in every_route():
        answer = await http.request(method, filled(path), headers={"authorization": ""})
        if method == "HEAD":
            assert answer.status_code == 401, path
        else:
            is_problem(answer, 401, "unauthenticated")
        seen += 1
    assert seen > 20
    assert application(here.parts, here.api) is not None


async def test_some_requests_need_a_quoted_key(http: httpx.AsyncClient, member: str, database: Database) -> None:
    before = await counts(database)
    needing = [route for route in ROUTES if route.headers == KEY]
    assert len(needing) > 1
    for route in needing:
        missing = await http.post(route.path, json=route.good)
        told = is_problem(missing, 400, "idempotency_key_missing")
        assert [each["pointer"] for each in told["errors"]] == ["/header/Idempotency-Key"]
        for bad in ("bare", '""', '"open', '"' + "x" * 256 + '"', '"a" "b"'):
            answer = await http.post(route.path, json=route.good, headers={"idempotency-key": bad})
            is_problem(answer, 400, "malformed")
        named = next((each for each in ("from", "into") if each in route.good), "member")
        path = route.path.replace("/m-1/unmerge", "/nobody/unmerge")
        body = route.good if path != route.path else {**route.good, named: "nobody"}
        unknown = await http.post(path, json=body, headers=KEY)
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


@pytest.mark.parametrize(
    ("path", "body", "code", "pointer"),
    [
        ("activities", purchase("t-1", "nobody"), "member_unknown", "/member"),
        ("activities", purchase("t-1", partner="nobody"), "partner_unknown", "/partner"),
        ("quotes", purchase("t-1", {"scheme": "card", "value": "0"}), "member_unknown", "/member"),
        ("transfers", {"from": "nobody", "to": "m-1", "unit": "point", "amount": 1}, "member_unknown", "/from"),
        ("transfers", {"from": "m-1", "to": "nobody", "unit": "point", "amount": 1}, "member_unknown", "/to"),
        ("members/m-1/merge", {"into": "nobody"}, "member_unknown", "/into"),
        (
            "exchanges",
            {"member": "m-1", "to": {"program": "none", "member": "m"}, "unit": "point", "amount": 1},
            "program_unknown",
            "/to/program",
        ),
        (
            "holds",
            {"member": "m-1", "unit": "point", "amount": 1, "reference": "r", "partner": "nobody"},
            "partner_unknown",
            "/partner",
        ),
    ],
)
async def test_who_is_unknown_is_told_by_its_place(
    http: httpx.AsyncClient, member: str, path: str, body: Any, code: str, pointer: str
) -> None:
    """A body names several."""
    problem = is_problem(await http.post(f"{BASE}/{path}", json=body, headers=KEY), 404, code)
    assert [(each["pointer"], each["code"]) for each in problem["errors"]] == [(pointer, "unknown")]


async def test_whoever_of_a_household_is_unknown_is_told_by_its_place(http: httpx.AsyncClient, member: str) -> None:
    answer = await http.put(f"{BASE}/households/home", json={"members": [member, "nobody"]})
    assert [each["pointer"] for each in is_problem(answer, 404, "member_unknown")["errors"]] == ["/members/1"]


async def test_when_an_owner_cannot_be_reached_that_is_said(http: httpx.AsyncClient, member: str) -> None:
    answer = await http.get(f"{BASE}/members/{member}/statement")
    is_problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "1"
