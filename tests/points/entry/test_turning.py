"""Turns of clocks that several workers are at, on a real database."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from laurel.io.database import Database
from laurel.io.health import Health
from laurel.io.outbox import Outbox
from laurel.io.unit import UnitOfWork
from services.points.entry.judging import Judge
from services.points.entry.turning import ClockTurner
from services.points.ports import Turn, WalletKey
from services.points.road import Road
from services.points.store.ledger import Ledger
from services.points.testing import FixedPrograms
from tests.points.till import START, document, enrolment, purchase, report

pytestmark = pytest.mark.anyio

MEMBERS = 40
SHORT = document("clubcard", clock="manual", units={"point": {"scale": 0, "validity": {"kind": "rolling", "days": 10}}})
AFTER = START + timedelta(days=30)
TURN = Turn("clubcard", AFTER, "message", "correlation", "")


@pytest.fixture
async def unit(database: Database) -> UnitOfWork:
    """Members with ten points each, which are over by AFTER, and a turn to there that has been asked for."""
    unit = UnitOfWork(database, await Outbox.load("points", database))
    notes = [enrolment("clubcard", f"m-{n:02}") for n in range(MEMBERS)]
    notes += [report("clubcard", f"m-{n:02}", purchase(f"b-{n}", 1000), START) for n in range(MEMBERS)]
    async with unit.begin() as work:
        ledger = Ledger(work.connection)
        await Road(FixedPrograms(SHORT)).run(ledger, notes)
        await ledger.begin_turns([TURN])
    return unit


class Turner(ClockTurner):
    """A worker that remembers whom it took, and can be made to fail."""

    def __init__(self, unit: UnitOfWork, *, fails: BaseException | None = None) -> None:
        programs = FixedPrograms(SHORT)
        road = Road(programs)
        judge = Judge(road, programs, batch_max=2)
        super().__init__(unit, road, judge, Ledger, Health(), interval_seconds=0.01, batch_max=2, at_once=2)
        self.taken: list[str] = []
        self.fails = fails

    async def _take(self, turn: Any, wallets: Sequence[WalletKey]) -> None:
        if self.fails is not None:
            error, self.fails = self.fails, None
            raise error
        # Others come to their turn.
        await asyncio.sleep(0.005)
        await super()._take(turn, wallets)
        self.taken += [each.member for each in wallets]

    async def until_done(self, auditor: asyncpg.Connection[Any]) -> None:
        async with asyncio.timeout(60):
            while not await auditor.fetchval("select done from points.turns"):
                if not await self.step():
                    await asyncio.sleep(0.01)


async def expect_all_done_once(auditor: asyncpg.Connection[Any]) -> None:
    row = await auditor.fetchrow("select lots_expired, done from points.turns")
    assert tuple(row or ()) == (MEMBERS, True)
    assert await auditor.fetchval("select sum(expired) from points.balances") == 10 * MEMBERS
    said = "select count(*) from points.outbox where type = $1"
    assert await auditor.fetchval(said, "points.expired.v1") == MEMBERS
    assert await auditor.fetchval(said, "clock.turned.v1") == 1


async def test_two_workers_share_a_turn(
    unit: UnitOfWork, auditor: asyncpg.Connection[Any], another: asyncpg.Connection[Any]
) -> None:
    one, two = Turner(unit), Turner(unit)
    await asyncio.gather(one.until_done(auditor), two.until_done(another))
    assert sorted(one.taken + two.taken) == [f"m-{n:02}" for n in range(MEMBERS)]
    assert min(len(one.taken), len(two.taken)) >= MEMBERS // 4
    await expect_all_done_once(auditor)


async def test_what_a_dead_worker_had_in_hand_is_done_by_another(
    unit: UnitOfWork, auditor: asyncpg.Connection[Any]
) -> None:
    dead, other = Turner(unit, fails=asyncio.CancelledError()), Turner(unit)
    with pytest.raises(asyncio.CancelledError):
        await dead.until_done(auditor)
    # One of the two parts of its page was done before it died.
    assert len(dead.taken) == 2
    await other.until_done(auditor)
    assert await auditor.fetchval("select walk from points.turns") == 1
    await expect_all_done_once(auditor)


async def test_a_page_whose_members_others_are_at_is_tried_again_at_once(
    unit: UnitOfWork, auditor: asyncpg.Connection[Any]
) -> None:
    worker = Turner(unit, fails=asyncpg.SerializationError("could not serialize access"))
    await worker.until_done(auditor)
    assert await auditor.fetchval("select walk from points.turns") == 0
    await expect_all_done_once(auditor)


async def test_a_page_that_came_back_late_counts_for_its_own_walk_only(
    unit: UnitOfWork, auditor: asyncpg.Connection[Any]
) -> None:
    async with unit.begin() as work:
        ledger = Ledger(work.connection)
        turn = await ledger.open_turn()
        assert turn is not None
        await ledger.hand_out(turn, await ledger.due_page(turn, 4))
        await ledger.walk_again(turn)
        again = await ledger.open_turn()
        assert again is not None
        await ledger.hand_out(again, await ledger.due_page(again, 4))
        await ledger.take_back(turn)
    assert await auditor.fetchval("select in_hand from points.turns") == 1
    await Turner(unit).until_done(auditor)
    await expect_all_done_once(auditor)
