"""Every statement of the road reaches its rows by key, on tables too young to have statistics, too."""

from __future__ import annotations

import re

import pytest

from laurel.io.database import Database
from services.redemption.store import loading, voucher_views, vouchers, writing

pytestmark = pytest.mark.anyio

STATEMENTS = {
    f"{module.__name__.rpartition('.')[2]}{name}": value
    for module in (loading, vouchers, voucher_views, writing)
    for name, value in vars(module).items()
    if name.startswith("_") and name[1:].replace("_", "").isupper() and isinstance(value, str)
}


BY_KEY = (
    "vouchers",
    "voucher_views",
    "loading_ENSURE",
    "loading_LOCK",
    "loading_OPEN",
    "loading_TERMS",
    "loading_OFFERED",
    "writing",
)
"""What every message pays for, and would pay ever more for."""


@pytest.mark.parametrize("name", sorted(STATEMENTS))
async def test_statement_scans_no_table(database: Database, name: str) -> None:
    statement = STATEMENTS[name]
    count = max(int(number) for number in re.findall(r"\$(\d+)", statement))
    async with database.connection() as connection:
        await connection.execute(f"prepare hot as {statement}")
        plan = await connection.fetch(f"explain execute hot ({', '.join(['null'] * count)})")
        await connection.execute("deallocate hot")
    text = "\n".join(line for (line,) in plan)
    if name.startswith(BY_KEY):
        assert "Join Filter" not in text, f"every row is compared with every key:\n{text}"
        assert text.count("Index Scan") + text.count("Index Only Scan") == text.count("Index Cond"), text
    scans = [line for (line,) in plan if re.search(r"Seq Scan on (?!unnest|k\b)", line)]
    assert not scans


def test_there_are_statements() -> None:
    assert len(STATEMENTS) >= 14
