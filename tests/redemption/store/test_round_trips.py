"""What is asked for one redemption: no more than it needs, and each row under the lock that it needs."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from laurel.io.database import Database
from services.redemption.testing import PROGRAM, points_held, redemption_requested, reward_published
from tests.asking import asked

pytestmark = pytest.mark.anyio


def _about(table: str, statements: list[str]) -> list[str]:
    return [each for each in statements if f" {table} " in each]


async def test_a_request_of_a_known_member_locks_it_by_one_statement(counter: Any, database: Database) -> None:
    await counter.hear(reward_published(stock=7))
    await counter.hear(redemption_requested("m-1", "r-1"))
    async with asked(database) as statements:
        await counter.hear(redemption_requested("m-1", "r-2"))
    assert len(_about("members", statements)) == 1
    # Its codes are nobody's but ours.
    assert not _about("pool_lots", statements)
    assert len(statements) == 7


async def test_an_answer_finds_its_saga_as_it_locks_its_member(counter: Any, database: Database) -> None:
    await counter.hear(reward_published(stock=7))
    await counter.hear(redemption_requested("m-1", "r-1"), redemption_requested("m-1", "r-2"))
    await counter.hear(points_held("m-1", "r-1", 100))
    async with asked(database) as statements:
        await counter.hear(points_held("m-1", "r-2", 100))
        assert len(statements) == 7
        statements.clear()
        # Nobody asked for this one, so nothing of the member is locked.
        await counter.hear(points_held("m-1", "r-unknown", 100))
        assert len(_about("members", statements)) == 1
        assert not _about("for update ) s", statements)


async def test_a_member_whom_another_transaction_adds_meanwhile_is_locked(
    counter: Any, database: Database, database_urls: Any
) -> None:
    await counter.hear(reward_published(stock=7))
    other = await asyncpg.connect(database_urls.redemption, server_settings={"search_path": "redemption"})
    try:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("insert into members (program, member) values ($1, 'm-1')", PROGRAM)
        async with asked(database) as statements:
            hearing = asyncio.create_task(counter.hear(redemption_requested("m-1", "r-1")))
            await asyncio.sleep(0.3)
            assert not hearing.done()
            await transaction.commit()
            await hearing
    finally:
        await other.close()
    opened, locked = _about("members", statements)
    assert "insert into members" in opened
    assert "for update" in locked
