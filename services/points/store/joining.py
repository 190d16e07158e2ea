"""Accounts that become one: read whole, as far as anything of them is open."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

import asyncpg

from services.points.domain.facts import LotName, MemberMerged, PointsSent, decode_facts
from services.points.domain.joining import went_to
from services.points.domain.state import Counter, CounterKey, Wallet
from services.points.ports import Needs, WalletKey
from services.points.store.pending import LOT

_LOTS = f"""
    select {LOT}
    from unnest($1::text[], $2::text[]) as k (program, member)
    cross join lateral (
        select * from lots where program = k.program and member = k.member and remaining > held offset 0) l"""

_HOLDS = """
    select h.*
    from unnest($1::text[], $2::text[]) as k (program, member)
    cross join lateral (
        select program, member, hold, unit, amount, state, saga, parts, expires_at, partner, reference, captured,
               cancelled, waits_until
        from holds where program = k.program and member = k.member and state = 'held' offset 0) h"""

_COUNTERS = """
    select c.*
    from unnest($1::text[], $2::text[]) as k (program, member)
    cross join lateral (
        select program, member, counter, window_start, window_end, unit, counted, bound, given_in from counters
        where program = k.program and member = k.member offset 0) c"""

_PASSED_ON = """
    select j.*
    from unnest($1::text[], $2::text[], $3::bigint[]) as k (program, member, journal)
    cross join lateral (
        select program, member, facts from journals
        where program = k.program and member = k.member and journal >= k.journal and kind = 'merge'
        order by journal offset 0) j"""

_WENT_ON = """
    select j.*
    from unnest($1::text[], $2::text[]) as k (program, member)
    cross join lateral (
        select merged_in from wallets
        where program = k.program and member = k.member and merged_in is not null offset 0) w
    cross join lateral (
        select program, member, facts from journals
        where program = k.program and member = k.member and journal >= w.merged_in and kind = 'merge'
        order by journal offset 0) j"""

_LOTS_OF = f"""
    select {LOT}
    from unnest($1::text[], $2::text[], $3::bigint[]) as k (program, member, journal)
    cross join lateral (
        select * from lots where program = k.program and member = k.member and journal = k.journal offset 0) l"""

_Place = tuple[str, str, int]
_Rows = Sequence[Sequence[Any]]


async def read_whole(
    connection: asyncpg.Connection[Any], needs: Needs, wallets: Mapping[WalletKey, Wallet]
) -> list[tuple[_Rows, _Rows]]:
    """Read counters, and where an account passed on what it had; return the rows of lots and holds that are open."""
    if not needs.whole:
        return []
    keys = sorted(needs.whole)
    columns = [list(column) for column in zip(*keys, strict=True)]
    for program, member, counter, start, end, unit, counted, bound, given_in in await connection.fetch(
        _COUNTERS, *columns
    ):
        key = CounterKey(counter, start)
        wallets[WalletKey(program, member)].counters[key] = Counter(counter, start, end, unit, counted, bound, given_in)
    await _read_passed_on(connection, [wallets[key] for key in keys])
    lots = [*await connection.fetch(_LOTS, *columns), *await _read_brought(connection, wallets)]
    return [(lots, await connection.fetch(_HOLDS, *columns))]


async def _read_passed_on(connection: asyncpg.Connection[Any], wallets: Sequence[Wallet]) -> None:
    merged = {(each.program, each.member): each for each in wallets if each.merged_in is not None}
    if not merged:
        return
    rows = [(*key, wallet.merged_in) for key, wallet in merged.items()]
    into: dict[str, str] = {}
    for program, member, facts in await connection.fetch(_PASSED_ON, *map(list, zip(*rows, strict=True))):
        wallet = merged[program, member]
        for fact in decode_facts(facts):
            if isinstance(fact, MemberMerged):
                if into.get(member) != fact.parent:
                    wallet.passed_on.clear()
                into[member] = fact.parent
            elif isinstance(fact, PointsSent) and fact.member == into.get(member):
                wallet.passed_on[fact.journal] = (*wallet.passed_on.get(fact.journal, ()), *fact.parts)


async def _read_brought(connection: asyncpg.Connection[Any], wallets: Mapping[WalletKey, Wallet]) -> _Rows:
    """Read the lots that accounts brought to those that they are parts of: as they are here, and what is there."""
    places: set[_Place] = set()
    for key, wallet in wallets.items():
        there = WalletKey(wallet.program, wallet.merged_into or "")
        if wallet.passed_on and there in wallets:
            places |= {(*key, part.name.journal) for parts in wallet.passed_on.values() for part in parts}
            places |= {(*there, journal) for journal in wallet.passed_on}
    return await connection.fetch(_LOTS_OF, *map(list, zip(*sorted(places), strict=True))) if places else []


async def read_gone_on(
    connection: asyncpg.Connection[Any], wallets: Mapping[WalletKey, Wallet]
) -> dict[WalletKey, list[Sequence[Any]]]:
    """Return, of wallets that are parts of others, what became of the lots of their activities at hand: rows of lots.

    Account after account is gone through, as each passed on what it had, and what came to it later. What is with one
    that is no more on the way is nobody's here any more.
    """
    gone_on: dict[WalletKey, list[Sequence[Any]]] = {}
    for key, wallet in wallets.items():
        if wallet.merged_in is not None and wallet.postings:
            names = {name for name, lot in wallet.lots.items() if (lot.partner, lot.activity) in wallet.postings}
            gone_on[key] = await _follow(connection, _on_the_way(wallets, key), key, names, wallet.postings)
    return gone_on


def _on_the_way(wallets: Mapping[WalletKey, Wallet], key: WalletKey) -> set[str]:
    """Return the accounts of which one is a part, as far as they are locked."""
    found: set[str] = set()
    while (wallet := wallets.get(key)) is not None and wallet.merged_into is not None:
        key = WalletKey(key.program, wallet.merged_into)
        found |= {key.member} if key in wallets else set()
    return found


async def _follow(
    connection: asyncpg.Connection[Any],
    on_the_way: Container[str],
    key: WalletKey,
    names: set[LotName],
    of: Container[tuple[str, str]],
) -> list[Sequence[Any]]:
    found: dict[tuple[str, LotName], Sequence[Any]] = {}
    ahead = {key.member: names}
    while ahead:
        columns = [[key.program] * len(ahead), sorted(ahead)]
        places: set[_Place] = set()
        for program, member, facts in await connection.fetch(_WENT_ON, *columns):
            gone = went_to(decode_facts(facts), ahead[member])
            places |= {(program, *place) for place in gone if place[0] in on_the_way}
        ahead = {}
        rows = await connection.fetch(_LOTS_OF, *map(list, zip(*sorted(places), strict=True))) if places else []
        for row in rows:
            name = LotName(row["journal"], row["lot"])
            if (row["partner"], row["activity"]) in of and (row["member"], name) not in found:
                found[row["member"], name] = row
                ahead.setdefault(row["member"], set()).add(name)
    return list(found.values())
