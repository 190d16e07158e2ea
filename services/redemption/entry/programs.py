"""Program versions come in: what redemption needs of each, read from the compacted topic."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import msgspec

from laurel.contracts.programs import ProgramPublished
from laurel.io.aside import Aside
from laurel.io.awaiting import Awaiting
from laurel.io.health import Health
from laurel.io.message import Message
from laurel.shapes import decoder_of
from services.redemption.domain.heard import Share
from services.redemption.domain.moment import ProgramTerms

_decode = decoder_of(ProgramPublished).decode


class Followed(Protocol):
    """The topic, as far as this book must wait for it."""

    async def until(self, predicate: Callable[[], bool], deadline_seconds: float) -> None:
        """Wait until the predicate holds; `TimeoutError` after the deadline."""


class KnownPrograms:
    """Every published version of every program, as far as it was read; grows while the topic is followed."""

    def __init__(self, health: Health, *, deadline_seconds: float) -> None:
        self._aside = Aside("programs", health)
        # What could not be read may be any version, so none is waited for.
        self._awaiting = Awaiting(self.knows, self._aside.__contains__, deadline_seconds=deadline_seconds)
        self._terms: dict[tuple[str, int], ProgramTerms] = {}
        self._until: Callable[[Callable[[], bool], float], Awaitable[None]] | None = None

    def follow(self, topic: Followed) -> None:
        """Say where versions come from."""
        self._until = topic.until

    def take(self, message: Message) -> None:
        """Take one record of the topic; other records than programs are passed over.

        One that cannot be read is laid aside; nothing behind it waits, but for what needs this very version.
        """
        if message.type != ProgramPublished.TYPE:
            return
        try:
            published: Any = _decode(message.body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            self._aside.put(message.program, message.id, error)
            return
        document = published.document
        terms = ProgramTerms(
            zone=document.get("time_zone", "UTC"),
            manual=document.get("clock") == "manual",
            member_attributes=(document.get("attributes") or {}).get("member") or {},
            tiers=bool(document.get("tiers")),
            share=msgspec.convert(document.get("award_share") or {}, Share),
        )
        self._terms[published.program, published.version] = terms
        self._aside.taken(published.program, message.id)

    async def ensure(self, versions: Mapping[str, int]) -> None:
        """Wait until these versions were read (rule 12); raises `TimeoutError`."""
        await self._awaiting.ensure(versions, self._wait)

    def knows(self, program: str, version: int) -> bool:
        """Say whether a version is known."""
        return (program, version) in self._terms

    def terms(self, program: str, version: int) -> ProgramTerms:
        """Return what redemption needs of a version that is known."""
        return self._terms[program, version]

    def is_on_wall_clock(self, program: str) -> bool:
        """Say whether the newest known version of a program lives by the wall clock; one that is not known does."""
        newest = max((version for name, version in self._terms if name == program), default=0)
        return not newest or not self._terms[program, newest].manual

    def on_wall_clocks(self) -> list[str]:
        """Return the programs whose newest known version lives by the wall clock."""
        newest: dict[str, int] = {}
        for program, version in self._terms:
            newest[program] = max(version, newest.get(program, 0))
        return sorted(program for program, version in newest.items() if not self._terms[program, version].manual)

    async def _wait(self, predicate: Callable[[], bool], deadline_seconds: float) -> None:
        if self._until is None:
            raise TimeoutError("nothing brings programs")
        await self._until(predicate, deadline_seconds)
