"""How often the members of one person earned: one row a person, counter and window, locked by whoever may count."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import asyncpg

from services.points.domain.facts import PersonCounted
from services.points.domain.shared import PersonName
from services.points.domain.state import Wallet
from services.points.ports import Journal, Needs, WalletKey

_ENSURE = """
    insert into person_counts (program, person, counter, window_start)
    select * from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[])
    on conflict do nothing"""

_LOCK = """
    select p.*
    from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) as k (program, person, counter, start)
    cross join lateral (
        select program, person, counter, window_start, counted from person_counts
        where program = k.program and person = k.person and counter = k.counter and window_start = k.start
        offset 0 for update) p"""

_COUNT = """
    insert into person_counts as p (program, person, counter, window_start, counted)
    select * from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::bigint[])
    on conflict (program, person, counter, window_start) do update set counted = p.counted + excluded.counted"""


async def lock_people(
    connection: asyncpg.Connection[Any], needs: Needs, wallets: Mapping[WalletKey, Wallet]
) -> dict[PersonName, int]:
    """Lock what may be counted of persons, sorted, and return how it stands."""
    names: set[PersonName] = set()
    for program, member, counter, start in needs.people:
        key = WalletKey(program, member)
        persons = {wallets[key].person, *needs.persons.get(key, ())} - {None}
        names |= {PersonName(program, person, counter, start) for person in persons if person is not None}
    for wallet in wallets.values():
        for posting in wallet.postings.values():
            names |= {PersonName(wallet.program, each.person, each.counter, each.start) for each in posting.people}
    if not names:
        return {}
    columns = _columns(sorted(names))
    await connection.execute(_ENSURE, *columns)
    return {
        PersonName(program, person, counter, start): counted
        for program, person, counter, start, counted in await connection.fetch(_LOCK, *columns)
    }


async def count_people(connection: asyncpg.Connection[Any], journals: Iterable[Journal]) -> None:
    """Write what was counted."""
    counted: dict[PersonName, int] = {}
    for journal in journals:
        for fact in journal.facts:
            if type(fact) is PersonCounted:
                name = PersonName(journal.wallet.program, fact.person, fact.counter, fact.start)
                counted[name] = counted.get(name, 0) + fact.amount
    if counted:
        await connection.execute(_COUNT, *_columns([(*name, amount) for name, amount in sorted(counted.items())]))


def _columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
