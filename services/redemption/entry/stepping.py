"""Work of whole programs that is done in steps, some of which cannot be taken yet."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar, Final, Generic, TypeVar

from laurel.io.database import Connection
from laurel.io.health import Health
from laurel.io.keeping import woken_or_over
from laurel.io.stepping import Stepper
from laurel.io.unit import UnitOfWork, Work
from services.redemption.entry.consumers import count, sayings_of
from services.redemption.ports import Announcement
from services.redemption.road import Road

_PAUSE_SECONDS_MAX: Final = 2.0

StoreT = TypeVar("StoreT")


class ProgramStepper(Stepper, Generic[StoreT]):
    """Takes the first step that can be taken; what has to wait for others is waited for ever less hurriedly."""

    part: ClassVar[str]

    def __init__(
        self,
        unit: UnitOfWork,
        road: Road,
        store_of: Callable[[Connection], StoreT],
        health: Health,
        *,
        interval_seconds: float,
        batch_max: int,
    ) -> None:
        super().__init__(health, self.part, interval_seconds)
        self._unit = unit
        self._road = road
        self._store_of = store_of
        self._pause = interval_seconds
        self._batch_max = batch_max

    @abstractmethod
    async def _is_any(self, store: StoreT) -> bool:
        """Say whether anything is not done."""

    @abstractmethod
    async def _take(self, work: Work, store: StoreT, passed_over: int) -> bool | None:
        """Take one step, passing over so much; False where it cannot go on yet, None where there is none."""

    async def _look(self) -> bool:
        moved = await super()._look()
        if moved:
            self._pause = self._interval_seconds
        return moved

    async def _rest(self) -> None:
        self._pause = min(self._pause * 1.3, _PAUSE_SECONDS_MAX)
        await woken_or_over(self._woken, self._pause)

    async def step(self) -> bool:
        """Do the next step of what can go on; say whether there was one."""
        async with self._unit.database.reading() as connection:
            if not await self._is_any(self._store_of(connection)):
                return False
        passed_over = 0
        while (found := await self._once(passed_over)) is False:
            passed_over += 1
        return found is True

    async def _once(self, passed_over: int) -> bool | None:
        async with self._unit.begin() as work:
            return await self._take(work, self._store_of(work.connection), passed_over)

    @staticmethod
    def _say(work: Work, said: Sequence[Announcement]) -> None:
        work.say_all(sayings_of(said))
        work.after_commit(partial(count, said))
