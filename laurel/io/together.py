"""Statements that go together: several that write to tables of their own become one, and pay for one round trip."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from laurel.io.database import Connection

_PARAMETER: Final = re.compile(r"\$(\d+)")


class Statement(NamedTuple):
    """One statement that writes, its parameters counted from `$1`, and what they are."""

    text: str
    parameters: Sequence[Any]


async def execute_together(connection: Connection, statements: Sequence[Statement]) -> None:
    """Execute statements as one, if there are any.

    Each sees the tables as they were before all of them, and no row may be written by two: so it is for what was
    decided before, each row of it once. None may itself begin with a `with` that writes.
    """
    if statements:
        text = joined(tuple(statement.text for statement in statements))
        await connection.execute(text, *(each for statement in statements for each in statement.parameters))


@lru_cache(maxsize=256)
def joined(texts: tuple[str, ...]) -> str:
    """Return one statement that does what all of these do; its parameters are theirs, one after the other."""
    parts: list[str] = []
    taken = 0
    for text in texts:
        parts.append(counted_from(taken, text))
        taken += max(map(int, _PARAMETER.findall(text)), default=0)
    *first, last = parts
    if not first:
        return last
    named = ", ".join(f"part_{number} as ({part})" for number, part in enumerate(first, 1))
    return f"with {named} {last}"


def counted_from(taken: int, text: str) -> str:
    """Return a statement whose parameters come after as many others."""
    return _PARAMETER.sub(lambda found: f"${int(found[1]) + taken}", text)
