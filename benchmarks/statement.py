"""A turn of a clock over many members: a quarterly statement that makes vouchers of their points, or their expiry.

The members are copies of one whom a worker has enrolled and who has shopped, put into the tables in sets: what is
measured begins with the turn. The rate is that of members between the first look at which any was done and the last.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import asyncpg

from benchmarks.beside import beside
from benchmarks.feed import Event, Feed
from benchmarks.machine import ROOT
from benchmarks.numbers import Counted, rates
from benchmarks.results import bar
from benchmarks.servers import Servers, servers
from benchmarks.workers import at_work, watched

PROGRAM = "clubcard"
TEMPLATE = "m-0"
POINTS = 500
RATE_MIN = 20_000
_EVERY_SECONDS = 0.1
_EVERY_SECONDS_VOUCHERS = 0.5
_LONGEST_SECONDS = 600.0

# A member's rows, copied under other names. None of them says whose it is but by its key.
_COPIED = {
    "wallets": (
        "status, at, version, enrolled_at, person, attributes, next_due_at, hold_expires_at, occurred_at, turned_to, "
        "converts_at"
    ),
    "balances": (
        "unit, available, pending, held, owed, earned, spent, expired, reversed, adjusted, active_until, "
        "next_expiry_at, next_expiry_amount"
    ),
    "journals": "journal, kind, cause, partner, at, occurred_at, version, message, facts, body",
    "entries": "journal, entry, unit, account, amount",
    "lots": (
        "journal, lot, unit, rule, activity, partner, granted, remaining, held, expired, earned_at, available_at, "
        "expires_at, funder, version"
    ),
    "tier_counts": "grain, day, unit, amount",
}


@dataclass(frozen=True, slots=True)
class Run:
    """What the turn does, and to when it goes."""

    name: str
    what: str
    as_of: str
    converts: bool
    workers: int = 1
    """How many of points, and as many of redemption where there are vouchers to be made."""


RUNS = (
    Run("statement", "members whose points become vouchers", "2021-02-01T00:00:00+00:00", converts=True),
    Run(
        "statement-two-workers",
        "members whose points become vouchers",
        "2021-02-01T00:00:00+00:00",
        converts=True,
        workers=2,
    ),
    Run("expiry", "members whose points end", "2024-02-01T00:00:00+00:00", converts=False),
    Run("expiry-two-workers", "members whose points end", "2024-02-01T00:00:00+00:00", converts=False, workers=2),
)


async def run(what: Run, members: int, tpcb_seconds: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Measure one turn on servers of its own, with TPC-B on the same Postgres before and after."""
    async with servers() as place, beside(place, tpcb_seconds, tell) as measured:
        feed = Feed(place.kafka, PROGRAM)
        await feed.publish_program(document_of(what))
        tell(f"seeding {members:,} members")
        await feed.produce(template())
        async with at_work(place, points=1, redemption=1):
            await until(place, "select coalesce(max(version), 0) >= 2 from points.wallets")
            await until(place, "select not exists (select from points.outbox_open)")
        await seed(place, members)
        tell("turning the clock")
        await feed.produce([turn(what)])
        looks: list[tuple[float, int, int]] = []
        issuers = what.workers if what.converts else 1
        async with at_work(place, points=what.workers, redemption=issuers) as workers, watched(place, workers) as watch:
            complete = await _watch(place, what, members, looks)
        tell("checking")
        faults = await _verify(place)
    turned = rates([Counted(when, done) for when, done, _ in looks], _EVERY_SECONDS).mean
    made = [Counted(when, vouchers) for when, _, vouchers in looks]
    issued = rates(made, _EVERY_SECONDS).mean if what.converts else None
    return {
        "name": what.name,
        "what": what.what,
        "members": members,
        "workers": what.workers,
        "complete": complete,
        "rate": round(turned, 1),
        "vouchers_rate": round(issued, 1) if issued is not None else None,
        "seconds": round(looks[-1][0], 2) if looks else None,
        **measured.document(turned),
        "processes": watch.document(),
        "cpu_us_a_member": {
            process.name: round(process.cpu_seconds / members * 1_000_000, 1) for process in watch.watched
        },
        "faults": faults,
        "bars": [
            bar(what.what, turned, RATE_MIN, unit="/s"),
            *([bar("vouchers issued", issued, RATE_MIN, unit="/s")] if issued is not None else []),
        ],
    }


def document_of(what: Run) -> str:
    """Return the program; for points to end, without what else three years bring: statements and weekly clubs."""
    text = (ROOT / "programs" / f"{PROGRAM}.yaml").read_text(encoding="utf-8")
    if what.converts:
        return text
    before, _, segments = text.partition("\nsegments:")
    return before + "\nreturns:" + segments.partition("\nreturns:")[2].partition("\nconversions:")[0]


def template() -> list[Event]:
    """One member and its one basket."""
    at = "2021-01-10T10:00:00+00:00"
    common = {"program": PROGRAM, "member": TEMPLATE, "at": at, "versions": {"program": 1}}
    enrolled = {**common, "cause": {"kind": "member", "id": TEMPLATE}, "enrolled_at": at}
    bought = {"id": "b-1", "type": "purchase", "occurred_at": at, "currency": "GBP", "amount": POINTS * 100}
    shopped = {
        **common, "cause": {"kind": "activity", "id": "b-1"}, "partner": "tesco", "hash": "1",
        "activity": {**bought, "member": TEMPLATE},
    }  # fmt: skip
    return [
        Event(TEMPLATE, "member.enrolment_requested.v1", json.dumps(enrolled).encode(), at),
        Event(TEMPLATE, "activity.reported.v1", json.dumps(shopped).encode(), at),
    ]


def turn(what: Run) -> Event:
    """Return the message that turns the clock."""
    body = {
        "program": PROGRAM, "member": None, "at": what.as_of, "cause": {"kind": "request", "id": "turn"},
        "versions": {"program": 1}, "as_of": what.as_of,
    }  # fmt: skip
    return Event("", "clock.turn_requested.v1", json.dumps(body).encode(), what.as_of)


async def seed(place: Servers, members: int, program: str = PROGRAM) -> None:
    """Put copies of the template's rows into the tables, for members of a program."""
    connection = await asyncpg.connect(place.databases.owner)
    try:
        for table, columns in _COPIED.items():
            await connection.execute(
                f"insert into points.{table} (program, member, {columns}) "
                f"select '{program}', 'm-' || to_char(n, 'FM00000000'), {columns} "
                f"from points.{table}, generate_series(1, {members - 1}) as n where member = '{TEMPLATE}' order by 2"
            )
        await connection.execute("analyze points.wallets, points.balances, points.lots")
    finally:
        await connection.close()


async def until(place: Servers, query: str, seconds: float = 60.0) -> None:
    """Wait until a query, asked with the auditor's eyes, says yes."""
    connection = await asyncpg.connect(place.databases.auditor)
    try:
        async with asyncio.timeout(seconds):
            while True:
                if await connection.fetchval(query):
                    return
                await asyncio.sleep(0.1)
    finally:
        await connection.close()


async def _watch(place: Servers, what: Run, members: int, looks: list[tuple[float, int, int]]) -> bool:
    """Look again and again how many members are done, and how many vouchers issued, until all are."""
    connection = await asyncpg.connect(place.databases.auditor)
    started = perf_counter()
    try:
        while perf_counter() - started < _LONGEST_SECONDS:
            done = await connection.fetchval(
                "select coalesce(sum(converted + lots_expired), 0)::bigint from points.turns"
            )
            vouchers = 0
            if what.converts and done:
                vouchers = await connection.fetchval("select count(*) from redemption.vouchers")
            looks.append((perf_counter() - started, done, vouchers))
            if done >= members and (not what.converts or vouchers >= members):
                return True
            # To count vouchers takes Postgres tens of milliseconds, of those that it has for them.
            await asyncio.sleep(_EVERY_SECONDS_VOUCHERS if what.converts else _EVERY_SECONDS)
    finally:
        await connection.close()
    return False


async def _verify(place: Servers) -> list[str]:
    from services.points import verifying as points
    from services.redemption import verifying as redemption

    connection = await asyncpg.connect(place.databases.auditor, server_settings={"jit": "off"})
    try:
        found = [each async for each in points.verify(connection)]
        found += [each async for each in redemption.verify(connection)]  # type: ignore[misc]
    finally:
        await connection.close()
    kinds = (points.Finding, redemption.Finding)
    return [f"{each.proof}: {each.where}: {each.what}" for each in found if isinstance(each, kinds)]
