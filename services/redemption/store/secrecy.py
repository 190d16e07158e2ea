"""Whether the secret at hand is the one that sealed what lies in the tables."""

from __future__ import annotations

from laurel.io.database import Connection
from services.redemption.store.vault import Vault

_ANY_KEY = "select program, member, key from members where key is not null limit 1"


async def check_secret(connection: Connection, vault: Vault) -> None:
    """Try it on one member's key; raises `SealBrokenError`. A wrong secret must stop the start, not each voucher."""
    row = await connection.fetchrow(_ANY_KEY)
    if row is not None:
        vault.opened(row["key"], row["program"], row["member"])
