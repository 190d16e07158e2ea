"""Work that is kept up: trouble is told and waited out, and what may go on at once does not rest."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from laurel.io.health import Health
from laurel.io.keeping import keep_doing, woken_or_over

pytestmark = pytest.mark.anyio


class Labour:
    """Does what is in `outcomes`, the first first, and then nothing more."""

    def __init__(self, *outcomes: object) -> None:
        self.outcomes = list(outcomes)
        self.health = Health()
        self.told: list[str] = []
        self.rests = 0
        self.over = asyncio.Event()

    async def work(self) -> object:
        self.told.append(self.health.reason("labour"))
        if not self.outcomes:
            self.over.set()
            return False
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def rest(self) -> None:
        self.rests += 1
        await asyncio.sleep(0)

    async def run(self) -> None:
        running = asyncio.create_task(keep_doing(self.work, self.rest, self.health, "labour"))
        async with asyncio.timeout(5):
            await self.over.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_trouble_is_told_until_it_is_over() -> None:
    labour = Labour(OSError("the database is away"), OSError("still"), True)
    await labour.run()
    assert labour.told[:4] == ["", "OSError: the database is away", "OSError: still", ""]


async def test_to_have_met_others_is_no_trouble() -> None:
    labour = Labour(asyncpg.DeadlockDetectedError("they lock each other out"), 7)
    await labour.run()
    assert set(labour.told) == {""}


async def test_only_what_may_go_on_at_once_does_not_rest() -> None:
    labour = Labour(True, True, 3, None)
    await labour.run()
    # After 3, after None, and perhaps after the last look.
    assert 2 <= labour.rests <= 3


async def test_a_rest_ends_when_somebody_wakes_us_or_by_itself() -> None:
    woken = asyncio.Event()
    await woken_or_over(woken, 0.001)
    asyncio.get_running_loop().call_soon(woken.set)
    async with asyncio.timeout(5):
        await woken_or_over(woken, 60)
