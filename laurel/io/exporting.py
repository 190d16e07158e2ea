"""Everything that a service holds of a program, for whoever starts from nothing: NDJSON, member by member.

A few members at a time are read from one snapshot, with the number of the last event that was said of each. So a row
holds what its member's events up to that number told, and nothing of what came later: whoever then reads the topic
leaves out what is not newer. What is open at a time is a part of a result, however many rows a member has.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from laurel.errors import Problem
from laurel.io.message import source_of

if TYPE_CHECKING:
    from laurel.io.database import Database

MEDIA_TYPE: Final = "application/x-ndjson"
_MEMBERS_AT_ONCE: Final = 100
_ROWS_AT_ONCE: Final = 200
_PART_BYTES: Final = 65_536
_EXPORTS_AT_ONCE: Final = 2
_EPOCH: Final = "select epoch from schema_epoch"
# Whoever has a row here has said something of it, in the transaction that made the row.
_KEYS: Final = """
    select member, number from outbox_keys
    where program = $1 and stream = '' and member > $2 order by member limit $3
"""


@dataclass(frozen=True, slots=True)
class Exported:
    """A kind of rows. `query` is given the program and the members, and answers with the member first, in order."""

    query: str
    shown: Callable[[Any], Mapping[str, Any]]
    """What a row shows; `member` is added."""


class Exporter:
    """Exports the kinds of rows of one service."""

    def __init__(self, database: Database, service: str, topic: str, kinds: Mapping[str, Exported]) -> None:
        self._database = database
        self._service = service
        self._topic = topic
        self._kinds = kinds
        self._running = asyncio.Semaphore(_EXPORTS_AT_ONCE)

    def begin(self, kind: str, program: str, after: str) -> AsyncIterator[bytes]:
        """Return the parts of an export, from behind the member `after`; raises the problems `not_found`, `overloaded`.

        Each row carries a `cursor`, with which an export that broke off begins again at that row's member.
        """
        exported = self._kinds.get(kind)
        if exported is None:
            raise Problem("not_found")
        if self._running.locked():
            raise Problem("overloaded", "Too many exports are running.", retry_after_seconds=10)
        return self._parts(exported, program, after)

    async def _parts(self, exported: Exported, program: str, after: str) -> AsyncIterator[bytes]:
        async with self._running:
            while True:
                async with self._database.reading() as connection:
                    epoch = await connection.fetchval(_EPOCH)
                    keys = await connection.fetch(_KEYS, program, after, _MEMBERS_AT_ONCE)
                    if not keys:
                        return
                    source = source_of(self._service, "", epoch)
                    ends = self._ends(source, keys, after)
                    members = [key[0] for key in keys]
                    part = bytearray()
                    async for row in connection.cursor(exported.query, program, members, prefetch=_ROWS_AT_ONCE):
                        member = row[0]
                        shown = {"member": member, **exported.shown(row), **ends[member]}
                        part += msgspec.json.encode(shown) + b"\n"
                        if len(part) >= _PART_BYTES:
                            yield bytes(part)
                            part.clear()
                if part:
                    yield bytes(part)
                after = members[-1]

    def _ends(self, source: str, keys: list[Any], after: str) -> dict[str, dict[str, Any]]:
        """Say of each member up to which event its rows go, and where an export would begin with it."""
        found: dict[str, dict[str, Any]] = {}
        for member, number in keys:
            contains = {self._topic: {"source": source, "sequence": number}}
            found[member] = {"contains": contains, "cursor": base64.urlsafe_b64encode(after.encode()).decode()}
            after = member
        return found
