"""What rules may grant to all members together: one row a rule, locked by whoever may draw from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg

from services.points.domain.facts import BudgetDrawn
from services.points.domain.shared import BudgetName
from services.points.ports import Journal

_ENSURE = """
    insert into budgets (program, rule)
    select * from unnest($1::text[], $2::text[])
    on conflict do nothing"""

_LOCK = """
    select b.*
    from unnest($1::text[], $2::text[]) as k (program, rule)
    cross join lateral (
        select program, rule, drawn from budgets where program = k.program and rule = k.rule offset 0 for update) b"""

_DRAW = """
    insert into budgets as b (program, rule, drawn)
    select * from unnest($1::text[], $2::text[], $3::bigint[])
    on conflict (program, rule) do update set drawn = b.drawn + excluded.drawn"""


async def lock_budgets(connection: asyncpg.Connection[Any], budgets: set[BudgetName]) -> dict[BudgetName, int]:
    """Lock budgets, sorted, and return what was drawn of each."""
    if not budgets:
        return {}
    columns = _columns(sorted(budgets))
    await connection.execute(_ENSURE, *columns)
    return {BudgetName(program, rule): drawn for program, rule, drawn in await connection.fetch(_LOCK, *columns)}


async def draw_budgets(connection: asyncpg.Connection[Any], journals: Iterable[Journal]) -> None:
    """Write what was drawn."""
    drawn: dict[BudgetName, int] = {}
    for journal in journals:
        for fact in journal.facts:
            if type(fact) is BudgetDrawn:
                name = BudgetName(journal.wallet.program, fact.rule)
                drawn[name] = drawn.get(name, 0) + fact.amount
    if drawn:
        await connection.execute(_DRAW, *_columns([(*name, amount) for name, amount in sorted(drawn.items())]))


def _columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
