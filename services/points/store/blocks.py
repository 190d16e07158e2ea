"""What partners have paid for in advance, and who waits for it.

A block is one row a partner and unit, locked by whoever may draw from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg

from services.points.domain.facts import BlockDrawn, FundingAwaited, FundingGiven
from services.points.domain.shared import Block, BlockName
from services.points.domain.state import Wallet
from services.points.ports import Journal, Needs, OpenPayment, Paid, Payment, Waiting, WalletKey

_ENSURE = """
    insert into blocks (program, partner, unit)
    select * from unnest($1::text[], $2::text[], $3::text[])
    on conflict do nothing"""

_LOCK = """
    select b.*
    from unnest($1::text[], $2::text[], $3::text[]) as k (program, partner, unit)
    cross join lateral (
        select program, partner, unit, units, used, queued from blocks
        where program = k.program and partner = k.partner and unit = k.unit offset 0 for update) b"""

_MOVE = """
    insert into blocks as b (program, partner, unit, used, queued)
    select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])
    on conflict (program, partner, unit) do update
    set used = b.used + excluded.used, queued = greatest(b.queued, excluded.queued)"""

_QUEUE = """
    insert into funding_queue (program, member, journal, funder, unit, number, partner, activity, message,
        correlation, traceparent)
    select * from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::text[],
        $8::text[], $9::text[], $10::text[], $11::text[])
    on conflict (program, member, journal) do update
    set funder = excluded.funder, unit = excluded.unit, number = excluded.number"""

_LEAVE = """
    insert into funding_queue as q (program, member, journal, funder, unit, number, partner, activity, message,
        correlation, traceparent, funded_in, funded_by)
    select k.program, k.member, k.journal, f.funder, f.unit, f.number, f.partner, f.activity, f.message,
        f.correlation, f.traceparent, k.funded_in, k.funded_by
    from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[])
        as k (program, member, journal, funded_in, funded_by)
    cross join lateral (
        select * from funding_queue
        where program = k.program and member = k.member and journal = k.journal offset 0) f
    on conflict (program, member, journal) do update
    set funded_in = excluded.funded_in, funded_by = excluded.funded_by"""

_READ = """
    select f.*
    from unnest($1::text[], $2::text[], $3::bigint[]) as k (program, member, journal)
    cross join lateral (
        select program, member, journal, funder, unit, number, partner, activity from funding_queue
        where program = k.program and member = k.member and journal = k.journal and funded_in is null offset 0) f"""

_PAY = """
    insert into block_payments (program, partner, reference, unit, units, amount, currency, at, as_of, versions,
        message, correlation, traceparent, done)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"""

_PAID = "select true from block_payments where program = $1 and partner = $2 and reference = $3"

_ADD = """
    insert into blocks as b (program, partner, unit, units) values ($1, $2, $3, $4)
    on conflict (program, partner, unit) do update set units = b.units + excluded.units
    returning units, used, queued"""

# Whoever holds the row goes through the queue; others look for another one, or come back later.
_OPEN = """
    select program, partner, reference, unit, units, amount, currency, at, as_of, versions, message, correlation,
        traceparent, after
    from block_payments where not done order by program, partner, reference limit 1 for update skip locked"""

_PAGE = """
    select program, member, journal, number, partner, activity, message, correlation, traceparent from funding_queue
    where program = $1 and funder = $2 and unit = $3 and number > $4 and funded_in is null
    order by program, funder, unit, number limit $5"""

_ADVANCE = "update block_payments set after = $4, done = $5 where program = $1 and partner = $2 and reference = $3"

_MOVED = """
    select member, journal, funded_in from funding_queue
    where program = $1 and funder = $2 and funded_by = $3 and (member, journal) > ($4, $5)
    order by program, funder, funded_by, member, journal limit $6"""

_BLOCKS = """
    select partner, unit, units, used, queued from blocks where program = $1 and partner = $2 order by unit"""


async def lock_blocks(connection: asyncpg.Connection[Any], blocks: set[BlockName]) -> dict[BlockName, Block]:
    """Lock blocks, sorted, and return how they stand."""
    if not blocks:
        return {}
    columns = _columns(sorted(blocks))
    await connection.execute(_ENSURE, *columns)
    return {
        BlockName(program, partner, unit): Block(units, used, queued)
        for program, partner, unit, units, used, queued in await connection.fetch(_LOCK, *columns)
    }


async def read_queue(connection: asyncpg.Connection[Any], needs: Needs, wallets: dict[WalletKey, Wallet]) -> None:
    """Read where the activities of these journals wait, if they still do."""
    if not needs.unfunded:
        return
    for program, member, journal, funder, unit, number, partner, activity in await connection.fetch(
        _READ, *_columns(sorted(needs.unfunded))
    ):
        wallets[WalletKey(program, member)].unfunded[journal] = FundingAwaited(
            activity=activity, partner=partner, funder=funder, unit=unit, number=number
        )


async def write_blocks(connection: asyncpg.Connection[Any], journals: Iterable[Journal]) -> None:
    """Write what was drawn, who has come into a queue and who has left it."""
    moved: dict[BlockName, list[int]] = {}
    queued: list[Sequence[Any]] = []
    left: list[Sequence[Any]] = []
    for journal in journals:
        program, member = journal.wallet.program, journal.wallet.member
        for fact in journal.facts:
            if type(fact) is BlockDrawn:
                moved.setdefault(BlockName(program, fact.funder, fact.unit), [0, 0])[0] += fact.amount
            elif type(fact) is FundingAwaited:
                moved.setdefault(BlockName(program, fact.funder, fact.unit), [0, 0])[1] = fact.number
                queued.append((
                    program, member, fact.of_journal or journal.number, fact.funder, fact.unit, fact.number,
                    fact.partner, fact.activity, journal.message, journal.correlation, journal.traceparent,
                ))  # fmt: skip
            elif type(fact) is FundingGiven:
                left.append((program, member, fact.of_journal, journal.number, fact.reference))
    if moved:
        await connection.execute(_MOVE, *_columns([(*name, *moved[name]) for name in sorted(moved)]))
    if queued:
        await connection.execute(_QUEUE, *_columns(queued))
    if left:
        await connection.execute(_LEAVE, *_columns(left))


async def pay(connection: asyncpg.Connection[Any], payment: Payment, limit: int) -> Paid:
    """Note a payment and add it to its block, once, unless that would make more units than there can be."""
    name = (payment.program, payment.partner, payment.unit)
    block = (await lock_blocks(connection, {BlockName(*name)}))[BlockName(*name)]
    if await connection.fetchval(_PAID, payment.program, payment.partner, payment.reference):
        return Paid(block, "known")
    if block.units + payment.units > limit:
        return Paid(block, "beyond")
    await connection.execute(_PAY, *payment, False)
    return Paid(Block(*(await connection.fetchrow(_ADD, *name, payment.units) or ())), "new")


async def any_open(connection: asyncpg.Connection[Any]) -> bool:
    """Say whether the queue of any payment was not gone through."""
    return bool(await connection.fetchval("select exists (select from block_payments where not done)"))


async def find_open(connection: asyncpg.Connection[Any]) -> OpenPayment | None:
    """Take hold of a payment that nobody else has hold of."""
    row = await connection.fetchrow(_OPEN)
    return None if row is None else OpenPayment(Payment(*tuple(row)[:13]), row["after"])


async def page(connection: asyncpg.Connection[Any], open_: OpenPayment, limit: int) -> list[Waiting]:
    """Return who is next in the queue of a payment's block."""
    payment = open_.payment
    rows = await connection.fetch(_PAGE, payment.program, payment.partner, payment.unit, open_.after, limit)
    return [Waiting(*row) for row in rows]


async def advance(connection: asyncpg.Connection[Any], open_: OpenPayment, after: int, *, done: bool) -> None:
    """Keep how far the queue was gone through."""
    payment = open_.payment
    await connection.execute(_ADVANCE, payment.program, payment.partner, payment.reference, after, done)


async def of_partner(connection: asyncpg.Connection[Any], program: str, partner: str) -> list[tuple[str, Block]]:
    """Return a partner's blocks by unit."""
    rows = await connection.fetch(_BLOCKS, program, partner)
    return [(unit, Block(units, used, queued)) for _, unit, units, used, queued in rows]


async def moved(
    connection: asyncpg.Connection[Any], program: str, partner: str, reference: str, after: tuple[str, int], limit: int
) -> tuple[list[tuple[str, int]], tuple[str, int] | None]:
    """Return a page of the members that a payment moved, with how far each wallet was, and where the next begins."""
    rows = await connection.fetch(_MOVED, program, partner, reference, *after, limit)
    found = [(member, funded_in) for member, _, funded_in in rows]
    return found, (rows[-1][0], rows[-1][1]) if len(rows) == limit else None


def _columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
