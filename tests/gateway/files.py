"""Files of activities: how they are written and sent, and what a batch shows of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import httpx

from tests.gateway.stage import PROGRAM, until

BATCHES = f"/v1/programs/{PROGRAM}/batches"
NDJSON = {"content-type": "application/x-ndjson"}
PACKED = {**NDJSON, "content-encoding": "gzip"}


def ndjson(activities: Iterable[Any]) -> bytes:
    return b"".join((each if isinstance(each, bytes) else json.dumps(each).encode()) + b"\n" for each in activities)


async def finished(http: httpx.AsyncClient, location: str) -> dict[str, Any]:
    async def shown() -> dict[str, Any] | None:
        batch: dict[str, Any] = (await http.get(location)).json()
        return batch if batch["state"] in {"done", "cut_off"} else None

    found: dict[str, Any] = await until(shown)
    return found


async def rows(http: httpx.AsyncClient, location: str) -> list[dict[str, Any]]:
    answer = await http.get(location)
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.content.splitlines()]


def counts(batch: dict[str, Any]) -> dict[str, int]:
    return {name: value for name, value in batch.items() if isinstance(value, int) and value}
