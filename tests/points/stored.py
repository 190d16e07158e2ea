"""Points over the tables: a batch in a transaction of its own, a till whose ledger is the database, and the proofs."""

from __future__ import annotations

from typing import Any

import asyncpg

from laurel.io.database import Database, is_conflict
from laurel.io.migrating import DatabaseUrls
from services.points.domain.state import Balance
from services.points.ports import WalletKey
from services.points.road import Road
from services.points.store.ledger import Ledger
from services.points.testing import Note
from services.points.verifying import Finding, verify
from tests.points.till import Till, as_heard


async def say(database: Database, road: Road, *notes: Note) -> list[dict[str, Any]]:
    """Send the notes down the road, and return what was announced."""
    async with database.transaction() as connection:
        return as_heard(await road.run(Ledger(connection), notes))


async def findings(urls: DatabaseUrls) -> list[Finding]:
    """Return what `laurel verify` would find in points, seen with the auditor's eyes: nothing, if all is well."""
    connection = await asyncpg.connect(urls.auditor)
    try:
        return [found async for found in verify(connection) if isinstance(found, Finding)]
    finally:
        await connection.close()


class StoredTill(Till):
    """A till whose ledger is the database."""

    database: Database

    async def send(self, *notes: Note) -> list[dict[str, Any]]:
        return await say(self.database, self.road, *notes)

    async def run_due(self) -> None:
        async with self.database.transaction() as connection:
            await self.road.run_due(Ledger(connection), [WalletKey(self.program, self.member)], self.at)

    async def totals(self) -> Balance:
        async with self.database.connection() as connection:
            row = await connection.fetchrow(
                "select unit, available, pending, held, owed, earned, spent, expired, reversed, adjusted "
                "from balances where program = $1 and member = $2",
                self.program,
                self.member,
            )
        assert row is not None
        return Balance(*row)

    async def figures(self, unit: str) -> tuple[int, int]:
        """Return what is available of a unit, and what is owed."""
        async with self.database.connection() as connection:
            row = await connection.fetchrow(
                "select available, owed from balances where program = $1 and member = $2 and unit = $3",
                self.program,
                self.member,
                unit,
            )
        return (row["available"], row["owed"]) if row is not None else (0, 0)

    async def counters(self) -> dict[str, list[int]]:
        """Return what each counter has counted, window after window."""
        async with self.database.connection() as connection:
            rows = await connection.fetch(
                "select counter, counted from counters where program = $1 and member = $2 order by window_start",
                self.program,
                self.member,
            )
        found: dict[str, list[int]] = {}
        for row in rows:
            found.setdefault(row["counter"], []).append(row["counted"])
        return found


async def insist(till: StoredTill, note: Any) -> None:
    """Do as the consumer does where others were met on the way."""
    while True:
        try:
            await till.send(note)
        except Exception as error:
            if not is_conflict(error):
                raise
        else:
            return
