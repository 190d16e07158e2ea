"""What the gateway says of itself: OpenAPI, AsyncAPI, health, metrics."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from services.gateway import shown
from services.gateway.routes import ROUTERS
from tests.gateway.stage import PROGRAM, Instance, purchase

pytestmark = pytest.mark.anyio

BASE = f"/v1/programs/{PROGRAM}"


async def test_every_route_is_described_with_its_problems(http: httpx.AsyncClient) -> None:
    document = (await http.get("/openapi.json", headers={"authorization": ""})).json()
    assert document["openapi"].startswith("3.1")
    described = {(path, method.upper()) for path, item in document["paths"].items() for method in item}
    routes = {(r.path_format, m) for router in ROUTERS for r in router.routes for m in r.methods}  # type: ignore[attr-defined]
    assert described == routes
    for path, item in document["paths"].items():
        for method, operation in item.items():
            assert operation["summary"], path
            assert {"401", "404"} <= set(operation["responses"]), path
            named = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path))
            if method in {"put", "post"} and not path.endswith("/quotes"):
                assert operation["requestBody"]["required"] or operation["requestBody"]["content"], path
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert references <= set(document["components"]["schemas"])
    assert {"Activity", "ProblemShown", "EnrolMember"} <= references
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_the_page_about_http_names_every_route_and_what_is_not_there_yet() -> None:
    text = (Path(__file__).parents[2] / "docs" / "http.md").read_text(encoding="utf-8")
    routes = {(m, r.path_format) for router in ROUTERS for r in router.routes for m in r.methods}  # type: ignore[attr-defined]
    there = re.search(r"## Routes\n(.*?)\n## ", text, re.DOTALL)
    missing = re.search(r"## Not yet\n(.*?)(\n## |\Z)", text, re.DOTALL)
    assert there is not None
    assert missing is not None
    planned = named(missing[1])
    assert len(planned) > 3
    assert not planned & routes, "no longer missing"
    assert not planned & named(there[1])
    left_out = {path.rpartition("/")[2] for _, path in routes} - set(re.findall(r"{?[\w-]+}?", there[1]))
    assert not left_out


def named(text: str) -> set[tuple[str, str]]:
    """Return the methods and paths that a text names as code."""
    found = re.findall(r"`(GET|PUT|POST|PATCH|DELETE) ([^`?]+)", text)
    return {(method, path.strip().replace("…", "/v1/programs/{program}")) for method, path in found}


async def test_answers_have_the_shapes_that_are_described(http: httpx.AsyncClient, member: str) -> None:
    seen: list[tuple[type[shown.Shown], httpx.Response]] = [
        (shown.ProgramDetails, await http.get(BASE)),
        (shown.VersionsShown, await http.get(f"{BASE}/versions")),
        (shown.PartnerShown, await http.get("/v1/partners/operator")),
        (shown.MemberShown, await http.get(f"{BASE}/members/{member}")),
        (shown.ActivityShown, await http.post(f"{BASE}/activities", json=purchase("t-1"))),
        (shown.ProblemShown, await http.get(f"{BASE}/activities/none")),
        (
            shown.KeyShown,
            await http.post("/v1/partners/operator/keys", json={"scopes": ["read"], "programs": [PROGRAM]}),
        ),
    ]
    batch = await http.post(f"{BASE}/batches", content=b"{}", headers={"content-type": "application/x-ndjson"})
    seen.append((shown.BatchShown, batch))
    for shape, answer in seen:
        adapter: TypeAdapter[Any] = TypeAdapter(shape)
        adapter.validate_json(answer.content)


async def test_the_page_for_readers_is_made_of_nothing_from_elsewhere(http: httpx.AsyncClient) -> None:
    http.headers.pop("authorization")
    page = await http.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    assert (policy["default-src"], policy["script-src"], policy["connect-src"]) == ("'none'", "'self'", "'self'")
    assert policy["frame-ancestors"] == "'none'"
    assert "//" not in page.text.replace("<!DOCTYPE", ""), "no address of somebody else's"
    # A policy without `unsafe-inline` runs no script that stands in the page.
    assert re.findall(r"<script(.*?)>(.*?)</script>", page.text, re.DOTALL) == [
        (' src="docs/swagger-ui-bundle.js"', ""), (' src="docs/start.js"', ""),
    ]  # fmt: skip
    kinds = {}
    for loaded in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        answer = await http.get(f"/{loaded.removeprefix('./')}")
        assert answer.status_code == 200, loaded
        assert answer.headers["x-content-type-options"] == "nosniff"
        kinds[loaded.rpartition("/")[2]] = answer.headers["content-type"].partition(";")[0]
    assert kinds == {
        "favicon-32x32.png": "image/png", "swagger-ui.css": "text/css", "openapi.json": "application/json",
        "swagger-ui-bundle.js": "text/javascript", "start.js": "text/javascript",
    }  # fmt: skip
    assert "SwaggerUIBundle=" in (await http.get("/docs/swagger-ui-bundle.js")).text
    assert (await http.get("/docs/none")).headers[
        "content-security-policy"
    ] == "default-src 'none'; frame-ancestors 'none'"


async def test_documents_and_health_need_no_key(http: httpx.AsyncClient, here: Instance) -> None:
    headers = {"authorization": ""}
    assert (await http.get("/docs", headers=headers)).status_code == 200
    asyncapi = (await http.get("/asyncapi.json", headers=headers)).json()
    committed = Path(__file__).parents[2] / "laurel" / "contracts" / "asyncapi.json"
    assert asyncapi == json.loads(committed.read_text(encoding="utf-8"))
    assert (await http.get("/health/live", headers=headers)).json() == {"status": "live"}
    ready = await http.get("/health/ready", headers=headers)
    assert (ready.status_code, ready.json()["not_ready"]) == (200, {})
    here.health.not_ready("something", "is missing")
    assert (await http.get("/health/ready", headers=headers)).status_code == 503
    metrics = (await http.get("/metrics", headers=headers)).text
    assert "laurel_http_seconds_bucket" in metrics
    assert member_free(metrics)


def member_free(metrics: str) -> bool:
    """Labels name routes, not members."""
    return "/members/m-" not in metrics
