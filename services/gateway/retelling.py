"""An owner is asked to tell a program again, from its beginning or of some members."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from laurel.errors import Problem
from services.gateway.passing import path_of
from services.gateway.recalling import Line, MemberTold, read_line

if TYPE_CHECKING:
    from services.gateway.passing import Owner

_BUSY_SECONDS: Final = 2.0
_TRIES: Final = 30


class Retelling:
    """What one owner tells. Raises a problem where it does not answer."""

    def __init__(self, owner: Owner, *, busy_seconds: float = _BUSY_SECONDS) -> None:
        self._owner = owner
        self._busy_seconds = busy_seconds

    async def reach(self) -> None:
        """See that the owner is there."""
        await self._owner.ask("GET", "/health/live")

    async def lines(self, program: str, kind: str, only: Sequence[str] = ()) -> AsyncGenerator[Line, None]:
        """Yield the lines of a kind, of all members or of these; an owner that is busy is asked again for a while."""
        path = path_of("v1", "programs", program, "exports", kind)
        for tried in range(1, _TRIES + 1):
            began = False
            try:
                async with aclosing(self._owner.lines(path, params={"member": only} if only else {})) as lines:
                    async for line in lines:
                        began = True
                        yield read_line(line)
                return
            except Problem as problem:
                if began or problem.code != "overloaded" or tried == _TRIES:
                    raise
            await asyncio.sleep(self._busy_seconds)

    async def members(
        self, program: str, only: Sequence[str] = (), *, activities_max: int
    ) -> AsyncGenerator[MemberTold, None]:
        """Yield members as points tells them; one with very many activities several times, and whole the last time."""
        told: MemberTold | None = None
        async with aclosing(self.lines(program, "told", only)) as lines:
            async for line in lines:
                if told is None or told.member != line.member:
                    told = MemberTold(program, line.member, line.last.source, line.place)
                was_over = told.is_over
                told.hear(line)
                if told.is_over != was_over or len(told.activities) >= activities_max:
                    yield told
