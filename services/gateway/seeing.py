"""Members as reads show them. Who asks at the same moment is answered by one reading of the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from laurel.errors import Problem
from services.gateway.gathering import FullError, Gatherer
from services.gateway.store import members

if TYPE_CHECKING:
    from collections.abc import Sequence

    from laurel.io.database import Database
    from services.gateway.settings import GatewaySettings
    from services.gateway.store.members import MemberRow


class Seen(NamedTuple):
    """A member's row, and the details that events told of it, by name."""

    row: MemberRow
    told: dict[str, bytes]


class Seeing:
    """Reads members in sets: what is asked while one set is read is the next set, so nobody sees what is older."""

    def __init__(self, database: Database, settings: GatewaySettings) -> None:
        self._database = database
        self._reads: Gatherer[tuple[str, str], Seen | None] = Gatherer(
            self._read,
            set_max=settings.gather_max,
            waiting_max=settings.gather_waiting_max,
            isolates=lambda _: False,
            repeats=lambda _: False,
        )

    async def find(self, program: str, member: str) -> Seen | None:
        """Return a member as it stands now; None where there is none, 503 where too many ask."""
        try:
            return await self._reads.submit((program, member))
        except FullError:
            raise Problem("overloaded", retry_after_seconds=1) from None

    async def close(self) -> None:
        await self._reads.close()

    async def _read(self, asked: Sequence[tuple[str, str]]) -> list[Seen | Exception | None]:
        each_once = sorted(set(asked))
        async with self._database.connection() as connection:
            found = await members.find_all(connection, each_once)
        return [Seen(*found[each]) if each in found else None for each in asked]
