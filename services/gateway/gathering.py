"""Writes that arrive together go to the database together."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

Item = TypeVar("Item")
Result = TypeVar("Result")


class FullError(Exception):
    """More is waiting than the gatherer may hold, or others were met too often; the caller should come back later."""


class Gatherer(Generic[Item, Result]):
    """Hands items to `write` in sets: while one set is being written, the next collects.

    `write` answers one result per item, in their order; a result that is an exception is raised at its own
    caller only. An exception out of `write` itself means that nothing was written: `isolates(error)` says
    whether one item is to blame (the set is then written again in halves until the item stands alone),
    `repeats(error)` whether the same set may simply be written again, which at the last is `FullError` to its
    callers. Anything else reaches every caller of the set.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        set_max: int,
        waiting_max: int,
        isolates: Callable[[BaseException], bool],
        repeats: Callable[[BaseException], bool],
        attempts_max: int = 5,
    ) -> None:
        self._write = write
        self._set_max = set_max
        self._waiting_max = waiting_max
        self._isolates = isolates
        self._repeats = repeats
        self._attempts_max = attempts_max
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._running: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Result:
        """Write `item` with whatever else has arrived, and answer its own result."""
        if len(self._waiting) >= self._waiting_max:
            raise FullError
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._drain(), name="gatherer")
        # A caller who goes away does not stop what others share a transaction with.
        return await asyncio.shield(answer)

    async def close(self) -> None:
        """Wait until everything submitted has been written."""
        while self._running is not None and not self._running.done():
            await asyncio.wait([self._running])

    async def _drain(self) -> None:
        while self._waiting:
            count = min(len(self._waiting), self._set_max)
            taken = [self._waiting.popleft() for _ in range(count)]
            await self._settle(taken)

    async def _settle(self, taken: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._attempt([item for item, _ in taken])
        except Exception as error:  # noqa: BLE001  (it is handed to the callers, not swallowed)
            if self._isolates(error) and len(taken) > 1:
                middle = len(taken) // 2
                await self._settle(taken[:middle])
                await self._settle(taken[middle:])
                return
            results = [error] * len(taken)
        for (_, answer), result in zip(taken, results, strict=True):
            if answer.done():
                continue
            if isinstance(result, Exception):
                answer.set_exception(result)
                # The caller may have gone; asking once keeps asyncio from logging an unread exception.
                answer.exception()
            else:
                answer.set_result(result)

    async def _attempt(self, items: list[Item]) -> Sequence[Result | Exception]:
        for attempt in range(1, self._attempts_max + 1):
            try:
                return await self._write(items)
            except Exception as error:
                if not self._repeats(error):
                    raise
                if attempt == self._attempts_max:
                    raise FullError from error
                await asyncio.sleep(0.002 * attempt)
        raise AssertionError("unreachable: the last attempt returns or raises")
