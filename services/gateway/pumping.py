"""Lines of batches move to the outbox, few enough at a time that a partner's file never starves the till."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from laurel.errors import Problem
from laurel.io.database import is_conflict
from laurel.io.keeping import keep_doing, woken_or_over
from services.gateway.accepting import unearned
from services.gateway.asking import Stamp
from services.gateway.batching import rejected
from services.gateway.naming import ACTIVITY, Correlation, RequestKey
from services.gateway.saying import activity_reported
from services.gateway.store import batches, callers, programs, requests
from services.gateway.store.batches import Moved
from services.gateway.store.requests import NewRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from laurel.io.database import Connection
    from laurel.io.health import Health
    from laurel.io.unit import UnitOfWork, Work
    from services.gateway.store.batches import BatchRow, FaultRow, LineRow
    from services.gateway.store.requests import Accepted


PART: Final = "batches"
_BUSY_SECONDS: Final = 0.05
_CONFLICTS_MAX: Final = 20
_LINES_MAX: Final = 1_000
_ENOUGH: Final = 50
_BYTES_MAX: Final = 4_000_000
"""Lines may be long: a turn moves no more of them than this, and one more. It holds each several times."""
_HEAVY_BYTES: Final = 1_000_000
"""After a turn that moved so much the next one waits until that is published."""
_PUBLISHED_SECONDS: Final = 1.0


class Pump:
    """Moves lines. Of all that run on one database, one works at a time."""

    def __init__(
        self,
        unit: UnitOfWork,
        health: Health,
        clock: Callable[[], datetime],
        *,
        in_flight_max: int,
        in_flight_beside_callers: int,
        yields_seconds: float,
        poll_seconds: float,
        silence_seconds: float,
        published: Callable[[float], Awaitable[bool]],
    ) -> None:
        """`published` waits, for so many seconds, until everything is published that was said here."""
        self._unit = unit
        self._health = health
        self._clock = clock
        self._in_flight_max = in_flight_max
        self._in_flight_beside_callers = min(in_flight_beside_callers, in_flight_max)
        self._yields_seconds = yields_seconds
        self._poll_seconds = poll_seconds
        # A sender that is merely slow is ended by the instance that listens to it, well before.
        self._abandoned_after = timedelta(seconds=2 * silence_seconds)
        self._published = published
        self._moved_bytes = 0
        self._woken = asyncio.Event()
        self._is_busy = False

    def wake(self) -> None:
        """Outcomes have come in: there may be room for more lines, or a batch may be done."""
        self._woken.set()

    async def run(self) -> None:
        """Move lines until cancelled. Trouble with the database is waited out."""
        await keep_doing(self._look, self._rest, self._health, PART)

    async def _look(self) -> bool:
        self._woken.clear()
        self._is_busy, moved = await self.turn()
        return moved > 0

    async def _rest(self) -> None:
        await woken_or_over(self._woken, _BUSY_SECONDS if self._is_busy else self._poll_seconds)

    async def turn(self) -> tuple[bool, int]:
        """Move what there is room for; answers whether any batch is open, and how many lines moved."""
        for attempt in range(_CONFLICTS_MAX):
            try:
                return await self._turn()
            except Exception as error:
                if not is_conflict(error):
                    raise
                await asyncio.sleep(0.002 * attempt)
        return (True, 0)

    async def _turn(self) -> tuple[bool, int]:
        # What waits to be published stands in memory, whoever's turn it is to publish it.
        if self._moved_bytes >= _HEAVY_BYTES and not await self._published(_PUBLISHED_SECONDS):
            return (True, 0)
        self._moved_bytes = 0
        async with self._unit.database.connection() as connection:
            open_ = await batches.open_batches(connection)
            share = await self._share(connection) if open_ else 0
        if not open_ or not self._has_work(open_, share):
            return (bool(open_), 0)
        async with self._unit.begin() as work:
            if not await batches.take_turn(work.connection):
                return (True, 0)
            moved = await self._move_all(work, share)
            now = self._clock()
            await batches.finish(work.connection, now, abandoned_before=now - self._abandoned_after)
        return (True, moved)

    async def _share(self, connection: Connection) -> int:
        """Return how many lines may be with points now."""
        beside_callers = await callers.present(connection, self._yields_seconds)
        return self._in_flight_beside_callers if beside_callers else self._in_flight_max

    def _has_work(self, open_: Sequence[BatchRow], share: int) -> bool:
        """A turn is worth a transaction if enough lines can move, or a batch may be done or given up."""
        room = share - sum(batch.in_flight for batch in open_)
        waiting = sum(batch.waiting for batch in open_)
        if waiting and room >= min(waiting, _ENOUGH, max(1, share // 2)):
            return True
        silent = self._clock() - self._abandoned_after
        return any(
            batch.following
            or (batch.state == batches.RUNNING and not batch.pending and not batch.giving_back)
            or (batch.state == batches.RECEIVING and batch.touched_at < silent)
            for batch in open_
        )

    async def _move_all(self, work: Work, in_flight_max: int) -> int:
        """Give each open batch its share of the room, the oldest what is left over."""
        open_ = await batches.open_batches(work.connection)
        room = in_flight_max - sum(batch.in_flight for batch in open_)
        # While its clock is turned a program takes nothing in; its batches wait.
        heads = await programs.kept_heads(work.connection, {batch.program for batch in open_})
        turning = {name for name, head in heads.items() if head.turning_to is not None}
        waiting = [batch for batch in open_ if batch.waiting and batch.program not in turning]
        total = 0
        self._moved_bytes = 0
        for index, batch in enumerate(waiting):
            share = min(room // (len(waiting) - index), _LINES_MAX)
            share_bytes = (_BYTES_MAX - self._moved_bytes) // (len(waiting) - index)
            if share <= 0 or share_bytes <= 0:
                continue
            lines = await batches.next_lines(work.connection, batch, share, share_bytes)
            if lines:
                self._moved_bytes += sum(len(line.body) for line in lines)
                room -= (await self._move(work, batch, lines)).asked
                total += len(lines)
        for batch in open_:
            if batch.following:
                total += await batches.count_followed(work.connection, batch)
        return total

    async def _move(self, work: Work, batch: BatchRow, lines: Sequence[LineRow]) -> Moved:
        connection, now = work.connection, self._clock()
        moving = _Moving(batch, now, await _owners(connection, batch, lines))
        moving.plan(lines)
        new = await requests.insert(connection, moving.requests, now)
        before = await requests.find_all(connection, moving.keys - new.keys())
        for line in lines:
            moving.settle(line, new, before, work)
        await batches.reject(connection, batch.program, batch.batch, moving.faults)
        await batches.follow(connection, batch, moving.following)
        await batches.move(connection, batch, moving.moved)
        return moving.moved


class _Moving:
    """Some lines on their way to the outbox."""

    def __init__(self, batch: BatchRow, now: datetime, owners: dict[tuple[str, str], str | None]) -> None:
        self._batch = batch
        self._now = now
        self._owners = owners
        self._firsts: dict[RequestKey, LineRow] = {}
        self.requests: list[NewRequest] = []
        self.faults: list[FaultRow] = []
        self.following: list[LineRow] = []
        self.moved = Moved(batch.read_through)

    @property
    def keys(self) -> set[RequestKey]:
        return set(self._firsts)

    def plan(self, lines: Sequence[LineRow]) -> None:
        """Ask for each id once; a second line with it is a repeat, like one that was asked before."""
        for line in lines:
            key = self._key(line)
            if key in self._firsts or not self._is_owned(line):
                continue
            self._firsts[key] = line
            member = self._member(line)
            is_unearned = member is None
            self.requests.append(
                NewRequest(
                    key,
                    line.hash,
                    member,
                    batch=self._batch.batch,
                    line=line.line,
                    outcome=unearned(line.id) if is_unearned else None,
                    body=line.body if is_unearned else None,
                )
            )

    def settle(
        self,
        line: LineRow,
        new: dict[RequestKey, Accepted],
        before: dict[RequestKey, requests.RequestRow],
        work: Work,
    ) -> None:
        """Say the line, or count it as what it turned out to be."""
        self.moved.read_through = line.line
        key = self._key(line)
        first = self._firsts.get(key)
        if first is None:
            self._reject(line, Problem("activity_unknown"))
        elif first is line and key in new:
            self._say(line, key, new[key], work)
        else:
            self._repeat(line, first, before.get(key))

    def _say(self, line: LineRow, key: RequestKey, accepted: Accepted, work: Work) -> None:
        member = self._member(line)
        if member is None:
            self.moved.unearned += 1
            return
        self.moved.asked += 1
        work.say(
            activity_reported(
                Stamp(Correlation(key, accepted.attempt), accepted.head, self._now),
                member=member,
                partner=line.partner,
                hash_=line.hash,
                occurred_at=line.occurred_at,
                activity=line.body if line.of_id is None else _with_member(line.body, member),
                traceparent="",
            )
        )

    def _repeat(self, line: LineRow, first: LineRow, before: requests.RequestRow | None) -> None:
        hash_ = first.hash if before is None else before.hash
        is_pending = self._member(first) is not None if before is None else before.is_pending
        if hash_ != line.hash:
            self._reject(line, Problem("idempotency_mismatch"))
        elif is_pending:
            self.following.append(line)
            self.moved.following += 1
        else:
            self.moved.duplicate += 1

    def _reject(self, line: LineRow, problem: Problem) -> None:
        self.moved.rejected += 1
        self.faults.append(rejected(line, problem))

    def _key(self, line: LineRow) -> RequestKey:
        return RequestKey(self._batch.program, ACTIVITY, line.partner, line.id)

    def _is_owned(self, line: LineRow) -> bool:
        return line.of_id is None or (line.partner, line.of_id) in self._owners

    def _member(self, line: LineRow) -> str | None:
        if line.of_id is not None:
            return self._owners[line.partner, line.of_id]
        return line.member


def _with_member(body: bytes, member: str) -> bytes:
    """A return learns whose it is only now, from the activity that it takes back."""
    return msgspec.json.encode({**msgspec.json.decode(body), "member": member})


async def _owners(
    connection: Connection, batch: BatchRow, lines: Sequence[LineRow]
) -> dict[tuple[str, str], str | None]:
    """Return whose the activities are that these lines take back: asked before, or earlier in the file."""
    wanted = {(line.partner, line.of_id) for line in lines if line.of_id is not None}
    if not wanted:
        return {}
    keys = [RequestKey(batch.program, ACTIVITY, partner, of) for partner, of in wanted]
    found = await requests.find_all(connection, keys)
    owners = {(key.partner, key.id): row.member for key, row in found.items() if row.state != requests.FREED}
    for line in lines:
        if line.of_id is None and (line.partner, line.id) in wanted:
            owners.setdefault((line.partner, line.id), line.member)
    return owners
