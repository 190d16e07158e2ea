"""Which attributes of members programs declare: no other is told to the world."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from services.gateway.store import programs

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from laurel.io.database import Connection


class _Attributes(msgspec.Struct):
    member: dict[str, str] = {}


class _Document(msgspec.Struct):
    attributes: _Attributes | None = None


_decode = msgspec.json.Decoder(_Document).decode
NOTHING: frozenset[str] = frozenset()


class Declared:
    """What the newest version of each program declares, read once for each version."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, frozenset[str]]] = {}

    async def of(self, connection: Connection, names: Collection[str]) -> Mapping[str, frozenset[str]]:
        """Return the names of attributes by program; of a program that nobody knows there are none."""
        if not names:
            return {}
        heads = await programs.heads(connection, names)
        for name, head in heads.items():
            if self._known.get(name, (0, NOTHING))[0] != head.version:
                row = await programs.version(connection, name, head.version)
                assert row is not None  # a head names a version that is there
                said = _decode(row.document).attributes
                self._known[name] = head.version, frozenset(said.member if said is not None else ())
        return {name: self._known[name][1] for name in heads}
