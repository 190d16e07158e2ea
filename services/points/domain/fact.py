"""What every fact is made of: its root, the names of lots, and counters that moved."""

from __future__ import annotations

from datetime import datetime

import msgspec


class LotName(msgspec.Struct, frozen=True, array_like=True, order=True):
    """Names a lot within its wallet: the journal that granted it, and its number there."""

    journal: int
    lot: int

    def __str__(self) -> str:
        return f"{self.journal}.{self.lot}"


class LotPart(msgspec.Struct, frozen=True, array_like=True):
    """A part of one lot: `amount` > 0."""

    name: LotName
    amount: int


class PartThere(msgspec.Struct, frozen=True, array_like=True):
    """A part of a lot of another account."""

    member: str
    part: LotPart


class Counted(msgspec.Struct, frozen=True, omit_defaults=True):
    """A counter that moved by `amount`, to `total`, in the window from `start` to just before `end`.

    `limit` is what bounded it then; `refills` says that a return lets what the bound had refused be granted. `given`:
    with this, the bonus was given that what the counter adds up has to reach.
    """

    counter: str
    start: datetime
    amount: int
    total: int
    end: datetime | None = None
    unit: str = ""
    limit: int | None = None
    refills: bool = False
    given: bool = False


class Fact(msgspec.Struct, frozen=True, tag_field="fact", omit_defaults=True):
    """The root of all facts."""
