"""The store of the road: loading and writing joined to one connection."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime
from typing import Any

import asyncpg

from laurel.io.together import Last, execute_together
from laurel.program.segments import CompiledSegment
from services.points.domain.facts import Household, decode_facts
from services.points.domain.shared import Block
from services.points.domain.state import Wallet
from services.points.domain.turning import Counts
from services.points.ports import (
    Journal,
    Loaded,
    Needs,
    OpenJudgement,
    OpenPayment,
    OpenTurn,
    Page,
    Paid,
    Payment,
    Relation,
    Turn,
    Waiting,
    Waits,
    WaitsOver,
    WalletKey,
)
from services.points.store import blocks, judging, turning
from services.points.store.loading import load, relations
from services.points.store.pooling import read_households
from services.points.store.writing import collisions, write

_JOURNALS = """
    select j.program, j.member, j.journal, j.kind, j.cause, j.partner, j.at, j.occurred_at, j.version, j.facts,
           q.funded_in
    from unnest($1::text[], $2::text[], $3::bigint[]) as k (program, member, journal)
    join journals j on j.program = k.program and j.member = k.member and j.journal = k.journal
    left join funding_queue q on q.program = k.program and q.member = k.member and q.journal = k.journal"""


# By the index of due dates, as far as a page needs: at a statement everybody is due at once, and an order by member
# would have all of them read and sorted again for each page. Whoever locks them sorts them.
_DUE = """
    select program, member from wallets
    where next_due_at <= $1 and program = any($2::text[]) order by next_due_at limit $3"""
# What somebody else holds is being done, or is looked at again; nobody waits, so no order of locks is needed.
_TAKE_DUE = f"{_DUE} for update skip locked"


def journal_of(wallet: Wallet, row: Any, funded_in: int | None = None) -> Journal:  # noqa: ANN401 - a row is whatever its statement selects
    """Return the journal that a row holds."""
    return Journal(
        wallet,
        row["journal"],
        row["kind"],
        row["cause"],
        row["at"],
        decode_facts(row["facts"]),
        row["occurred_at"],
        partner=row["partner"],
        version=row["version"],
        funded_in=funded_in,
    )


class Ledger:
    """Points' store inside one transaction."""

    def __init__(self, connection: asyncpg.Connection[Any]) -> None:
        self._lent = connection
        self._last: Last | None = None

    def defer(self) -> Last:
        """Have what a few journals write last go with what else the caller writes last; this is where it is put.

        Whatever else is asked before has it written first.
        """
        self._last = Last(within=collisions)
        return self._last

    async def _caught_up(self) -> asyncpg.Connection[Any]:
        """Return the connection; what was deferred is written first, for it was not the last, and may be read."""
        if self._last is not None and self._last.statements:
            with collisions():
                await execute_together(self._lent, self._last.statements)
            self._last.statements.clear()
        return self._lent

    async def load(self, needs: Needs) -> Loaded:
        return await load(await self._caught_up(), needs)

    async def households(self, keys: Collection[WalletKey]) -> dict[WalletKey, Household]:
        return await read_households(await self._caught_up(), keys)

    async def write(self, journals: Sequence[Journal], touched: Iterable[Wallet]) -> None:
        await write(await self._caught_up(), journals, touched, self._last)

    async def due(self, programs: Sequence[str], until: datetime, limit: int) -> list[WalletKey]:
        rows = await (await self._caught_up()).fetch(_DUE, until, list(programs), limit)
        return sorted(WalletKey(program, member) for program, member in rows)

    async def take_due(self, programs: Sequence[str], until: datetime, limit: int) -> list[WalletKey]:
        rows = await (await self._caught_up()).fetch(_TAKE_DUE, until, list(programs), limit)
        return sorted(WalletKey(program, member) for program, member in rows)

    async def begin_turns(self, turns: Sequence[Turn]) -> None:
        await turning.begin(await self._caught_up(), turns)

    async def has_turns(self) -> bool:
        return await turning.any_open(await self._caught_up())

    async def open_turn(self) -> OpenTurn | None:
        return await turning.find_open(await self._caught_up())

    async def begin_part(self, turn: OpenTurn) -> OpenTurn:
        return await turning.begin_part(await self._caught_up(), turn)

    async def waits(self, turn: OpenTurn) -> Waits | None:
        return await turning.waits(await self._caught_up(), turn)

    async def next_due(self, turn: OpenTurn) -> datetime | None:
        return await turning.next_due(await self._caught_up(), turn)

    async def rest(self, turn: OpenTurn, until: datetime) -> None:
        await turning.rest(await self._caught_up(), turn, until)

    async def next_part(self, turn: OpenTurn) -> None:
        await turning.next_part(await self._caught_up(), turn)

    async def go_on(self, over: Sequence[WaitsOver]) -> None:
        await turning.go_on(await self._caught_up(), over)

    async def due_page(self, turn: OpenTurn, limit: int) -> Page:
        return await turning.page(await self._caught_up(), turn, limit)

    async def count_turn(self, turn: OpenTurn, counts: Counts) -> None:
        await turning.count(await self._caught_up(), turn, counts)

    async def hand_out(self, turn: OpenTurn, page: Page) -> None:
        await turning.hand_out(await self._caught_up(), turn, page)

    async def take_back(self, turn: OpenTurn) -> None:
        await turning.take_back(await self._caught_up(), turn)

    async def walk_again(self, turn: OpenTurn) -> None:
        await turning.walk_again(await self._caught_up(), turn)

    async def end_turn(self, turn: OpenTurn) -> Counts:
        return await turning.end(await self._caught_up(), turn)

    async def judged_until(self, program: str, units: Sequence[tuple[str, str]]) -> datetime | None:
        return await judging.judged_until(await self._caught_up(), program, units)

    async def first_unjudged(self, program: str, instants: Sequence[datetime]) -> datetime | None:
        return await judging.first_unjudged(await self._caught_up(), program, instants)

    async def begin_judgement(self, program: str, at: datetime, *, is_done: bool = False) -> None:
        await judging.begin(await self._caught_up(), program, at, judging.DONE if is_done else judging.MEASURING)

    async def open_judgement(self, programs: Sequence[str]) -> OpenJudgement | None:
        return await judging.find_open(await self._caught_up(), programs)

    async def measure(
        self, judgement: OpenJudgement, segments: Sequence[CompiledSegment], day: date, limit: int
    ) -> OpenJudgement:
        state, after = await judging.measure_page(await self._caught_up(), judgement, segments, day, limit)
        stands = judgement._replace(state=state, after=after)
        if state == judging.JUDGING:
            stands = stands._replace(cuts=await judging.cuts_of(await self._caught_up(), judgement.program, segments))
        await judging.advance(await self._caught_up(), stands, stands.state, stands.after, stands.cuts)
        return stands

    async def to_judge(
        self,
        judgement: OpenJudgement,
        due: Sequence[CompiledSegment],
        known: Sequence[str],
        limit: int,
        *,
        tiers: bool = False,
    ) -> tuple[dict[WalletKey, dict[str, int]], bool]:
        members, after, is_last = await judging.take_page(
            await self._caught_up(), judgement, due, known, limit, tiers=tiers
        )
        state = judging.JUDGING
        if is_last:
            more = await judging.clear_page(await self._caught_up(), judgement.program, limit)
            state = judging.CLEARING if more else judging.DONE
        await judging.advance(await self._caught_up(), judgement, state, after)
        return members, is_last

    async def clear(self, judgement: OpenJudgement, limit: int) -> None:
        if not await judging.clear_page(await self._caught_up(), judgement.program, limit):
            await judging.advance(await self._caught_up(), judgement, judging.DONE, judgement.after)

    async def relations(self, wallets: Sequence[WalletKey]) -> dict[WalletKey, Relation]:
        return await relations(await self._caught_up(), wallets)

    async def pay(self, payment: Payment, limit: int) -> Paid:
        return await blocks.pay(await self._caught_up(), payment, limit)

    async def has_payments(self) -> bool:
        return await blocks.any_open(await self._caught_up())

    async def open_payment(self) -> OpenPayment | None:
        return await blocks.find_open(await self._caught_up())

    async def queue_page(self, payment: OpenPayment, limit: int) -> list[Waiting]:
        return await blocks.page(await self._caught_up(), payment, limit)

    async def advance_payment(self, payment: OpenPayment, after: int, *, done: bool) -> None:
        await blocks.advance(await self._caught_up(), payment, after, done=done)

    async def blocks_of(self, program: str, partner: str) -> list[tuple[str, Block]]:
        return await blocks.of_partner(await self._caught_up(), program, partner)

    async def facts_of(self, journals: Sequence[tuple[str, str, int]]) -> dict[tuple[str, str, int], Journal]:
        if not journals:
            return {}
        columns = [list(column) for column in zip(*journals, strict=True)]
        return {
            (row["program"], row["member"], row["journal"]): journal_of(
                Wallet(row["program"], row["member"]), row, row["funded_in"]
            )
            for row in await (await self._caught_up()).fetch(_JOURNALS, *columns)
        }
