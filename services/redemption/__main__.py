"""`python -m services.redemption api|worker|both` runs a process; `verify [--at-rest]` prints what does not hold."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence

import uvloop
from pydantic import ValidationError


def main(arguments: Sequence[str]) -> int:
    """Return the exit code."""
    match list(arguments):
        case ["verify", *options] if options in ([], ["--at-rest"]):
            return asyncio.run(_verify(os.environ["LAUREL_VERIFY_DATABASE_URL"], at_rest=bool(options)))
        case ["api" | "worker" | "both" as mode]:
            return _run(mode)
        case _:
            sys.stderr.write(f"{__doc__}\n")
            return 2


def _run(mode: str) -> int:
    from services.redemption.settings import RedemptionSettings
    from services.redemption.worker import run

    try:
        settings = RedemptionSettings()
    except ValidationError as error:
        for fault in error.errors():
            name = "_".join(map(str, fault["loc"])).upper()
            sys.stderr.write(f"LAUREL_REDEMPTION_{name}: {fault['msg']}\n")
        return 2
    uvloop.run(run(mode, settings))
    return 0


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
