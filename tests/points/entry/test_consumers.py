"""What comes of a batch is written by the statement with which its transaction ends, but for what is read meanwhile."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from laurel.io.applying import Applier
from laurel.io.database import Database
from laurel.io.message import Message
from laurel.io.migrating import DatabaseUrls
from laurel.io.outbox import Outbox
from laurel.io.unit import UnitOfWork
from services.points.entry.consumers import PointsHandler
from services.points.ports import Turn
from services.points.road import Road
from services.points.store.ledger import Ledger
from services.points.testing import FixedPrograms, Note, note
from tests.asking import asked
from tests.points.stored import findings
from tests.points.till import START, document, enrolment, purchase, report

pytestmark = pytest.mark.anyio

TABLES = ("wallets", "balances", "journals", "entries", "activities", "lots", "holds", "returns")


class Listening:
    """Applies what is said, each message with the next number of its member."""

    def __init__(self, applier: Applier) -> None:
        self._applier = applier
        self._told = Counter[str]()

    async def hear(self, *notes: Note) -> None:
        await self._applier.apply([self._message(each) for each in notes])

    def _message(self, told: Note) -> Message:
        self._told[told.member] += 1
        number = self._told[told.member]
        source = "laurel/gateway/1"
        names = {"source": source, "sequence": str(number), "type": told.type, "id": f"1.{number}"}
        headers = {f"ce_{name}": value.encode() for name, value in {**names, "subject": told.member}.items()}
        return Message(
            "laurel.gateway.v1", 0, 0, source, number, told.type, names["id"], told.program, told.member,
            "", "", "", told.body, headers,
        )  # fmt: skip


async def _applier(database: Database) -> Applier:
    unit = UnitOfWork(database, await Outbox.load("points", database))
    return Applier("points", PointsHandler(Road(FixedPrograms(document("clubcard"))), Ledger), unit)


def _deeds(member: str) -> list[Note]:
    """A return of what was bought just before has to see that written, and so has a hold of what came back."""
    back = {"id": f"c-{member}", "type": "return", "of": f"b-{member}", "occurred_at": START.isoformat()}
    return [
        enrolment("clubcard", member),
        report("clubcard", member, purchase(f"a-{member}", 5000), START),
        report("clubcard", member, purchase(f"b-{member}", 3000), START),
        report("clubcard", member, back, START),
        _hold(member),
    ]


def _hold(member: str) -> Note:
    cause = {"kind": "redemption", "id": "r"}
    hold = f"h-{member}"
    return note(
        "hold.requested.v1", "clubcard", member, at=START, cause=cause, redemption=hold, hold=hold, unit="point",
        amount=5,
    )  # fmt: skip


async def _rows(database: Database, table: str, member: str) -> list[tuple[Any, ...]]:
    async with database.connection() as connection:
        found = await connection.fetch(f"select * from {table} where member = $1", member)
    # The hash is of the body, in which the member is named, and messages are numbered by member.
    return sorted(tuple(str(v).replace(member, "x") for name, v in row.items() if name != "hash") for row in found)


async def test_what_a_later_part_of_a_batch_reads_is_written_before(
    database: Database, database_urls: DatabaseUrls
) -> None:
    applier = await _applier(database)
    alone, together = Listening(applier), Listening(applier)
    for each in _deeds("m-1"):
        await alone.hear(each)
    await together.hear(*_deeds("m-2"))
    for table in TABLES:
        assert await _rows(database, table, "m-1") == await _rows(database, table, "m-2"), table
    assert await findings(database_urls) == []


async def test_a_turn_goes_on_beside_what_was_not_written_yet(database: Database) -> None:
    """The word to go on comes with messages of members, whose writing is left for the end of the transaction."""
    member = Listening(await _applier(database))
    enrolled, bought, *_ = _deeds("m-1")
    await member.hear(enrolled)
    as_of, until = START + timedelta(days=30), START + timedelta(days=3)
    async with database.transaction() as connection:
        await Ledger(connection).begin_turns([Turn("clubcard", as_of, "message", "", "")])
        turn = await Ledger(connection).open_turn()
        assert turn is not None
        await Ledger(connection).rest(turn, until)
    over = note("clock.go_on_requested.v1", "clubcard", "", at=until, as_of=as_of, until=until)
    await member.hear(bought, over)
    async with database.connection() as connection:
        turned = await connection.fetchrow("select waits_to, waited_to from turns")
        assert turned is not None
        assert tuple(turned) == (None, until)
        assert await connection.fetchval("select count(*) from parked") == 0
        assert await connection.fetchval("select count(*) from activities") == 1


async def test_an_activity_and_what_is_said_of_it_are_one_statement(database: Database) -> None:
    member = Listening(await _applier(database))
    first, second, third, *_ = _deeds("m-1")
    await member.hear(first, second)
    async with asked(database) as statements:
        await member.hear(third)
    last = statements[-2]
    assert all(f"insert into {table} " in last for table in ("inbox", "journals", "lots", "balances", "outbox"))
    assert statements[-1] == "COMMIT;"
