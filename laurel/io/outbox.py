"""The outbox: sayings take the next numbers of their keys in the transaction of the change they speak of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from laurel.io.database import copy_rows
from laurel.io.saying import Saying
from laurel.io.together import Statement, With, fetch_together
from laurel.io.works import new_work

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    import asyncpg

    from laurel.io.database import Connection, Database

Key = tuple[str, str, str]
"""(program, member, stream): what numbers are counted by."""
Columns = tuple[list[str], list[str], list[str], list[int]]


@dataclass(slots=True, eq=False)
class OutboxRow:
    """One event as it lies in the outbox: numbered, not yet published."""

    key: Key
    number: int
    aggregateid: str
    type: str
    payload: bytes
    at: datetime
    causation: str
    correlation: str
    traceparent: str
    work: UUID | None
    """The transaction that said it; none for what was published before there were works."""


class Added(NamedTuple):
    """What was said, and whether anything was parked when that was stored; None where nobody looked."""

    rows: list[OutboxRow]
    any_parked: bool | None


ROW_COLUMNS = (
    "program, member, stream, number, aggregateid, type, payload, at, causation, correlation, traceparent, work"
)
"""What `row_from` reads, in its order."""

# The work is opened by the way, which costs no round trip of its own.
_TAKE_NUMBERS = """
with opened as (insert into outbox_open (work, events) values ($5, $6))
insert into outbox_keys as k (program, member, stream, number)
select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
on conflict (program, member, stream) do update set number = k.number + excluded.number
returning program, member, stream, number
"""


# Both in one: `after` says how many of the key's rows come after this one. Beside the numbers it says whether anything
# is parked, for whoever has an inbox that moves on in the same statement.
def _numbering(given: str = "") -> With:
    return With(
        (
            ("opened", f"insert into outbox_open (work, events) select $17::uuid, $18::integer {given}"),
            (
                "taken",
                f"""
    insert into outbox_keys as k (program, member, stream, number)
    select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) {given}
    on conflict (program, member, stream) do update set number = k.number + excluded.number
    returning program, member, stream, number""",
            ),
            (
                "said",
                """
    insert into outbox (program, member, stream, number, aggregatetype, aggregateid, type, payload, at,
                        causation, correlation, traceparent, work)
    select r.program, r.member, r.stream, t.number - r.after, r.aggregatetype, r.aggregateid, r.type, r.payload, r.at,
           r.causation, r.correlation, r.traceparent, $17
    from unnest($5::text[], $6::text[], $7::text[], $8::bigint[], $9::text[], $10::text[], $11::text[],
                $12::bytea[], $13::timestamptz[], $14::text[], $15::text[], $16::text[])
         as r (program, member, stream, after, aggregatetype, aggregateid, type, payload, at,
               causation, correlation, traceparent)
    join taken t on t.program = r.program and t.member = r.member and t.stream = r.stream
    returning program, member, stream, number""",
            ),
        ),
        "select program, member, stream, number, exists (select from parked) from said",
    )


_NUMBER_AND_INSERT = _numbering()
_IF_GIVEN = _numbering("where exists (select from given)")
_ANY_PARKED = "select exists (select from parked)"
_COLUMNS = (
    "program", "member", "stream", "number", "aggregatetype", "aggregateid", "type", "payload", "at",
    "causation", "correlation", "traceparent", "work",
)  # fmt: skip
# COPY needs more round trips than an insert that numbers as it goes, and pays from about this many rows.
_COPY_ROWS_MIN = 24


class Outbox:
    """What one service says. `epoch` is that of its schema."""

    def __init__(self, service: str, epoch: int) -> None:
        self.service = service
        self.epoch = epoch

    @classmethod
    async def load(cls, service: str, database: Database) -> Outbox:
        """Open the outbox with the epoch that the schema stands at."""
        async with database.connection() as connection:
            return cls(service, int(await connection.fetchval("select epoch from schema_epoch")))

    async def add(self, connection: Connection, sayings: Sequence[Saying], before: Sequence[Statement] = ()) -> Added:
        """Number the sayings, each key in the order given, and store them in the caller's transaction.

        The keys' rows stay locked until the caller commits, so that a key's numbers are committed in order. What is to
        be written `before` goes by the same statement, if they are few.
        """
        if not sayings:
            if not before:
                return Added([], None)
            ((any_parked,),) = await fetch_together(connection, [*before, Statement(_ANY_PARKED, ())])
            return Added([], any_parked)
        counts, columns = _counted(sayings)
        if len(sayings) < _COPY_ROWS_MIN:
            return await self._add_few(connection, sayings, counts, columns, before)
        any_parked = (await self.add(connection, (), before)).any_parked
        work = new_work()
        following: dict[Key, int] = {}
        taken = await connection.fetch(_TAKE_NUMBERS, *columns, work, len(sayings))
        for program, member, stream, number in taken:
            key = (program, member, stream)
            following[key] = number - counts[key] + 1
        rows = _rows(sayings, following, work)
        records = [(*self._record(row, row.number), work) for row in rows]
        await copy_rows(connection, "outbox", _COLUMNS, records)
        return Added(rows, any_parked)

    async def add_given(self, connection: Connection, saying: Saying, given: Statement) -> list[OutboxRow]:
        """Store a saying if a statement, which names a part of it `given`, finds that this returns anything.

        All of it is one statement, which needs no transaction around it. Return the row, if it is said.
        """
        counts, columns = _counted([saying])
        return (await self._add_few(connection, [saying], counts, columns, [given], _IF_GIVEN)).rows

    async def _add_few(
        self,
        connection: Connection,
        sayings: Sequence[Saying],
        counts: dict[Key, int],
        columns: Columns,
        before: Sequence[Statement],
        text: With = _NUMBER_AND_INSERT,
    ) -> Added:
        left = dict(counts)
        work = new_work()
        rows = _rows(sayings, dict.fromkeys(counts, 1), work)
        records = []
        for row in rows:
            left[row.key] -= 1
            records.append(self._record(row, left[row.key]))
        last: dict[Key, int] = {}
        parameters = (*columns, *zip(*records, strict=True), work, len(rows))
        stored = await fetch_together(connection, [*before, Statement(text, parameters)])
        if not stored:
            return Added([], None)
        for program, member, stream, number, _ in stored:
            key = (program, member, stream)
            last[key] = max(last.get(key, 0), number)
        for row in rows:
            row.number += last[row.key] - counts[row.key]
        return Added(rows, stored[0][4])

    def _record(self, row: OutboxRow, number: int) -> tuple[object, ...]:
        return (
            *row.key,
            number,
            self.service,
            row.aggregateid,
            row.type,
            row.payload,
            row.at,
            row.causation or None,
            row.correlation or None,
            row.traceparent or None,
        )


def _counted(sayings: Sequence[Saying]) -> tuple[dict[Key, int], Columns]:
    """Return how many sayings each key has, and these as columns."""
    counts: dict[Key, int] = {}
    for saying in sayings:
        key = (saying.program, saying.member, saying.stream)
        counts[key] = counts.get(key, 0) + 1
    # Locks are taken in one order everywhere; Python compares text as COLLATE "C" does.
    keys = sorted(counts)
    columns = (
        [key[0] for key in keys],
        [key[1] for key in keys],
        [key[2] for key in keys],
        [counts[key] for key in keys],
    )
    return counts, columns


def _rows(sayings: Sequence[Saying], following: dict[Key, int], work: UUID) -> list[OutboxRow]:
    """Make rows of sayings, each key counted from what `following` says."""
    rows: list[OutboxRow] = []
    for saying in sayings:
        key = (saying.program, saying.member, saying.stream)
        number = following[key]
        following[key] = number + 1
        rows.append(
            OutboxRow(
                key,
                number,
                saying.key or f"{saying.program}:{saying.member}",
                saying.type,
                saying.body,
                saying.at,
                saying.causation,
                saying.correlation,
                saying.traceparent,
                work,
            )
        )
    return rows


def row_from(record: asyncpg.Record) -> OutboxRow:
    """Make a row of a record that selects `ROW_COLUMNS`."""
    return OutboxRow(
        (record[0], record[1], record[2]),
        record[3],
        record[4],
        record[5],
        record[6],
        record[7],
        record[8] or "",
        record[9] or "",
        record[10] or "",
        record[11],
    )
