"""The OpenAPI document is a promise: whatever it lets a caller send, nothing else than it says comes back."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import defaultdict
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as how
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

from laurel.io.migrating import DatabaseUrls
from services.gateway.settings import GatewaySettings
from tests.gateway.stage import PROGRAM, gateway, points_door, redemption_door, served

pytestmark = [
    pytest.mark.anyio,
    # The gateway runs in this process and draws the jitter of its pauses meanwhile.
    pytest.mark.filterwarnings("ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning"),
]

PROGRAMS = "/v1/programs/{program}"
ROUNDS = 6
SECONDS = 14.0
KNOWN = {"program": PROGRAM, "member": "m-1", "partner": "operator"}


@schemathesis.serializer("application/x-ndjson", "text/csv")
def as_it_is(_: Any, text: str) -> bytes:
    """A file is described as text."""
    return text.encode()


async def test_nothing_is_answered_that_is_not_described(
    settings: GatewaySettings, member: str, database_urls: DatabaseUrls
) -> None:
    async with (
        points_door(settings, database_urls.points) as points,
        redemption_door(settings, database_urls.redemption) as redemption,
        gateway(
            settings.model_copy(
                update={
                    "points_url": points,
                    "redemption_url": redemption,
                    "wait_seconds_max": 1,
                    "stream_seconds_max": 0.1,
                }
            ),
            "api",
        ) as there,
        served(there, settings) as port,
    ):
        document = (await there.http.get("/openapi.json")).json()
        key = there.http.headers["authorization"]
        address = f"http://127.0.0.1:{port}"
        seen = await asyncio.to_thread(_try_all, document, address, key)
        forgotten = json.loads(json.dumps(document))
        # No request of chance makes a batch that another one would find.
        path = f"{PROGRAMS}/batches/{{batch}}"
        forgotten["paths"] = {path: forgotten["paths"][path]}
        del forgotten["paths"][path]["get"]["responses"]["404"]
        with pytest.raises(FailureGroup, match="404"):
            await asyncio.to_thread(_try_all, forgotten, address, key)
    described = {f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item}
    # schemathesis.toml leaves out what never ends; test_events reads it.
    assert seen.keys() == described - {"GET /v1/events/stream"}
    assert set().union(*seen.values()) >= {200, 404, 422}


def _try_all(document: dict[str, Any], address: str, key: str) -> dict[str, set[int]]:
    """Send what the document allows: one round over all operations, and more until the time is up.

    Answers which statuses each operation came to.
    """
    schema: Any = schemathesis.openapi.from_dict(document)
    operations = [found.ok() for found in schema.get_all_operations()]
    ends = time.monotonic() + SECONDS
    seen: dict[str, set[int]] = defaultdict(set)
    for number, operation in itertools.product(range(ROUNDS), operations):
        if number == 0 or time.monotonic() < ends:
            seen[operation.label].add(_try(operation, number, address, key))
    return seen


def _try(operation: Any, number: int, address: str, key: str) -> int:
    """Send one request of chance, always the same under its number; an answer that is not described is an error."""
    statuses: list[int] = []

    @seed(number)
    @how(max_examples=1, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def send(case: Any) -> None:
        # Half of the requests are about what there is: a path of chance finds nothing, and is soon answered.
        for name in KNOWN.keys() & (case.path_parameters or {}).keys() if number % 2 == 0 else ():
            case.path_parameters[name] = KNOWN[name]
        answer = case.call(base_url=address, headers={"authorization": key}, timeout=20)
        case.validate_response(answer, checks=[not_a_server_error, status_code_conformance, content_type_conformance])
        statuses.append(answer.status_code)

    send()
    return statuses[-1]
