"""`python -m services.gateway api|worker|both` runs a process; `verify` proves that what it shows is what is.

`reseal` seals by the secret that seals now what was sealed by the one before.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import uvloop
from pydantic import ValidationError

if TYPE_CHECKING:
    from services.gateway.settings import GatewaySettings


def main(arguments: Sequence[str]) -> int:
    """Return the exit code."""
    match list(arguments):
        case ["verify"]:
            return asyncio.run(_verify(os.environ["LAUREL_VERIFY_DATABASE_URL"]))
        case ["reseal"]:
            return _reseal()
        case ["api" | "worker" | "both" as mode]:
            return _run(mode)
        case _:
            sys.stderr.write(f"{__doc__}\n")
            return 2


def _run(mode: str) -> int:
    from services.gateway.worker import run

    settings = _settings()
    if settings is None:
        return 2
    uvloop.run(run(mode, settings))
    return 0


def _settings() -> GatewaySettings | None:
    from services.gateway.settings import GatewaySettings

    try:
        return GatewaySettings()
    except ValidationError as error:
        for fault in error.errors():
            name = "_".join(map(str, fault["loc"])).upper()
            sys.stderr.write(f"LAUREL_GATEWAY_{name}: {fault['msg']}\n")
        return None


def _reseal() -> int:
    settings = _settings()
    if settings is None:
        return 2
    sys.stdout.write(json.dumps({"sealed": asyncio.run(_sealed(settings))}) + "\n")
    return 0


async def _sealed(settings: GatewaySettings) -> int:
    from services.gateway.wiring import reseal

    return sum([count async for count in reseal(settings)])


async def _verify(url: str) -> int:
    import asyncpg

    from services.gateway.verifying import Finding, verify

    connection = await asyncpg.connect(url, server_settings={"jit": "off"})
    try:
        async for found in verify(connection):
            line = (
                {"proof": found.proof, "where": found.where, "what": found.what}
                if isinstance(found, Finding)
                else {"checked": found.count, "of": found.what}
            )
            sys.stdout.write(json.dumps(line) + "\n")
    finally:
        await connection.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
