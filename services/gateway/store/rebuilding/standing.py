"""Projections written again from what their owners tell, row by row, while everybody reads and events come.

Rows are locked by their keys, in order, and read. A row is written where it stands no further than what is told. One
that stands further has heard something newer, or is damaged: the caller asks the owner once more and says where it had
found the row, `known`. If the owner, asked later, still has not come so far, nobody ever said what the row claims, and
it is written where it still stands there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from services.gateway.told.telling import Place

Row = tuple[str, ...]
"""Names a row: its table, and its key."""
Stands = tuple[int, ...]
"""Where a row stands: epoch and sequence of the event that it heard last, and what else says how far it has come."""

_APART: Final = re.compile(rb'"(?:next_expiry":(?:null|\{[^}]*\})|told_in":\{[^}]*\})')
"""Parts of a body that may be others when it is told again."""


@dataclass(slots=True)
class Written:
    """What became of some rows: how many were mended, and which stand further than what was told, and where."""

    mended: int = 0
    ahead: dict[Row, Stands] = field(default_factory=dict)


class Restored(NamedTuple):
    """Rows that were lost and made again from the requests that asked for them: up to which, and how many."""

    after: tuple[str, str]
    added: int


def differs(body: bytes | None, told: bytes | None) -> bool:
    """Say whether a body does not say what is told.

    What ends next was read after all that a transaction had decided of a member, so an answer that was one of several
    may say more than was so when it was decided. An answer that was given stays what it was. The event by which it was
    told is the member's last one when it is told again.
    """
    if body is None or told is None or body == told:
        return body != told
    return _APART.sub(b"", body) != _APART.sub(b"", told)


def at_of(place: Place) -> tuple[int, int]:
    return (place.epoch, place.sequence)


def columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
