"""A version with other conversions comes: whoever has points enough by it is looked at when it starts.

Wallets say themselves when they are to be looked at, by the versions that were known when they last moved; those that
do not move would never hear of a new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg

from laurel.program.converting import CompiledConversion

# Locked in the order in which everybody locks wallets. Too early a look is harmless.
_LOOK = """
    update wallets w
    set converts_at = least(w.converts_at, $4), next_due_at = least(w.next_due_at, $4)
    from (
        select k.program, k.member from wallets k
        where k.program = $1 and exists (
            select from balances b, unnest($2::text[], $3::bigint[]) as c (unit, least)
            where b.program = k.program and b.member = k.member and b.unit = c.unit and b.available >= c.least)
        order by k.program, k.member for update of k) found
    where w.program = found.program and w.member = found.member"""


async def look_from(
    connection: asyncpg.Connection[Any], program: str, conversions: Sequence[CompiledConversion], start: datetime
) -> None:
    """Let time look at everybody who has points enough for any of the conversions, from `start` on."""
    units = [conversion.unit for conversion in conversions]
    leasts = [conversion.least for conversion in conversions]
    await connection.execute(_LOOK, program, units, leasts, start)
