"""Vouchers of the tables as the views list them, and what was said of them in a word."""

from __future__ import annotations

from typing import Any

from laurel.io.database import Database
from services.redemption.store.vault import Vault
from services.redemption.store.views import PostgresViews
from services.redemption.testing import NOON, PROGRAM


def types(said: Any) -> list[str]:
    return [each.type.removeprefix("voucher.").removesuffix(".v1") for each in said]


async def listed(database: Database, vault: Vault, **wanted: Any) -> list[dict[str, Any]]:
    asked = {"member": None, "state": None, "after": ("", ""), "limit": 50, "now": NOON, **wanted}
    async with database.reading() as connection:
        return await PostgresViews(vault).listed(connection, PROGRAM, **asked)
