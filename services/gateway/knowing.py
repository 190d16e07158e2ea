"""What requests ask of programs, partners and members again and again, remembered for a moment.

Only what cannot be taken back is remembered for long: that a member or a partner exists. A program's newest version
is read in the transaction that records a request, never here.
"""

from __future__ import annotations

import copy
import hashlib
import hmac
import time
from collections import OrderedDict
from datetime import datetime
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import msgspec

from laurel.calendars import zone_named
from laurel.errors import Problem
from laurel.partnerships import state_at
from laurel.program.loading import load_program
from laurel.program.tiers import CompiledTiers
from services.gateway.store import members, partner_terms, partners, programs
from services.gateway.store.partners import ANYBODY

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from laurel.io.database import Database
    from laurel.program.document import ProgramDocument
    from services.gateway.guarding import Caller
    from services.gateway.seeing import Seeing, Seen
    from services.gateway.store.members import Owner
    from services.gateway.store.partner_terms import Said
    from services.gateway.store.programs import ProgramHead

Key = TypeVar("Key")
Value = TypeVar("Value")

_PROGRAM_SECONDS = 1.0
_SURVIVOR_SECONDS = 1.0
_EVER = float("inf")


class Remembered(Generic[Key, Value]):
    """A bounded memory that forgets the oldest first."""

    def __init__(self, size_max: int, seconds: float) -> None:
        self._size_max = size_max
        self._seconds = seconds
        self._values: OrderedDict[Key, tuple[float, Value]] = OrderedDict()

    def get(self, key: Key) -> Value | None:
        found = self._values.get(key)
        if found is None or found[0] < time.monotonic():
            return None
        return found[1]

    def put(self, key: Key, value: Value) -> None:
        self._values[key] = (time.monotonic() + self._seconds, value)
        self._values.move_to_end(key)
        while len(self._values) > self._size_max:
            self._values.popitem(last=False)

    def forget(self, key: Key) -> None:
        self._values.pop(key, None)

    def clear(self) -> None:
        self._values.clear()


class Judging(NamedTuple):
    """What reads look at of a version, which never changes."""

    zone: ZoneInfo
    tiers: CompiledTiers | None
    document: ProgramDocument


class KnownRule(msgspec.Struct):
    """A rule as far as it says why it is silent."""

    id: str = msgspec.field(name="rule")
    on: list[str]
    lines: str | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None


class _Earning(msgspec.Struct):
    earning: list[KnownRule] = []


class _Unit(msgspec.Struct):
    counts_only: bool = False


class _Units(msgspec.Struct):
    units: dict[str, _Unit]


_decode_earning = msgspec.json.Decoder(_Earning).decode
_decode_units = msgspec.json.Decoder(_Units).decode


class Known:
    """Answers whether a program, partner or member exists, and whose an identifier is."""

    def __init__(self, database: Database, seeing: Seeing, look_up: bytes) -> None:
        """`look_up`: the key by which identifiers are hashed."""
        self._database = database
        self._seeing = seeing
        self._look_up = look_up
        self._programs: Remembered[str, ProgramHead] = Remembered(1_000, _PROGRAM_SECONDS)
        self._documents: Remembered[tuple[str, int], Judging] = Remembered(1_000, _EVER)
        self._starts: Remembered[tuple[str, int], list[tuple[datetime, int]]] = Remembered(1_000, _EVER)
        self._partners: Remembered[tuple[str, str, str], bool] = Remembered(1_000, _EVER)
        self._terms: Remembered[tuple[str, int], dict[str, list[Said]]] = Remembered(100, _EVER)
        self._members: Remembered[tuple[str, str], bool] = Remembered(50_000, _EVER)
        self._survivors: Remembered[tuple[str, str], str] = Remembered(50_000, _SURVIVOR_SECONDS)
        self._rules: Remembered[tuple[str, int], list[KnownRule]] = Remembered(100, _EVER)
        self._units: Remembered[tuple[str, int], frozenset[str]] = Remembered(1_000, _EVER)

    def patient(self) -> Known:
        """Return the same knowledge for those who wait for a connection as long as it takes."""
        same = copy.copy(self)
        same._database = self._database.patient()  # noqa: SLF001 - it is one of us
        return same

    async def program(self, name: str) -> ProgramHead | None:
        """Return a program's head, at most a second old."""
        head = self._programs.get(name)
        if head is None:
            async with self._database.connection() as connection:
                head = (await programs.heads(connection, [name])).get(name)
            if head is not None:
                self._programs.put(name, head)
        return head

    async def units(self, program: str, version: int) -> frozenset[str]:
        """Return what points a program has, or had before a version: whoever has some of what it gave up has them."""
        units = self._units.get((program, version))
        if units is None:
            async with self._database.connection() as connection:
                documents = await programs.documents(connection, program, version)
            named = [_decode_units(document).units for document in documents]
            units = frozenset(name for each in named for name, unit in each.items() if not unit.counts_only)
            self._units.put((program, version), units)
        return units

    async def rules(self, program: str, version: int) -> list[KnownRule]:
        """Return the rules of a version, which never change."""
        rules = self._rules.get((program, version))
        if rules is None:
            async with self._database.connection() as connection:
                row = await programs.version(connection, program, version)
            rules = _decode_earning(row.document).earning if row is not None else []
            self._rules.put((program, version), rules)
        return rules

    async def judging(self, head: ProgramHead, now: datetime | None) -> Judging:
        """Return what reads look at of the version in force; without a now, or for what is yet to come, of the newest.

        A version changes nothing before its start (S14).
        """
        version = head.version if now is None or head.version == 1 else await self._in_force(head, now)
        known = self._documents.get((head.program, version))
        if known is None:
            async with self._database.connection() as connection:
                row = await programs.version(connection, head.program, version)
            assert row is not None  # a head names a version that is there
            document = load_program(row.document)
            zone = zone_named(document.time_zone)
            tiers = document.tiers
            known = Judging(zone, None if tiers is None else CompiledTiers.from_document(tiers, zone), document)
            self._documents.put((head.program, version), known)
        return known

    async def _in_force(self, head: ProgramHead, now: datetime) -> int:
        starts = self._starts.get((head.program, head.version))
        if starts is None:
            async with self._database.connection() as connection:
                starts = await programs.starts(connection, head.program, head.version)
            self._starts.put((head.program, head.version), starts)
        return max((start for start in starts if start[0] <= now), default=(now, 1))[1]

    async def tiers(self, head: ProgramHead, now: datetime | None) -> CompiledTiers | None:
        """Return the tiers of a program as they are now, None where it has none."""
        return (await self.judging(head, now)).tiers

    def forget_program(self, name: str) -> None:
        self._programs.forget(name)

    async def partner(self, name: str, program: str, caller: Caller) -> bool:
        """Whether the caller may name a partner in a program: one that it made, or that takes part in the program."""
        namer = ANYBODY if caller.is_operator else caller.partner
        if self._partners.get((name, program, namer)):
            return True
        async with self._database.connection() as connection:
            found = await partners.may_be_named(connection, name, program, namer)
        if found:
            self._partners.put((name, program, namer), value=True)
        return found

    async def away(self, head: ProgramHead, now: datetime) -> list[str]:
        """Return the partners with which nothing is spent now, since they do not take part."""
        said = self._terms.get((head.program, head.partners))
        if said is None:
            async with self._database.connection() as connection:
                said = await partner_terms.said_up_to(connection, head.program, head.partners)
            self._terms.put((head.program, head.partners), said)
        return [partner for partner, terms in said.items() if state_at(terms, now) != "approved"]

    async def member(self, program: str, member: str) -> bool:
        if self._members.get((program, member)):
            return True
        return bool(await self.members([(program, member)]))

    async def survivor(self, program: str, member: str) -> str | None:
        """Return who answers for a member, at most a second old; None where nobody knows it."""
        known = self._survivors.get((program, member))
        if known is None:
            seen = await self._seeing.find(program, member)
            if seen is None or seen.row.merged_into is None:
                known = member if seen is not None else None
            else:
                async with self._database.connection() as connection:
                    known = await members.survivor(connection, program, member)
            if known is not None:
                self._survivors.put((program, member), known)
        return known

    async def account(self, program: str, member: str) -> Seen | None:
        """Return the account that answers for a member, as it stands now; None where nobody knows it."""
        seen = await self._seeing.find(program, member)
        if seen is None or seen.row.merged_into is None:
            return seen
        survivor = await self.survivor(program, member)
        return await self._seeing.find(program, survivor) if survivor is not None else None

    def forget_survivor(self, program: str, member: str) -> None:
        self._survivors.forget((program, member))

    async def members(self, asked: list[tuple[str, str]]) -> set[tuple[str, str]]:
        """Return which of these (program, member) there are."""
        unknown = [each for each in asked if not self._members.get(each)]
        found = {each for each in asked if each not in set(unknown)}
        if unknown:
            async with self._database.connection() as connection:
                fresh = await members.existing(connection, unknown)
            for each in fresh:
                self._members.put(each, value=True)
            found |= fresh
        return found

    def hash_of(self, program: str, scheme: str, value: str) -> bytes:
        """Hash an identifier under a key of the gateway's; nobody without it can test a guess."""
        text = f"{program}\x00{scheme}\x00{value}"
        return hmac.digest(self._look_up, text.encode(), hashlib.sha256)

    async def owner(self, program: str, scheme: str, value: str) -> Owner | None:
        """Return whose an identifier is, and whether it is blocked."""
        return (await self.whose_all([(program, scheme, value)])).get((program, scheme, value))

    async def whose(self, program: str, scheme: str, value: str) -> str:
        """Return whose an identifier is; 404 where nobody's, 409 where it is blocked."""
        owner = await self.owner(program, scheme, value)
        if owner is None:
            raise Problem("member_unknown")
        if owner.is_blocked:
            raise Problem("identifier_blocked")
        return owner.member

    async def whose_all(self, asked: list[tuple[str, str, str]]) -> dict[tuple[str, str, str], Owner]:
        if not asked:
            return {}
        hashed = {(program, scheme, self.hash_of(program, scheme, value)): (program, scheme, value)
                  for program, scheme, value in asked}  # fmt: skip
        async with self._database.connection() as connection:
            found = await members.resolve(connection, hashed)
        return {hashed[key]: member for key, member in found.items()}
