"""Projections are made anew from what their owners tell, while everybody reads and events come.

Owners are asked member by member; what they tell of one is of one moment, and says up to which event. Each set of rows
is written in one transaction, and no row is taken away before it is written, so a reader sees a row as it was or as it
is. Stopped anywhere and begun again it comes to the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from laurel.errors import Problem
from laurel.io.database import is_conflict
from services.gateway.recalling import MemberTold, RedemptionTold, redemption_told
from services.gateway.store import programs
from services.gateway.store.rebuilding import activities, members, operations, redemptions
from services.gateway.store.rebuilding.standing import Restored, Row, Stands, Written
from services.gateway.told.telling import RewardSeen

if TYPE_CHECKING:
    from datetime import datetime

    from laurel.io.database import Connection, Database
    from services.gateway.retelling import Retelling

MEMBERS: Final = "members"
ACTIVITIES: Final = "activities"
OPERATIONS: Final = "operations"
REDEMPTIONS: Final = "redemptions"
REWARDS: Final = "rewards"
PARTS: Final = (REWARDS, REDEMPTIONS, OPERATIONS, MEMBERS, ACTIVITIES)
"""What can be made anew."""
_OF_POINTS: Final = frozenset({MEMBERS, ACTIVITIES, OPERATIONS})
_OF_REDEMPTION: Final = frozenset({REDEMPTIONS, REWARDS})

NOBODY: Final = ""
_AT_ONCE: Final = 50
_ACTIVITIES_AT_ONCE: Final = 2_000
_TRIES: Final = 5
_PAUSE_SECONDS: Final = 0.1
_NOTHING_KNOWN: Final[Mapping[Row, Stands]] = {}

_Result = TypeVar("_Result")


class Progress(NamedTuple):
    """How far the rows of one owner are in a program: members gone through, rows mended, the last member."""

    program: str
    owner: str
    members: int
    mended: int
    last: str
    left: Sequence[str] = ()
    """Who could not be told of, and why: what is shown of them is as it was."""


@dataclass(slots=True)
class _Walk:
    """One walk through what an owner tells of a program; `ahead` are rows that stand further, and of whom they are."""

    program: str
    owner: str
    members: int = 0
    mended: int = 0
    last: str = ""
    left: list[str] = field(default_factory=list)
    ahead: dict[Row, Stands] = field(default_factory=dict)
    ahead_of: set[str] = field(default_factory=set)

    def note(self, written: Written, whose: Mapping[Row, str]) -> None:
        self.mended += written.mended
        self.ahead |= written.ahead
        self.ahead_of |= {whose.get(row, row[2]) for row in written.ahead}

    def ahead_again(self) -> Iterator[list[str]]:
        """Yield those whose rows stand further, some at a time: their owner is asked once more."""
        names = sorted(self.ahead_of)
        for start in range(0, len(names), _AT_ONCE):
            yield names[start : start + _AT_ONCE]

    def went(self, count: int, last: str) -> Progress:
        self.members += count
        self.last = last
        return self.progress

    @property
    def progress(self) -> Progress:
        return Progress(self.program, self.owner, self.members, self.mended, self.last, tuple(self.left))


class Rebuilding:
    """Makes the projections of programs anew; raises a problem where an owner does not answer."""

    def __init__(
        self, database: Database, points: Retelling, redemption: Retelling, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._points = points
        self._redemption = redemption
        self._clock = clock

    async def programs(self, named: Sequence[str]) -> list[str]:
        """Return the programs to go through: those named, else all. Raises `program_unknown`."""
        async with self._database.connection() as connection:
            known = await programs.names(connection)
        for name in named:
            if name not in known:
                raise Problem("program_unknown", f"There is no program {name}.")
        return sorted(set(named)) or known

    async def reach(self, parts: Sequence[str]) -> None:
        """See that the owners of these parts answer, before anything is touched."""
        if _OF_POINTS & set(parts):
            await self._points.reach()
        if _OF_REDEMPTION & set(parts):
            await self._redemption.reach()

    async def run(self, program: str, parts: Sequence[str]) -> AsyncGenerator[Progress, None]:
        """Make the parts of a program anew, and tell from time to time how far that is."""
        walks = []
        if _OF_REDEMPTION & set(parts):
            walks.append(self._of_redemption(program, frozenset(parts)))
        if _OF_POINTS & set(parts):
            walks.append(self._of_points(program, frozenset(parts)))
        for walk in walks:
            async with aclosing(walk) as steps:
                async for progress in steps:
                    yield progress

    # Points. ---------------------------------------------------------------------------------------------------

    async def _of_points(self, program: str, parts: frozenset[str]) -> AsyncGenerator[Progress, None]:
        walk = _Walk(program, "points")
        if OPERATIONS in parts:
            for kind in operations.KINDS:
                await self._restore(walk, partial(operations.restore, program=program, kind=kind))
        told: list[MemberTold] = []
        async for each in self._points.members(program, activities_max=_ACTIVITIES_AT_ONCE):
            if each.broken:
                walk.left.append(f"{each.member}: {each.broken}")
                continue
            if each.wallet is None:
                # Of somebody with very many activities what became of them is written on the way.
                await self._write_members(walk, [each], parts, _NOTHING_KNOWN)
                continue
            told.append(each)
            if len(told) == _AT_ONCE:
                await self._write_members(walk, told, parts, _NOTHING_KNOWN)
                yield walk.went(len(told), each.member)
                told = []
        if told:
            await self._write_members(walk, told, parts, _NOTHING_KNOWN)
            yield walk.went(len(told), told[-1].member)
        for only in walk.ahead_again():
            async for each in self._points.members(program, only, activities_max=_ACTIVITIES_AT_ONCE):
                if each.wallet is not None:
                    await self._write_members(walk, [each], parts - {ACTIVITIES}, walk.ahead)
        yield walk.progress

    async def _write_members(
        self, walk: _Walk, told: Sequence[MemberTold], parts: frozenset[str], known: Mapping[Row, Stands]
    ) -> None:
        """Write what was told, in the order in which rows are taken everywhere."""
        ended = {each.member: each for each in told}
        became = [each for member in told for each in member.take_activities()] if ACTIVITIES in parts else []
        operated = [each for member in told if member.wallet is not None for each in member.operations.values()]
        whose: dict[Row, str] = {
            ("operations", each.program, each.kind, each.id): m.member for m in told for each in m.operations.values()
        }

        async def write(connection: Connection) -> list[Written]:
            written = []
            if became:
                source = told[0].source
                heard = await activities.heard(connection, walk.program, source, sorted(ended))
                is_heard = {name: heard.get(name, 0) >= each.place.sequence for name, each in ended.items()}
                written.append(await activities.write(connection, became, is_heard, self._clock()))
            if MEMBERS in parts:
                written.append(await members.write(connection, told, known))
            if OPERATIONS in parts:
                written.append(await operations.write(connection, operated, known))
            return written

        for written in await self._write(write):
            walk.note(written, whose)

    # Redemption. -----------------------------------------------------------------------------------------------

    async def _of_redemption(self, program: str, parts: frozenset[str]) -> AsyncGenerator[Progress, None]:
        walk = _Walk(program, "redemption")
        if REWARDS in parts:
            await self._write_rewards(walk, _NOTHING_KNOWN)
            if walk.ahead:
                await self._write_rewards(walk, walk.ahead)
            walk.ahead_of.clear()
        if REDEMPTIONS in parts:
            await self._restore(walk, partial(redemptions.restore, program=program))
            told: list[RedemptionTold] = []
            async for line in self._redemption.lines(program, "told"):
                each = redemption_told(program, line)
                if each is not None:
                    told.append(each)
                if len(told) == _AT_ONCE:
                    await self._write_redemptions(walk, told, _NOTHING_KNOWN)
                    yield walk.went(len({one.member for one in told}), line.member)
                    told = []
            if told:
                await self._write_redemptions(walk, told, _NOTHING_KNOWN)
                yield walk.went(len({one.member for one in told}), told[-1].member)
            for only in walk.ahead_again():
                lines = [redemption_told(program, line) async for line in self._redemption.lines(program, "told", only)]
                await self._write_redemptions(walk, [each for each in lines if each is not None], walk.ahead)
        yield walk.progress

    async def _write_redemptions(
        self, walk: _Walk, told: Sequence[RedemptionTold], known: Mapping[Row, Stands]
    ) -> None:
        whose: dict[Row, str] = {("redemptions", walk.program, each.seen.redemption): each.member for each in told}
        walk.note(await self._write(lambda connection: redemptions.write(connection, told, known)), whose)

    async def _write_rewards(self, walk: _Walk, known: Mapping[Row, Stands]) -> None:
        """Write the catalogue, which is told of the program itself, and so of nobody."""
        lines = [line async for line in self._redemption.lines(walk.program, "rewards", [NOBODY])]
        if not lines:
            return
        place = lines[0].place
        told = [
            (RewardSeen(walk.program, each.reward, bytes(each.document), place), each.published_at) for each in lines
        ]
        written = await self._write(
            lambda connection: redemptions.write_rewards(connection, walk.program, place, told, known)
        )
        walk.note(written, {})

    # Both. -----------------------------------------------------------------------------------------------------

    async def _restore(self, walk: _Walk, restore: Callable[..., Awaitable[Restored | None]]) -> None:
        """Make rows again that only the gateway has, from the requests that asked for them."""
        after: tuple[str, str] = ("", "")
        while True:
            restored = await self._write(partial(restore, after=after))
            if restored is None:
                return
            walk.mended += restored.added
            after = restored.after

    async def _write(self, deed: Callable[[Connection], Awaitable[_Result]]) -> _Result:
        """Do it in one transaction; once more where it and those who hear events got in each other's way."""
        for tried in range(1, _TRIES + 1):
            try:
                async with self._database.transaction() as connection:
                    return await deed(connection)
            except Exception as error:
                if not is_conflict(error) or tried == _TRIES:
                    raise
            await asyncio.sleep(_PAUSE_SECONDS * tried)
        raise AssertionError
