"""A program document becomes a version: checked, counted, and said on the compacted topic."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC
from typing import TYPE_CHECKING, Any, Literal

import asyncpg
import msgspec

from laurel.errors import Problem
from laurel.program.changing import faults_of_change
from laurel.program.faults import ProgramFaults
from laurel.program.loading import dump_program, load_program
from services.gateway.asking import clock_running
from services.gateway.saying import program_published
from services.gateway.store import audit, programs
from services.gateway.store.programs import VersionRow

if TYPE_CHECKING:
    from datetime import datetime

    from laurel.io.unit import UnitOfWork, Work
    from laurel.program.document import ProgramDocument
    from services.gateway.store.audit import AuditRow

_canonical = msgspec.json.Encoder(order="deterministic").encode


@dataclass(frozen=True, slots=True)
class Publication:
    """A program's newest version, and whether this request made it."""

    row: VersionRow
    is_new: bool

    def shown(self) -> dict[str, Any]:
        return {
            "program": self.row.program,
            "version": self.row.version,
            "effective_from": self.row.effective_from,
        }


def read_document(body: bytes, program: str, syntax: Literal["json", "yaml"]) -> ProgramDocument:
    """Check a document; the problem names every fault with its pointer."""
    try:
        return load_program(body, program, syntax=syntax)
    except ProgramFaults as faults:
        if len(faults.faults) == 1 and faults.faults[0].code == "malformed":
            raise Problem("malformed", faults.faults[0].detail) from None
        raise faults.problem() from None


def check_change(newest: VersionRow, plain: Mapping[str, Any]) -> None:
    """Refuse a version that changes what is fixed from a program's first one on; the problem names each fault."""
    faults = faults_of_change(msgspec.json.decode(newest.document), plain)
    if faults:
        raise ProgramFaults(faults).problem() from None


FirstWith = Callable[["Work", VersionRow], Awaitable[None]]
"""What is to be done in the transaction that makes a program."""


async def publish(
    unit: UnitOfWork,
    document: ProgramDocument,
    clock: Callable[[], datetime],
    traceparent: str = "",
    *,
    first_with: FirstWith | None = None,
    change: AuditRow | None = None,
) -> Publication:
    """Publish a document. The same content as the newest version's is that version again.

    Versions are immutable; after the first, none may take effect before the program's now, nor change what is fixed.
    With `first_with` the program must be new, else it is 409 `program_exists`. `change` is kept by the audit with the
    version.
    """
    try:
        return await _publish(unit, document, clock, traceparent, first_with, change)
    except asyncpg.UniqueViolationError:
        # Two published a program's first version at once. The other one's is there now, so this one is judged by it.
        return await _publish(unit, document, clock, traceparent, first_with, change)


async def _publish(
    unit: UnitOfWork,
    document: ProgramDocument,
    clock: Callable[[], datetime],
    traceparent: str,
    first_with: FirstWith | None,
    change: AuditRow | None,
) -> Publication:
    plain = dump_program(document)
    canonical = _canonical(plain)
    hash_ = hashlib.sha256(canonical).hexdigest()
    before = None
    async with unit.begin() as work:
        head = await programs.lock_head(work.connection, document.program)
        now = clock()
        if head is not None:
            if first_with is not None:
                raise Problem("program_exists")
            if head.turning_to is not None:
                raise clock_running()
            newest = await programs.version(work.connection, document.program, head.version)
            assert newest is not None
            before = newest.hash
            if newest.hash == hash_:
                return Publication(newest, is_new=False)
            check_change(newest, plain)
            program_now = head.as_of if head.is_manual else now
            if program_now is not None and document.effective_from < program_now:
                raise Problem(
                    "effective_in_past",
                    f"A new version may take effect from {program_now.isoformat()} on.",
                    extra={"now": program_now},
                )
        row = VersionRow(
            document.program,
            head.version + 1 if head is not None else 1,
            hash_,
            canonical,
            document.effective_from.astimezone(UTC),
            now,
        )
        await programs.add_version(work.connection, row, document.clock)
        work.say(program_published(row, plain, traceparent))
        if change is not None:
            old = f"sha256:{before}" if before is not None else None
            await audit.add(work.connection, [replace(change, before=old, after=f"sha256:{hash_}")])
        if first_with is not None:
            await first_with(work, row)
    return Publication(row, is_new=True)
