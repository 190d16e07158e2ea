"""Things that may be credited once in a group of programs: rows made and locked after the wallets, in order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg

from services.points.domain.facts import KeyTaken
from services.points.domain.shared import Credit, KeyName
from services.points.ports import Journal

_ENSURE = """
    insert into exclusive_keys (exclusive_group, exclusive_key)
    select * from unnest($1::text[], $2::text[])
    on conflict do nothing"""

_LOCK = """
    select e.*
    from unnest($1::text[], $2::text[]) as k (exclusive_group, exclusive_key)
    cross join lateral (
        select exclusive_group, exclusive_key, program, member, journal from exclusive_keys
        where exclusive_group = k.exclusive_group and exclusive_key = k.exclusive_key offset 0 for update) e"""

_TAKE = """
    insert into exclusive_keys (exclusive_group, exclusive_key, program, member, journal)
    select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])
    on conflict (exclusive_group, exclusive_key) do update set program = excluded.program,
        member = excluded.member, journal = excluded.journal"""


async def lock_keys(connection: asyncpg.Connection[Any], keys: set[KeyName]) -> dict[KeyName, Credit]:
    """Lock keys, sorted, and return where those were credited that were."""
    if not keys:
        return {}
    columns = _columns(sorted(keys))
    await connection.execute(_ENSURE, *columns)
    return {
        KeyName(group, key): Credit(program, member, journal)
        for group, key, program, member, journal in await connection.fetch(_LOCK, *columns)
        if program is not None
    }


async def take_keys(connection: asyncpg.Connection[Any], journals: Iterable[Journal]) -> None:
    """Write who took which key."""
    rows = [
        (fact.group, fact.key, journal.wallet.program, journal.wallet.member, journal.number)
        for journal in journals
        for fact in journal.facts
        if type(fact) is KeyTaken
    ]
    if rows:
        await connection.execute(_TAKE, *_columns(rows))


def _columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
