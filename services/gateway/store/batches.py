"""Batches: files of activities, their lines, what is wrong with some, and how far each file is.

Lines are only ever added. That a line was asked is said by `batches.read_through`, what came of it by its request,
so a year of baskets costs one row a line here and no update of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import asyncpg

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
    body_offset: int
    broken: bool
    is_csv: bool
    giving_back: bool
    """Whether lines gave back what reads have yet to show."""
    answered: int
    refused: int
    delayed: int
    created_at: datetime

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
        b.duplicate, b.following, b.touched_at, b.body_offset, b.broken,
        b.mapping is not null,
        coalesce((
            select true from batch_giving_back g where g.program = b.program and g.batch = b.batch limit 1), false),
        o.posted, o.refused, o.delayed, b.created_at
    from batches b cross join lateral (
        select posted, refused, delayed from batch_outcomes c where c.program = b.program and c.batch = b.batch offset 0
    ) o
"""
_ADD = """
    with counted as (insert into batch_outcomes (program, batch) values ($1, $2))
    insert into batches
        (program, batch, partner, state, created_at, touched_at, writer, mapping, header, body_offset, lines_read)
    values ($1, $2, $3, 'receiving', $4, $4, $5, $6, $7, $8, $9)
"""
_FIND = f"{_SELECT} where b.program = $1 and b.batch = $2"
_AWARDED = "select unit, amount from batch_awarded where program = $1 and batch = $2 order by unit"


_FIND_ALL = f"""
    {_SELECT} join unnest($1::text[], $2::text[]) as w(program, batch) on w.program = b.program and w.batch = b.batch
"""
_AWARDED_ALL = """
    select a.program, a.batch, a.unit, a.amount from batch_awarded a
    join unnest($1::text[], $2::text[]) as w(program, batch) on w.program = a.program and w.batch = a.batch
    order by a.program, a.batch, a.unit
"""


@dataclass(frozen=True, slots=True)
class Upload:
    """Where the sending of a file stands. `writer` is who sends it now: another one overtakes whoever hangs."""

    writer: str
    offset: int = 0
    lines_read: int = 0
    mapping: bytes | None = None
    header: bytes | None = None


async def add(connection: Connection, program: str, batch: str, partner: str, upload: Upload, at: datetime) -> None:
    await connection.execute(
        _ADD,
        program,
        batch,
        partner,
        at,
        upload.writer,
        upload.mapping,
        upload.header,
        upload.offset,
        upload.lines_read,
    )


async def find_all(
    connection: Connection, wanted: Sequence[tuple[str, str]]
) -> list[tuple[BatchRow, list[tuple[str, int]]]]:
    """Return batches by program and id, each with what its lines were awarded."""
    names = [program for program, _ in wanted], [batch for _, batch in wanted]
    # Counts are read before awards, so no line is counted as posted whose award is not shown.
    rows = [BatchRow(*row) for row in await connection.fetch(_FIND_ALL, *names)]
    amounts: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for program, batch, unit, amount in await connection.fetch(_AWARDED_ALL, *names):
        amounts.setdefault((program, batch), []).append((unit, int(amount)))
    return [(row, amounts.get((row.program, row.batch), [])) for row in rows]


# Ids sort by time, so the newest come first.
_NEWEST = """
    select program, batch from batches
    where program = $1 and partner = $2 and ($3 = '' or batch < $3) order by batch desc limit $4
"""


async def newest(
    connection: Connection, program: str, partner: str, before: str, limit: int
) -> list[tuple[BatchRow, list[tuple[str, int]]]]:
    """Return a partner's batches, the newest first, each with what its lines were awarded."""
    names = [(row[0], row[1]) for row in await connection.fetch(_NEWEST, program, partner, before, limit)]
    found = {row.batch: (row, awarded) for row, awarded in await find_all(connection, names)}
    return [found[batch] for _, batch in names]


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
    update batches set received = received + $3, rejected = rejected + $4, body_offset = $5, touched_at = $6,
        lines_read = $8
    where program = $1 and batch = $2 and state = 'receiving' and writer = $7
"""
_STANDS = """
    select true from batches where program = $1 and batch = $2 and writer = $3 and body_offset = $4 and lines_read = $5
"""
_TOUCH = "update batches set touched_at = $4 where program = $1 and batch = $2 and writer = $3 and state = 'receiving'"
_END = """
    update batches set state = 'running', broken = $3, touched_at = $4
    where program = $1 and batch = $2 and state = 'receiving' and writer = $5
"""
_RESUME = """
    update batches set state = 'receiving', broken = false, finished_at = null, writer = $4, touched_at = $5
    where program = $1 and batch = $2 and body_offset = $3 and (broken or state = 'receiving')
    returning writer, body_offset, lines_read, mapping, header
"""


async def resume(
    connection: Connection, program: str, batch: str, offset: int, writer: str, at: datetime
) -> Upload | None:
    """Open a batch again for whoever goes on at `offset`; None if its reading stands elsewhere, or it is whole."""
    row = await connection.fetchrow(_RESUME, program, batch, offset, writer, at)
    return None if row is None else Upload(*row)


async def receive(
    connection: Connection,
    program: str,
    batch: str,
    lines: Sequence[LineRow],
    faults: Sequence[FaultRow],
    upload: Upload,
    *,
    at: datetime,
) -> bool:
    """Store a part of a file, after which its upload stands so.

    False if the batch was closed, or another one sends it now: then the caller must roll back.
    """
    if lines:
        try:
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
        except asyncpg.UniqueViolationError:
            # Whoever sends the file now has stored these lines.
            return False
    await reject(connection, program, batch, faults)
    # Last, because whoever moves lines wants the same row.
    status = await connection.execute(
        _RECEIVED,
        program,
        batch,
        len(lines) + len(faults),
        len(faults),
        upload.offset,
        at,
        upload.writer,
        upload.lines_read,
    )
    return bool(status != "UPDATE 0")


async def stands(connection: Connection, program: str, batch: str, upload: Upload) -> bool:
    """Say whether the upload stands so already."""
    place = (upload.writer, upload.offset, upload.lines_read)
    return bool(await connection.fetchval(_STANDS, program, batch, *place))


async def touch(connection: Connection, program: str, batch: str, writer: str, at: datetime) -> bool:
    """Note that the sender is there; False if the batch was closed, or another one sends it now."""
    return bool(await connection.execute(_TOUCH, program, batch, writer, at) != "UPDATE 0")


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


async def end(connection: Connection, program: str, batch: str, writer: str, *, broken: bool, at: datetime) -> None:
    """Nothing more comes from this writer; `broken`: the file did not come to its own end."""
    await connection.execute(_END, program, batch, broken, at, writer)


# Moving to the outbox. ---------------------------------------------------------------------------------------

# The turn is a row, so it ends with the transaction of whoever held it, however that ended.
_TURN = "select true from batch_turn for update skip locked"
_OPEN = f"{_SELECT} where b.finished_at is null order by b.created_at"
# As many as fit, and always one: how long a line is stands in its row, so what does not fit is not read.
_NEXT = """
    select line, partner, id, member, hash, occurred_at, of_id, body from (
        select n.*, sum(octet_length(body)) over (order by line) - octet_length(body) as before from (
            select line, partner, id, member, hash, occurred_at, of_id, body from batch_lines
            where program = $1 and batch = $2 and line > $3 order by program, batch, line limit $4) n) s
    where before < $5 order by line
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
        -- Not as a join, which would compare every file with every line that waits.
        and coalesce((
            select false from batch_giving_back g where g.program = b.program and g.batch = b.batch limit 1), true)
    returning b.program, b.batch
"""


async def take_turn(connection: Connection) -> bool:
    """Become the only one who moves lines, until the transaction ends; False while somebody else is."""
    return bool(await connection.fetchval(_TURN))


async def open_batches(connection: Connection) -> list[BatchRow]:
    """Return the batches that are not finished, oldest first."""
    return [BatchRow(*row) for row in await connection.fetch(_OPEN)]


async def next_lines(connection: Connection, batch: BatchRow, limit: int, bytes_max: int) -> list[LineRow]:
    """Return the next lines of a file in its order: those that fit into so many bytes, and one more."""
    rows = await connection.fetch(_NEXT, batch.program, batch.batch, batch.read_through, limit, bytes_max)
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


# Giving back. ------------------------------------------------------------------------------------------------

_GIVING_BACK = """
    select program, batch, line, told from batch_giving_back
    where (program, batch, line) > ($1, $2, $3) order by program, batch, line limit $4
"""
_GIVEN_BACK = "delete from batch_giving_back where program = $1 and batch = $2 and line = $3"


@dataclass(frozen=True, slots=True)
class GivingBackRow:
    """A line that gave something back, and what its outcome told of that."""

    program: str
    batch: str
    line: int
    told: bytes

    @property
    def place(self) -> tuple[str, str, int]:
        return (self.program, self.batch, self.line)


async def giving_back(connection: Connection, after: tuple[str, str, int] | None, limit: int) -> list[GivingBackRow]:
    """Return the next lines after a place, or the first ones, whose effect reads have yet to show."""
    rows = await connection.fetch(_GIVING_BACK, *(after or ("", "", 0)), limit)
    return [GivingBackRow(*row) for row in rows]


async def given_back(connection: Connection, places: Sequence[tuple[str, str, int]]) -> None:
    """Note that reads show what these lines gave back."""
    await connection.executemany(_GIVEN_BACK, sorted(places))


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
