"""Work that a message asks for and that is done in steps, each a transaction, which can stop and go on anywhere."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

from laurel.io.database import is_conflict


class Stepper(ABC):
    """Takes steps while there are any, woken by the messages that ask for them and by looking now and then."""

    def __init__(self, interval_seconds: float) -> None:
        self._interval_seconds = interval_seconds
        self._woken = asyncio.Event()

    @abstractmethod
    async def step(self) -> bool:
        """Take the next step; say whether there was one."""

    def wake(self) -> None:
        """There is something to do."""
        self._woken.set()

    async def run(self) -> None:
        """Take steps until cancelled."""
        while True:
            self._woken.clear()
            if not await self._step_again():
                await self._rest()

    async def _step_again(self) -> bool:
        """A step that met others on its way is simply taken again."""
        try:
            return await self.step()
        except Exception as error:
            if not is_conflict(error):
                raise
            return True

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(self._interval_seconds):
                await self._woken.wait()
        except TimeoutError:
            return
