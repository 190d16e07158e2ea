"""A request becomes a row, a number of its key and an outbox row, in one transaction with those that came with it.

The first of its id that comes alone does so by one statement, if its program stands as it did.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncpg import UniqueViolationError

from laurel.contracts.envelope import Versions
from laurel.errors import Problem
from laurel.io.telemetry import logger
from laurel.shapes import struct_of
from services.gateway.naming import Correlation, RequestKey
from services.gateway.store import audit, households, members, operations, programs, redemptions, requests
from services.gateway.store.requests import Accepted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from laurel.io.database import Connection
    from laurel.io.saying import Saying
    from laurel.io.unit import UnitOfWork
    from services.gateway.store.audit import AuditRow
    from services.gateway.store.households import NewHousehold
    from services.gateway.store.members import NewMember
    from services.gateway.store.operations import NewOperation
    from services.gateway.store.programs import ProgramHead
    from services.gateway.store.requests import NewRequest, RequestRow
    from services.gateway.waiting import Waiter, Waiting

log = logger(__name__)

_HEADS_MAX = 1000
_Versions = struct_of(Versions)


@dataclass(frozen=True, slots=True)
class Stamp:
    """What an entry adds to a request when it accepts it: its id, its time, the versions to judge by."""

    correlation: Correlation
    head: ProgramHead
    now: datetime
    into: ProgramHead | None = None
    """The other program, of a request that also moves one there."""

    @property
    def versions(self) -> Versions:
        return _versions(self.head)

    @property
    def versions_there(self) -> Versions:
        assert self.into is not None  # it was asked for
        return _versions(self.into)

    def at(self, otherwise: datetime) -> datetime:
        """The message's time: now, or on a manual clock its last instant.

        Before a manual clock was ever set nothing is late and nothing is due, so the request's own time serves.
        """
        if not self.head.is_manual:
            return self.now
        return self.head.as_of or otherwise


@dataclass(frozen=True, slots=True)
class Ask:
    """One request to be recorded. `say` makes the message once the stamp is known."""

    request: NewRequest
    say: Callable[[Stamp], Saying] | None
    waits: bool
    enrolment: NewMember | None = None
    keyed: NewRequest | None = None
    """What is kept of an enrolment by its `Idempotency-Key`, where it has one: posted as it is recorded."""
    redemption: tuple[str, str, str, str, str, str] | None = None
    operation: NewOperation | None = None
    turn: datetime | None = None
    """Set where the program's clock is to be turned, and up to when."""
    into: str | None = None
    """Another program that is moved, too."""
    household: NewHousehold | None = None
    change: AuditRow | None = None
    """What the audit keeps of it, where it is a change that an administrator makes."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request as it is recorded now. `before`: its row, if it had been asked before with the same content."""

    correlation: Correlation
    before: RequestRow | None
    waiter: Waiter | None


class Asking:
    """Records requests in sets; `record` is what the gatherer of writes calls."""

    def __init__(
        self, unit: UnitOfWork, waiting: Waiting, waited_for: Callable[[], None], clock: Callable[[], datetime]
    ) -> None:
        """`waited_for` is called when somebody waits for an outcome, other than that of an enrolment."""
        self._unit = unit
        self._waiting = waiting
        self._waited_for = waited_for
        self._clock = clock
        self._heads: dict[str, ProgramHead] = {}
        """How programs stood when something was recorded last; believed only where that turns out to be so still."""

    async def record(self, asks: Sequence[Ask]) -> list[Recorded | Exception]:
        """Record each request, or say why not: 404, 409 or 422 as a problem, at its own place."""
        waiters: list[Waiter] = []
        try:
            if len(asks) == 1 and (recorded := await self._record_at_once(asks[0], waiters)) is not None:
                return [recorded]
            async with self._unit.begin() as work:
                results = await self._decide(work.connection, asks, work.say, waiters)
        except BaseException:
            for waiter in waiters:
                waiter.close()
            raise
        return results

    async def _record_at_once(self, ask: Ask, waiters: list[Waiter]) -> Recorded | None:
        """Record a request by a single statement, as the first of its id in a program that stands as it is known here.

        None: it is not, or there is more to it; nothing is recorded, and it is decided as any other.
        """
        head = self._heads.get(ask.request.key.program)
        if head is None or ask.say is None or not _is_plain(ask):
            return None
        stamp = Stamp(Correlation(ask.request.key, 1), head, self._clock())
        recorded = Recorded(stamp.correlation, None, self._listen(ask, stamp.correlation, waiters))
        given = requests.recording_as_known(ask.request, stamp.now, head, ask.redemption)
        try:
            if await self._unit.say_given(ask.say(stamp), given):
                self._note(ask)
                return recorded
        except UniqueViolationError:
            log.debug("a redemption is there already", program=head.program)
        # Whoever waited would wait for what was not recorded.
        while waiters:
            waiters.pop().close()
        return None

    def _believe(self, new: Mapping[RequestKey, Accepted]) -> None:
        for key, accepted in new.items():
            if len(self._heads) >= _HEADS_MAX:
                self._heads.clear()
            self._heads[key.program] = accepted.head

    async def _decide(
        self,
        connection: Connection,
        asks: Sequence[Ask],
        say: Callable[[Saying], None],
        waiters: list[Waiter],
    ) -> list[Recorded | Exception]:
        now = self._clock()
        firsts = _first_of_each(asks)
        named = {ask.into for ask in asks if ask.into is not None}
        into = await programs.heads(connection, named) if named else {}
        turning = {ask.request.key: clock_running() for ask in asks if ask.into is not None and _is_turning(ask, into)}
        wanted = [asks[index] for key, index in firsts.items() if key not in turning]
        new, refused = await self._insert(connection, wanted, now)
        self._believe(new)
        before = await requests.find_all(
            connection,
            {ask.request.key for ask in asks if ask.enrolment is None} - new.keys() - refused.keys(),
        )
        results: list[Recorded | Exception] = []
        for index, ask in enumerate(asks):
            key = ask.request.key
            if key in turning and key not in before:
                results.append(turning[key])
            elif key in refused:
                results.append(refused[key])
            elif key in new and firsts[key] == index:
                attempt, head = new[key]
                stamp = Stamp(Correlation(key, attempt), head, now, into.get(ask.into or ""))
                if ask.say is not None:
                    say(ask.say(stamp))
                results.append(Recorded(stamp.correlation, None, self._expect(ask, stamp.correlation, waiters)))
            else:
                results.append(self._again(ask, asks[firsts[key]], new, before, waiters))
        changes = [
            ask.change
            for index, ask in enumerate(asks)
            if ask.change is not None and ask.request.key in new and firsts[ask.request.key] == index
        ]
        if changes:
            await audit.add(connection, changes)
        return await self._read_again(connection, results)

    async def _insert(
        self, connection: Connection, asks: Sequence[Ask], now: datetime
    ) -> tuple[dict[RequestKey, Accepted], dict[RequestKey, Problem]]:
        """Insert what is new. Answers how it was accepted, and why others cannot be."""
        new: dict[RequestKey, Accepted] = {}
        refused: dict[RequestKey, Problem] = {}
        plain = [ask for ask in asks if ask.enrolment is None]
        await self._begin_turns(connection, plain, refused)
        plain = [ask for ask in plain if ask.request.key not in refused]
        if plain:
            new |= await requests.insert(connection, [ask.request for ask in plain], now)
        wanted = [ask.redemption for ask in plain if ask.redemption is not None and ask.request.key in new]
        if wanted:
            ours = await redemptions.add(connection, wanted, now)
            for ask in plain:
                each, key = ask.redemption, ask.request.key
                if each is not None and key in new and (each[0], each[1]) not in ours:
                    # The id belongs to another request, so this one was never made.
                    await requests.drop(connection, key)
                    del new[key]
                    refused[key] = Problem("idempotency_mismatch", "The id was used before with another key")
        for ask in plain:
            if ask.household is not None and ask.request.key in new:
                code = await households.put(connection, ask.household, now)
                if code is not None:
                    await requests.drop(connection, ask.request.key)
                    del new[ask.request.key]
                    refused[ask.request.key] = Problem(code)
        new_operations = [ask.operation for ask in plain if ask.operation is not None and ask.request.key in new]
        await operations.add(connection, new_operations, now)
        enrolling = await self._enrolling(connection, asks, refused)
        enrolling = await _not_keyed_before(connection, enrolling, refused, now)
        if enrolling:
            enrolled = await members.enrol(
                connection, [ask.enrolment for ask in enrolling if ask.enrolment is not None], now
            )
            for ask, found in zip(enrolling, enrolled, strict=True):
                if isinstance(found, str):
                    refused[ask.request.key] = Problem(found)
                    if ask.keyed is not None:
                        await requests.drop(connection, ask.keyed.key)
                else:
                    new[ask.request.key] = Accepted(1, found)
        return new, refused

    async def _begin_turns(
        self, connection: Connection, asks: Sequence[Ask], refused: dict[RequestKey, Problem]
    ) -> None:
        """Let clocks begin to turn, one turn at a time, never back; the same turn again is the same request."""
        for ask in asks:
            if ask.turn is None:
                continue
            program = ask.request.key.program
            head = await programs.lock_head(connection, program)
            if head is None or ask.turn in {head.turning_to, head.as_of}:
                continue
            if head.turning_to is not None:
                refused[ask.request.key] = clock_running()
            elif head.as_of is not None and ask.turn < head.as_of:
                detail = f"The clock stands at {head.as_of.isoformat()}."
                refused[ask.request.key] = Problem("clock_behind", detail, extra={"as_of": head.as_of})
            else:
                await programs.begin_turn(connection, program, ask.turn)

    async def _enrolling(
        self, connection: Connection, asks: Sequence[Ask], refused: dict[RequestKey, Problem]
    ) -> list[Ask]:
        """Return who is to be enrolled; while its clock is turned a program takes nobody in."""
        enrolling = [ask for ask in asks if ask.enrolment is not None]
        if not enrolling:
            return []
        heads = await programs.heads(connection, {ask.request.key.program for ask in enrolling})
        turning = {name for name, head in heads.items() if head.turning_to is not None}
        refused.update({ask.request.key: clock_running() for ask in enrolling if ask.request.key.program in turning})
        return [ask for ask in enrolling if ask.request.key.program not in turning]

    def _again(
        self,
        ask: Ask,
        first: Ask,
        new: dict[RequestKey, Accepted],
        before: dict[RequestKey, RequestRow],
        waiters: list[Waiter],
    ) -> Recorded | Exception:
        """The same id or key again: the same request, if its content is the same."""
        key = ask.request.key
        if ask.enrolment is not None:
            return Problem(members.EXISTS)
        row = before.get(key)
        if row is None and key not in new:
            return clock_running()
        if row is None:
            # Recorded in this very transaction, by a request that came with this one.
            request = first.request
            row = requests.RequestRow(
                key,
                new[key].attempt,
                request.hash,
                request.state,
                request.member,
                request.subject,
                request.code,
                request.outcome,
                False,
            )
        if row.hash != ask.request.hash:
            return Problem("idempotency_mismatch")
        waiter = self._expect(ask, row.correlation, waiters) if row.is_pending else None
        return Recorded(row.correlation, row, waiter)

    def _expect(self, ask: Ask, correlation: Correlation, waiters: list[Waiter]) -> Waiter | None:
        self._note(ask)
        return self._listen(ask, correlation, waiters)

    def _note(self, ask: Ask) -> None:
        if ask.waits and ask.enrolment is None:
            self._waited_for()

    def _listen(self, ask: Ask, correlation: Correlation, waiters: list[Waiter]) -> Waiter | None:
        if not ask.waits:
            return None
        waiter = self._waiting.expect(correlation)
        waiters.append(waiter)
        return waiter

    async def _read_again(
        self, connection: Connection, results: list[Recorded | Exception]
    ) -> list[Recorded | Exception]:
        """An old request may have been answered between reading its row and waiting for it: look once more."""
        pending = {
            result.correlation.key
            for result in results
            if isinstance(result, Recorded) and result.before is not None and result.waiter is not None
        }
        rows = await requests.find_all(connection, pending)
        return [
            Recorded(result.correlation, rows[result.correlation.key], result.waiter)
            if isinstance(result, Recorded) and result.correlation.key in rows and result.before is not None
            else result
            for result in results
        ]


def _is_plain(ask: Ask) -> bool:
    """Say whether a request is only recorded, with at most a redemption."""
    others = (ask.enrolment, ask.keyed, ask.operation, ask.turn, ask.into, ask.household, ask.change)
    return all(other is None for other in others)


async def _not_keyed_before(
    connection: Connection, enrolling: Sequence[Ask], refused: dict[RequestKey, Problem], now: datetime
) -> list[Ask]:
    """Return whose `Idempotency-Key` is new, or who has none; of who has been enrolled by it the caller learns."""
    firsts: dict[RequestKey, Ask] = {}
    for ask in enrolling:
        if ask.keyed is not None:
            firsts.setdefault(ask.keyed.key, ask)
    if not firsts:
        return list(enrolling)
    fresh = await requests.insert(connection, [ask.keyed for ask in firsts.values() if ask.keyed is not None], now)
    left = []
    for ask in enrolling:
        if ask.keyed is None or (ask.keyed.key in fresh and firsts[ask.keyed.key] is ask):
            left.append(ask)
        else:
            refused[ask.request.key] = Problem(members.EXISTS)
    return left


def _versions(head: ProgramHead) -> Versions:
    as_of = head.as_of if head.is_manual else None
    versions: Versions = _Versions(program=head.version, partners=head.partners, as_of=as_of)
    return versions


def _is_turning(ask: Ask, into: Mapping[str, ProgramHead]) -> bool:
    head = into.get(ask.into or "")
    return head is None or head.turning_to is not None


def clock_running() -> Problem:
    """What is told to a request for a program whose clock is being turned."""
    return Problem("clock_running", retry_after_seconds=1)


def _first_of_each(asks: Sequence[Ask]) -> dict[RequestKey, int]:
    """Of requests in one set that share a key, the first is recorded and the others are repeats of it."""
    firsts: dict[RequestKey, int] = {}
    for index, ask in enumerate(asks):
        firsts.setdefault(ask.request.key, index)
    return firsts
