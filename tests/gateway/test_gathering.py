"""Writes that arrive together are written together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from services.gateway.gathering import FullError, Gatherer

pytestmark = pytest.mark.anyio


class DataError(Exception):
    pass


class ConflictError(Exception):
    pass


class Writer:
    """Doubles numbers; 13 is refused as data, negative ones are refused one by one."""

    def __init__(self) -> None:
        self.sets: list[list[int]] = []
        self.conflicts = 0
        self.broken = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def write(self, items: Sequence[int]) -> list[int | Exception]:
        self.sets.append(list(items))
        await self.gate.wait()
        await asyncio.sleep(0)
        if self.broken:
            raise OSError("no database")
        if self.conflicts:
            self.conflicts -= 1
            raise ConflictError
        if 13 in items:
            raise DataError
        return [ValueError(item) if item < 0 else item * 2 for item in items]


def gatherer(writer: Writer, set_max: int = 100, waiting_max: int = 1000) -> Gatherer[int, int]:
    return Gatherer(
        writer.write,
        set_max=set_max,
        waiting_max=waiting_max,
        isolates=lambda error: isinstance(error, DataError),
        repeats=lambda error: isinstance(error, ConflictError),
    )


async def test_while_one_set_is_written_the_next_collects() -> None:
    writer = Writer()
    gathering = gatherer(writer)
    writer.gate.clear()
    first = asyncio.create_task(gathering.submit(1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [asyncio.create_task(gathering.submit(number)) for number in (2, 3, 4)]
    await asyncio.sleep(0)
    writer.gate.set()
    assert await asyncio.gather(first, *others) == [2, 4, 6, 8]
    assert writer.sets == [[1], [2, 3, 4]]


async def test_a_set_is_no_larger_than_it_may_be() -> None:
    writer = Writer()
    gathering = gatherer(writer, set_max=3)
    assert await asyncio.gather(*(gathering.submit(number) for number in range(8))) == [n * 2 for n in range(8)]
    assert [len(each) for each in writer.sets] == [3, 3, 2]


async def test_one_bad_item_fails_alone() -> None:
    writer = Writer()
    gathering = gatherer(writer)
    found = await asyncio.gather(*(gathering.submit(n) for n in (1, -2, 13, 4)), return_exceptions=True)
    assert found[0] == 2
    assert found[3] == 8
    assert isinstance(found[1], ValueError)
    assert isinstance(found[2], DataError)


async def test_a_set_that_collided_is_written_again() -> None:
    writer = Writer()
    writer.conflicts = 2
    assert await gatherer(writer).submit(5) == 10
    assert writer.sets == [[5], [5], [5]]


async def test_who_meets_others_too_often_is_asked_to_come_back() -> None:
    writer = Writer()
    writer.conflicts = 5
    with pytest.raises(FullError):
        await gatherer(writer).submit(5)
    assert await gatherer(writer).submit(5) == 10


async def test_without_a_database_everybody_is_told_and_the_next_ones_try_anew() -> None:
    writer = Writer()
    gathering = gatherer(writer)
    writer.broken = True
    found = await asyncio.gather(*(gathering.submit(n) for n in (1, 2)), return_exceptions=True)
    assert [type(each) for each in found] == [OSError, OSError]
    writer.broken = False
    assert await gathering.submit(3) == 6


async def test_a_caller_who_leaves_stops_nobody_else() -> None:
    writer = Writer()
    gathering = gatherer(writer)
    writer.gate.clear()
    leaving = asyncio.create_task(gathering.submit(1))
    staying = asyncio.create_task(gathering.submit(2))
    await asyncio.sleep(0)
    leaving.cancel()
    writer.gate.set()
    assert await staying == 4
    await gathering.close()


async def test_more_than_may_wait_are_sent_away() -> None:
    writer = Writer()
    gathering = gatherer(writer, waiting_max=2)
    writer.gate.clear()
    running = asyncio.create_task(gathering.submit(0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(gathering.submit(number)) for number in (1, 2)]
    await asyncio.sleep(0)
    with pytest.raises(FullError):
        await gathering.submit(3)
    writer.gate.set()
    assert await asyncio.gather(running, *waiting) == [0, 2, 4]
