"""Statements that go together: one text, its parameters one after the other, and what each of them would have done."""

from __future__ import annotations

import asyncpg
import pytest

from laurel.io.database import Database
from laurel.io.together import Statement, With, execute_together, fetch_together, joined

pytestmark = pytest.mark.anyio

_ADD = "insert into effects (program, member) select * from unnest($1::text[], $2::text[])"
_RENAME = "update effects set member = $2 where member = $1"


def test_parameters_are_counted_on() -> None:
    assert joined((_RENAME,)) == _RENAME
    text = joined((_ADD, _RENAME, "delete from effects where amount = $1 or amount = $1 + $10"))
    assert "unnest($1::text[], $2::text[])" in text
    assert "set member = $4 where member = $3" in text
    assert text.endswith("amount = $5 or amount = $5 + $14")


def test_parts_of_one_are_counted_with_it_and_known_by_name() -> None:
    named = With(
        (("changed", "update effects set member = $2 where member = $1 returning member"),), "select $3 from x"
    )
    assert joined((named,)) == (
        "with changed as (update effects set member = $2 where member = $1 returning member) select $3 from x"
    )
    assert joined((_RENAME, named, "delete from effects where amount = $1")) == (
        f"with part_1 as ({_RENAME}), "
        "changed as (update effects set member = $4 where member = $3 returning member), part_2 as (select $5 from x) "
        "delete from effects where amount = $6"
    )


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


async def test_what_the_last_returns_is_returned(listener_database: Database) -> None:
    copied = With(
        (("added", "insert into effects (member) select unnest($1::text[]) returning member"),),
        "insert into effects (member) select member || $2 from added returning member",
    )
    async with listener_database.connection() as connection:
        parts = [Statement(_ADD, (["g"], ["m-1"])), Statement(copied, (["m-2", "m-3"], "!"))]
        assert [tuple(row) for row in await fetch_together(connection, parts)] == [("m-2!",), ("m-3!",)]
    assert await _members(listener_database) == ["m-1", "m-2", "m-2!", "m-3", "m-3!"]


async def test_all_of_them_or_none(listener_database: Database) -> None:
    refused = Statement("insert into effects (amount) values ($1)", (13,))
    async with listener_database.connection() as connection:
        with pytest.raises(asyncpg.CheckViolationError):
            await execute_together(connection, [Statement(_ADD, (["g"], ["m-1"])), refused])
    assert await _members(listener_database) == []
