"""Reads over a whole program: what became of the points that were granted, and how much comes from few."""

from __future__ import annotations

from datetime import date
from typing import Any

import asyncpg

from laurel.rounding import scaled

_TOTALS = """
    select unit, sum(earned)::bigint as granted, sum(spent)::bigint as redeemed, sum(expired)::bigint as expired,
           sum(available + held - owed)::bigint as outstanding
    from balances where program = $1 group by unit order by unit"""

# Of N members the first so many percent, rounded down, at least one; who is among equals at the border is no matter.
_CONCENTRATION = """
    with counted as (
        select member, sum(amount) as amount from tier_counts
        where program = $1 and grain = 'day' and unit = $2 and day >= $3 and day < $4
        group by member having sum(amount) > 0),
    placed as (
        select amount, row_number() over (order by amount desc) as place, count(*) over () as members from counted)
    select count(*) as members, coalesce(max(greatest(members * $5 / 100, 1)), 0) as top,
           coalesce(sum(amount), 0)::numeric as total,
           coalesce(sum(amount) filter (where place <= greatest(members * $5 / 100, 1)), 0)::numeric as of_top
    from placed"""


async def breakage(connection: asyncpg.Connection[Any], program: str) -> dict[str, Any]:
    """Return, by unit, what was granted, redeemed and expired, and the shares of it."""
    units = [dict(row) for row in await connection.fetch(_TOTALS, program)]
    for unit in units:
        unit["redemption_percent"] = percent(unit["redeemed"], unit["granted"])
        unit["breakage_percent"] = percent(unit["expired"], unit["granted"])
    return {"units": units}


async def concentration(
    connection: asyncpg.Connection[Any], program: str, unit: str, days: tuple[date, date], top: int
) -> dict[str, Any]:
    """Return which share of what was counted on these days comes from the top percent of those who counted anything."""
    members, of_members, total, of_top = (await connection.fetch(_CONCENTRATION, program, unit, *days, top))[0]
    return {
        "unit": unit,
        "from": days[0],
        "until": days[1],
        "members": members,
        "top": of_members,
        "total": int(total),
        "of_top": int(of_top),
        "percent": percent(int(of_top), int(total)),
    }


def percent(part: int, whole: int) -> str | None:
    """Return a share with one decimal, rounded half up; None where there is no whole."""
    if whole <= 0:
        return None
    tenths = scaled(1000, part, whole, "half_up")
    return f"{tenths // 10}.{tenths % 10}"
