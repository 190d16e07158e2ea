"""`python -m services.redemption api|worker|both` runs a process; `verify [--at-rest]` prints what does not hold.

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
    from services.redemption.settings import RedemptionSettings


def main(arguments: Sequence[str]) -> int:
    """Return the exit code."""
    match list(arguments):
        case ["verify", *options] if options in ([], ["--at-rest"]):
            return asyncio.run(_verify(os.environ["LAUREL_VERIFY_DATABASE_URL"], at_rest=bool(options)))
        case ["reseal"]:
            return _reseal()
        case ["api" | "worker" | "both" as mode]:
            return _run(mode)
        case _:
            sys.stderr.write(f"{__doc__}\n")
            return 2


def _run(mode: str) -> int:
    from services.redemption.worker import run

    settings = _settings()
    if settings is None:
        return 2
    uvloop.run(run(mode, settings))
    return 0


def _settings() -> RedemptionSettings | None:
    from services.redemption.settings import RedemptionSettings

    try:
        return RedemptionSettings()
    except ValidationError as error:
        for fault in error.errors():
            name = "_".join(map(str, fault["loc"])).upper()
            sys.stderr.write(f"LAUREL_REDEMPTION_{name}: {fault['msg']}\n")
        return None


def _reseal() -> int:
    settings = _settings()
    if settings is None:
        return 2
    sys.stdout.write(json.dumps({"sealed": asyncio.run(_sealed(settings))}) + "\n")
    return 0


async def _sealed(settings: RedemptionSettings) -> int:
    from services.redemption.wiring import reseal

    return sum([count async for count in reseal(settings)])


async def _verify(url: str, *, at_rest: bool) -> int:
    import asyncpg

    from services.redemption.verifying import Finding, verify

    connection = await asyncpg.connect(url, server_settings={"jit": "off"})
    try:
        async for found in verify(connection, at_rest=at_rest):
            line = (
                {"proof": found.proof, "where": found.where, "what": found.what}
                if isinstance(found, Finding)
                else {"checked": found, "of": "decisions"}
            )
            sys.stdout.write(json.dumps(line) + "\n")
    finally:
        await connection.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
