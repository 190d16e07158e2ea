"""Load: lock the wallets of a batch in one order, then read what its messages can touch, in sets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg
import msgspec

from services.points.domain.facts import (
    ActivityPosted,
    ActivityReturned,
    LotName,
    LotPart,
    decode_facts,
)
from services.points.domain.state import BEGINNING, Balance, Hold, Lot, Posting, Wallet
from services.points.ports import ActivityKey, Known, Loaded, Needs, WalletKey

LOTS_AT_ONCE = 32
"""How many lots in spending order are read first for one wallet; more follow only where these do not suffice."""

_ENSURE = """
    insert into wallets (program, member, status, at, version)
    select program, member, 'unknown', $3, 0
    from unnest($1::text[], $2::text[]) as k (program, member) order by program, member
    on conflict do nothing"""

# Locks are taken above the sort, hence in key order; the same order everywhere is what prevents deadlocks.
_LOCK = """
    select w.program, w.member, w.status, w.at, w.version, w.enrolled_at, w.person, w.attributes
    from unnest($1::text[], $2::text[]) as k (program, member)
    join wallets w on w.program = k.program and w.member = k.member
    order by w.program, w.member for update of w"""

_BALANCES = """
    select b.program, b.member, b.unit, b.available, b.pending, b.held, b.owed, b.earned, b.spent, b.expired,
           b.reversed, b.adjusted, b.active_until, b.next_expiry_at, b.next_expiry_amount
    from unnest($1::text[], $2::text[]) as k (program, member)
    join balances b on b.program = k.program and b.member = k.member"""

_KNOWN = """
    select a.program, a.partner, a.activity, a.member, a.journal, a.hash, a.code
    from unnest($1::text[], $2::text[], $3::text[]) as k (program, partner, activity)
    join activities a on a.program = k.program and a.partner = k.partner and a.activity = k.activity"""

_JOURNALS = """
    select j.program, j.member, j.journal, j.facts, j.body
    from unnest($1::text[], $2::text[], $3::bigint[]) as k (program, member, journal)
    join journals j on j.program = k.program and j.member = k.member and j.journal = k.journal"""

_RETURNS = """
    select j.program, j.member, j.journal, j.facts
    from unnest($1::text[], $2::text[], $3::bigint[]) as k (program, member, journal)
    join returns r on r.program = k.program and r.member = k.member and r.of_journal = k.journal
    join journals j on j.program = r.program and j.member = r.member and j.journal = r.journal
    order by j.program, j.member, j.journal"""

_LOT = """l.program, l.member, l.journal, l.lot, l.unit, l.rule, l.activity, l.partner, l.granted, l.remaining,
    l.held, l.expired, l.earned_at, l.available_at, l.expires_at, l.funder, l.version"""

_LOTS_OF_JOURNALS = f"""
    select {_LOT}
    from unnest($1::text[], $2::text[], $3::bigint[]) as k (program, member, journal)
    join lots l on l.program = k.program and l.member = k.member and l.journal = k.journal"""

_LOTS_SPENDABLE = f"""
    select {_LOT}
    from unnest($1::text[], $2::text[], $3::text[]) as k (program, member, unit)
    cross join lateral (
        select * from lots
        where program = k.program and member = k.member and unit = k.unit and remaining > held
        order by expires_at, earned_at, journal, lot limit $4) l"""

# Lots without a date of their own end with the member's inactivity; the caller decides, here they are all due.
_LOTS_DUE = f"""
    select {_LOT}
    from unnest($1::text[], $2::text[], $3::timestamptz[]) as k (program, member, until)
    join lots l on l.program = k.program and l.member = k.member and l.remaining > l.held
     and (l.expires_at <= k.until or (l.expires_at is null and exists (
        select from balances b where b.program = l.program and b.member = l.member and b.unit = l.unit
          and b.active_until <= k.until)))"""

_HOLDS = """
    select h.program, h.member, h.hold, h.unit, h.amount, h.state, h.saga, h.parts
    from unnest($1::text[], $2::text[], $3::text[]) as k (program, member, hold)
    join holds h on h.program = k.program and h.member = k.member and h.hold = k.hold"""

_parts = msgspec.json.Decoder(tuple[LotPart, ...])


async def load(connection: asyncpg.Connection[Any], needs: Needs) -> Loaded:
    """Lock and read what `needs` names; wallets that nobody enrolled come back empty, and locked all the same."""
    wallets = await _lock(connection, needs)
    await _read_balances(connection, wallets)
    known = await _read_known(connection, needs.activities | set(needs.originals))
    await _read_originals(connection, needs, wallets, known)
    await _read_holds(connection, needs, wallets)
    await _read_due(connection, needs, wallets)
    await _read_spendable(connection, needs, wallets)
    return Loaded(wallets, known)


def _columns(rows: Iterable[Sequence[Any]], width: int) -> list[list[Any]]:
    columns: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)]
    return columns or [[] for _ in range(width)]


async def _lock(connection: asyncpg.Connection[Any], needs: Needs) -> dict[WalletKey, Wallet]:
    if needs.enrolling:
        await connection.execute(_ENSURE, *_columns(sorted(needs.enrolling), 2), BEGINNING)
    wallets = {}
    for row in await connection.fetch(_LOCK, *_columns(sorted(needs.wallets), 2)):
        program, member, status, at, version, enrolled_at, person, attributes = row
        wallets[WalletKey(program, member)] = Wallet(
            program,
            member,
            status,
            at,
            version,
            enrolled_at,
            person,
            msgspec.json.decode(attributes) if attributes else {},
        )
    missing = needs.wallets - wallets.keys()
    if missing:
        # Only a message that was not preceded by an enrolment comes here; its refusal needs a row to number it.
        await connection.execute(_ENSURE, *_columns(sorted(missing), 2), BEGINNING)
        wallets |= await _lock(connection, Needs(wallets=missing))
    return wallets


async def _read_balances(connection: asyncpg.Connection[Any], wallets: dict[WalletKey, Wallet]) -> None:
    seen = [key for key, wallet in wallets.items() if wallet.version]
    if not seen:
        return
    for program, member, *totals in await connection.fetch(_BALANCES, *_columns(seen, 2)):
        balance = Balance(*totals)
        wallets[WalletKey(program, member)].balances[balance.unit] = balance


async def _read_known(
    connection: asyncpg.Connection[Any], keys: set[ActivityKey]
) -> dict[ActivityKey, Known]:
    if not keys:
        return {}
    rows = await connection.fetch(_KNOWN, *_columns(list(keys), 3))
    return {
        ActivityKey(program, partner, activity): Known(member, journal, hash_, code)
        for program, partner, activity, member, journal, hash_, code in rows
    }


async def _read_originals(
    connection: asyncpg.Connection[Any],
    needs: Needs,
    wallets: dict[WalletKey, Wallet],
    known: dict[ActivityKey, Known],
) -> None:
    """Read, for each return, the original with its facts, lots and earlier returns, and lots that could pay."""
    found = [
        (*wallet, known[key].journal)
        for key, wallet in needs.originals.items()
        if key in known and known[key].code is None and known[key].member == wallet.member
    ]
    if not found:
        return
    columns = _columns(found, 3)
    for program, member, journal, facts, body in await connection.fetch(_JOURNALS, *columns):
        wallet = wallets[WalletKey(program, member)]
        for fact in decode_facts(facts):
            if isinstance(fact, ActivityPosted):
                wallet.postings[fact.partner, fact.activity] = Posting(
                    journal, fact.version, body, fact.decision, dict(fact.member)
                )
                for judged in fact.decision:
                    if judged.amount:
                        want = (program, member, judged.unit)
                        needs.spending[want] = needs.spending.get(want, 0) + judged.amount
    for program, member, _journal, facts in await connection.fetch(_RETURNS, *columns):
        wallet = wallets[WalletKey(program, member)]
        for fact in decode_facts(facts):
            if isinstance(fact, ActivityReturned):
                wallet.apply(0, fact)
    _add_lots(wallets, await connection.fetch(_LOTS_OF_JOURNALS, *columns))


async def _read_holds(
    connection: asyncpg.Connection[Any], needs: Needs, wallets: dict[WalletKey, Wallet]
) -> None:
    if not needs.holds:
        return
    lots: set[tuple[str, str, int]] = set()
    for row in await connection.fetch(_HOLDS, *_columns(list(needs.holds), 3)):
        program, member, hold, unit, amount, state, saga, parts = row
        decoded = _parts.decode(parts)
        wallets[WalletKey(program, member)].holds[hold] = Hold(hold, unit, amount, state, decoded, saga)
        lots |= {(program, member, part.name.journal) for part in decoded}
    if lots:
        _add_lots(wallets, await connection.fetch(_LOTS_OF_JOURNALS, *_columns(list(lots), 3)))


async def _read_spendable(
    connection: asyncpg.Connection[Any], needs: Needs, wallets: dict[WalletKey, Wallet]
) -> None:
    """Read lots in spending order until their sum covers what may be asked, or there are no more.

    What falls due first cannot be spent, so it is read on top.
    """
    wanted: dict[tuple[str, str, str], int] = {}
    for (program, member, unit), amount in needs.spending.items():
        wallet = wallets[WalletKey(program, member)]
        available = wallet.balance(unit).available
        if available > 0:
            due = sum(lot.free for lot in wallet.lots.values() if lot.unit == unit)
            wanted[program, member, unit] = min(amount + due, available)
    limit = LOTS_AT_ONCE
    while wanted:
        rows = await connection.fetch(_LOTS_SPENDABLE, *_columns(list(wanted), 3), limit)
        _add_lots(wallets, rows)
        sums: dict[tuple[str, str, str], int] = dict.fromkeys(wanted, 0)
        for row in rows:
            sums[row["program"], row["member"], row["unit"]] += row["remaining"] - row["held"]
        wanted = {want: amount for want, amount in wanted.items() if sums[want] < amount}
        limit *= 4


async def _read_due(
    connection: asyncpg.Connection[Any], needs: Needs, wallets: dict[WalletKey, Wallet]
) -> None:
    due = [
        (key.program, key.member, until)
        for key, until in needs.until.items()
        if (next_due_at := wallets[key].next_due_at) is not None and next_due_at <= until
    ]
    if due:
        _add_lots(wallets, await connection.fetch(_LOTS_DUE, *_columns(due, 3)))


def _add_lots(wallets: dict[WalletKey, Wallet], rows: Sequence[Sequence[Any]]) -> None:
    for row in rows:
        program, member, journal, lot, unit, rule, activity, partner, granted, remaining, held, expired = row[:12]
        earned_at, available_at, expires_at, funder, version = row[12:]
        name = LotName(journal, lot)
        lots = wallets[WalletKey(program, member)].lots
        if name not in lots:
            lots[name] = Lot(
                name,
                unit,
                rule,
                activity,
                partner,
                granted,
                remaining,
                held,
                earned_at,
                available_at,
                expires_at,
                funder,
                version,
                expired,
            )
