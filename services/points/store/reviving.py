"""What may come back by activities that are reported late: what ended since, and what kept points alive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from services.points.domain.facts import decode_facts
from services.points.domain.late import Late
from services.points.domain.reviving import ended_at
from services.points.domain.state import Wallet
from services.points.ports import Needs, WalletKey
from services.points.store.pending import LOT

_SINCE = """
    select j.*
    from unnest($1::text[], $2::text[], $3::timestamptz[]) as k (program, member, since)
    cross join lateral (
        select program, member, kind, at, occurred_at, facts from journals
        where program = k.program and member = k.member and (at >= k.since or occurred_at >= k.since)
        order by journal offset 0) j"""

_ENDED = f"""
    select {LOT}
    from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) as k (program, member, journal, lot)
    cross join lateral (
        select * from lots
        where program = k.program and member = k.member and journal = k.journal and lot = k.lot
          and expires_at is null and expired > 0 offset 0) l"""


async def read_late(
    connection: asyncpg.Connection[Any], needs: Needs, wallets: Mapping[WalletKey, Wallet]
) -> Sequence[Sequence[Any]]:
    """Let the wallets know that for which something is reported late; return the rows of lots that may come back.

    Where nothing has ended before, and nothing kept alive ends now, there is nothing to read.
    """
    known = {key: Late() for key in needs.late}
    for key, late in known.items():
        wallets[key].late = late
    asking = [(*key, since) for key, since in sorted(needs.late.items()) if _may_have_ended(wallets[key], needs, key)]
    if not asking:
        return []
    for program, member, kind, at, occurred_at, facts in await connection.fetch(_SINCE, *_columns(asking)):
        known[WalletKey(program, member)].note(decode_facts(facts), at, ended_at(kind, at, occurred_at))
    names = {
        (*key, part.name.journal, part.name.lot)
        for key, late in known.items()
        for lapse in late.lapses
        for part in lapse.parts
    }
    return await connection.fetch(_ENDED, *_columns(sorted(names))) if names else []


def _may_have_ended(wallet: Wallet, needs: Needs, key: WalletKey) -> bool:
    until = needs.until.get(key)
    return any(
        balance.expired or (until is not None and balance.active_until is not None and balance.active_until <= until)
        for balance in wallet.balances.values()
    )


def _columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
