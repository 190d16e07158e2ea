"""Statements that go together: several that write to tables of their own become one, and pay for one round trip."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    import asyncpg

    from laurel.io.database import Connection

_PARAMETER: Final = re.compile(r"\$(\d+)")


class With(NamedTuple):
    """A statement with parts that go before it, each by the name by which those after it know what it returns."""

    named: tuple[tuple[str, str], ...]
    text: str


class Statement(NamedTuple):
    """One statement that writes, its parameters counted from `$1`, and what they are."""

    text: str | With
    parameters: Sequence[Any]


@dataclass(slots=True)
class Last:
    """What is written last in a transaction, so that it can go with what else is."""

    statements: list[Statement] = field(default_factory=list)
    within: Callable[[], AbstractContextManager[None]] = nullcontext
    """Whoever executes them does it within this, which may say what an error means."""


async def execute_together(connection: Connection, statements: Sequence[Statement]) -> None:
    """Execute statements as one, if there are any.

    Each sees the tables as they were before all of them, and no row may be written by two: so it is for what was
    decided before, each row of it once. One that itself has parts that write is a `With`, each part by a name that
    no other has.
    """
    if statements:
        await connection.execute(*_one(statements))


async def fetch_together(connection: Connection, statements: Sequence[Statement]) -> list[asyncpg.Record]:
    """Execute statements as one; return what the last of them returns."""
    return list(await connection.fetch(*_one(statements)))


def _one(statements: Sequence[Statement]) -> tuple[Any, ...]:
    text = joined(tuple(statement.text for statement in statements))
    return (text, *(each for statement in statements for each in statement.parameters))


@lru_cache(maxsize=512)
def joined(texts: tuple[str | With, ...]) -> str:
    """Return one statement that does what all of these do; its parameters are theirs, one after the other."""
    parts: list[tuple[str, str]] = []
    taken = 0
    for number, each in enumerate(texts, 1):
        named = (*(each.named if isinstance(each, With) else ()), (f"part_{number}", _text(each)))
        parts.extend((name, counted_from(taken, text)) for name, text in named)
        taken += max((int(found) for _, text in named for found in _PARAMETER.findall(text)), default=0)
    *first, (_, last) = parts
    if not first:
        return last
    return f"with {', '.join(f'{name} as ({text})' for name, text in first)} {last}"


def _text(statement: str | With) -> str:
    return statement.text if isinstance(statement, With) else statement


def counted_from(taken: int, text: str) -> str:
    """Return a statement whose parameters come after as many others."""
    return _PARAMETER.sub(lambda found: f"${int(found[1]) + taken}", text)
