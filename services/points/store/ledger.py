"""The store of the road: loading and writing joined to one connection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import asyncpg

from services.points.domain.facts import decode_facts
from services.points.domain.shared import Block
from services.points.domain.state import Wallet
from services.points.domain.turning import Counts
from services.points.ports import (
    Journal,
    Loaded,
    Needs,
    OpenPayment,
    OpenTurn,
    Page,
    Paid,
    Payment,
    Relation,
    Turn,
    Waiting,
    WalletKey,
)
from services.points.store import blocks, turning
from services.points.store.loading import load, relations
from services.points.store.writing import write

_JOURNALS = """
    select j.program, j.member, j.journal, j.kind, j.cause, j.partner, j.at, j.occurred_at, j.version, j.facts,
           q.funded_in
    from unnest($1::text[], $2::text[], $3::bigint[]) as k (program, member, journal)
    join journals j on j.program = k.program and j.member = k.member and j.journal = k.journal
    left join funding_queue q on q.program = k.program and q.member = k.member and q.journal = k.journal"""


_DUE = """
    select program, member from wallets
    where next_due_at <= $1 and program = any($2::text[]) order by program, member limit $3"""


class Ledger:
    """Points' store inside one transaction."""

    def __init__(self, connection: asyncpg.Connection[Any]) -> None:
        self._connection = connection

    async def load(self, needs: Needs) -> Loaded:
        return await load(self._connection, needs)

    async def write(self, journals: Sequence[Journal], touched: Iterable[Wallet]) -> None:
        await write(self._connection, journals, touched)

    async def due(self, programs: Sequence[str], until: datetime, limit: int) -> list[WalletKey]:
        rows = await self._connection.fetch(_DUE, until, list(programs), limit)
        return [WalletKey(program, member) for program, member in rows]

    async def begin_turns(self, turns: Sequence[Turn]) -> None:
        await turning.begin(self._connection, turns)

    async def has_turns(self) -> bool:
        return await turning.any_open(self._connection)

    async def open_turn(self) -> OpenTurn | None:
        return await turning.find_open(self._connection)

    async def due_page(self, turn: OpenTurn, limit: int) -> Page:
        return await turning.page(self._connection, turn, limit)

    async def advance(self, turn: OpenTurn, after: str, counts: Counts, *, done: bool) -> Counts:
        return await turning.advance(self._connection, turn, after, counts, done=done)

    async def relations(self, wallets: Sequence[WalletKey]) -> dict[WalletKey, Relation]:
        return await relations(self._connection, wallets)

    async def pay(self, payment: Payment, limit: int) -> Paid:
        return await blocks.pay(self._connection, payment, limit)

    async def has_payments(self) -> bool:
        return await blocks.any_open(self._connection)

    async def open_payment(self) -> OpenPayment | None:
        return await blocks.find_open(self._connection)

    async def queue_page(self, payment: OpenPayment, limit: int) -> list[Waiting]:
        return await blocks.page(self._connection, payment, limit)

    async def advance_payment(self, payment: OpenPayment, after: int, *, done: bool) -> None:
        await blocks.advance(self._connection, payment, after, done=done)

    async def blocks_of(self, program: str, partner: str) -> list[tuple[str, Block]]:
        return await blocks.of_partner(self._connection, program, partner)

    async def facts_of(self, journals: Sequence[tuple[str, str, int]]) -> dict[tuple[str, str, int], Journal]:
        if not journals:
            return {}
        columns = [list(column) for column in zip(*journals, strict=True)]
        return {
            (row["program"], row["member"], row["journal"]): Journal(
                Wallet(row["program"], row["member"]),
                row["journal"],
                row["kind"],
                row["cause"],
                row["at"],
                decode_facts(row["facts"]),
                row["occurred_at"],
                partner=row["partner"],
                version=row["version"],
                funded_in=row["funded_in"],
            )
            for row in await self._connection.fetch(_JOURNALS, *columns)
        }
