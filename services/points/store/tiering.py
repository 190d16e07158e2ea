"""Tiers in tables: a standing a member, and counts by day or by year, loaded and written in sets.

Counts are written as differences, so that a return of something long past needs no old row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import asyncpg
import msgspec

from laurel.program.rebasing import buckets_of
from laurel.program.standing import Bucket, Standing, Stood, TierBook, TierChanged, TierFact, TierKept
from services.points.domain.state import Wallet
from services.points.ports import Journal, Needs, WalletKey

_STANDINGS = """
    select t.*
    from unnest($1::text[], $2::text[]) as k (program, member)
    cross join lateral (
        select program, member, journal, standing, stood from tiers
        where program = k.program and member = k.member offset 0) t"""

# Days are many and read as far back as a window reaches; years and sums are few and read whole.
_COUNTS = """
    select c.*
    from unnest($1::text[], $2::text[], $3::date[]) as k (program, member, since)
    cross join lateral (
        select program, member, grain, day, unit, amount from tier_counts
        where program = k.program and member = k.member and grain = any($4::text[]) and amount <> 0 offset 0) c
    union all
    select c.*
    from unnest($1::text[], $2::text[], $3::date[]) as k (program, member, since)
    cross join lateral (
        select program, member, grain, day, unit, amount from tier_counts
        where program = k.program and member = k.member and grain = 'day' and day >= k.since offset 0) c"""
MARGIN = timedelta(days=3)
"""An instant may be written with another offset than the program's zone has, so its day may be another one."""
_WHOLE = ["tier", "calendar_year", "account_year", "ever"]

_SET_STANDINGS = """
    insert into tiers (program, member, tier, since_at, until_at, journal, standing, stood)
    select * from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::bigint[],
        $7::bytea[], $8::bytea[])
    on conflict (program, member) do update set tier = excluded.tier, since_at = excluded.since_at,
        until_at = excluded.until_at, journal = excluded.journal, standing = excluded.standing,
        stood = excluded.stood"""

_ADD_COUNTS = """
    insert into tier_counts as c (program, member, grain, day, unit, amount)
    select * from unnest($1::text[], $2::text[], $3::text[], $4::date[], $5::text[], $6::bigint[])
    on conflict (program, member, grain, day, unit) do update set amount = c.amount + excluded.amount"""

# Rows are found by key and meet themselves: that is how a set is updated whatever the planner believes of a table.
_BEGIN_ANEW = """
    insert into tier_counts as c (program, member, grain, day, unit, amount)
    select f.program, f.member, f.grain, f.day, f.unit, 0
    from unnest($1::text[], $2::text[]) as k (program, member)
    cross join lateral (
        select program, member, grain, day, unit from tier_counts
        where program = k.program and member = k.member and grain = 'tier' and amount <> 0 offset 0) f
    on conflict (program, member, grain, day, unit) do update set amount = 0"""

_standing = msgspec.json.Decoder(Standing)
_stood = msgspec.json.Decoder(tuple[Stood, ...])
_encode = msgspec.json.encode


async def read_tiers(connection: asyncpg.Connection[Any], needs: Needs, wallets: Mapping[WalletKey, Wallet]) -> None:
    """Read where members stand, and of what they counted all that the messages, or time, may ask for."""
    keys = sorted(key for key in needs.tiers if wallets[key].version)
    if not keys:
        return
    for key in keys:
        wallets[key].tiers = TierBook()
    for program, member, journal, standing, stood in await connection.fetch(_STANDINGS, *_columns(keys, 2)):
        wallets[WalletKey(program, member)].tiers = TierBook(
            _standing.decode(standing) if standing else None, _stood.decode(stood), journal
        )
    asked = []
    for key in keys:
        days = list(_days(needs, key, wallets[key]))
        if days:
            asked.append((*key, min(days) - timedelta(days=needs.tiers[key])))
    if asked:
        for program, member, grain, day, unit, amount in await connection.fetch(_COUNTS, *_columns(asked, 3), _WHOLE):
            book = wallets[WalletKey(program, member)].tiers
            assert book is not None  # it was made above
            book.counts.setdefault((unit, grain), {})[day] = amount


def _days(needs: Needs, key: WalletKey, wallet: Wallet) -> Iterable[date]:
    """Yield the days on which something may be counted, taken back or looked at."""
    if key in needs.counting:
        yield needs.counting[key]
    for posting in wallet.postings.values():
        for counted in posting.qualified:
            yield counted.occurred_at.date() - MARGIN
    standing = wallet.tiers.standing if wallet.tiers is not None else None
    until = needs.until.get(key)
    if standing is not None and standing.due_at is not None and until is not None and standing.due_at <= until:
        yield standing.due_at.date() - MARGIN
    if wallet.birthday_at is not None and until is not None and wallet.birthday_at <= until:
        yield wallet.birthday_at.date() - MARGIN


async def write_tiers(connection: asyncpg.Connection[Any], journals: Sequence[Journal]) -> None:
    """Write where the facts of a batch leave the members, and by how much each count moved."""
    moved: dict[WalletKey, Wallet] = {}
    anew: set[WalletKey] = set()
    counts: dict[WalletKey, dict[Bucket, int]] = {}
    for journal in journals:
        key = WalletKey(journal.wallet.program, journal.wallet.member)
        for fact in journal.facts:
            if not isinstance(fact, TierFact):
                continue
            moved[key] = journal.wallet
            sums = counts.setdefault(key, {})
            if isinstance(fact, TierChanged):
                anew.add(key)
                counts[key] = {bucket: amount for bucket, amount in sums.items() if bucket.grain != "tier"}
            elif not isinstance(fact, TierKept):
                for bucket, amount in buckets_of((fact,)):
                    sums[bucket] = sums.get(bucket, 0) + amount
    if not moved:
        return
    if anew:
        await connection.execute(_BEGIN_ANEW, *_columns(sorted(anew), 2))
    rows = [
        (*key, bucket.grain, bucket.day, bucket.unit, amount)
        for key in sorted(counts)
        for bucket, amount in counts[key].items()
        if amount
    ]
    if rows:
        await connection.execute(_ADD_COUNTS, *_columns(rows, 6))
    await _set_standings(connection, moved)


async def _set_standings(connection: asyncpg.Connection[Any], moved: Mapping[WalletKey, Wallet]) -> None:
    rows = []
    for key in sorted(moved):
        book = moved[key].tiers
        if book is None or book.standing is None:
            continue
        standing = book.standing
        rows.append((
            *key, standing.tier, standing.since_at, standing.until_at, book.journal, _encode(standing),
            _encode(book.stood),
        ))  # fmt: skip
    if rows:
        await connection.execute(_SET_STANDINGS, *_columns(rows, 8))


def _columns(rows: Iterable[Sequence[Any]], width: int) -> list[list[Any]]:
    columns: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)]
    return columns or [[] for _ in range(width)]
