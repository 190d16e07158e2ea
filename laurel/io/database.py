"""Postgres by hand: a pool of one service's connections, and what its errors mean."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import asyncpg

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence

    from asyncpg.pool import PoolConnectionProxy

Connection = asyncpg.Connection
"""The connection that transactions hand out."""

# Every hot statement reaches its rows by key. On tables that are young, and so have no statistics yet, the planner
# would now and then rather hash a whole table; these settings leave it no such choice, and spare it planning anew.
KEYED_PLANS: Mapping[str, str] = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
# A read is planned for what it asks: a plan for any member sorts the rows of all partitions, which one with 10,000 rows
# would wait for, where one for this member reads the first page from its index and stops.
_FREE_PLANS = "set local plan_cache_mode = force_custom_plan; " + "".join(
    f"set local {name} = on; " for name in KEYED_PLANS if name.startswith("enable_")
)


_END_SECONDS = 5.0


class NoConnectionError(ConnectionError):
    """Others had all connections, and gave none back for as long as somebody would wait. Nothing was asked."""


class _Pace:
    """When a connection was given back last. A queue that moves is waited in, one that stands still is left."""

    def __init__(self) -> None:
        self.moved_at = 0.0

    def moved(self) -> None:
        self.moved_at = asyncio.get_running_loop().time()

    @asynccontextmanager
    async def limited(self, seconds: float) -> AsyncIterator[None]:
        """Run the block until nothing has moved for so long, at least for so long: `NoConnectionError` then."""
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle

        def look() -> None:
            nonlocal timer
            due = self.moved_at + seconds
            if due > loop.time():
                timer = loop.call_at(due, look)
            else:
                limit.reschedule(loop.time())

        timer = loop.call_later(seconds, look)
        try:
            async with asyncio.timeout(None) as limit:
                yield
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise NoConnectionError(f"no connection was given back for {seconds:g} seconds") from error
        finally:
            timer.cancel()


class Database:
    """The connections of one role to one schema. `Database.connect` opens it."""

    def __init__(
        self, pool: asyncpg.Pool, schema: str, pace: _Pace | None = None, wait_seconds: float | None = None
    ) -> None:
        self._pool = pool
        self.schema = schema
        self._pace = pace or _Pace()
        self._wait_seconds = wait_seconds

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        schema: str,
        application: str,
        pool_min: int = 1,
        pool_max: int = 8,
        keyed_plans: bool = True,
        settings: Mapping[str, str] | None = None,
    ) -> Database:
        """Open a pool whose connections see `schema` only. `keyed_plans`: every statement goes by an index."""
        server_settings = {
            "search_path": schema,
            "application_name": application,
            "timezone": "UTC",
            "jit": "off",
            **(KEYED_PLANS if keyed_plans else {}),
            **(settings or {}),
        }
        pool = await asyncpg.create_pool(
            url.replace("postgresql+asyncpg://", "postgresql://", 1),
            min_size=pool_min,
            max_size=pool_max,
            server_settings=server_settings,
            command_timeout=60,
            max_inactive_connection_lifetime=0,
            reset=_leave_as_it_is,
        )
        return cls(pool, schema)

    def hurried(self, wait_seconds: float) -> Database:
        """Return the same connections for those who wait no longer than this while none is given back.

        They are told `NoConnectionError`. While others come and go, however many, everybody has their turn.
        """
        return Database(self._pool, self.schema, self._pace, wait_seconds)

    def patient(self) -> Database:
        """Return the same connections for those who wait for one as long as it takes."""
        return Database(self._pool, self.schema, self._pace)

    @asynccontextmanager
    async def _lent(self) -> AsyncIterator[Connection]:
        if self._wait_seconds is None or self._pool.get_idle_size():
            connection = await self._pool.acquire()
        else:
            async with self._pace.limited(self._wait_seconds):
                connection = await self._pool.acquire()
        try:
            yield connection  # type: ignore[misc]
        except (asyncio.CancelledError, TimeoutError):
            await _to_its_end(_end_what_was_cut_off(connection))
            raise
        finally:
            self._pace.moved()
            await self._pool.release(connection)

    async def close(self) -> None:
        await self._pool.close()

    def terminate(self) -> None:
        """Drop every connection at once, as a crash would."""
        self._pool.terminate()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Run the block in one READ COMMITTED transaction: committed at its end, rolled back by an error."""
        async with self._lent() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Connection]:
        """Run the block on one unchanging, read-only snapshot, with the planner left to itself."""
        async with self._lent() as connection:
            await connection.execute(f"begin isolation level repeatable read read only; {_FREE_PLANS}")
            try:
                yield connection
            finally:
                # One that the server has ended is the pool's again, and may not even be asked.
                with suppress(asyncpg.InterfaceError):
                    if not connection.is_closed():
                        await connection.execute("rollback")

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection outside any transaction: each statement commits by itself."""
        async with self._lent() as connection:
            yield connection

    async def ping(self) -> None:
        """Ask the server anything, to see that it answers."""
        async with self._lent() as connection:
            await connection.execute("select 1", timeout=5)


async def copy_rows(connection: Connection, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Add rows by COPY; `asyncpg.DataError` for a value that its column cannot hold, as statements raise it."""
    try:
        await connection.copy_records_to_table(table, columns=columns, records=rows)
    except (OverflowError, TypeError, ValueError) as error:
        # asyncpg writes the rows of a COPY itself, and there lets through whatever a value made it trip over.
        # What it tripped over stays out of the text, as everywhere: values are nobody's business.
        raise asyncpg.DataError(f"a value does not fit its column of {table}") from error


async def _end_what_was_cut_off(connection: PoolConnectionProxy) -> None:
    """See to it that the server has no transaction open of which asyncpg knows nothing.

    It prepares a statement without an end to that, which comes with the execution: who is cut off in between leaves
    locks behind, for as long as nobody uses the connection. Anything that is asked ends it.
    """
    # One that the server has ended is the pool's again, and may not even be asked.
    with suppress(asyncpg.InterfaceError):
        if connection.is_closed() or connection.is_in_transaction():
            return
        try:
            await connection.execute("select", timeout=_END_SECONDS)
        except Exception:  # noqa: BLE001 - one that does not answer is of no use to anybody
            connection.terminate()


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Do what takes a moment to its end, whoever is cut off meanwhile; that is raised behind it.

    Else a connection would be lent to the next one in the middle of what is asked.
    """
    task = asyncio.create_task(work)
    cut_off: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cut_off = error
    task.result()
    if cut_off is not None:
        raise cut_off


async def _leave_as_it_is(connection: Connection) -> None:
    """Take a connection back without the usual round trip: nobody here changes a session, only transactions."""
    if connection.is_in_transaction():
        await connection.reset()


def sqlstate(error: BaseException) -> str:
    """Return the SQLSTATE of a Postgres error, '' of any other."""
    code: Any = getattr(error, "sqlstate", None)
    return code if isinstance(error, asyncpg.PostgresError) and isinstance(code, str) else ""


def is_data_error(error: BaseException) -> bool:
    """Say whether the database refused the data (SQLSTATE 22, 23): some message of the batch is to blame."""
    # asyncpg refuses some values itself, before the server sees them, such as an integer too large for its column.
    return sqlstate(error)[:2] in {"22", "23"} or isinstance(error, asyncpg.DataError)


class CollisionError(Exception):
    """What a store was about to add, another transaction has added meanwhile: run again, it is seen and decided by.

    Only for what a load would have found: a key that is taken for good is a data error.
    """


def is_conflict(error: BaseException) -> bool:
    """Say whether transactions got in each other's way (SQLSTATE 40, a collision): the same again will do."""
    return sqlstate(error)[:2] == "40" or isinstance(error, CollisionError)


def is_passing(error: BaseException) -> bool:
    """Say whether the same may do a little later: transactions met, or there was no database, or not in time."""
    too_busy = isinstance(error, TimeoutError) or sqlstate(error).startswith(("55", "57"))
    return too_busy or is_conflict(error) or is_away(error)


_AWAY = ("08", "53", "57P", "58")
"""How the SQLSTATE begins: no connection, no room, shutting down or starting, trouble with its files."""
# Of a connection that ends under its hands, asyncpg also says these; what it says of misuse has other words.
_ENDED = ("is closed", "is closing", "another operation", "released back to the pool", "free connection holder")


def is_away(error: BaseException) -> bool:
    """Say whether there is no database to speak to, or it went away meanwhile: what was asked may be done or not."""
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError):
        return any(words in str(error) for words in _ENDED)
    return sqlstate(error).startswith(_AWAY) or isinstance(error, ConnectionError)
