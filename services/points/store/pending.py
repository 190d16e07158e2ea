"""Pending lots as they are found again: by their date, or by what they await."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg

from laurel.program.rules import EVENT
from services.points.domain.state import Wallet
from services.points.ports import ActivityKey, Needs, WalletKey

LOT = """l.program, l.member, l.journal, l.lot, l.unit, l.rule, l.activity, l.partner, l.granted, l.remaining,
    l.held, l.expired, l.earned_at, l.available_at, l.expires_at, l.funder, l.version, l.pending, l.awaits,
    l.unfunded"""
"""The columns of a lot, as it is read everywhere."""

_DUE = f"""
    select {LOT}
    from unnest($1::text[], $2::text[], $3::timestamptz[]) as k (program, member, until)
    cross join lateral (
        select * from lots
        where program = k.program and member = k.member and pending > 0 and awaits = 'date' and not unfunded
          and available_at <= k.until offset 0) l"""

_AWAITING = f"""
    select {LOT}
    from unnest($1::text[], $2::text[], $3::text[]) as k (program, member, awaits)
    cross join lateral (
        select * from lots
        where program = k.program and member = k.member and pending > 0 and awaits = k.awaits offset 0) l"""

# What may end while it awaits something else; of lots without a date of their own the balance says when they do.
_ENDED = f"""
    select {LOT}
    from unnest($1::text[], $2::text[], $3::timestamptz[]) as k (program, member, until)
    cross join lateral (
        select * from lots
        where program = k.program and member = k.member and pending > 0 and awaits <> 'date' and not unfunded
          and (expires_at <= k.until or expires_at is null) offset 0) l"""

# The first of a wallet's pending lots that time moves, read after the lots were moved: by date, by its own end, and of
# each unit whether any ends with inactivity.
_NEXT_RELEASE = """
    select k.program, k.member, l.unit, l.at
    from unnest($1::text[], $2::text[]) as k (program, member)
    cross join lateral (
        (select '' as unit, available_at as at from lots
         where program = k.program and member = k.member and pending > 0 and awaits = 'date' and not unfunded
         order by available_at limit 1)
        union all
        (select '', expires_at from lots
         where program = k.program and member = k.member and pending > 0 and awaits <> 'date' and not unfunded
           and expires_at is not null
         order by expires_at limit 1)
        union all
        (select distinct unit, null::timestamptz from lots
         where program = k.program and member = k.member and pending > 0 and awaits <> 'date' and not unfunded
           and expires_at is null)) l"""


async def due_lots(connection: asyncpg.Connection[Any], due: Sequence[tuple[str, str, datetime]]) -> Sequence[Any]:
    """Return the lots of these wallets that become available by these instants."""
    return await connection.fetch(_DUE, *_columns(due)) if due else []


async def ended_lots(
    connection: asyncpg.Connection[Any], needs: Needs, wallets: dict[WalletKey, Wallet]
) -> Sequence[Any]:
    """Return the lots that end before what they await. Ask for their activities, and for what may take their place."""
    lapsing = {WalletKey(program, member) for program, member, _ in needs.lapsing}
    due = [
        (*key, until)
        for key, until in needs.until.items()
        if key in lapsing or ((moves_at := wallets[key].releases_at) is not None and moves_at <= until)
    ]
    rows = await connection.fetch(_ENDED, *_columns(due)) if due else []
    ended = [row for row in rows if _has_ended(row, needs, wallets[WalletKey(row["program"], row["member"])])]
    for row in ended:
        program, member = row["program"], row["member"]
        # By its journal a share is found; what a return had granted is found by its activity.
        needs.journals.add((program, member, row["journal"]))
        needs.originals[ActivityKey(program, row["partner"], row["activity"])] = WalletKey(program, member)
        needs.blocks |= needs.refilling.get(program, set())
    return ended


def _has_ended(row: asyncpg.Record, needs: Needs, wallet: Wallet) -> bool:
    key = WalletKey(wallet.program, wallet.member)
    end: datetime | None = row["expires_at"] or wallet.balance(row["unit"]).active_until
    if end is None:
        return (*key, row["unit"]) in needs.lapsing
    return end <= needs.until[key]


async def awaiting_lots(
    connection: asyncpg.Connection[Any], needs: Needs, wallets: dict[WalletKey, Wallet]
) -> Sequence[Any]:
    """Return the lots that await an activity of the types that have come; most wallets have nothing pending."""
    asked = [
        (program, member, EVENT + type_)
        for program, member, type_ in needs.awaiting
        if any(balance.pending for balance in wallets[WalletKey(program, member)].balances.values())
    ]
    return await connection.fetch(_AWAITING, *_columns(asked)) if asked else []


async def refresh_next_release(connection: asyncpg.Connection[Any], wallets: Sequence[Wallet]) -> None:
    """Read again when time moves a pending lot of a wallet next, where one that it was to has moved or is overdue."""
    stale = {(wallet.program, wallet.member): wallet for wallet in wallets if wallet.releases_at is not None}
    if not stale:
        return
    for wallet in stale.values():
        wallet.releases_at = None
    for program, member, unit, at in await connection.fetch(_NEXT_RELEASE, *_columns(list(stale))):
        wallet = stale[program, member]
        moves_at = wallet.balance(unit).active_until if unit else at
        if moves_at is not None and (wallet.releases_at is None or moves_at < wallet.releases_at):
            wallet.releases_at = moves_at


def _columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
