"""Rows travel as one parameter a column, and arrive as they were."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from laurel.io.database import Database
from services.points.store.columns import Written

pytestmark = pytest.mark.anyio

AT = datetime(2024, 2, 29, 12, tzinfo=UTC)
TABLE = Written(
    "sample",
    {
        "member": "text",
        "journal": "bigint",
        "lot": "smallint",
        "at": "timestamptz",
        "facts": "bytea",
        "open": "boolean",
    },
)


@pytest.mark.parametrize(
    "rows",
    [
        [("m-1", 1, 2, AT, b"[]", True), ("m-2", -(2**62), 0, AT, b"", False)],
        [("a,b", None, 1, None, None, None), ('{"c"}', 2**63 - 1, None, AT, b"x", True)],
        [("nulls", None, None, None, None, None), ("more", None, None, None, None, None)],
        [],
    ],
    ids=["full", "some nulls", "columns of nulls", "no rows"],
)
async def test_rows_arrive_as_they_were(database: Database, rows: list[tuple[Any, ...]]) -> None:
    columns = ", ".join(f"{name} {kind}" for name, kind in TABLE.columns.items())
    async with database.transaction() as connection:
        await connection.execute(f"create temp table sample ({columns}) on commit drop")
        await connection.execute(TABLE.insert, *TABLE.parameters(rows))
        assert [tuple(row) for row in await connection.fetch("select * from sample")] == rows
