"""Write: the facts of a batch as rows, in sets. What is only added goes in by COPY, totals by one update a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg
import msgspec

from services.points.domain import facts as f
from services.points.domain.facts import LotName, encode_facts
from services.points.domain.posting import entries
from services.points.domain.state import Hold, Lot, Wallet
from services.points.ports import Journal
from services.points.store.tiering import write_tiers

_JOURNALS = (
    "program", "member", "journal", "kind", "cause", "partner", "at", "occurred_at", "version", "message",
    "facts", "body",
)  # fmt: skip
_ENTRIES = ("program", "member", "journal", "entry", "unit", "account", "amount")
_ACTIVITIES = ("program", "partner", "activity", "member", "journal", "hash", "code")
_LOTS = (
    "program", "member", "journal", "lot", "unit", "rule", "activity", "partner", "granted", "remaining", "held",
    "expired", "earned_at", "available_at", "expires_at", "funder", "version",
)  # fmt: skip
_RETURNS = ("program", "member", "of_journal", "journal")

# Every row is there already; the insert is how a set of rows is updated by key whatever the planner believes of a
# young table: an update that joins has been seen to walk it once for every key, and to keep that plan.
_WALLETS = """
    insert into wallets (program, member, status, at, version, enrolled_at, person, attributes, next_due_at)
    select * from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::bigint[], $6::timestamptz[],
        $7::text[], $8::bytea[], $9::timestamptz[])
    on conflict (program, member) do update set status = excluded.status, at = excluded.at,
        version = excluded.version, enrolled_at = excluded.enrolled_at, person = excluded.person,
        attributes = excluded.attributes, next_due_at = excluded.next_due_at"""

_BALANCES = """
    insert into balances as b (program, member, unit, available, pending, held, owed, earned, spent, expired,
        reversed, adjusted, active_until, next_expiry_at, next_expiry_amount)
    select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[],
        $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[],
        $13::timestamptz[], $14::timestamptz[], $15::bigint[])
    on conflict (program, member, unit) do update set available = excluded.available,
        pending = excluded.pending, held = excluded.held, owed = excluded.owed, earned = excluded.earned,
        spent = excluded.spent, expired = excluded.expired, reversed = excluded.reversed,
        adjusted = excluded.adjusted, active_until = excluded.active_until,
        next_expiry_at = excluded.next_expiry_at, next_expiry_amount = excluded.next_expiry_amount"""

_LOTS_MOVED = """
    insert into lots (program, member, journal, lot, unit, rule, activity, partner, granted, remaining, held, expired,
        earned_at, available_at, expires_at, funder, version)
    select * from unnest($1::text[], $2::text[], $3::bigint[], $4::smallint[], $5::text[], $6::text[], $7::text[],
        $8::text[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::timestamptz[],
        $14::timestamptz[], $15::timestamptz[], $16::text[], $17::integer[])
    on conflict (program, member, journal, lot) do update set remaining = excluded.remaining,
        held = excluded.held, expired = excluded.expired"""

_HOLDS = """
    insert into holds (program, member, hold, unit, amount, state, saga, parts, journal)
    select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::boolean[],
        $8::bytea[], $9::bigint[])
    on conflict (program, member, hold) do update set state = excluded.state"""

# The first open date of a wallet's lots, read after the lots were moved: what balances show as next expiry.
_NEXT_EXPIRY = """
    select k.program, k.member, k.unit, l.expires_at, l.amount
    from unnest($1::text[], $2::text[], $3::text[]) as k (program, member, unit)
    cross join lateral (
        select expires_at, sum(remaining)::bigint as amount from lots
        where program = k.program and member = k.member and unit = k.unit and remaining > 0
          and expires_at = (
            select expires_at from lots
            where program = k.program and member = k.member and unit = k.unit and remaining > held
              and expires_at is not null
            order by expires_at, earned_at, journal, lot limit 1)
        group by expires_at) l"""

_SPENDING = (f.DebtPaid, f.PointsClawedBack, f.PointsHeld, f.PointsCaptured, f.PointsReleased, f.LotsExpired)


async def write(connection: asyncpg.Connection[Any], journals: Sequence[Journal], touched: Iterable[Wallet]) -> None:
    """Add the journals with all they imply, then set the totals of the wallets they touched."""
    wallets = list(touched)
    moved = _moved(journals)
    await _add_journals(connection, journals)
    await _add_lots(connection, journals)
    await _move_lots(connection, moved)
    await _set_holds(connection, journals)
    await _refresh_next_expiry(connection, journals)
    await _set_wallets(connection, wallets)
    await _set_balances(connection, wallets)
    if any(wallet.tiers is not None for wallet in wallets):
        await write_tiers(connection, journals)


async def _copy(
    connection: asyncpg.Connection[Any], table: str, columns: Sequence[str], records: Sequence[Sequence[Any]]
) -> None:
    if records:
        await connection.copy_records_to_table(table, columns=columns, records=records)


async def _run(connection: asyncpg.Connection[Any], statement: str, rows: Sequence[Sequence[Any]]) -> None:
    if rows:
        await connection.execute(statement, *map(list, zip(*rows, strict=True)))


async def _add_journals(connection: asyncpg.Connection[Any], journals: Sequence[Journal]) -> None:
    rows: list[Sequence[Any]] = []
    posted: list[Sequence[Any]] = []
    known: list[Sequence[Any]] = []
    returns: list[Sequence[Any]] = []
    for journal in journals:
        program, member, number = journal.wallet.program, journal.wallet.member, journal.number
        rows.append((
            program, member, number, journal.kind, journal.cause, journal.partner, journal.at,
            journal.occurred_at, journal.version, journal.message, encode_facts(journal.facts), journal.body,
        ))  # fmt: skip
        posted.extend((program, member, number, index, *entry) for index, entry in enumerate(entries(journal.facts)))
        if journal.hash and journal.kept:
            known.append((program, journal.partner, journal.cause, member, number, journal.hash, journal.code))
        returns.extend(
            (program, member, fact.of_journal, number) for fact in journal.facts if type(fact) is f.ActivityReturned
        )
    await _copy(connection, "journals", _JOURNALS, rows)
    await _copy(connection, "entries", _ENTRIES, posted)
    await _copy(connection, "activities", _ACTIVITIES, known)
    await _copy(connection, "returns", _RETURNS, returns)


async def _add_lots(connection: asyncpg.Connection[Any], journals: Sequence[Journal]) -> None:
    rows: list[Sequence[Any]] = []
    for journal in journals:
        wallet = journal.wallet
        rows.extend(
            _lot_row(wallet, wallet.lots[LotName(journal.number, fact.lot)])
            for fact in journal.facts
            if type(fact) is f.PointsGranted
        )
    await _copy(connection, "lots", _LOTS, rows)


def _lot_row(wallet: Wallet, lot: Lot) -> Sequence[Any]:
    return (
        wallet.program, wallet.member, lot.name.journal, lot.name.lot, lot.unit, lot.rule, lot.activity, lot.partner,
        lot.granted, lot.remaining, lot.held, lot.expired, lot.earned_at, lot.available_at, lot.expires_at,
        lot.funder, lot.version,
    )  # fmt: skip


def _moved(journals: Sequence[Journal]) -> list[tuple[Wallet, Lot]]:
    """Return the lots that stood before this batch and were moved by it, once each."""
    made = {
        (id(journal.wallet), LotName(journal.number, fact.lot))
        for journal in journals
        for fact in journal.facts
        if type(fact) is f.PointsGranted
    }
    moved: dict[tuple[int, LotName], tuple[Wallet, Lot]] = {}
    for journal in journals:
        for fact in journal.facts:
            for name in _names(fact):
                key = (id(journal.wallet), name)
                if key not in made:
                    moved[key] = (journal.wallet, journal.wallet.lots[name])
    return list(moved.values())


def _names(fact: f.AnyFact) -> Iterable[LotName]:
    if isinstance(fact, f.PointsClawedBack):
        yield from (part.name for part in fact.taken)
        if fact.origin is not None:
            yield fact.origin
    elif isinstance(fact, f.DebtPaid | f.PointsHeld | f.PointsCaptured | f.PointsReleased | f.LotsExpired):
        yield from (part.name for part in fact.parts)


async def _move_lots(connection: asyncpg.Connection[Any], moved: Sequence[tuple[Wallet, Lot]]) -> None:
    rows = [_lot_row(wallet, lot) for wallet, lot in moved]
    await _run(connection, _LOTS_MOVED, rows)


async def _set_holds(connection: asyncpg.Connection[Any], journals: Sequence[Journal]) -> None:
    changed: dict[tuple[int, str], tuple[Journal, Hold]] = {}
    for journal in journals:
        for fact in journal.facts:
            if isinstance(fact, f.PointsHeld | f.HoldRefused | f.PointsCaptured | f.PointsReleased):
                changed[id(journal.wallet), fact.hold] = (journal, journal.wallet.holds[fact.hold])
    rows = [
        (
            journal.wallet.program, journal.wallet.member, hold.hold, hold.unit, hold.amount, hold.state,
            hold.saga, msgspec.json.encode(hold.parts), journal.number,
        )
        for journal, hold in changed.values()
    ]  # fmt: skip
    await _run(connection, _HOLDS, rows)


async def _refresh_next_expiry(connection: asyncpg.Connection[Any], journals: Sequence[Journal]) -> None:
    stale: dict[tuple[str, str, str], Wallet] = {}
    for journal in journals:
        for fact in journal.facts:
            if isinstance(fact, _SPENDING) and fact.unit:
                stale[journal.wallet.program, journal.wallet.member, fact.unit] = journal.wallet
    if not stale:
        return
    for (_, _, unit), wallet in stale.items():
        balance = wallet.balance(unit)
        balance.next_expiry_at, balance.next_expiry_amount = None, 0
    columns = [list(column) for column in zip(*stale, strict=True)]
    for program, member, unit, expires_at, amount in await connection.fetch(_NEXT_EXPIRY, *columns):
        balance = stale[program, member, unit].balance(unit)
        balance.next_expiry_at, balance.next_expiry_amount = expires_at, amount


async def _set_wallets(connection: asyncpg.Connection[Any], wallets: Sequence[Wallet]) -> None:
    rows = [
        (
            wallet.program, wallet.member, wallet.status, wallet.at, wallet.version, wallet.enrolled_at,
            wallet.person, msgspec.json.encode(wallet.attributes) if wallet.attributes else None,
            wallet.next_due_at,
        )
        for wallet in wallets
    ]  # fmt: skip
    await _run(connection, _WALLETS, rows)


async def _set_balances(connection: asyncpg.Connection[Any], wallets: Sequence[Wallet]) -> None:
    rows = [
        (
            wallet.program, wallet.member, b.unit, b.available, b.pending, b.held, b.owed, b.earned, b.spent,
            b.expired, b.reversed, b.adjusted, b.active_until, b.next_expiry_at, b.next_expiry_amount,
        )
        for wallet in wallets
        for b in wallet.balances.values()
    ]  # fmt: skip
    await _run(connection, _BALANCES, rows)
