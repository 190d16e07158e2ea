"""Versions that messages carry and that have not come yet: waited for a while, then their messages park until they do.

Waiting holds up whatever is in the same batch, so each version is waited for in vain only once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from laurel.contracts.parking import VERSION_UNKNOWN
from laurel.io.inbox import RETRY
from laurel.io.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from laurel.io.database import Connection

    Knows = Callable[[str, int], bool]
    Until = Callable[[Callable[[], bool], float], Awaitable[None]]

log = logger(__name__)

_IN_VAIN_MAX = 1000


class Awaiting:
    """Waits for versions of programs.

    `knows` says whether one is known, `hopeless` whether none of a program will come; `until` waits for what it is
    given to hold, and raises `TimeoutError` after so many seconds.
    """

    def __init__(self, knows: Knows, hopeless: Callable[[str], bool], *, deadline_seconds: float) -> None:
        self._knows = knows
        self._hopeless = hopeless
        self._deadline_seconds = deadline_seconds
        self._in_vain: set[tuple[str, int]] = set()

    async def ensure(self, versions: Mapping[str, int], until: Until) -> None:
        """Return once these versions are known; raises `TimeoutError` when they do not come, or did not before."""
        missing = [each for each in versions.items() if not self._knows(*each)]
        if not missing:
            return

        def expected() -> list[tuple[str, int]]:
            return [each for each in missing if self._may_come(*each)]

        if expected():
            try:
                await until(lambda: not expected(), self._deadline_seconds)
            except TimeoutError:
                if len(self._in_vain) > _IN_VAIN_MAX:
                    self._in_vain.clear()
                self._in_vain.update(expected())
        if not all(self._knows(*each) for each in missing):
            raise TimeoutError(f"not published: {missing}")

    def _may_come(self, program: str, version: int) -> bool:
        return (
            not self._knows(program, version)
            and (program, version) not in self._in_vain
            and not self._hopeless(program)
        )


async def retry_known(connection: Connection, *, topics: Sequence[str], knows: Knows) -> None:
    """Have those parked messages tried again whose version has come since, whoever parked them."""
    rows = await connection.fetch(
        "select distinct split_part(detail, ' ', 1) from parked where reason = $1 and topic = any ($2::text[])",
        VERSION_UNKNOWN,
        topics,
    )
    come = [name for (name,) in rows if _is_known(name, knows)]
    if come:
        log.info("a program version has come, and what waits for it is tried again", versions=come)
        await connection.execute(
            "update parked set reason = $3, detail = split_part(detail, ' ', 1) || ' has come' "
            "where reason = $1 and topic = any ($2::text[]) and split_part(detail, ' ', 1) = any ($4::text[])",
            VERSION_UNKNOWN,
            topics,
            RETRY,
            come,
        )


def _is_known(name: str, knows: Knows) -> bool:
    program, _, version = name.rpartition(":")
    return version.isdigit() and knows(program, int(version))
