"""Everything that a service holds of a program, for whoever starts from nothing: NDJSON, member by member.

A few members at a time are read from one snapshot, with the number of the last event that was said of each. So a row
holds what its member's events up to that number told, and nothing of what came later: whoever then reads the topic
leaves out what is not newer. What is open at a time is a part of a result, however many rows a member has.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from laurel.errors import Problem
from laurel.io.message import source_of

if TYPE_CHECKING:
    from laurel.io.database import Connection, Database

MEDIA_TYPE: Final = "application/x-ndjson"
MEMBERS_AT_ONCE: Final = 100
_ROWS_AT_ONCE: Final = 200
_PART_BYTES: Final = 65_536
_EXPORTS_AT_ONCE: Final = 2
_EPOCH: Final = "select epoch from schema_epoch"
# Whoever has a row here has said something of it, in the transaction that made the row.
_KEYS: Final = """
    select member, number from outbox_keys
    where program = $1 and stream = '' and member > $2 order by member limit $3
"""
_KEYS_OF: Final = """
    select member, number from outbox_keys
    where program = $1 and stream = '' and member = any($2::text[]) order by member
"""


class Kind(Protocol):
    """A kind of rows that a service exports."""

    def rows(
        self, connection: Connection, program: str, members: Sequence[str]
    ) -> AsyncGenerator[tuple[str, Mapping[str, Any]], None]:
        """Yield the rows of members from one snapshot, in their order: whose each is, and what it shows."""


@dataclass(frozen=True, slots=True)
class Exported:
    """Rows of a table. `query` is given the program and the members, and answers with the member first, in order."""

    query: str
    shown: Callable[[Any], Mapping[str, Any]]
    """What a row shows; `member` is added."""

    async def rows(
        self, connection: Connection, program: str, members: Sequence[str]
    ) -> AsyncGenerator[tuple[str, Mapping[str, Any]], None]:
        async for row in connection.cursor(self.query, program, list(members), prefetch=_ROWS_AT_ONCE):
            yield row[0], self.shown(row)


class Exporter:
    """Exports the kinds of rows of one service."""

    def __init__(
        self,
        database: Database,
        service: str,
        topic: str,
        kinds: Mapping[str, Kind],
        of_program: Collection[str] = (),
    ) -> None:
        """`of_program`: the kinds that are said of the program itself, under the key that has no member."""
        self._database = database
        self._service = service
        self._topic = topic
        self._kinds = kinds
        self._of_program = of_program
        self._running = asyncio.Semaphore(_EXPORTS_AT_ONCE)

    def begin(self, kind: str, program: str, after: str, only: Sequence[str] = ()) -> AsyncIterator[bytes]:
        """Return the parts of an export, from behind the member `after`; raises the problems `not_found`, `overloaded`.

        Each row carries a `cursor`, with which an export that broke off begins again at that row's member. `only`: of
        these members and no others; `''` stands for what is said of the program itself.
        """
        exported = self._kinds.get(kind)
        if exported is None:
            raise Problem("not_found")
        if self._running.locked():
            raise Problem("overloaded", "Too many exports are running.", retry_after_seconds=10)
        if kind in self._of_program:
            only = ("",)
        return self._parts(exported, program, after, only)

    async def _parts(self, exported: Kind, program: str, after: str, only: Sequence[str]) -> AsyncIterator[bytes]:
        async with self._running:
            while True:
                async with self._database.reading() as connection:
                    epoch = await connection.fetchval(_EPOCH)
                    if only:
                        keys = await connection.fetch(_KEYS_OF, program, list(only))
                    else:
                        keys = await connection.fetch(_KEYS, program, after, MEMBERS_AT_ONCE)
                    if not keys:
                        return
                    source = source_of(self._service, "", epoch)
                    ends = self._ends(source, keys, after)
                    members = [key[0] for key in keys]
                    part = bytearray()
                    async with aclosing(exported.rows(connection, program, members)) as rows:
                        async for member, row in rows:
                            shown = {"member": member, **row, **ends[member]}
                            part += msgspec.json.encode(shown) + b"\n"
                            if len(part) >= _PART_BYTES:
                                yield bytes(part)
                                part.clear()
                if part:
                    yield bytes(part)
                if only:
                    return
                after = members[-1]

    def _ends(self, source: str, keys: list[Any], after: str) -> dict[str, dict[str, Any]]:
        """Say of each member up to which event its rows go, and where an export would begin with it."""
        found: dict[str, dict[str, Any]] = {}
        for member, number in keys:
            contains = {self._topic: {"source": source, "sequence": number}}
            found[member] = {"contains": contains, "cursor": base64.urlsafe_b64encode(after.encode()).decode()}
            after = member
        return found
