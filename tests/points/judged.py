"""A program whose members are judged when told: whole, in steps, and in steps that are lost."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Any

from laurel.io.database import Database
from laurel.program import ProgramDocument
from services.points.entry.judging import Judge
from services.points.road import Road
from services.points.store.ledger import Ledger
from services.points.testing import FixedPrograms, Note
from tests.points.stored import say
from tests.points.till import as_heard


class LostError(Exception):
    """The process died before it committed."""


class Judged:
    """The first of the programs is judged; the others are there beside it."""

    def __init__(self, database: Database, *programs: ProgramDocument, batch_max: int = 500) -> None:
        self.database = database
        self.programs = FixedPrograms(*programs)
        self.program = programs[0].program
        self.road = Road(self.programs)
        self.judge = Judge(self.road, self.programs, batch_max=batch_max)
        self.numbers = 0

    async def send(self, *notes: Note) -> list[dict[str, Any]]:
        return await say(self.database, self.road, *notes)

    async def step(self, until: datetime, *, dies: bool = False) -> tuple[bool, list[dict[str, Any]]]:
        """Take a step; say whether there was one, and what was said. One that `dies` nobody will ever hear of."""
        said: Any = []
        found = None
        with suppress(LostError):
            async with self.database.transaction() as connection:
                store = Ledger(connection)
                found = await self.judge.find(store, self.program, until)
                if found is not None:
                    _, said = await self.judge.step(store, found, turned_to=until)
                if dies:
                    raise LostError
        return found is not None, [] if dies else as_heard(said)

    async def judged(self, until: datetime) -> list[dict[str, Any]]:
        heard: list[dict[str, Any]] = []
        more = True
        while more:
            more, said = await self.step(until)
            heard += said
        return heard

    async def belong(self, segment: str) -> list[str]:
        async with self.database.connection() as connection:
            rows = await connection.fetch(
                "select member from segments where program = $1 and $2 = any(names) order by member",
                self.program,
                segment,
            )
        return [row["member"] for row in rows]
