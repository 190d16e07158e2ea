"""Counters of windows and what their caps refused: read for what a batch can touch, written as they stand after it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import asyncpg

from services.points.domain.facts import (
    COUNTING,
    ActivityPosted,
    ActivityReturned,
    BonusTakenBack,
    Counted,
    PendingDecided,
    PointsGranted,
    decode_facts,
)
from services.points.domain.state import Counter, CounterKey, Posting, Refusal, Wallet
from services.points.ports import Journal, Needs, WalletKey

REFUSALS_AT_ONCE = 32
"""How many refusals of a window are read first; more follow only where these do not suffice."""

_Place = tuple[str, str, int]
_Window = tuple[str, str, CounterKey]

# The newest window that starts by an instant: the only one that can hold it, for windows follow one another.
_COUNTERS = """
    select c.*
    from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) as k (program, member, counter, at)
    cross join lateral (
        select program, member, counter, window_start, window_end, unit, counted, bound, given_in from counters
        where program = k.program and member = k.member and counter = k.counter and window_start <= k.at
        order by window_start desc limit 1) c"""

_REFUSALS_OF_JOURNALS = """
    select r.*
    from unnest($1::text[], $2::text[], $3::bigint[]) as k (program, member, journal)
    cross join lateral (
        select program, member, journal, rule, unit, counter, window_start, occurred_at, refused from refusals
        where program = k.program and member = k.member and journal = k.journal offset 0) r"""

_REFUSALS = """
    select r.*
    from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) as k (program, member, counter, start)
    cross join lateral (
        select program, member, journal, rule, unit, counter, window_start, occurred_at, refused from refusals
        where program = k.program and member = k.member and counter = k.counter and window_start = k.start
          and refused > 0
        order by occurred_at, journal, rule limit $5) r"""

_POSTINGS = """
    select j.*
    from unnest($1::text[], $2::text[], $3::bigint[]) as k (program, member, journal)
    cross join lateral (
        select program, member, journal, facts from journals
        where program = k.program and member = k.member and journal = k.journal offset 0) j"""

_SET_COUNTERS = """
    insert into counters (program, member, counter, window_start, window_end, unit, counted, bound, given_in)
    select * from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::text[],
        $7::bigint[], $8::bigint[], $9::bigint[])
    on conflict (program, member, counter, window_start) do update set counted = excluded.counted,
        bound = excluded.bound, given_in = excluded.given_in"""

_SET_REFUSALS = """
    insert into refusals (program, member, journal, rule, unit, counter, window_start, occurred_at, refused)
    select * from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::timestamptz[],
        $8::timestamptz[], $9::bigint[])
    on conflict (program, member, journal, rule) do update set refused = excluded.refused"""


async def read_counters(connection: asyncpg.Connection[Any], needs: Needs, wallets: Mapping[WalletKey, Wallet]) -> None:
    """Read the counters that the batch needs. One that never moved has no row, and stands at nothing."""
    if not needs.counters:
        return
    for program, member, counter, start, end, unit, counted, bound, given_in in await connection.fetch(
        _COUNTERS, *_columns(sorted(needs.counters))
    ):
        key = CounterKey(counter, start)
        wallets[WalletKey(program, member)].counters[key] = Counter(counter, start, end, unit, counted, bound, given_in)


async def read_refusals(
    connection: asyncpg.Connection[Any],
    needs: Needs,
    wallets: Mapping[WalletKey, Wallet],
    originals: Mapping[_Place, Posting],
) -> list[_Place]:
    """Read what a return may have to move: its original's counters and refusals, and those that may be refilled.

    Refusals are read oldest first, until their sum covers all that the originals could free in that window; whoever
    finds that they do not suffice all the same asks for all of them. Returned are the activities that they were refused
    to: what is granted to one now may have to wait as the rest of it does.
    """
    counting = [(place, posting) for place, posting in originals.items() if posting.counted]
    if not counting:
        return []
    wanted: dict[_Window, int] = {}
    for (program, member, _), posting in counting:
        _need(needs, program, member, posting.counted)
        freed = sum(judged.amount for judged in posting.decision) + sum(posting.refilled.values())
        for counted in posting.counted:
            if counted.refills and freed:
                window = (program, member, CounterKey(counted.counter, counted.start))
                wanted[window] = wanted.get(window, 0) + freed
    _add_refusals(wallets, await connection.fetch(_REFUSALS_OF_JOURNALS, *_columns([place for place, _ in counting])))
    refilled = await _read_windows(connection, wallets, wanted, everything=needs.all_refusals)
    unread = [place for place in refilled if place not in originals]
    if unread:
        for program, member, journal, facts in await connection.fetch(_POSTINGS, *_columns(unread)):
            for fact in decode_facts(facts):
                if isinstance(fact, ActivityPosted):
                    wallet = wallets[WalletKey(program, member)]
                    # One that was read before was read with all that has come back of it.
                    wallet.postings.setdefault((fact.partner, fact.activity), Posting.of(journal, fact))
                    _need(needs, program, member, fact.counted)
    return unread


async def _read_windows(
    connection: asyncpg.Connection[Any],
    wallets: Mapping[WalletKey, Wallet],
    wanted: dict[_Window, int],
    *,
    everything: bool,
) -> list[_Place]:
    """Read refusals of windows, oldest first, up to what is wanted, or everything; return whose they are."""
    found: dict[_Place, None] = {}
    limit = REFUSALS_AT_ONCE
    while wanted:
        columns = _columns([(program, member, *key) for program, member, key in wanted])
        rows = await connection.fetch(_REFUSALS, *columns, limit)
        _add_refusals(wallets, rows)
        sums: dict[_Window, int] = dict.fromkeys(wanted, 0)
        counts: dict[_Window, int] = dict.fromkeys(wanted, 0)
        for row in rows:
            window = (row["program"], row["member"], CounterKey(row["counter"], row["window_start"]))
            sums[window] += row["refused"]
            counts[window] += 1
            found[row["program"], row["member"], row["journal"]] = None
        cut = [window for window in wanted if counts[window] == limit]
        more = [window for window in cut if everything or sums[window] < wanted[window]]
        for program, member, key in set(cut) - set(more):
            wallets[WalletKey(program, member)].unread.add(key)
        wanted = {window: wanted[window] for window in more}
        limit *= 4
    return list(found)


def _need(needs: Needs, program: str, member: str, counted: Iterable[Counted]) -> None:
    needs.counters |= {(program, member, each.counter, each.start) for each in counted}


def _add_refusals(wallets: Mapping[WalletKey, Wallet], rows: Iterable[Sequence[Any]]) -> None:
    for program, member, journal, rule, unit, counter, start, occurred_at, refused in rows:
        refusals = wallets[WalletKey(program, member)].refusals
        if (journal, rule) not in refusals:
            key = CounterKey(counter, start)
            refusals[journal, rule] = Refusal(journal, rule, unit, key, occurred_at, refused)


async def set_counters(connection: asyncpg.Connection[Any], journals: Iterable[Journal]) -> None:
    """Write the counters and refusals that journals moved, as they stand now."""
    counters: dict[tuple[str, str, CounterKey], Counter] = {}
    refusals: dict[tuple[str, str, int, str], Refusal] = {}
    for journal in journals:
        wallet = journal.wallet
        for fact in journal.facts:
            if isinstance(fact, COUNTING):
                for moved in fact.counted:
                    if moved.amount or moved.given:
                        key = CounterKey(moved.counter, moved.start)
                        counters[wallet.program, wallet.member, key] = wallet.counters[key]
            elif isinstance(fact, BonusTakenBack):
                key = CounterKey(fact.counter, fact.start)
                counters[wallet.program, wallet.member, key] = wallet.counters[key]
            for name in _refused(journal.number, fact):
                refusals[wallet.program, wallet.member, *name] = wallet.refusals[name]
    if counters:
        rows = [
            (program, member, *key, each.end, each.unit, each.counted, each.limit, each.given_in)
            for (program, member, key), each in counters.items()
        ]
        await connection.execute(_SET_COUNTERS, *_columns(rows))
    if refusals:
        changed = [
            (program, member, journal, rule, each.unit, *each.window, each.occurred_at, each.left)
            for (program, member, journal, rule), each in refusals.items()
        ]
        await connection.execute(_SET_REFUSALS, *_columns(changed))


def _refused(number: int, fact: object) -> list[tuple[int, str]]:
    """Return the refusals that a fact of a journal made or moved."""
    if isinstance(fact, ActivityPosted) and fact.counted:
        return [(number, judged.rule) for judged in fact.decision for cut in judged.capped_by if cut.refill]
    if isinstance(fact, ActivityReturned | PendingDecided):
        return [(less.journal, less.rule) for less in fact.unrefused]
    if isinstance(fact, PointsGranted) and fact.of_journal:
        return [(fact.of_journal, fact.rule)]
    return []


def _columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
