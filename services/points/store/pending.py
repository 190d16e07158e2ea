"""Pending lots as they are found again: by their date, or by what they await."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg

from services.points.domain.pending_state import EVENT
from services.points.domain.state import Wallet
from services.points.ports import Needs, WalletKey

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

# The first date among a wallet's pending lots, read after the lots were moved.
_NEXT_RELEASE = """
    select k.program, k.member, l.available_at
    from unnest($1::text[], $2::text[]) as k (program, member)
    cross join lateral (
        select available_at from lots
        where program = k.program and member = k.member and pending > 0 and awaits = 'date' and not unfunded
        order by available_at limit 1) l"""


async def due_lots(connection: asyncpg.Connection[Any], due: Sequence[tuple[str, str, datetime]]) -> Sequence[Any]:
    """Return the lots of these wallets that become available by these instants."""
    return await connection.fetch(_DUE, *_columns(due)) if due else []


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
    """Read again when a lot of a wallet becomes available next, where one that was to has been moved or is overdue."""
    stale = {(wallet.program, wallet.member): wallet for wallet in wallets if wallet.releases_at is not None}
    if not stale:
        return
    for wallet in stale.values():
        wallet.releases_at = None
    for program, member, at in await connection.fetch(_NEXT_RELEASE, *_columns(list(stale))):
        stale[program, member].releases_at = at


def _columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
