"""The unit of work: change and outbox rows commit together, then the relay is handed the rows."""

from __future__ import annotations

from contextlib import ExitStack, asynccontextmanager
from itertools import chain
from typing import TYPE_CHECKING, Protocol

from laurel.io import failpoints

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

    from laurel.io.database import Connection, Database
    from laurel.io.failpoints import Typed
    from laurel.io.outbox import Added, Outbox, OutboxRow
    from laurel.io.saying import Saying
    from laurel.io.together import Last, Statement


class TakesRows(Protocol):
    """What is told of rows once they are committed; the relay."""

    def hand(self, rows: list[OutboxRow]) -> None:
        """Take note of committed rows. Never waits, never fails."""


class Work:
    """One transaction in the making."""

    def __init__(self, connection: Connection, service: str) -> None:
        self.connection = connection
        self.service = service
        self.sayings: list[Saying] = []
        self.rows: list[OutboxRow] = []
        self.heard: Sequence[Typed] = ()
        """What led to it, for whoever waits for a certain message at a failpoint."""
        self.last: list[Last] = []
        """What goes by the same statement as what is said, as far as that is few."""
        self._looks: list[Callable[[Added], None]] = []
        self._before: list[Callable[[], Awaitable[None]]] = []
        self._after: list[Callable[[], None]] = []

    def say(self, *sayings: Saying) -> None:
        """Say these when the work commits, after what was said before."""
        self.sayings.extend(sayings)

    def say_all(self, sayings: Iterable[Saying]) -> None:
        self.sayings.extend(sayings)

    def look(self, call: Callable[[Added], None]) -> None:
        """Tell this, behind what is written last, whether anything was parked by then; it may raise."""
        self._looks.append(call)

    async def end(self, outbox: Outbox) -> None:
        """Write what is last, and number and store what was said."""
        with ExitStack() as within:
            for each in self.last:
                within.enter_context(each.within())
            statements = [statement for each in self.last for statement in each.statements]
            added = await outbox.add(self.connection, self.sayings, statements)
        self.rows = added.rows
        for look in self._looks:
            look(added)

    def before_commit(self, call: Callable[[], Awaitable[None]]) -> None:
        """Do this last in the transaction: what locks a row that many want holds it no longer than it must."""
        self._before.append(call)

    async def finish(self) -> None:
        for call in self._before:
            await call()

    def after_commit(self, call: Callable[[], None]) -> None:
        """Call this once the work is committed; it must not wait and must not fail."""
        self._after.append(call)

    def committed(self) -> None:
        for call in self._after:
            call()


class UnitOfWork:
    """Opens pieces of work on one database. Nothing outside of it commits."""

    def __init__(self, database: Database, outbox: Outbox, relay: TakesRows | None = None) -> None:
        self.database = database
        self.outbox = outbox
        self._relay = relay

    async def say_given(self, saying: Saying, given: Statement) -> bool:
        """Say this if a statement finds that its part `given` returns anything: one statement, committed by itself.

        False: nothing was said, nor written, if all that the statement writes follows from what is given.
        """
        async with self.database.connection() as connection:
            await failpoints.reach(failpoints.BEFORE_COMMIT, [saying])
            rows = await self.outbox.add_given(connection, saying, given)
        await failpoints.reach(failpoints.AFTER_COMMIT, [saying])
        if self._relay is not None and rows:
            self._relay.hand(rows)
        return bool(rows)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Work]:
        """Run the block in a transaction. When it ends cleanly, what was said is numbered, stored and committed."""
        async with self.database.transaction() as connection:
            work = Work(connection, self.outbox.service)
            yield work
            await work.end(self.outbox)
            await work.finish()
            await failpoints.reach(failpoints.BEFORE_COMMIT, chain(work.sayings, work.heard))
        # From here on the change stands. What follows only makes it known sooner: the relay sweeps anyway.
        work.committed()
        await failpoints.reach(failpoints.AFTER_COMMIT, chain(work.sayings, work.heard))
        if self._relay is not None and work.rows:
            self._relay.hand(work.rows)
