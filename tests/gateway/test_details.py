"""Details of members: counters as their windows come and go, whoever hears of them first."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from laurel.io.database import Database
from services.gateway.details import CounterTold, DetailSeen, counters_seen, counters_shown
from services.gateway.store import details, members

pytestmark = pytest.mark.anyio

YEAR: dict[str, Any] = {"rule": "year", "unit": "point", "until": date(2025, 12, 31), "limit": 500}
_MEMBER = """
    insert into members (program, member, status, enrolled_at, attributes, created_at)
    values ('p', 'm', 'active', $1, '{}', $1)
"""


def told(*counters: CounterTold) -> dict[str, bytes]:
    return {each.detail: each.body for each in counters_seen("p", "m", counters, 1, 1)}


def test_only_the_window_of_the_day_is_shown() -> None:
    old = CounterTold("year", "point", 480, date(2024, 1, 1), date(2024, 12, 31), 500)
    new = CounterTold("year", "point", 20, date(2025, 1, 1), date(2025, 12, 31), 500)
    ever = CounterTold("ever", "point", 500)
    found = told(old, new, ever)
    assert [(each["rule"], each["granted"]) for each in counters_shown(found, date(2025, 1, 1))] == [
        ("ever", 500),
        ("year", 20),
    ]
    assert [each["granted"] for each in counters_shown(found, date(2024, 12, 31))] == [500, 480]
    assert [each["rule"] for each in counters_shown(found, date(2026, 1, 1))] == ["ever"]
    assert [each["granted"] for each in counters_shown(found, None)] == [500, 20]
    assert counters_shown(told(new), date(2025, 6, 1)) == [{**YEAR, "from": date(2025, 1, 1), "granted": 20}]


async def test_the_newest_event_counts_in_whatever_order_it_is_heard(database: Database) -> None:
    def seen(body: bytes, epoch: int, sequence: int) -> DetailSeen:
        return DetailSeen("p", "m", "profile", body, epoch, sequence)

    async def keep(*each: DetailSeen) -> bytes:
        async with database.transaction() as connection:
            await details.keep(connection, each)
            _, found = (await members.find_all(connection, [("p", "m"), ("p", "nobody")]))["p", "m"]
            return found["profile"]

    async with database.connection() as connection:
        await connection.execute(_MEMBER, datetime(2026, 1, 1, tzinfo=UTC))
        row, found = (await members.find_all(connection, [("p", "m")]))["p", "m"]
    assert (row.member, found) == ("m", {})
    assert await keep(seen(b"6", 1, 6), seen(b"7", 1, 7), seen(b"5", 1, 5)) == b"7"
    assert await keep(seen(b"6", 1, 6)) == b"7"
    assert await keep(seen(b"1", 2, 1)) == b"1"
    assert await keep(seen(b"8", 1, 8)) == b"1"


async def test_a_closed_member_stays_closed(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(_MEMBER, datetime(2026, 1, 1, tzinfo=UTC))
        for _ in range(2):
            await details.close(connection, [("p", "m"), ("p", "m")])
        assert await connection.fetchval("select status from members") == "closed"
