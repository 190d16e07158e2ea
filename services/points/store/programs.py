"""The program versions known here: read from the compacted topic, kept in a table, compiled once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from laurel.contracts.programs import PartnerPublished, ProgramPublished
from laurel.io.aside import Aside
from laurel.io.awaiting import Awaiting
from laurel.io.database import Database, is_data_error
from laurel.io.health import Health
from laurel.io.message import Message
from laurel.io.published import PublishedTopic
from laurel.program.compiled import CompiledProgram
from laurel.program.converting import CompiledConversion
from laurel.program.loading import load_program
from laurel.shapes import decoder_of
from services.points.domain.partnering import PARTNERS, Terms
from services.points.domain.tiering import review_starts
from services.points.store.converting import look_from
from services.points.store.partners import KnownTerms

_INSERT = """
    insert into programs (program, version, document, effective_from, published_at)
    values ($1, $2, $3, $4, $5) on conflict do nothing"""

_SELECT = "select program, version, document, effective_from from programs order by program, version"

_decode = decoder_of(ProgramPublished).decode
_UTC = ZoneInfo("UTC")


class KnownPrograms:
    """Every published version of every program, as far as it was read; grows while the topic is followed."""

    def __init__(
        self, database: Database, topic: PublishedTopic, health: Health, *, deadline_seconds: float = 10.0
    ) -> None:
        self._database = database
        self._topic = topic
        self._aside = Aside("programs", health)
        # Of a program of which something lies aside, nothing that follows can be used.
        self._awaiting = Awaiting(self.knows, self._aside.__contains__, deadline_seconds=deadline_seconds)
        self._versions: dict[str, dict[int, CompiledProgram]] = {}
        self._whole: dict[str, int] = {}
        """Up to which version each program is known without a gap. What lies beyond one is not judged by: the
        version that is missing could be the one in force."""
        self._starts: dict[str, list[tuple[datetime, int]]] = {}
        self._tiers_reach: dict[str, int] = {}
        self._conversions: dict[str, tuple[CompiledConversion, ...]] = {}
        self._with_segments: set[str] = set()
        self._review_starts: dict[str, list[datetime]] = {}
        self._giving: set[str] = set()
        self._funded: dict[str, set[tuple[str, str]]] = {}
        self._refilling: set[str] = set()
        self._partners = KnownTerms(database, self._aside)

    async def load(self) -> None:
        """Read what was kept before, so that a restart need not wait for the topic."""
        await self._partners.load()
        async with self._database.connection() as connection:
            for program, version, document, effective_from in await connection.fetch(_SELECT):
                try:
                    compiled = _compiled(document, version)
                except Exception as error:  # noqa: BLE001 - a newer release may have kept what this one cannot read
                    self._aside.put(program, f"{program}:{version}", error)
                else:
                    self._add(compiled, program, effective_from)

    async def take(self, message: Message) -> None:
        """Take one record of the topic: keep it in the table, then know it. Other records are passed over.

        One that cannot be read is laid aside; nothing behind it waits, but for what needs this very program.
        """
        if message.type == PartnerPublished.TYPE:
            await self._partners.take(message)
            return
        if message.type != ProgramPublished.TYPE:
            return
        try:
            published = _read(message)
            if published.version in self._versions.get(published.program, {}):
                return
            document = msgspec.json.encode(published.document)
            compiled = _compiled(document, published.version)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, it stays so
            self._aside.put(message.program, message.id, error)
            return
        try:
            await self._keep(published, document, self._new_conversions(compiled))
        except Exception as error:
            if not is_data_error(error):
                raise
            self._aside.put(message.program, message.id, error)
            return
        self._add(compiled, published.program, published.effective_from)
        self._aside.taken(published.program, message.id)

    def _new_conversions(self, compiled: CompiledProgram) -> Sequence[CompiledConversion]:
        before = self._versions.get(compiled.program, {}).get(compiled.version - 1)
        same = before is not None and before.document.conversions == compiled.document.conversions
        return () if same else compiled.conversions

    async def _keep(
        self, published: ProgramPublished, document: bytes, conversions: Sequence[CompiledConversion]
    ) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(
                _INSERT,
                published.program,
                published.version,
                document,
                published.effective_from,
                published.published_at,
            )
            # Every instance does so: what it has written so far it has written without knowing the version.
            if conversions:
                await look_from(connection, published.program, conversions, published.effective_from)

    def _add(self, compiled: CompiledProgram, program: str, effective_from: datetime) -> None:
        versions = self._versions.setdefault(program, {})
        versions[compiled.version] = compiled
        if compiled.tiers is not None:
            self._tiers_reach[program] = max(self._tiers_reach.get(program, 0), compiled.tiers.days_back)
        if compiled.conversions:
            self._conversions[program] = (*self._conversions.get(program, ()), *compiled.conversions)
        if compiled.segments is not None:
            self._with_segments.add(program)
        starting = review_starts(versions.values())
        if starting:
            self._review_starts[program] = starting
        if compiled.roles:
            self._giving.add(program)
        self._funded.setdefault(program, set()).update((rule.funder, rule.unit) for rule in compiled.rules)
        if compiled.refill_on_return:
            self._refilling.add(program)
        starts = self._starts.setdefault(program, [])
        starts.append((effective_from, compiled.version))
        starts.sort()
        whole = self._whole.get(program, 0)
        while whole + 1 in versions:
            whole += 1
        self._whole[program] = whole

    def knows(self, program: str, version: int) -> bool:
        """Say whether everything that was published up to a version is known, of a program or of its partners."""
        if program.endswith(PARTNERS):
            return self._partners.knows(program.removesuffix(PARTNERS), version)
        return version <= self._whole.get(program, 0)

    async def ensure(self, versions: Mapping[str, int]) -> None:
        """Wait until these versions were read from the topic (rule 12); raises `TimeoutError`."""
        await self._awaiting.ensure(versions, self._topic.until)

    def in_force(self, program: str, occurred_at: datetime, newest: int) -> CompiledProgram | None:
        """Return the version in force at `occurred_at` among those up to `newest`; before the first, the first."""
        found = 0
        for effective_from, version in self._starts.get(program, ()):
            if version <= newest and effective_from <= occurred_at:
                found = version
        # Not whichever starts first: one that is published later changes nothing before its own start (S14).
        return self.version(program, found or min(newest, 1))

    def version(self, program: str, version: int) -> CompiledProgram | None:
        """Return one version, None where it is not known."""
        return self._versions.get(program, {}).get(version)

    def newest(self, program: str) -> CompiledProgram | None:
        """Return the newest version that can be judged by."""
        return self._versions.get(program, {}).get(self._whole.get(program, 0))

    def tiers_reach(self, program: str) -> int | None:
        """Return how many days back any version's tiers look; None where no version has tiers."""
        return self._tiers_reach.get(program)

    def conversions(self, program: str) -> Sequence[CompiledConversion]:
        """Return the conversions of all versions that are known."""
        return self._conversions.get(program, ())

    def has_segments(self, program: str) -> bool:
        """Say whether any version of a program has segments."""
        return program in self._with_segments

    def review_starts(self, program: str) -> list[datetime]:
        """Return when versions start by whose tiers members are to be looked at then."""
        return self._review_starts.get(program, [])

    def to_judge(self) -> list[str]:
        """Return the programs of which all members are judged now and then."""
        return sorted(self._with_segments | self._review_starts.keys())

    def units_of_segments(self, program: str) -> list[tuple[str, str]]:
        """Return what segments of any version measure, each with the program in which it is counted."""
        versions = self._versions.get(program, {}).values()
        judged = [each.segments for each in versions if each.segments is not None]
        own = {(program, unit) for each in judged for unit in each.units}
        return sorted(own.union(*(each.units_of_others for each in judged)))

    def funded(self, program: str) -> Collection[tuple[str, str]]:
        """Return who pays for which unit by a rule of any version."""
        return self._funded.get(program, ())

    def refills(self, program: str) -> bool:
        """Say whether by any version a return lets what a cap had refused be granted."""
        return program in self._refilling

    def gives_to_others(self, program: str) -> bool:
        """Say whether by any version others than the member may get points."""
        return program in self._giving

    def terms(self, program: str, partner: str, newest: int) -> Sequence[Terms]:
        """Return what was said of a partner in versions up to `newest`, in their order."""
        return self._partners.terms(program, partner, newest)

    def prepaying(self, program: str) -> Collection[str]:
        """Return the partners of whom any version says that they pay in advance."""
        return self._partners.prepaying(program)

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


def _compiled(document: bytes, version: int) -> CompiledProgram:
    return CompiledProgram.from_document(load_program(document), version)


def _read(message: Message) -> ProgramPublished:
    published = _decode(message.body)
    if published.program != message.program:
        detail = f"a record of {message.program} publishes {published.program}"
        raise ValueError(detail)
    return published
