"""Statements that go together: one text, its parameters one after the other, and what each of them would have done."""

from __future__ import annotations

import asyncpg
import pytest

from laurel.io.database import Database
from laurel.io.together import Statement, execute_together, joined

pytestmark = pytest.mark.anyio

_ADD = "insert into effects (program, member) select * from unnest($1::text[], $2::text[])"
_RENAME = "update effects set member = $2 where member = $1"


def test_parameters_are_counted_on() -> None:
    assert joined((_RENAME,)) == _RENAME
    text = joined((_ADD, _RENAME, "delete from effects where amount = $1 or amount = $1 + $10"))
    assert "unnest($1::text[], $2::text[])" in text
    assert "set member = $4 where member = $3" in text
    assert text.endswith("amount = $5 or amount = $5 + $14")


async def _members(database: Database) -> list[str]:
    async with database.connection() as connection:
        return [row[0] for row in await connection.fetch("select member from effects order by member")]


async def test_each_does_what_it_would_have_done_before_the_others(listener_database: Database) -> None:
    async with listener_database.connection() as connection:
        await execute_together(connection, [])
        await execute_together(connection, [Statement(_ADD, (["g", "g"], ["m-1", "m-2"]))])
        # What the first adds, the second does not see.
        both = [Statement(_ADD, (["g"], ["m-3"])), Statement("update effects set member = member || $1", ("!",))]
        await execute_together(connection, both)
    assert await _members(listener_database) == ["m-1!", "m-2!", "m-3"]


async def test_all_of_them_or_none(listener_database: Database) -> None:
    refused = Statement("insert into effects (amount) values ($1)", (13,))
    async with listener_database.connection() as connection:
        with pytest.raises(asyncpg.CheckViolationError):
            await execute_together(connection, [Statement(_ADD, (["g"], ["m-1"])), refused])
    assert await _members(listener_database) == []
