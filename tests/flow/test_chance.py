"""Chance is let loose on every operation of real processes: nothing comes back that the document does not promise.

All of schemathesis' checks are on, and what one answer makes is what the next request is about. `schemathesis.toml`
says what is meant otherwise, and why. `--chance 50` sends so many requests of chance to each operation, and walks
through every edge of every schema beforehand.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.flow.stage import JOINED_AT, Door, Town, grocery, purchase, voucher

pytestmark = [pytest.mark.anyio]

HERE = Path(__file__).parents[2]
PROGRAM = "grocery"
SEED = 20_261_126


@pytest.fixture(scope="module")
async def town(town: Town) -> Town:
    """A town in which there is what the document's examples are about."""
    door = town.door()
    await door.publish(grocery(PROGRAM, transfers={"point": {}}))
    for member, card in (("m-42", "6340001"), ("m-43", "6340002")):
        body = {"member": member, "identifiers": [{"scheme": "card", "value": card}], "enrolled_at": JOINED_AT}
        await door.call("POST", f"programs/{PROGRAM}/members", body, 201)
        await door.report(PROGRAM, purchase(f"first-{member}", member, 1_000_000))
    await door.call("PUT", f"programs/{PROGRAM}/rewards/five-off", voucher(100), 201)
    return town


async def run(door: Door, *more: str, schema: str = "") -> tuple[int, str]:
    """Run schemathesis as a user would; returns its exit code and what it said."""
    address = str(door.http.base_url)
    authorization = f"Authorization: {door.http.headers['authorization']}"
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"), "run",
        schema or f"{address}/openapi.json", "--url", address, "-H", authorization, "--seed", str(SEED),
        "--workers", "1", "--continue-on-failure", "--warnings", "off", *more,
    ]  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        *command, cwd=HERE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode(errors="replace")


async def test_nothing_comes_back_that_is_not_promised(town: Town, request: pytest.FixtureRequest) -> None:
    examples = int(request.config.getoption("--chance"))
    phases = "examples,fuzzing,stateful" if examples < 10 else "examples,coverage,fuzzing,stateful"
    code, said = await run(town.door(), "--phases", phases, "--max-examples", str(examples))
    assert code == 0, said[-20_000:]
    assert "Stateful" in said
    await town.prove()


async def test_what_is_not_promised_is_found(town: Town, tmp_path: Path) -> None:
    door = town.door()
    document: dict[str, Any] = (await door.http.get("/openapi.json")).json()
    del document["paths"]["/v1/programs/{program}/batches/{batch}"]["get"]["responses"]["404"]
    forgotten = tmp_path / "openapi.json"
    forgotten.write_text(json.dumps(document), encoding="utf-8")
    one = ("--phases", "fuzzing", "--max-examples", "3", "--include-operation-id", "get_batch")
    code, said = await run(door, *one, schema=str(forgotten))
    assert code == 1, said
    assert "Undocumented" in said, said
    assert "404" in said
    code, said = await run(door, *one)
    assert code == 0, said
