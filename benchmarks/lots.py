"""A member with 10,000 open lots beside one with 10: what it costs to redeem, to give back and to read.

Both get their lots as members do, by purchases that go through the points road on a real Postgres, spread over the days
of more than a year. Then they take turns: a hold and its capture, a return of one line, and the reads of points' HTTP
(balances, the first ten lots, lines of the statement and decisions). Each of these is one transaction or answer, and
its time is counted; the medians stand beside each other.
"""

from __future__ import annotations

import statistics
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import perf_counter
from typing import Any

import httpx
from fastapi import FastAPI

from benchmarks.machine import ROOT
from benchmarks.points_stage import verify_ledger
from benchmarks.results import bar
from benchmarks.servers import servers
from laurel.io.database import Database
from laurel.program.loading import load_program
from services.points.entry.http import routes
from services.points.road import Road
from services.points.store.ledger import Ledger
from services.points.store.views import LedgerViews
from services.points.testing import FixedPrograms, Note, note

PROGRAM = "grocery"
PARTNER = "grocer"
FEW, MANY = "few", "many"
LOTS = {FEW: 10, MANY: 10_000}
TIMES_MAX = 2.0
READS = ("balances", "lots", "statement", "decisions")
ROUNDS_MAX = 80
"""More would use up the points of the member with ten lots."""

_BATCH = 500
_LINES = 20
_CENTS_A_LINE = 500
_DAYS = 500
_START = datetime.fromisoformat("2017-01-02T12:00:00-05:00")
_NOW = _START + timedelta(days=_DAYS)


@dataclass(slots=True)
class Deed:
    """Something done again and again for both, by the seconds that it took."""

    name: str
    seconds: dict[str, list[float]] = field(default_factory=lambda: {FEW: [], MANY: []})

    def median_ms(self, member: str) -> float:
        return statistics.median(self.seconds[member]) * 1_000

    @property
    def times(self) -> float:
        """How many times as long it takes for the one with many."""
        return self.median_ms(MANY) / self.median_ms(FEW)


async def run(rounds: int, lots: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Measure both members in turns, on servers of their own."""
    rounds = min(rounds, ROUNDS_MAX)
    counts = {**LOTS, MANY: lots}
    deeds = {name: Deed(name) for name in ("hold", "capture", "return", *READS)}
    programs = FixedPrograms(load_program((ROOT / "programs" / f"{PROGRAM}.yaml").read_text(encoding="utf-8")))
    async with servers() as place, _database(place.databases.points) as database:
        road = Road(programs)

        async def send(*notes: Note) -> None:
            async with database.transaction() as connection:
                await road.run(Ledger(connection), notes)

        tell(f"{counts[MANY]:,} purchases")
        for member, count in counts.items():
            await _shop(send, member, count)
        async with _reader(database, programs) as http:
            tell(f"{rounds} rounds")
            for number in range(rounds):
                # Who comes first takes turns too.
                for member in (FEW, MANY) if number % 2 else (MANY, FEW):
                    await _round(send, http, member, number, deeds)
        tell("checking the ledger")
        faults, journals, refused = await verify_ledger(place)
        open_lots = await _open_lots(database)
    expected = sum(counts.values()) + len(counts) * (1 + 3 * rounds)
    if journals != expected or refused:
        faults.append(f"{journals} journals, {refused} refused, {expected} were asked for")
    redeemed = Deed("redeem", {member: _redeemed(deeds, member) for member in counts})
    measured = [redeemed, deeds["return"], *(deeds[name] for name in READS)]
    return {
        "name": "lots",
        "what": f"a member with {counts[MANY]:,} lots beside one with {counts[FEW]}",
        "rounds": rounds,
        "open_lots": open_lots,
        "median_ms": {
            deed.name: {member: round(deed.median_ms(member), 3) for member in counts}
            for deed in (*deeds.values(), redeemed)
        },
        "faults": faults,
        "bars": [bar(f"{deed.name}, times", deed.times, TIMES_MAX, at_most=True) for deed in measured],
    }


def _redeemed(deeds: dict[str, Deed], member: str) -> list[float]:
    return [a + b for a, b in zip(deeds["hold"].seconds[member], deeds["capture"].seconds[member], strict=True)]


async def _round(
    send: Callable[..., Awaitable[None]], http: httpx.AsyncClient, member: str, number: int, deeds: dict[str, Deed]
) -> None:
    hold = f"h-{number}"
    asked: dict[str, Any] = {"hold": hold, "unit": "point", "amount": 5, "redemption": hold}
    await _timed(deeds["hold"], member, send(_asked("hold.requested.v1", member, **asked)))
    capture = _asked("hold.capture_requested.v1", member, hold=hold, redemption=hold)
    await _timed(deeds["capture"], member, send(capture))
    await _timed(deeds["return"], member, send(returned(member, number)))
    for read in READS:
        await _timed(deeds[read], member, _read(http, member, read))


async def _timed(deed: Deed, member: str, work: Awaitable[None]) -> None:
    started = perf_counter()
    await work
    deed.seconds[member].append(perf_counter() - started)


async def _read(http: httpx.AsyncClient, member: str, what: str) -> None:
    # Pages as long as what the one with few has to show: the question is not how many rows a page has.
    answer = await http.get(f"/v1/programs/{PROGRAM}/members/{member}/{what}", params={"limit": LOTS[FEW]})
    answer.raise_for_status()


async def _shop(send: Callable[..., Awaitable[None]], member: str, count: int) -> None:
    await send(_asked("member.enrolment_requested.v1", member, at=_START, enrolled_at=_START))
    for start in range(0, count, _BATCH):
        await send(*(purchased(member, number, count) for number in range(start, min(start + _BATCH, count))))


def purchased(member: str, number: int, count: int) -> Note:
    """One of a member's purchases: twenty lines, a hundred points, on a day of its own or with a few others."""
    at = _START + timedelta(days=number * _DAYS // count, minutes=number % 600)
    lines = [{"id": str(line), "quantity": 1, "amount": _CENTS_A_LINE} for line in range(1, _LINES + 1)]
    bought = {"type": "purchase", "currency": "USD", "amount": _CENTS_A_LINE * _LINES, "lines": lines}
    return _reported(member, f"{member}-{number}", at, bought)


def returned(member: str, number: int) -> Note:
    """The return of one line: of its ten last purchases in turn, so that both give back what is not spent yet."""
    of = LOTS[FEW] - 1 - number % LOTS[FEW]
    line = 1 + number // LOTS[FEW]
    back = {"type": "return", "of": f"{member}-{of}", "lines": [{"id": str(line), "quantity": 1}]}
    return _reported(member, f"{member}-r-{number}", _NOW, back)


def _reported(member: str, name: str, at: datetime, activity: dict[str, Any]) -> Note:
    told = {"id": name, "member": member, "occurred_at": at.isoformat(), **activity}
    return _asked("activity.reported.v1", member, at=at, partner=PARTNER, hash=name, activity=told)


def _asked(type_: str, member: str, *, at: datetime = _NOW, **fields: Any) -> Note:  # noqa: ANN401
    cause = {"kind": "benchmark", "id": type_}
    return note(type_, PROGRAM, member, at=at, cause=cause, versions={"program": 1}, **fields)


@asynccontextmanager
async def _database(url: str) -> AsyncIterator[Database]:
    database = await Database.connect(url, schema="points", application="benchmark")
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def _reader(database: Database, programs: FixedPrograms) -> AsyncIterator[httpx.AsyncClient]:
    """Ask points' own HTTP, without a network between."""
    app = FastAPI()
    app.include_router(routes(LedgerViews(database), programs))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://points") as http:
        yield http


async def _open_lots(database: Database) -> dict[str, int]:
    async with database.connection() as connection:
        rows: Sequence[Any] = await connection.fetch(
            "select member, count(*) from lots where remaining > 0 group by member order by member"
        )
    return dict(rows)
