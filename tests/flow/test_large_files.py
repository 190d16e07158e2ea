"""However large a file is, the gateway that reads it grows no larger."""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.flow.stage import BOUGHT_AT, Town, grocery

pytestmark = pytest.mark.anyio

PROGRAM = "grocery"
LINE_BYTES = 250_000
LINES = 1_000
GROWTH_BYTES_MAX = 40_000_000
PADDING = bytes(random.Random(7).choices(b" \t", k=LINE_BYTES))


@pytest.fixture(scope="module")
def town_parts() -> dict[str, str]:
    """One who takes files in; nobody moves their lines meanwhile."""
    return {"gateway": "api", "points": "both", "redemption": "both"}


def peak_of(town: Town) -> int:
    """The most memory that the gateway ever had."""
    status = Path(f"/proc/{town.pid('gateway')}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


async def file(count: int, size: int) -> AsyncIterator[bytes]:
    """Purchases without members, padded with white space as some exports are; made while they are sent."""
    for number in range(count):
        activity = {"id": f"t-{number}-{size}", "type": "purchase", "occurred_at": BOUGHT_AT, "amount": number}
        line = json.dumps({**activity, "currency": "USD"}).encode()
        yield line + PADDING[: size - len(line) - 1] + b"\n"


async def packed(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    pack = zlib.compressobj(1, zlib.DEFLATED, 31)
    async for piece in body:
        yield pack.compress(piece)
    yield pack.flush()


@pytest.mark.parametrize("is_packed", [False, True])
async def test_a_file_of_any_size_is_read_in_constant_memory(town: Town, is_packed: bool) -> None:
    door = town.door()
    if not is_packed:
        await door.publish(grocery(PROGRAM))
    headers = {"content-type": "application/x-ndjson", **({"content-encoding": "gzip"} if is_packed else {})}

    async def send(count: int, size: int) -> int:
        body = file(count, size)
        content = packed(body) if is_packed else body
        path = f"/v1/programs/{PROGRAM}/batches"
        answer = await door.http.post(path, content=content, headers=headers, timeout=300)
        assert answer.status_code == 202, answer.text
        assert answer.headers["upload-offset"] == str(count * size)
        return int(answer.json()["received"])

    # What a file costs at all is had by a small one.
    assert await send(5_000, 200) == 5_000
    before = peak_of(town)
    assert await send(LINES, LINE_BYTES) == LINES
    grown = peak_of(town) - before
    assert grown < GROWTH_BYTES_MAX < LINES * LINE_BYTES / 5, f"{grown:,} bytes more for {LINES * LINE_BYTES:,}"
