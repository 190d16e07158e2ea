"""Turns of clocks that rest where waits of redemptions end, on a real database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import msgspec
import pytest

from laurel.io.database import Database
from laurel.io.health import Health
from laurel.io.outbox import Outbox
from laurel.io.unit import UnitOfWork
from services.points.entry.judging import Judge
from services.points.entry.turning import ClockTurner
from services.points.ports import Turn
from services.points.road import Road
from services.points.store.ledger import Ledger
from services.points.testing import FixedPrograms, Note, note
from tests.points.till import START, document, enrolment, purchase, report

pytestmark = pytest.mark.anyio

LOTS_LIVE = {"point": {"scale": 0, "validity": {"kind": "rolling", "days": 10}}}
PROGRAM = document("clubcard", clock="manual", units=LOTS_LIVE)
PROGRAMS = FixedPrograms(PROGRAM)
AFTER = START + timedelta(days=30)
FIRST, THEN, LATE = (START + timedelta(days=days) for days in (3, 4, 20))
JUDGED = datetime(2024, 3, 25, tzinfo=UTC)
"""The Monday after the last of these instants, when all members are judged."""
TICK = timedelta(microseconds=1)
STANDS = "select part_to, waits_to, waited_to, lots_expired, done from points.turns"


@pytest.fixture
async def unit(database: Database) -> UnitOfWork:
    """Three members with a hundred points each, which are over by the end of a turn that has been asked for."""
    unit = UnitOfWork(database, await Outbox.load("points", database))
    members = [f"m-{n}" for n in range(3)]
    await hear(unit, *(enrolment("clubcard", member) for member in members))
    await hear(unit, *(report("clubcard", each, purchase(f"b-{each}", 10_000), START) for each in members))
    async with unit.begin() as work:
        await Ledger(work.connection).begin_turns([Turn("clubcard", AFTER, "message", "correlation", "")])
    return unit


async def hear(unit: UnitOfWork, *notes: Note) -> list[str]:
    async with unit.begin() as work:
        said = await Road(PROGRAMS).run(Ledger(work.connection), notes)
    return [each.type for each in said]


def held(member: str, hold: str, until: datetime) -> Note:
    asked = {"hold": hold, "unit": "point", "amount": 10, "redemption": hold, "waits_until": until}
    return note("hold.requested.v1", "clubcard", member, at=START, **asked)


def released(member: str, hold: str, until: datetime) -> Note:
    asked = {"hold": hold, "redemption": hold, "turned_to": AFTER, "waited_until": until}
    # A saga's time is ahead of its wait's end where the member's is.
    return note("hold.release_requested.v1", "clubcard", member, at=until + timedelta(days=40), **asked)


def go_on(until: datetime) -> Note:
    fields = {"program": "clubcard", "member": None, "at": until, "as_of": AFTER, "until": until}
    return Note("clock.go_on_requested.v1", "clubcard", "", msgspec.json.encode(fields))


async def step(unit: UnitOfWork) -> None:
    """Go on with the turn until it rests or is done."""
    road = Road(PROGRAMS)
    judge = Judge(road, PROGRAMS, batch_max=2)
    turner = ClockTurner(unit, road, judge, Ledger, Health(), interval_seconds=0.01, batch_max=2)
    while await turner.step():
        pass


async def stands(auditor: asyncpg.Connection[Any]) -> tuple[Any, ...]:
    return tuple(await auditor.fetchrow(STANDS) or ())


async def asked_for(auditor: asyncpg.Connection[Any]) -> int:
    query = "select count(*) from points.outbox where type = 'redemption.end_waits_requested.v1'"
    return int(await auditor.fetchval(query))


async def test_a_turn_rests_at_each_wait_and_goes_on_when_it_has_ended(
    unit: UnitOfWork, auditor: asyncpg.Connection[Any]
) -> None:
    await hear(unit, held("m-0", "h-0", FIRST), held("m-1", "h-1", THEN), held("m-2", "h-2", LATE))
    await step(unit)
    # What lies between the first two is nothing; by the third the other points have ended.
    ends = await auditor.fetchval("select min(next_due_at) from points.wallets")
    assert THEN < ends < LATE
    assert await stands(auditor) == (FIRST - TICK, ends, None, 0, False)
    await step(unit)
    assert await asked_for(auditor) == 1

    await hear(unit, go_on(THEN), go_on(LATE))
    await step(unit)
    assert await stands(auditor) == (FIRST - TICK, ends, None, 0, False), "it rests for other waits"
    await hear(unit, released("m-0", "h-0", FIRST), released("m-1", "h-1", THEN))
    await hear(unit, go_on(ends))
    await step(unit)
    # Points that are held do not end. What was held of the first two ended with the rest of theirs.
    assert await stands(auditor) == (LATE - TICK, JUDGED, ends, 3, False)
    expired = dict(await auditor.fetch("select member, expired from points.balances where unit = 'point'"))
    assert expired == {"m-0": 100, "m-1": 100, "m-2": 90}
    await hear(unit, go_on(ends))
    assert (await stands(auditor))[1] == JUDGED, "an answer that was heard before changes nothing"

    await hear(unit, released("m-2", "h-2", LATE), go_on(JUDGED))
    await step(unit)
    assert await stands(auditor) == (AFTER, None, JUDGED, 3, True)
    released_at = "select at from points.journals where kind = 'release' order by at"
    assert [row[0] for row in await auditor.fetch(released_at)] == [FIRST, THEN, LATE]
    assert await auditor.fetchval("select sum(expired) from points.balances where unit = 'point'") == 300
    assert await asked_for(auditor) == 2


async def test_a_members_second_wait_is_another_part(unit: UnitOfWork, auditor: asyncpg.Connection[Any]) -> None:
    await hear(unit, held("m-0", "h-0", FIRST), held("m-0", "h-1", THEN), held("m-1", "h-2", FIRST))
    await step(unit)
    assert (await stands(auditor))[:2] == (FIRST - TICK, THEN - TICK)
    await hear(unit, released("m-0", "h-0", FIRST), released("m-1", "h-2", FIRST), go_on(THEN - TICK))
    await step(unit)
    assert (await stands(auditor))[0] == THEN - TICK


async def test_what_is_on_its_way_to_be_spent_is_rested_for_once(
    unit: UnitOfWork, auditor: asyncpg.Connection[Any]
) -> None:
    """Redemption has decided it before, so it releases nothing; the points stay held until the capture comes."""
    await hear(unit, held("m-0", "h-0", FIRST))
    await step(unit)
    waits_to = (await stands(auditor))[1]
    await hear(unit, go_on(waits_to))
    await step(unit)
    assert (await stands(auditor))[4] is True
    assert await asked_for(auditor) == 1
    capture = note("hold.capture_requested.v1", "clubcard", "m-0", at=THEN, hold="h-0", redemption="h-0")
    assert await hear(unit, capture) == ["points.captured.v1"]


async def test_what_was_spent_while_the_turn_came_there_is_not_rested_for(
    unit: UnitOfWork, auditor: asyncpg.Connection[Any]
) -> None:
    await hear(unit, held("m-0", "h-0", FIRST), held("m-1", "h-1", THEN))
    async with unit.begin() as work:
        ledger = Ledger(work.connection)
        turn = await ledger.open_turn()
        assert turn is not None
        assert (await ledger.begin_part(turn)).until == FIRST - TICK
    await hear(unit, note("hold.capture_requested.v1", "clubcard", "m-0", at=START, hold="h-0", redemption="h-0"))
    await step(unit)
    assert (await stands(auditor))[0] == THEN - TICK
    assert await asked_for(auditor) == 1
