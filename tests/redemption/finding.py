"""What `laurel verify` would find in redemption, and the points that it compares with."""

from __future__ import annotations

from typing import Any

import asyncpg

from services.redemption.testing import PROGRAM
from services.redemption.verifying import Finding, verify


async def findings(auditor: asyncpg.Connection[Any], *, across: bool = True, at_rest: bool = True) -> list[Finding]:
    found = [each async for each in verify(auditor, across=across, at_rest=at_rest)]
    return [each for each in found if isinstance(each, Finding)]


async def pretend_points(auditor_urls: Any, holds: list[tuple[str, str, int, str]]) -> None:
    """Write into points what it would have done, so that proofs across services can be tried."""
    connection = await asyncpg.connect(auditor_urls.points, server_settings={"search_path": "points"})
    try:
        await connection.executemany(
            """insert into holds (program, member, hold, unit, amount, state, saga, parts, journal, captured,
                 cancelled)
               select $1, $2, $3, 'point', amount, state, true, '[]', 1,
                 case state when 'captured' then amount else 0 end, case state when 'cancelled' then amount else 0 end
               from (select $4::bigint as amount, $5::text as state) h""",
            [(PROGRAM, member, hold, amount, state) for member, hold, amount, state in holds],
        )
    finally:
        await connection.close()
