"""`python -m services.gateway api|worker|both` runs a process; `verify` proves that what it shows is what is.

`reseal` seals by the secret that seals now what was sealed by the one before. `rebuild [--program PROGRAM]… [PART…]`
makes what it shows of others anew from what they tell, while everything runs: rewards, redemptions, operations,
members, activities.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from contextlib import aclosing
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
        case ["rebuild", *rest]:
            return _rebuild(rest)
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


def _rebuild(arguments: Sequence[str]) -> int:
    """Print how far it is, a JSON object a line; the last one says what is wrong, if anything is."""
    import asyncpg

    from laurel.errors import Problem
    from laurel.io.telemetry import configure_logging
    from services.gateway.rebuilding import PARTS

    parser = argparse.ArgumentParser(prog="python -m services.gateway rebuild")
    parser.add_argument("--program", action="append", default=[])
    parser.add_argument("parts", nargs="*", metavar=f"{{{','.join(PARTS)}}}")
    asked = parser.parse_args(arguments)
    if unknown := [part for part in asked.parts if part not in PARTS]:
        parser.error(f"{unknown[0]!r} is none of {', '.join(PARTS)}")
    settings = _settings()
    if settings is None:
        return 2
    # What goes wrong is said in the last line.
    configure_logging("gateway", as_json=settings.log_json, level="CRITICAL")
    try:
        is_whole = asyncio.run(_rebuilt(settings, asked.program, asked.parts or PARTS))
    except Problem as problem:
        sys.stdout.write(json.dumps({"code": problem.code, "detail": problem.detail}) + "\n")
        return 1
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        detail = f"the gateway's database: {error or repr(error)}"
        sys.stdout.write(json.dumps({"code": "unavailable", "detail": detail}) + "\n")
        return 1
    return 0 if is_whole else 1


async def _rebuilt(settings: GatewaySettings, programs: Sequence[str], parts: Sequence[str]) -> bool:
    """Say whether everybody could be told of."""
    from services.gateway.wiring import rebuilding

    left = 0
    async with rebuilding(settings) as rebuild:
        wanted = await rebuild.programs(programs)
        await rebuild.reach(parts)
        for program in wanted:
            async with aclosing(rebuild.run(program, parts)) as steps:
                async for progress in steps:
                    left = max(left, len(progress.left))
                    sys.stdout.write(json.dumps(progress._asdict()) + "\n")
                    sys.stdout.flush()
    return not left


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
