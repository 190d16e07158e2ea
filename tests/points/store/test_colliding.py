"""Two workers are told of the same activity id at once, by members of different partitions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import asyncpg
import pytest

from laurel.io.applying import Applier
from laurel.io.database import Connection, Database
from laurel.io.message import Message
from laurel.io.migrating import DatabaseUrls
from laurel.io.outbox import Outbox
from laurel.io.unit import UnitOfWork
from services.points.domain.state import Wallet
from services.points.entry.consumers import PointsHandler
from services.points.ports import Journal
from services.points.road import Road
from services.points.store.ledger import Ledger
from services.points.testing import FixedPrograms, Note
from tests.points.till import START, document, enrolment, purchase, report

pytestmark = pytest.mark.anyio

NUMBERS = (2, 3, 4)


def told(sequence: int, note: Note) -> Message:
    names = {"source": "laurel/gateway/1", "sequence": str(sequence), "type": note.type, "id": f"1.{sequence}"}
    headers = {f"ce_{name}": value.encode() for name, value in {**names, "subject": note.member}.items()}
    return Message(
        "laurel.gateway.v1", 0, 0, names["source"], sequence, note.type, names["id"], note.program, note.member,
        "", "", "", note.body, headers,
    )  # fmt: skip


def basket(number: int) -> Message:
    return told(number, report("clubcard", "m-1", purchase(f"b-{number}", 1000), START))


async def test_id_that_another_worker_takes_meanwhile_is_answered_as_known(
    database: Database, database_urls: DatabaseUrls
) -> None:
    other = await asyncpg.connect(database_urls.points)
    rivals = [f"b-{number}" for number in NUMBERS]

    class Raced(Ledger):
        """Each write finds that another worker was quicker with one more of the ids."""

        async def write(self, journals: Sequence[Journal], touched: Iterable[Wallet]) -> None:
            written = {journal.cause for journal in journals if journal.hash and journal.kept}
            taken = next((each for each in rivals if each in written), None)
            if taken is not None:
                rivals.remove(taken)
                await other.execute(
                    "insert into points.activities (program, partner, activity, member, journal, hash) "
                    "values ('clubcard', 'shop', $1, 'rival', 2, 'theirs')",
                    taken,
                )
            await super().write(journals, touched)

    def ledger(connection: Connection) -> Ledger:
        return Raced(connection)

    unit = UnitOfWork(database, await Outbox.load("points", database))
    applier = Applier("points", PointsHandler(Road(FixedPrograms(document("clubcard"))), ledger), unit)
    await applier.apply([told(1, enrolment("clubcard", "m-1"))])
    # Two that come early and wait: what has waited is in the end tried alone, once.
    await applier.apply([basket(3), basket(4)])
    await applier.apply([basket(2)])
    assert rivals == []
    assert await other.fetchval("select count(*) from points.parked") == 0
    said = await other.fetch(
        "select type, payload from points.outbox where type <> 'member.enrolled.v1' order by number"
    )
    assert [row["type"] for row in said] == ["activity.refused.v1"] * 3
    assert all(b"idempotency_mismatch" in row["payload"] for row in said)
    assert await other.fetchval("select count(*) from points.lots") == 0
    await other.close()
