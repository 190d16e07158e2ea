"""The epoch of a schema: raised when a backup was restored, so that reused numbers are not taken for repeats."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from laurel.io.database import Connection

# What was published under the old epoch is done with. What was not, and the programs, begin anew: 1, 2, 3 per key.
_STATEMENTS = (
    """delete from outbox o
       where stream <> 'programs' and not exists (select from outbox_open w where w.work = o.work)""",
    """create temporary table renumbered on commit drop as
       select program, member, stream, number as before,
              row_number() over (partition by program, member, stream order by number) as number
       from outbox""",
    # Two steps, by way of negative numbers, since a number may be another row's until that has moved as well.
    """update outbox o set number = -r.number, work = coalesce(o.work, gen_random_uuid()) from renumbered r
       where o.program = r.program and o.member = r.member and o.stream = r.stream and o.number = r.before""",
    "update outbox set number = -number where number < 0",
    "delete from outbox_open",
    "insert into outbox_open (work, events) select work, count(*) from outbox group by work",
    "delete from outbox_keys",
    """insert into outbox_keys (program, member, stream, number)
       select program, member, stream, max(number) from outbox group by program, member, stream""",
    "delete from relay_positions",
)


async def raise_epoch(connection: Connection) -> int:
    """Raise the epoch in the caller's transaction, with every process of the service stopped. Returns the new one."""
    await connection.execute("set local enable_hashjoin = on; set local enable_seqscan = on")
    for statement in _STATEMENTS:
        await connection.execute(statement)
    return int(await connection.fetchval("update schema_epoch set epoch = epoch + 1 returning epoch"))
