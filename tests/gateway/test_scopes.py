"""Each operation that the gateway describes, by a key that lacks just its scope, and by one that has nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from typing import Any, Final, NamedTuple

import httpx
import pytest

from services.gateway.guarding import SCOPES
from services.gateway.settings import GatewaySettings
from tests.gateway.stage import PROGRAM
from tests.gateway.test_keys import bearer, key

pytestmark = pytest.mark.anyio

MISSING: Final = (403, "scope_missing")
PARTNER: Final = "acme"


class Operation(NamedTuple):
    method: str
    path: str
    scopes: frozenset[str]


@pytest.fixture
def settings(settings: GatewaySettings) -> GatewaySettings:
    """A stream that ends, and as many requests as the walk needs."""
    return settings.model_copy(update={"stream_seconds_max": 0.05, "rate_limits_by_route": {}})


@pytest.fixture
async def operations(http: httpx.AsyncClient) -> list[Operation]:
    paths = (await http.get("/openapi.json")).json()["paths"]
    return [
        Operation(method.upper(), path, frozenset(scope for each in said["security"] for scope in each["key"]))
        for path, item in paths.items()
        for method, said in item.items()
    ]


@pytest.fixture
def having(http: httpx.AsyncClient) -> Callable[[frozenset[str]], Coroutine[Any, Any, dict[str, str]]]:
    """Answers the header of a key with just these scopes; each is made once."""
    made: dict[frozenset[str], dict[str, str]] = {}

    async def header(scopes: frozenset[str]) -> dict[str, str]:
        if scopes not in made:
            made[scopes] = bearer(await key(http, PARTNER, scopes=sorted(scopes)))
        return made[scopes]

    return header


async def asked(http: httpx.AsyncClient, each: Operation, headers: dict[str, str]) -> tuple[int, str]:
    """Ask for what is not there, in a program that is; who may not ask hears that first."""
    names = {"program": PROGRAM, "partner": PARTNER, "version": "1"}
    path = re.sub(r"{(\w+)}", lambda found: names.get(found[1], "none"), each.path)
    body: Any = None if each.method in {"GET", "HEAD", "DELETE"} else {}
    answer = await http.request(each.method, path, json=body, headers={**headers, "prefer": "respond-async"})
    is_problem = "problem+json" in answer.headers.get("content-type", "")
    # The answer to a HEAD has no body to say why.
    return answer.status_code, answer.json()["code"] if is_problem and answer.content else MISSING[1]


async def test_a_key_that_lacks_just_the_scope_is_told_so(
    http: httpx.AsyncClient, operations: list[Operation], having: Any
) -> None:
    wanting = [each for each in operations if each.scopes]
    found = {each: await asked(http, each, await having(frozenset(SCOPES) - each.scopes)) for each in wanting}
    assert {each: seen for each, seen in found.items() if seen != MISSING} == {}
    assert len(wanting) > 80


async def test_each_scope_that_is_described_opens_by_itself(
    http: httpx.AsyncClient, operations: list[Operation], having: Any
) -> None:
    pairs = [(each, scope) for each in operations for scope in sorted(each.scopes)]
    found = {(each, scope): await asked(http, each, await having(frozenset({scope}))) for each, scope in pairs}
    assert {pair: seen for pair, seen in found.items() if seen[0] in {401, 403}} == {}
    assert len(pairs) > 100


async def test_what_asks_for_no_scope_is_open_to_any_key(
    http: httpx.AsyncClient, operations: list[Operation], having: Any
) -> None:
    wanting = [each for each in operations if not each.scopes]
    found = {each: await asked(http, each, await having(frozenset({"earn"}))) for each in wanting}
    assert {each: seen for each, seen in found.items() if seen[0] in {401, 403}} == {}
    assert {each.path.rpartition("/")[2] for each in wanting} == {"{program}", "versions", "{version}", "{partner}"}
