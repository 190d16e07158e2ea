"""`python -m services.points api|worker|both` runs a process; `verify` proves the ledger and prints findings."""

import asyncio
import json
import os
import sys

import uvloop

ROLES = ("api", "worker", "both")


def main() -> int:
    """Return the exit code."""
    asked = sys.argv[1] if len(sys.argv) == 2 else ""
    if asked == "verify":
        return asyncio.run(_verify(os.environ["LAUREL_VERIFY_DATABASE_URL"]))
    if asked not in ROLES:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    from services.points.worker import run

    uvloop.run(run(asked))
    return 0


async def _verify(url: str) -> int:
    import asyncpg

    from services.points.verifying import Finding, verify

    connection = await asyncpg.connect(url, server_settings={"jit": "off"})
    try:
        async for found in verify(connection):
            line = (
                {"proof": found.proof, "where": found.where, "what": found.what}
                if isinstance(found, Finding)
                else {"checked": found, "of": "journals"}
            )
            sys.stdout.write(json.dumps(line) + "\n")
    finally:
        await connection.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
