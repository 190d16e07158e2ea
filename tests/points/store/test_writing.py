"""One at a time or hundreds together: the tables are the same."""

from typing import Any

import pytest

from laurel.io.database import Database
from laurel.io.migrating import DatabaseUrls
from services.points.road import Road
from services.points.store.ledger import Ledger
from services.points.store.writing_few import FEW
from services.points.testing import FixedPrograms, Note
from tests.points.stored import findings
from tests.points.till import START, document, enrolment, purchase, report

pytestmark = pytest.mark.anyio

TABLES = ("wallets", "balances", "journals", "entries", "activities", "lots")
MEMBERS = FEW + 6


def _notes(prefix: str) -> list[Note]:
    """Enrolments, baskets that earn, one too small to earn, and a repeat of one with another content."""
    members = [f"{prefix}-{number}" for number in range(MEMBERS)]
    joined = [enrolment("clubcard", member) for member in members]
    bought = [
        report("clubcard", member, purchase(f"a-{member}", 99 if member.endswith("7") else 1234), START)
        for member in members
    ]
    more = [report("clubcard", member, purchase(f"b-{member}", 500), START) for member in members]
    other = [report("clubcard", members[0], purchase(f"a-{members[0]}", 4321), START)]
    return [*joined, *bought, *more, *other]


async def _rows(database: Database, table: str, prefix: str) -> list[tuple[Any, ...]]:
    async with database.connection() as connection:
        found = await connection.fetch(f"select * from {table} where member like $1", f"{prefix}-%")
    # The hash is of the body, in which the member is named.
    return sorted(
        tuple(str(value).replace(f"{prefix}-", "x-") for name, value in row.items() if name != "hash") for row in found
    )


async def test_few_and_many_write_the_same(database: Database, database_urls: DatabaseUrls) -> None:
    road = Road(FixedPrograms(document("clubcard")))
    for note in _notes("few"):
        async with database.transaction() as connection:
            await road.run(Ledger(connection), [note])
    many = _notes("all")
    assert len(many) > FEW
    async with database.transaction() as connection:
        await road.run(Ledger(connection), many)
    for table in TABLES:
        few = await _rows(database, table, "few")
        assert few == await _rows(database, table, "all"), table
        assert len(few) >= MEMBERS
    assert await findings(database_urls) == []
