"""The program versions known here: read from the compacted topic, kept in a table, compiled once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from laurel.contracts.programs import ProgramPublished
from laurel.io.database import Database
from laurel.io.message import Message
from laurel.io.published import PublishedTopic
from laurel.program.compiled import CompiledProgram
from laurel.program.loading import load_program
from laurel.shapes import decoder_of

_INSERT = """
    insert into programs (program, version, document, effective_from, published_at)
    values ($1, $2, $3, $4, $5) on conflict do nothing"""

_SELECT = "select program, version, document, effective_from from programs order by program, version"

_decode = decoder_of(ProgramPublished).decode
_UTC = ZoneInfo("UTC")


class KnownPrograms:
    """Every published version of every program, as far as it was read; grows while the topic is followed."""

    def __init__(self, database: Database, topic: PublishedTopic, *, deadline_seconds: float = 10.0) -> None:
        self._database = database
        self._topic = topic
        self._deadline_seconds = deadline_seconds
        self._versions: dict[str, dict[int, CompiledProgram]] = {}
        self._starts: dict[str, list[tuple[datetime, int]]] = {}
        self._tiers_reach: dict[str, int] = {}

    async def load(self) -> None:
        """Read what was kept before, so that a restart need not wait for the topic."""
        async with self._database.connection() as connection:
            for program, version, document, effective_from in await connection.fetch(_SELECT):
                self._add(program, version, document, effective_from)

    async def take(self, message: Message) -> None:
        """Take one record of the topic: keep it in the table, then know it. Other records are passed over."""
        if message.type != ProgramPublished.TYPE:
            return
        published: Any = _decode(message.body)
        if published.version in self._versions.get(published.program, {}):
            return
        document = msgspec.json.encode(published.document)
        self._add(published.program, published.version, document, published.effective_from)
        async with self._database.connection() as connection:
            await connection.execute(
                _INSERT,
                published.program,
                published.version,
                document,
                published.effective_from,
                published.published_at,
            )

    def _add(self, program: str, version: int, document: bytes, effective_from: datetime) -> None:
        compiled = CompiledProgram.from_document(load_program(document), version)
        self._versions.setdefault(program, {})[version] = compiled
        if compiled.tiers is not None:
            self._tiers_reach[program] = max(self._tiers_reach.get(program, 0), compiled.tiers.days_back)
        starts = self._starts.setdefault(program, [])
        starts.append((effective_from, version))
        starts.sort()

    async def ensure(self, versions: Mapping[str, int]) -> None:
        """Wait until these versions were read from the topic (rule 12); raises `TimeoutError`."""

        def missing() -> bool:
            return any(version not in self._versions.get(program, {}) for program, version in versions.items())

        if missing():
            await self._topic.until(lambda: not missing(), self._deadline_seconds)

    def in_force(self, program: str, occurred_at: datetime, newest: int) -> CompiledProgram | None:
        """Return the version in force at `occurred_at` among those up to `newest`; before the first, the first."""
        first = found = 0
        for effective_from, version in self._starts.get(program, ()):
            if version > newest:
                continue
            if not first:
                first = version
            if effective_from <= occurred_at:
                found = version
        return self.version(program, found or first)

    def version(self, program: str, version: int) -> CompiledProgram | None:
        """Return one version, None where it is not known."""
        return self._versions.get(program, {}).get(version)

    def newest(self, program: str) -> CompiledProgram | None:
        """Return the newest version known."""
        versions = self._versions.get(program)
        return versions[max(versions)] if versions else None

    def tiers_reach(self, program: str) -> int | None:
        """Return how many days back any version's tiers look; None where no version has tiers."""
        return self._tiers_reach.get(program)

    def zone(self, program: str) -> ZoneInfo:
        """Return a program's time zone; UTC for one that is not known."""
        newest = self.newest(program)
        return newest.zone if newest is not None else _UTC

    def runs_by_itself(self, program: str) -> bool:
        """Say whether a program's time passes by the wall clock."""
        newest = self.newest(program)
        return newest is not None and newest.clock == "wall"

    def on_wall_clocks(self) -> list[str]:
        """Return the programs whose time passes by itself."""
        return [program for program in self._versions if self.runs_by_itself(program)]
