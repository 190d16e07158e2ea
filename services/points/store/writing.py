"""Write: the facts of a batch as rows, in sets. What is only added goes in by COPY, totals by one update a table.

A few journals go in by a single statement, and totals that are read again in between by one more (`writing_few`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import asyncpg
import msgspec

from laurel.io.database import CollisionError, copy_rows
from laurel.io.together import Last
from services.points.domain import facts as f
from services.points.domain.ending import units_moved
from services.points.domain.facts import LotName, encode_facts
from services.points.domain.posting import entries
from services.points.domain.state import Adjustment, Hold, Lot, Wallet
from services.points.ports import Journal
from services.points.store.blocks import write_blocks
from services.points.store.budgeting import draw_budgets
from services.points.store.columns import (
    ACTIVITIES,
    ADJUSTMENTS,
    BALANCES,
    ENTRIES,
    HOLDS,
    JOURNALS,
    LOTS,
    LOTS_MOVED,
    RETURNS,
    WALLETS,
    Written,
)
from services.points.store.counting import set_counters
from services.points.store.crediting import take_keys
from services.points.store.limiting import count_people
from services.points.store.pending import refresh_next_release
from services.points.store.segmenting import write_segments
from services.points.store.tiering import write_tiers
from services.points.store.writing_few import FEW, Rows, few, write_few

# What these facts bring about are new rows and totals, and nothing that stood before but in tables of their own.
_ONLY_ADDING = {
    f.MemberEnrolled, f.ActivityPosted, f.ActivityRefused, f.KeyTaken, f.PointsGranted, f.QualifyingCounted,
    f.TierChanged, f.TierKept, f.StatusMatchRefused, f.MemberChanged, f.MemberClosed, f.MemberChangeRefused,
    f.MemberErased,
    f.SegmentsChanged, f.PersonCounted, f.BlockDrawn, f.FundingAwaited, f.ReferrerNamed, f.BirthdayAwaited,
}  # fmt: skip

# The first time-out among a wallet's open holds, read after the holds were set.
_NEXT_TIMEOUT = """
    select k.program, k.member, h.expires_at
    from unnest($1::text[], $2::text[]) as k (program, member)
    cross join lateral (
        select expires_at from holds
        where program = k.program and member = k.member and state = 'held' and expires_at is not null
        order by expires_at limit 1) h"""

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


async def write(
    connection: asyncpg.Connection[Any],
    journals: Sequence[Journal],
    touched: Iterable[Wallet],
    last: Last | None = None,
) -> None:
    """Add the journals with all they imply, then set the totals of the wallets they touched.

    Of a few journals the last statement is put there, if there is a `last`; its `within` has to be `collisions`.
    """
    wallets = list(touched)
    await set_counters(connection, journals)
    await take_keys(connection, journals)
    await draw_budgets(connection, journals)
    if any(wallet.people for wallet in wallets):
        await count_people(connection, journals)
    await write_blocks(connection, journals)
    if any(wallet.tiers is not None for wallet in wallets):
        await write_tiers(connection, journals)
    if any(wallet.segments.held or wallet.segments.past for wallet in wallets):
        await write_segments(connection, journals)
    put = write_few if len(journals) <= FEW else _write_many
    # Where time has looked and nothing came of it, it is looked up when to look again.
    only_adds = bool(journals) and not any(_moves_what_stands(journal) for journal in journals)
    goes_at_once = only_adds and put is write_few
    if not goes_at_once:
        with collisions():
            await put(connection, [*_facts(journals), *_moves(journals)])
        await _refresh_next_expiry(connection, journals)
        await _refresh_next_timeout(connection, wallets)
        await refresh_next_release(connection, wallets)
    parts = [*_facts(journals), *_totals(wallets)] if goes_at_once else _totals(wallets)
    if last is not None and put is write_few:
        last.statements.extend(few(parts))
        return
    with collisions():
        await put(connection, parts)


@contextmanager
def collisions() -> Iterator[None]:
    """Have the batch run again where another worker was told of the same id by another member: then it is known."""
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        if not (error.table_name or "").startswith(ACTIVITIES.name):
            raise
        raise CollisionError from error


async def _write_many(connection: asyncpg.Connection[Any], parts: Iterable[tuple[Written, Rows]]) -> None:
    for table, rows in parts:
        if rows and table.totals:
            await connection.execute(table.insert, *table.parameters(rows))
        elif rows:
            await copy_rows(connection, table.name, table.names, rows)


def _moves_what_stands(journal: Journal) -> bool:
    """Say whether a journal does more than add rows: it moves lots or holds, or is a return."""
    return any(type(fact) not in _ONLY_ADDING for fact in journal.facts)


def _facts(journals: Sequence[Journal]) -> list[tuple[Written, Rows]]:
    """Return what is only ever added."""
    rows, posted, known = _added(journals)
    return [
        (JOURNALS, rows),
        (ENTRIES, posted),
        (ACTIVITIES, known),
        (RETURNS, _returns_added(journals)),
        (LOTS, _lots_added(journals)),
    ]


def _moves(journals: Sequence[Journal]) -> list[tuple[Written, Rows]]:
    """Return what stood before, or may have, as it is now."""
    return [
        (LOTS_MOVED, [_lot_row(wallet, lot) for wallet, lot in _moved(journals)]),
        (HOLDS, _hold_rows(journals)),
        (ADJUSTMENTS, _adjustment_rows(journals)),
    ]


def _totals(wallets: Sequence[Wallet]) -> list[tuple[Written, Rows]]:
    return [(WALLETS, _wallet_rows(wallets)), (BALANCES, _balance_rows(wallets))]


def _returns_added(journals: Sequence[Journal]) -> Rows:
    rows: list[Sequence[Any]] = []
    for journal in journals:
        # A refill, too, is something that returns of its activity have to know.
        changed = {
            fact.of_journal: None
            for fact in journal.facts
            if type(fact) is f.ActivityReturned
            or (isinstance(fact, f.PointsGranted | f.PostingCorrected | f.PendingDecided) and fact.of_journal)
        }
        changed |= {fact.of_journal: None for fact in journal.facts if type(fact) is f.BonusTakenBack}
        changed |= {fact.posted_in: None for fact in journal.facts if type(fact) is f.PendingGivenUp}
        rows.extend((journal.wallet.program, journal.wallet.member, name, journal.number) for name in changed)
    return rows


def _added(journals: Sequence[Journal]) -> tuple[Rows, Rows, Rows]:
    """Return the rows of journals, entries and activity ids."""
    rows: list[Sequence[Any]] = []
    posted: list[Sequence[Any]] = []
    known: list[Sequence[Any]] = []
    for journal in journals:
        program, member, number = journal.wallet.program, journal.wallet.member, journal.number
        rows.append((
            program, member, number, journal.kind, journal.cause, journal.partner, journal.at,
            journal.occurred_at, journal.version, journal.message, encode_facts(journal.facts), journal.body,
        ))  # fmt: skip
        posted.extend((program, member, number, index, *entry) for index, entry in enumerate(entries(journal.facts)))
        if journal.hash and journal.kept:
            known.append((program, journal.partner, journal.cause, member, number, journal.hash, journal.code))
    return rows, posted, known


def _lots_added(journals: Sequence[Journal]) -> Rows:
    rows: list[Sequence[Any]] = []
    for journal in journals:
        wallet = journal.wallet
        rows.extend(
            _lot_row(wallet, wallet.lots[LotName(journal.number, fact.lot)])
            for fact in journal.facts
            if isinstance(fact, f.LOT_MAKING)
        )
    return rows


def _lot_row(wallet: Wallet, lot: Lot) -> Sequence[Any]:
    return (
        wallet.program, wallet.member, lot.name.journal, lot.name.lot, lot.unit, lot.rule, lot.activity, lot.partner,
        lot.granted, lot.remaining, lot.held, lot.expired, lot.earned_at, lot.available_at, lot.expires_at,
        lot.funder, lot.version, lot.pending, lot.awaits, lot.unfunded,
    )  # fmt: skip


def _moved(journals: Sequence[Journal]) -> list[tuple[Wallet, Lot]]:
    """Return the lots that stood before this batch and were moved by it, once each."""
    made = {
        (id(journal.wallet), LotName(journal.number, fact.lot))
        for journal in journals
        for fact in journal.facts
        if isinstance(fact, f.LOT_MAKING)
    }
    moved: dict[tuple[int, LotName], tuple[Wallet, Lot]] = {}
    for journal in journals:
        for fact in journal.facts:
            for name in _names(fact, journal.wallet):
                key = (id(journal.wallet), name)
                if key not in made:
                    moved[key] = (journal.wallet, journal.wallet.lots[name])
    return list(moved.values())


def _names(fact: f.AnyFact, wallet: Wallet) -> Iterable[LotName]:
    if isinstance(fact, f.FundingGiven):
        yield from (name for name in wallet.lots if name.journal == fact.of_journal)
    elif isinstance(fact, f.PendingGivenUp):
        yield fact.part.name
    elif isinstance(fact, f.MemberAbsorbed):
        yield from (part.name for part in fact.excused)
    elif isinstance(fact, f.MemberUnmerged | f.MemberParted):
        yield from (part.name for part in fact.expired)
    elif isinstance(fact, f.PointsClawedBack):
        yield from (part.name for part in (*fact.taken, *fact.pending))
        if fact.origin is not None:
            yield fact.origin
        yield from (part.name for part in fact.excused)
    elif isinstance(
        fact,
        f.DebtPaid
        | f.PointsHeld
        | f.PointsCaptured
        | f.PointsReleased
        | f.LotsExpired
        | f.PointsRevived
        | f.PointsRestored
        | f.PointsAdjusted
        | f.PostingCorrected
        | f.PointsSent
        | f.PointsReceived
        | f.PointsConverted
        | f.PendingReleased,
    ):
        yield from (part.name for part in fact.parts)
        if isinstance(fact, f.PostingCorrected):
            yield from (part.name for part in fact.pending)


def _hold_rows(journals: Sequence[Journal]) -> Rows:
    changed: dict[tuple[int, str], tuple[Journal, Hold]] = {}
    for journal in journals:
        for fact in journal.facts:
            if isinstance(fact, f.HOLD_MOVING) and fact.hold in journal.wallet.holds:
                # What placed it comes before what else the batch did to it.
                changed.setdefault((id(journal.wallet), fact.hold), (journal, journal.wallet.holds[fact.hold]))
    return [
        (
            journal.wallet.program, journal.wallet.member, hold.hold, hold.unit, hold.amount, hold.state,
            hold.saga, msgspec.json.encode(hold.parts), journal.number, hold.expires_at, hold.partner,
            hold.reference, hold.captured, hold.cancelled, hold.waits_until,
        )
        for journal, hold in changed.values()
    ]  # fmt: skip


def _adjustment_rows(journals: Sequence[Journal]) -> Rows:
    changed: dict[tuple[int, str], tuple[Wallet, Adjustment]] = {}
    for journal in journals:
        wallet = journal.wallet
        for fact in journal.facts:
            if not isinstance(fact, f.ADJUSTING):
                continue
            changed[id(wallet), fact.adjustment] = (wallet, wallet.adjustments[fact.adjustment])
            if isinstance(fact, f.PostingCorrected) and fact.of in wallet.adjustments:
                changed[id(wallet), fact.of] = (wallet, wallet.adjustments[fact.of])
    return [
        (
            wallet.program, wallet.member, a.adjustment, a.unit, a.amount, a.state, a.reason, a.partner, a.expires_at,
            a.waiting, a.corrects, a.corrected, a.journal, a.reversed, a.written_off, a.bonus, a.owed,
        )
        for wallet, a in changed.values()
    ]  # fmt: skip


async def _refresh_next_timeout(connection: asyncpg.Connection[Any], wallets: Sequence[Wallet]) -> None:
    """Read again when a hold of a wallet ends next, where one that was to end has been moved or is overdue."""
    stale = {(wallet.program, wallet.member): wallet for wallet in wallets if wallet.hold_expires_at is not None}
    if not stale:
        return
    for wallet in stale.values():
        wallet.hold_expires_at = None
    for program, member, expires_at in await connection.fetch(
        _NEXT_TIMEOUT, *[list(column) for column in zip(*stale, strict=True)]
    ):
        stale[program, member].hold_expires_at = expires_at


async def _refresh_next_expiry(connection: asyncpg.Connection[Any], journals: Sequence[Journal]) -> None:
    stale: dict[tuple[str, str, str], Wallet] = {}
    for journal in journals:
        for unit in units_moved(journal.wallet, journal.facts):
            stale[journal.wallet.program, journal.wallet.member, unit] = journal.wallet
    if not stale:
        return
    for (_, _, unit), wallet in stale.items():
        balance = wallet.balance(unit)
        balance.next_expiry_at, balance.next_expiry_amount = None, 0
    columns = [list(column) for column in zip(*stale, strict=True)]
    for program, member, unit, expires_at, amount in await connection.fetch(_NEXT_EXPIRY, *columns):
        balance = stale[program, member, unit].balance(unit)
        balance.next_expiry_at, balance.next_expiry_amount = expires_at, amount


def _wallet_rows(wallets: Sequence[Wallet]) -> Rows:
    return [
        (
            wallet.program, wallet.member, wallet.status, wallet.at, wallet.version, wallet.enrolled_at,
            wallet.person, msgspec.json.encode(wallet.attributes) if wallet.attributes else None,
            wallet.next_due_at, wallet.hold_expires_at, wallet.occurred_at, wallet.turned_to, wallet.merged_into,
            wallet.merged_in, msgspec.json.encode(wallet.household) if wallet.household is not None else None,
            wallet.converts_at, wallet.releases_at, wallet.referred_by, wallet.birthday_at,
        )
        for wallet in wallets
    ]  # fmt: skip


def _balance_rows(wallets: Sequence[Wallet]) -> Rows:
    return [
        (
            wallet.program, wallet.member, b.unit, b.available, b.pending, b.held, b.owed, b.earned, b.spent,
            b.expired, b.reversed, b.adjusted, b.active_until, b.next_expiry_at, b.next_expiry_amount,
        )
        for wallet in wallets
        for b in wallet.balances.values()
    ]  # fmt: skip
