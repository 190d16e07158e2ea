"""The scopes and methods that the document tells are those that open: asked from outside, with keys of every kind."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from services.gateway.guarding import SCOPES
from tests.gateway.paths import filled
from tests.gateway.stage import PROGRAM, Instance

pytestmark = [pytest.mark.anyio]


async def test_scopes_and_methods_that_are_told_are_those_that_open(
    http: httpx.AsyncClient, here: Instance, member: str
) -> None:
    """With all other scopes it is 403; with each of those that are told it is anything else."""
    document: dict[str, Any] = (await http.get("/openapi.json")).json()
    keys: dict[frozenset[str], str] = {}

    async def ask(method: str, path: str, scopes: set[str]) -> httpx.Response:
        wanted = frozenset(scopes)
        if wanted not in keys:
            body = {"scopes": sorted(wanted), "programs": [PROGRAM]}
            made = await http.post("/v1/partners/operator/keys", json=body)
            assert made.status_code == 201, made.text
            keys[wanted] = made.json()["secret"]
        headers = {"authorization": f"Bearer {keys[wanted]}", "last-event-id": "no number"}
        # What is sent is wrong, so that nothing comes of it; who may not ask is told that first.
        return await http.request(method, path, headers=headers, json=[] if method != "get" else None)

    tried = 0
    operations = [(path, *each) for path, item in document["paths"].items() for each in item.items()]
    for path, method, operation in operations:
        told = {scope for each in operation["security"] for scope in each["key"]}
        if not told:
            continue
        at = filled(path).replace("/partners/1", "/partners/operator")
        without = await ask(method, at, set(SCOPES) - told)
        assert without.status_code == 403, (method, path)
        assert method == "head" or without.json()["code"] == "scope_missing", (method, path)
        allowed = await http.request("OPTIONS", at)
        assert allowed.status_code == 405
        methods = {each.upper() for each in document["paths"][path]}
        methods |= {"HEAD"} if "GET" in methods else set()
        assert set(re.findall(r"\w+", allowed.headers["allow"])) == methods, path
        for scope in told:
            found = await ask(method, at, {scope})
            assert found.status_code != 403, (method, path, scope)
            tried += 1
    assert tried > 60
    page = await http.get("/docs")
    assert page.status_code == 200
    assert "/openapi.json" in page.text
