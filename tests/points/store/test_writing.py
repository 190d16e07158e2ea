"""One at a time or hundreds together: the tables are the same."""

from typing import Any

import pytest

from laurel.io.database import Database
from laurel.io.migrating import DatabaseUrls
from services.points.road import Road
from services.points.store.ledger import Ledger
from services.points.store.writing_few import FEW
from services.points.testing import FixedPrograms, Note, note
from tests.points.stored import findings
from tests.points.till import START, document, enrolment, purchase, report

pytestmark = pytest.mark.anyio

TABLES = ("wallets", "balances", "journals", "entries", "activities", "lots", "holds", "adjustments", "returns")
MEMBERS = FEW + 6


def _notes(prefix: str) -> list[Note]:
    """Whatever writes: baskets that earn, one too small, a repeat with another content, holds, a return, a gift."""
    members = [f"{prefix}-{number}" for number in range(MEMBERS)]
    joined = [enrolment("clubcard", member) for member in members]
    bought = [
        report("clubcard", member, purchase(f"a-{member}", 99 if member.endswith("7") else 1234), START)
        for member in members
    ]
    more = [report("clubcard", member, purchase(f"b-{member}", 500), START) for member in members]
    other = [report("clubcard", members[0], purchase(f"a-{members[0]}", 4321), START)]
    spending = [_asked("hold.requested.v1", member, hold=f"h-{member}", unit="point", amount=5) for member in members]
    captures = [_asked("hold.capture_requested.v1", member, hold=f"h-{member}") for member in members[: MEMBERS // 2]]
    releases = [
        _asked("hold.release_requested.v1", member, hold=f"h-{member}", reason="test")
        for member in members[MEMBERS // 2 :]
    ]
    returns = [report("clubcard", member, _returned(f"c-{member}", f"b-{member}"), START) for member in members]
    gifts = [
        _asked(
            "adjustment.requested.v1", member, adjustment=f"d-{member}", unit="point", amount=7, reason="goodwill",
            partner="bank", versions={"program": 1},
        )
        for member in members
    ]  # fmt: skip
    return [*joined, *bought, *more, *other, *spending, *captures, *releases, *returns, *gifts]


def _asked(type_: str, member: str, **fields: Any) -> Note:
    cause = {"kind": "redemption", "id": "r"}
    whose = {} if type_.startswith("adjustment") else {"redemption": fields["hold"]}
    return note(type_, "clubcard", member, at=START, cause=cause, **whose, **fields)


def _returned(id_: str, of: str) -> dict[str, Any]:
    return {"id": id_, "type": "return", "of": of, "occurred_at": START.isoformat()}


async def _rows(database: Database, table: str, prefix: str) -> list[tuple[Any, ...]]:
    async with database.connection() as connection:
        found = await connection.fetch(f"select * from {table} where member like $1", f"{prefix}-%")
    # The hash is of the body, in which the member is named.
    return sorted(
        tuple(str(value).replace(f"{prefix}-", "x-") for name, value in row.items() if name != "hash") for row in found
    )


async def test_few_and_many_write_the_same(database: Database, database_urls: DatabaseUrls) -> None:
    road = Road(FixedPrograms(document("clubcard")))
    for each in _notes("few"):
        async with database.transaction() as connection:
            await road.run(Ledger(connection), [each])
    many = _notes("all")
    assert len(many) > FEW
    async with database.transaction() as connection:
        await road.run(Ledger(connection), many)
    for table in TABLES:
        few = await _rows(database, table, "few")
        assert few == await _rows(database, table, "all"), table
        assert len(few) >= MEMBERS
    assert await findings(database_urls) == []
