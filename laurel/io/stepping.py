"""Work that a message asks for and that is done in steps, each a transaction, which can stop and go on anywhere."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

from laurel.io.health import Health
from laurel.io.keeping import keep_doing, woken_or_over


class Stepper(ABC):
    """Takes steps while there are any, woken by the messages that ask for them and by looking now and then."""

    def __init__(self, health: Health, part: str, interval_seconds: float) -> None:
        self._health = health
        self._part = part
        self._interval_seconds = interval_seconds
        self._woken = asyncio.Event()

    @abstractmethod
    async def step(self) -> bool:
        """Take the next step; say whether there was one."""

    def wake(self) -> None:
        """There is something to do."""
        self._woken.set()

    async def run(self) -> None:
        """Take steps until cancelled; trouble is told and waited out."""
        await keep_doing(self._look, self._rest, self._health, self._part)

    async def _look(self) -> bool:
        self._woken.clear()
        return await self.step()

    async def _rest(self) -> None:
        await woken_or_over(self._woken, self._interval_seconds)
