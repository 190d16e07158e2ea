"""Who is in a household: read before anything is locked, so that all its wallets are locked in one order."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import asyncpg
import msgspec

from services.points.domain.facts import Household
from services.points.ports import WalletKey

_HOUSEHOLDS = """
    select w.*
    from unnest($1::text[], $2::text[]) as k (program, member)
    cross join lateral (
        select program, member, household from wallets
        where program = k.program and member = k.member and household is not null offset 0) w"""

decode_household = msgspec.json.Decoder(Household).decode


async def read_households(
    connection: asyncpg.Connection[Any], keys: Collection[WalletKey]
) -> dict[WalletKey, Household]:
    """Return the households of members, of those who are in one."""
    columns = [list(column) for column in zip(*sorted(keys), strict=True)]
    return {
        WalletKey(program, member): decode_household(household)
        for program, member, household in await connection.fetch(_HOUSEHOLDS, *columns)
    }
