"""Transactions, snapshots, and what errors mean."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import asyncpg
import pytest

from laurel.io.database import (
    CollisionError,
    Database,
    NoConnectionError,
    copy_rows,
    is_away,
    is_conflict,
    is_data_error,
)
from tests.io.conftest import value

pytestmark = pytest.mark.anyio

CONNECTIONS = 8
"""As many as a database has where nothing else is said."""


async def test_a_transaction_commits_at_its_end_and_rolls_back_on_an_error(speaker_database: Database) -> None:
    insert = "insert into broker_state (cluster_id) values ($1)"

    async def fails() -> None:
        async with speaker_database.transaction() as connection:
            await connection.execute(insert, "a")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fails()
    assert await value(speaker_database, "select count(*) from broker_state") == 0
    async with speaker_database.transaction() as connection:
        await connection.execute(insert, "a")
    assert await value(speaker_database, "select count(*) from broker_state") == 1


async def test_reading_sees_one_moment_writes_nothing_and_plans_freely(speaker_database: Database) -> None:
    async with speaker_database.reading() as connection:
        assert await connection.fetchval("select count(*) from broker_state") == 0
        async with speaker_database.transaction() as other:
            await other.execute("insert into broker_state (cluster_id) values ('a')")
        assert await connection.fetchval("select count(*) from broker_state") == 0
        assert await connection.fetchval("show enable_hashjoin") == "on"
        assert await connection.fetchval("show plan_cache_mode") == "force_custom_plan"
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await connection.execute("delete from broker_state")
    async with speaker_database.connection() as connection:
        assert await connection.fetchval("show enable_hashjoin") == "off"
        assert await connection.fetchval("show search_path") == "speaker"


async def test_who_is_cut_off_while_a_statement_is_prepared_leaves_no_transaction(speaker_database: Database) -> None:
    inside = asyncio.Event()

    async def asks(query: str) -> None:
        async with speaker_database.connection() as connection:
            inside.set()
            await connection.fetch(query)

    async with speaker_database.connection() as watching:
        for number in range(10):
            inside.clear()
            asking = asyncio.create_task(asks(f"select {number} from broker_state where cluster_id = $1::text"))
            await inside.wait()
            # What it has sent is on its way, and what comes back has not been heard.
            await asyncio.sleep(0)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            open_ = "select count(*) from pg_locks where relation = 'broker_state'::regclass"
            assert await watching.fetchval(open_) == 0
            async with speaker_database.reading() as connection:
                assert await connection.fetchval("select 1") == 1


async def test_who_is_cut_off_twice_leaves_no_question_half_asked(speaker_database: Database) -> None:
    """The question that ends what the first one left behind is under way when the second one comes."""

    async def asks(number: int) -> None:
        async with speaker_database.connection() as connection:
            await connection.fetch(f"select {number}, pg_sleep(0.2)")

    for steps in range(12):
        asking = asyncio.create_task(asks(steps))
        await asyncio.sleep(0.02)
        asking.cancel()
        for _ in range(steps):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        async with AsyncExitStack() as all_of_them:
            for _ in range(CONNECTIONS):
                connection = await all_of_them.enter_async_context(speaker_database.reading())
                assert await connection.fetchval("select 1") == 1


async def test_what_a_lost_connection_cannot_roll_back_hides_no_error(speaker_database: Database) -> None:
    async def fails() -> None:
        async with speaker_database.reading() as connection:
            connection.terminate()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fails()
    assert await value(speaker_database, "select 7") == 7


async def test_who_is_in_a_hurry_leaves_where_nothing_moves_and_stays_where_it_does(speaker_database: Database) -> None:
    hurried = speaker_database.hurried(0.3)

    async def wait(database: Database) -> float:
        began = asyncio.get_running_loop().time()
        async with database.connection():
            return asyncio.get_running_loop().time() - began

    async with AsyncExitStack() as held:
        for _ in range(CONNECTIONS):
            await held.enter_async_context(speaker_database.connection())
        patient = asyncio.create_task(wait(hurried.patient()))
        began = asyncio.get_running_loop().time()
        with pytest.raises(NoConnectionError) as refused:
            await wait(hurried)
        assert asyncio.get_running_loop().time() - began >= 0.3
        assert is_away(refused.value)
        assert not patient.done()
    assert await patient > 0.3

    async def hold() -> None:
        async with speaker_database.connection():
            await asyncio.sleep(0.15)

    # Five turns of all connections take longer than anybody here would wait for nothing.
    holding = [asyncio.create_task(hold()) for _ in range(5 * CONNECTIONS)]
    await asyncio.sleep(0)
    assert await wait(hurried) > 0.3
    await asyncio.gather(*holding)


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (asyncpg.TooManyConnectionsError(), True),
        (asyncpg.CannotConnectNowError(), True),
        (asyncpg.CrashShutdownError(), True),
        (asyncpg.ConnectionDoesNotExistError(), True),
        (asyncpg.InterfaceError("cannot call Transaction.__aexit__(): the underlying connection is closed"), True),
        (asyncpg.InterfaceError("cannot call f(): connection has been released back to the pool"), True),
        (asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"), True),
        (asyncpg.InternalClientError("PoolConnectionHolder.release() called on a free connection holder"), True),
        (ConnectionRefusedError(111, "Connection refused"), True),
        (asyncpg.InterfaceError("the server expects 1 argument for this query, 2 were passed"), False),
        (asyncpg.QueryCanceledError(), False),
        (asyncpg.UniqueViolationError(), False),
        (FileNotFoundError(2, "No such file"), False),
    ],
)
def test_what_says_that_the_database_is_away(error: Exception, away: bool) -> None:
    assert is_away(error) is away


@pytest.mark.parametrize(
    ("statement", "data", "conflict"),
    [
        ("select 1 / 0", True, False),
        ("select 'x'::int", True, False),
        ("insert into schema_epoch (only, epoch) values (true, 2)", True, False),
        ("insert into schema_epoch (only, epoch) values (false, 2)", True, False),
        ("select * from nowhere", False, False),
        ("do $$ begin raise exception using errcode = '40P01'; end $$", False, True),
        ("do $$ begin raise exception using errcode = '40001'; end $$", False, True),
        ("do $$ begin raise exception using errcode = '55P03'; end $$", False, False),
        ("do $$ begin raise exception using errcode = '53300'; end $$", False, False),
        ("do $$ begin raise exception using errcode = '57014'; end $$", False, False),
        ("do $$ begin raise exception using errcode = '08006'; end $$", False, False),
        ("do $$ begin raise exception using errcode = '58030'; end $$", False, False),
    ],
)
async def test_errors_are_told_apart(speaker_database: Database, statement: str, data: bool, conflict: bool) -> None:
    with pytest.raises(asyncpg.PostgresError) as raised:
        async with speaker_database.transaction() as connection:
            await connection.execute(statement.replace("(only", '("only"'))
    assert (is_data_error(raised.value), is_conflict(raised.value)) == (data, conflict)


async def test_a_value_that_never_reaches_the_server_is_a_data_error_too(speaker_database: Database) -> None:
    with pytest.raises(asyncpg.DataError) as raised:
        async with speaker_database.transaction() as connection:
            await connection.execute("insert into schema_epoch (epoch) values ($1)", 2**40)
    assert is_data_error(raised.value)
    assert not is_data_error(TimeoutError())


def test_a_collision_is_a_conflict_and_nobodys_fault() -> None:
    assert is_conflict(CollisionError())
    assert not is_data_error(CollisionError())


@pytest.mark.parametrize(("column", "wrong"), [("epoch", 2**40), ("epoch", "x"), ("only", object()), ("epoch", 2**70)])
async def test_a_value_that_no_copy_can_write_is_a_data_error_too(
    speaker_database: Database, column: str, wrong: object
) -> None:
    with pytest.raises(asyncpg.DataError) as raised:
        async with speaker_database.transaction() as connection:
            await copy_rows(connection, "schema_epoch", (column,), [(wrong,)])
    assert is_data_error(raised.value)
    assert str(wrong) not in str(raised.value)
    # The connection that it happened on goes on to serve others.
    assert await value(speaker_database, "select count(*) from schema_epoch") == 1
