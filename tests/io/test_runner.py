"""The parts of a process end together."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from laurel.io.runner import PartEnded, run_tasks

pytestmark = pytest.mark.anyio


async def test_a_dead_part_takes_the_others_down() -> None:
    stopped: list[str] = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append("forever")

    async def dies() -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup) as died:
        await run_tasks({"forever": forever, "dies": dies}, signals=False)
    assert died.group_contains(ZeroDivisionError)
    assert stopped == ["forever"]


async def test_a_part_that_ends_is_a_dead_part() -> None:
    async def ends() -> None:
        await asyncio.sleep(0)

    with pytest.raises(ExceptionGroup) as died:
        await run_tasks({"ends": ends}, signals=False)
    assert died.group_contains(PartEnded)


async def test_a_signal_stops_the_parts_in_their_order() -> None:
    stopped: list[str] = []

    async def part(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            stopped.append(name)

    async def asked() -> None:
        stopped.append("asked")

    running = asyncio.create_task(
        run_tasks({"consumer": lambda: part("consumer"), "relay": lambda: part("relay")}, on_stop=asked)
    )
    await asyncio.sleep(0.05)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(running, 5)
    assert stopped == ["asked", "consumer", "relay"]
