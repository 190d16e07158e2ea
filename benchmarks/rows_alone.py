"""What Postgres alone takes for the rows of members whose points end: no rule is asked, nothing is published or heard.

A worker lets the points of one member end. Then the rows that this wrote, down to that of redemption's inbox, are
written for many others in sets, a page a transaction, byte by byte the same but for whose they are: what any way of
deciding would have to write, at the least.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Any

import asyncpg

from benchmarks.beside import beside
from benchmarks.feed import Feed
from benchmarks.results import bar
from benchmarks.servers import Servers, servers
from benchmarks.statement import PROGRAM, RATE_MIN, RUNS, TEMPLATE, document_of, seed, template, turn, until
from benchmarks.workers import at_work, watched

NAME = "rows-alone"
WRITERS = 2
PAGE = 500
_OTHER = "others"
"""The program of those for whom the rows are written; no worker knows it."""
_EXPIRY = next(run for run in RUNS if run.name == "expiry")

_NEW = """
    insert into points.{table} (program, member, {columns})
    select '{other}', k.member, {columns}
    from unnest($1::text[]) as k (member), points.{table} t
    where t.program = '{program}' and t.member = '{template}' {which} order by k.member"""
_MOVED = """
    insert into points.{table} (program, member, {columns})
    select '{other}', k.member, {columns}
    from unnest($1::text[]) as k (member), points.{table} t
    where t.program = '{program}' and t.member = '{template}' order by k.member
    on conflict ({key}) do update set {changes}"""
_OUTBOX = """
    insert into points.outbox (program, member, stream, number, aggregatetype, aggregateid, type, payload, at,
        causation, correlation, traceparent, work)
    select '{other}', k.member, stream, number, aggregatetype, '{other}:' || k.member, type, payload, at, causation,
        correlation, traceparent, $2::uuid
    from unnest($1::text[]) as k (member), points.outbox t
    where t.program = '{program}' and t.member = '{template}'
      and t.number = (select max(number) from points.outbox where program = '{program}' and member = '{template}')
    order by k.member"""
_HEARD = """
    insert into redemption.inbox (program, member, source, number)
    select '{other}', k.member, source, number from unnest($1::text[]) as k (member), redemption.inbox t
    where t.program = '{program}' and t.member = '{template}' order by k.member"""
_WRITTEN = """
    select count(*) from points.journals j
    join points.balances b using (program, member) join points.lots l using (program, member)
    where program = $1 and j.kind = 'expiry' and b.unit = l.unit and b.available = 0 and l.remaining = 0
      and b.expired > 0 and l.expired = b.expired"""
_OPENED = "insert into points.outbox_open (work, events) values ($1, $2)"
_CLOSED = "delete from points.outbox_open where work = $1"


async def run(members: int, tpcb_seconds: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Measure on servers of its own, with TPC-B on the same Postgres before and after."""
    async with servers() as place, beside(place, tpcb_seconds, tell) as measured:
        feed = Feed(place.kafka, PROGRAM)
        await feed.publish_program(document_of(_EXPIRY))
        tell("one member's points end")
        await feed.produce(template())
        async with at_work(place, points=1, redemption=1):
            await until(place, "select coalesce(max(version), 0) >= 2 from points.wallets")
            await seed(place, members, program=_OTHER)
            await feed.produce([turn(_EXPIRY)])
            await until(place, "select coalesce(bool_and(done), false) from points.turns")
            await until(place, "select not exists (select from points.outbox_open)")
            await until(place, f"select count(*) > 0 from redemption.inbox where member = '{TEMPLATE}'")
        tell(f"writing the same for {members:,} others")
        names = [f"m-{number:08}" for number in range(1, members)]
        pages = [names[at : at + PAGE] for at in range(0, len(names), PAGE)]
        started = perf_counter()
        async with watched(place, []) as watch:
            await asyncio.gather(*(_write(place, pages[writer::WRITERS]) for writer in range(WRITERS)))
        seconds = perf_counter() - started
        written = await _written(place)
    rate = len(names) / seconds
    return {
        "name": NAME,
        "members": len(names),
        "writers": WRITERS,
        "page": PAGE,
        "rate": round(rate, 1),
        "seconds": round(seconds, 2),
        **measured.document(rate),
        "processes": watch.document(),
        "cpu_us_a_member": {
            process.name: round(process.cpu_seconds / len(names) * 1_000_000, 1) for process in watch.watched
        },
        "faults": [f"{written} of {len(names)} members are written"] if written != len(names) else [],
        "bars": [bar("members whose rows are written", rate, RATE_MIN, unit="/s")],
    }


async def _write(place: Servers, pages: list[list[str]]) -> None:
    """Write pages over one connection, each in a transaction that ends as a worker's does."""
    connection = await asyncpg.connect(place.databases.owner, server_settings={"jit": "off"})
    try:
        statements = [await connection.prepare(text) for text in await _statements(connection)]
        for page in pages:
            async with connection.transaction():
                work = await connection.fetchval("select gen_random_uuid()")
                for statement in statements:
                    await statement.fetch(page)
                await connection.execute(_OPENED, work, len(page))
                await connection.execute(_named(_OUTBOX), page, work)
            await connection.execute(_CLOSED, work)
    finally:
        await connection.close()


async def _statements(connection: asyncpg.Connection[Any]) -> list[str]:
    """Return what a page is written by, in the order in which a worker writes."""
    found = [
        _named(_NEW, table="journals", which="and t.journal = 3", columns=await _columns(connection, "journals")),
        _named(_NEW, table="entries", which="and t.journal = 3", columns=await _columns(connection, "entries")),
    ]
    for table, key in (
        ("lots", "program, member, journal, lot"),
        ("wallets", "program, member"),
        ("balances", "program, member, unit"),
    ):
        columns = await _columns(connection, table)
        kept = set(key.split(", "))
        changes = ", ".join(f"{name} = excluded.{name}" for name in columns.split(", ") if name not in kept)
        found.append(_named(_MOVED, table=table, key=key, columns=columns, changes=changes))
    numbers = await _columns(connection, "outbox_keys")
    return [*found, _named(_NEW, table="outbox_keys", which="", columns=numbers), _named(_HEARD)]


async def _columns(connection: asyncpg.Connection[Any], table: str) -> str:
    rows = await connection.fetch(
        "select column_name::text from information_schema.columns where table_schema = 'points' and table_name = $1 "
        "and column_name not in ('program', 'member') order by ordinal_position",
        table,
    )
    return ", ".join(name for (name,) in rows)


def _named(text: str, **parts: str) -> str:
    return text.format(other=_OTHER, program=PROGRAM, template=TEMPLATE, **parts)


async def _written(place: Servers) -> int:
    """Return whose points have ended, by journal, balance and lot."""
    connection = await asyncpg.connect(place.databases.auditor)
    try:
        return int(await connection.fetchval(_WRITTEN, _OTHER))
    finally:
        await connection.close()
