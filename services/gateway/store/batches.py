"""Batches: files of activities, their lines, what is wrong with some, and how far each file is.

Lines are only ever added. That a line was asked is said by `batches.read_through`, what came of it by its request,
so a year of baskets costs one row a line here and no update of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from laurel.io.database import Connection

RECEIVING: Final = "receiving"
RUNNING: Final = "running"
DONE: Final = "done"
CUT_OFF: Final = "cut_off"


@dataclass(frozen=True, slots=True)
class BatchRow:
    """A batch and its counts."""

    program: str
    batch: str
    partner: str
    state: str
    received: int
    read_through: int
    asked: int
    unearned: int
    rejected: int
    duplicate: int
    following: int
    touched_at: datetime
    answered: int
    refused: int
    delayed: int

    @property
    def posted(self) -> int:
        """Lines that were posted, by points or because nobody had to be asked."""
        return self.answered + self.unearned

    @property
    def unanswered(self) -> int:
        """Lines that were asked and are not answered."""
        return self.asked - self.answered - self.refused

    @property
    def in_flight(self) -> int:
        """Lines that an answer is on its way to; it is not to those that wait for something parked."""
        return self.unanswered - self.delayed

    @property
    def pending(self) -> int:
        """Lines without an outcome, asked or not."""
        return self.received - self.posted - self.refused - self.rejected - self.duplicate

    @property
    def waiting(self) -> int:
        """Lines whose turn is still to come."""
        return self.pending - self.unanswered - self.following


@dataclass(frozen=True, slots=True)
class LineRow:
    """A line that is right by itself."""

    line: int
    partner: str
    id: str
    member: str | None
    hash: str
    occurred_at: datetime
    of_id: str | None
    body: bytes


@dataclass(frozen=True, slots=True)
class FaultRow:
    """A line that was rejected; `errors` is JSON."""

    line: int
    id: str | None
    status: int
    code: str
    detail: str
    errors: bytes


_SELECT = """
    select b.program, b.batch, b.partner, b.state, b.received, b.read_through, b.asked, b.unearned, b.rejected,
        b.duplicate, b.following, b.touched_at, o.posted, o.refused, o.delayed
    from batches b cross join lateral (
        select posted, refused, delayed from batch_outcomes c where c.program = b.program and c.batch = b.batch offset 0
    ) o
"""
_ADD = """
    with counted as (insert into batch_outcomes (program, batch) values ($1, $2))
    insert into batches (program, batch, partner, state, created_at, touched_at)
    values ($1, $2, $3, 'receiving', $4, $4)
"""
_FIND = f"{_SELECT} where b.program = $1 and b.batch = $2"
_AWARDED = "select unit, amount from batch_awarded where program = $1 and batch = $2 order by unit"


async def add(connection: Connection, program: str, batch: str, partner: str, at: datetime) -> None:
    await connection.execute(_ADD, program, batch, partner, at)


async def find(connection: Connection, program: str, batch: str) -> BatchRow | None:
    row = await connection.fetchrow(_FIND, program, batch)
    return None if row is None else BatchRow(*row)


async def awarded(connection: Connection, program: str, batch: str) -> list[tuple[str, int]]:
    return [(row[0], int(row[1])) for row in await connection.fetch(_AWARDED, program, batch)]


# Receiving. --------------------------------------------------------------------------------------------------

_LINE_COLUMNS = ("program", "batch", "line", "partner", "id", "member", "hash", "occurred_at", "of_id", "body")
_REJECT = """
    insert into batch_faults (program, batch, line, id, state, status, code, detail, errors)
    select $1, $2, line, id, 'rejected', status, code, detail, errors
    from unnest($3::int8[], $4::text[], $5::int2[], $6::text[], $7::text[], $8::bytea[])
        as f(line, id, status, code, detail, errors)
    on conflict (program, batch, line) do nothing
"""
_RECEIVED = """
    update batches set received = received + $3, rejected = rejected + $4, body_offset = $5, touched_at = $6
    where program = $1 and batch = $2 and state = 'receiving'
"""
_END = """
    update batches set state = 'running', broken = $3, touched_at = $4
    where program = $1 and batch = $2 and state = 'receiving'
"""


async def receive(
    connection: Connection,
    program: str,
    batch: str,
    lines: Sequence[LineRow],
    faults: Sequence[FaultRow],
    *,
    body_offset: int,
    at: datetime,
) -> bool:
    """Store a part of a file; False if the batch was closed meanwhile: then the caller must roll back."""
    if lines:
        await connection.copy_records_to_table(
            "batch_lines",
            columns=_LINE_COLUMNS,
            records=[
                (
                    program,
                    batch,
                    each.line,
                    each.partner,
                    each.id,
                    each.member,
                    each.hash,
                    each.occurred_at,
                    each.of_id,
                    each.body,
                )
                for each in lines
            ],
        )
    await reject(connection, program, batch, faults)
    # Last, because whoever moves lines wants the same row.
    status = await connection.execute(_RECEIVED, program, batch, len(lines) + len(faults), len(faults), body_offset, at)
    return bool(status != "UPDATE 0")


async def reject(connection: Connection, program: str, batch: str, faults: Sequence[FaultRow]) -> None:
    """Note what is wrong with lines; counting them is the caller's."""
    if faults:
        await connection.execute(
            _REJECT,
            program,
            batch,
            [each.line for each in faults],
            [each.id for each in faults],
            [each.status for each in faults],
            [each.code for each in faults],
            [each.detail for each in faults],
            [each.errors for each in faults],
        )


async def end(connection: Connection, program: str, batch: str, *, broken: bool, at: datetime) -> None:
    """Nothing more comes; `broken`: the file did not come to its own end."""
    await connection.execute(_END, program, batch, broken, at)


# Moving to the outbox. ---------------------------------------------------------------------------------------

# The turn is a row, so it ends with the transaction of whoever held it, however that ended.
_TURN = "select true from batch_turn for update skip locked"
_OPEN = f"{_SELECT} where b.finished_at is null order by b.created_at"
_NEXT = """
    select line, partner, id, member, hash, occurred_at, of_id, body from batch_lines
    where program = $1 and batch = $2 and line > $3 order by program, batch, line limit $4
"""
_MOVED = """
    update batches set read_through = $3, asked = asked + $4, unearned = unearned + $5, rejected = rejected + $6,
        duplicate = duplicate + $7, following = following + $8
    where program = $1 and batch = $2
"""
_FOLLOW = """
    insert into batch_following (program, batch, line, partner, id)
    select $1, $2, line, partner, id from unnest($3::int8[], $4::text[], $5::text[]) as f(line, partner, id)
    on conflict (program, batch, line) do nothing
"""
_FOLLOWED = """
    with known as (
        delete from batch_following f
        where f.program = $1 and f.batch = $2 and 'pending' <> (
            select r.state from requests r
            where r.program = f.program and r.kind = 'activity' and r.partner = f.partner and r.id = f.id
        )
        returning f.line
    )
    select count(*) from known
"""
_DUPLICATES = """
    update batches set duplicate = duplicate + $3, following = following - $3 where program = $1 and batch = $2
"""
_ABANDONED = """
    update batches set state = 'running', broken = true
    where finished_at is null and state = 'receiving' and touched_at < $1
"""
_FINISH = """
    update batches b set state = case when b.broken then 'cut_off' else 'done' end, finished_at = $1
    where b.finished_at is null and b.state = 'running'
        and b.received = b.unearned + b.rejected + b.duplicate + (
            select o.posted + o.refused from batch_outcomes o where o.program = b.program and o.batch = b.batch
        )
    returning b.program, b.batch
"""


async def take_turn(connection: Connection) -> bool:
    """Become the only one who moves lines, until the transaction ends; False while somebody else is."""
    return bool(await connection.fetchval(_TURN))


async def open_batches(connection: Connection) -> list[BatchRow]:
    """Return the batches that are not finished, oldest first."""
    return [BatchRow(*row) for row in await connection.fetch(_OPEN)]


async def next_lines(connection: Connection, batch: BatchRow, limit: int) -> list[LineRow]:
    """Return the next lines of a file in its order."""
    rows = await connection.fetch(_NEXT, batch.program, batch.batch, batch.read_through, limit)
    return [LineRow(*row) for row in rows]


@dataclass(slots=True)
class Moved:
    """What became of some lines when their turn came; `unearned`: posted without asking anybody."""

    read_through: int
    asked: int = 0
    unearned: int = 0
    rejected: int = 0
    duplicate: int = 0
    following: int = 0


async def move(connection: Connection, batch: BatchRow, moved: Moved) -> None:
    await connection.execute(
        _MOVED,
        batch.program,
        batch.batch,
        moved.read_through,
        moved.asked,
        moved.unearned,
        moved.rejected,
        moved.duplicate,
        moved.following,
    )


async def follow(connection: Connection, batch: BatchRow, lines: Sequence[LineRow]) -> None:
    """Note lines that repeat a request whose outcome is still to come."""
    if lines:
        await connection.execute(
            _FOLLOW,
            batch.program,
            batch.batch,
            [each.line for each in lines],
            [each.partner for each in lines],
            [each.id for each in lines],
        )


async def count_followed(connection: Connection, batch: BatchRow) -> int:
    """Count, as duplicates, the lines whose request has an outcome by now."""
    known = int(await connection.fetchval(_FOLLOWED, batch.program, batch.batch))
    if known:
        await connection.execute(_DUPLICATES, batch.program, batch.batch, known)
    return known


async def finish(connection: Connection, at: datetime, *, abandoned_before: datetime) -> int:
    """Close the batches whose every line has an outcome, and end those whose sender fell silent."""
    await connection.execute(_ABANDONED, abandoned_before)
    return len(await connection.fetch(_FINISH, at))


# Reading. ----------------------------------------------------------------------------------------------------

_ERRORS = """
    select line, id, state, status, code, detail, errors from batch_faults
    where program = $1 and batch = $2 and line > $3 order by program, batch, line limit $4
"""
_LINES = """
    select l.line, l.id, r.state, r.code, r.outcome, r.batch is distinct from $2 or r.line is distinct from l.line
    from batch_lines l
    left join lateral (
        select q.state, q.code, q.outcome, q.batch, q.line from requests q
        where q.program = l.program and q.kind = 'activity' and q.partner = l.partner and q.id = l.id
            and l.line <= $5
        offset 0
    ) r on true
    where l.program = $1 and l.batch = $2 and l.line > $3
    order by l.program, l.batch, l.line limit $4
"""


async def errors(connection: Connection, batch: BatchRow, after: int, limit: int) -> Sequence[Any]:
    """Return (line, id, state, status, code, detail, errors) of lines that were rejected or refused."""
    return await connection.fetch(_ERRORS, batch.program, batch.batch, after, limit)


async def lines(connection: Connection, batch: BatchRow, after: int, limit: int) -> Sequence[Any]:
    """Return (line, id, state, code, outcome, is a repeat) of lines that were right by themselves."""
    return await connection.fetch(_LINES, batch.program, batch.batch, after, limit, batch.read_through)
