"""Files of activities, received line by line in constant memory. A bad line never stops the others."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from laurel.errors import Problem, named_at
from laurel.io.database import is_passing
from laurel.io.telemetry import logger
from laurel.values import contains_nul
from services.gateway.accepting import Reported, read_activity
from services.gateway.splitting import BOM, BombError, BrokenError, Gunzip, Lines, Plain, Quotation
from services.gateway.store import batches
from services.gateway.store.batches import FaultRow, LineRow, Upload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from datetime import datetime

    from laurel.io.database import Database
    from services.gateway.columns import Table
    from services.gateway.guarding import Caller
    from services.gateway.knowing import Known
    from services.gateway.store.programs import ProgramHead

log = logger(__name__)

_PART_LINES: Final = 500
_PART_BYTES: Final = 1_000_000
_PART_SECONDS: Final = 1.0
_PART_LINES_BESIDE_CALLERS: Final = 100
_PAUSE_SECONDS_MAX: Final = 0.2
_AWAY_SECONDS_MAX: Final = 60.0
"""For so long a sender is kept waiting while nothing can be stored. It is less than after what a file is given up."""
_AGAIN_SECONDS: Final = 0.05
_AGAIN_SECONDS_MAX: Final = 2.0
_ID_MAX: Final = 128


_OVERTAKEN: Final = "another one sends it now, or it was closed because nothing had come for too long"


class GoneError(Exception):
    """The sender of a body went away before its end."""


class EndedError(Exception):
    """The sender's key has ended, and with it what it may send."""


@dataclass(frozen=True, slots=True)
class Broke:
    """Why a body came to no good end; `code` is that of the problem to be told."""

    why: str
    code: str = "malformed"


class Unpacked:
    """A body as it comes, unpacked if it is packed; it may not be silent for long."""

    def __init__(self, body: AsyncIterator[bytes], *, packed: bool, ratio_max: int, silence_seconds: float) -> None:
        self._body = body
        self._unpack = Gunzip(ratio_max) if packed else Plain()
        self._silence_seconds = silence_seconds
        self._before = b""
        # One for all who read: of what was packed together, a part may have been read and the rest not.
        self._unpacking = self._all()

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the bytes; `BrokenError`, `GoneError` or `TimeoutError` where they do not come to their end."""
        before, self._before = self._before, b""
        if before:
            yield before
        async for piece in self._unpacking:
            yield piece

    async def header(self, bytes_max: int, delimiter: str) -> bytes:
        """Return the first line, with its line feed; what came with it stays. 400 where there is none."""
        lines = Lines(bytes_max, quotation=Quotation(delimiter.encode()))
        seen, read = b"", 0
        try:
            async for piece in self._unpacking:
                seen += piece
                if not read:
                    if len(seen) < len(BOM):
                        continue
                    lines.offset = read = len(BOM) if seen.startswith(BOM) else 0
                fresh, read = seen[read:], len(seen)
                for line in lines.feed(fresh):
                    if line is None:
                        raise Problem("too_large", "The header is too long")
                    self._before = seen[lines.offset :]
                    return seen[: lines.offset]
        except (BrokenError, GoneError, TimeoutError):
            raise Problem("malformed", "The body broke off before the end of its header.") from None
        if not seen.strip():
            raise Problem("malformed", "A CSV begins with a header.")
        return seen

    async def _all(self) -> AsyncIterator[bytes]:
        while (data := await self._next()) is not None:
            for piece in self._unpack.feed(data):
                yield piece
        self._unpack.finish()

    async def _next(self) -> bytes | None:
        async with asyncio.timeout(self._silence_seconds):
            return await anext(self._body, None)


@dataclass(slots=True)
class _Part:
    """Lines that are stored together."""

    reported: list[tuple[int, Reported]] = field(default_factory=list)
    faults: list[FaultRow] = field(default_factory=list)
    size: int = 0

    def is_full(self, lines_max: int) -> bool:
        return len(self.reported) + len(self.faults) >= lines_max or self.size >= _PART_BYTES

    @property
    def is_empty(self) -> bool:
        return not self.reported and not self.faults


class Intake:
    """Receives one file."""

    def __init__(
        self,
        database: Database,
        known: Known,
        clock: Callable[[], datetime],
        *,
        caller: Caller,
        head: ProgramHead,
        batch: str,
        upload: Upload,
        table: Table | None,
        line_bytes_max: int,
        silence_seconds: float,
        beside_callers: Callable[[], bool],
        may_send: Callable[[], Awaitable[bool]],
    ) -> None:
        """`upload` is where the reading begins; `table` what the columns of a CSV mean.

        After `silence_seconds` twice without a word a file is taken for abandoned. `may_send` is asked before a part
        is stored, so that a key that has ended sends nothing more.
        """
        self._database = database
        self._known = known
        self._clock = clock
        self._caller = caller
        self._head = head
        self._batch = batch
        self._upload = upload
        self._table = table
        self._lines = Lines(line_bytes_max, upload.offset, Quotation(table.delimiter.encode()) if table else None)
        self._silence_seconds = silence_seconds
        self._beside_callers = beside_callers
        self._may_send = may_send
        self._number = upload.lines_read
        self._part = _Part()
        self._stored_at = self._touched_at = time.monotonic()
        self._away_since: float | None = None

    async def receive(self, body: Unpacked) -> Broke | None:
        """Take the whole file; answers why it broke off, or None. What came before a break is kept."""
        broke: Broke | None = Broke("the gateway stopped")
        try:
            async for piece in body.pieces():
                await self._take(self._lines.feed(piece))
            await self._take(self._lines.finish())
            await self._store()
            broke = None
        except BombError as error:
            broke = Broke(str(error), "too_large")
        except BrokenError as error:
            broke = Broke(str(error))
        except GoneError:
            broke = Broke("the connection was lost")
        except EndedError:
            broke = Broke("the key has ended meanwhile", "unauthenticated")
        except TimeoutError:
            broke = Broke("nothing more came")
        finally:
            # Also when this request is cancelled: the batch must not stay open for ever.
            await asyncio.shield(self._end(broken=broke is not None))
        return broke

    async def _take(self, lines: Iterator[bytes | None]) -> None:
        for line in lines:
            self._number += 1
            self._read(self._number, line)
            if self._part.is_full(_PART_LINES_BESIDE_CALLERS if self._beside_callers() else _PART_LINES):
                await self._store_and_yield()
        if time.monotonic() - self._stored_at > _PART_SECONDS:
            await self._store()

    async def _store_and_yield(self) -> None:
        """Store a part; while callers are here, leave them as long as it took to read and store it."""
        began = self._stored_at
        await self._store()
        if self._beside_callers():
            now = time.monotonic()
            await asyncio.sleep(min(now - began, _PAUSE_SECONDS_MAX))
            self._stored_at += time.monotonic() - now

    def _read(self, number: int, line: bytes | None) -> None:
        if line is None:
            self._part.faults.append(_fault(number, None, Problem("too_large", "The line is too long")))
            return
        if number == 1:
            line = line.removeprefix(BOM)
        if not line.strip():
            return
        self._part.size += len(line)
        try:
            whole = line if self._table is None else self._table.activity(line)
            reported = read_activity(whole, self._caller, self._head, self._clock())
        except Problem as problem:
            said = _id_in(line) if self._table is None else self._table.id_of(line)
            self._part.faults.append(_fault(number, _fitting(said), problem))
        else:
            self._part.reported.append((number, reported))

    async def _store(self) -> None:
        part, self._part = self._part, _Part()
        self._stored_at = time.monotonic()
        if not part.is_empty:
            await self._patiently(partial(self._store_part, part))
        elif self._stored_at - self._touched_at > self._silence_seconds / 2:
            # A long line comes slowly: nobody may take the file for abandoned.
            await self._patiently(self._touch)
        else:
            return
        self._touched_at = time.monotonic()

    async def _store_part(self, part: _Part, *, again: bool) -> None:
        if not await self._may_send():
            raise EndedError
        lines, faults = await self._resolve(part)
        upload = replace(self._upload, offset=self._lines.offset, lines_read=self._number)
        program, now = self._head.program, self._clock()
        async with self._database.transaction() as connection:
            if again and await batches.stands(connection, program, self._batch, upload):
                # It was stored, and only the word of it was lost.
                return
            if not await batches.receive(connection, program, self._batch, lines, faults, upload, at=now):
                raise BrokenError(_OVERTAKEN)

    async def _touch(self, *, again: bool) -> None:
        del again
        async with self._database.connection() as connection:
            if not await batches.touch(connection, self._head.program, self._batch, self._upload.writer, self._clock()):
                raise BrokenError(_OVERTAKEN)

    async def _patiently(self, deed: Callable[..., Awaitable[None]]) -> None:
        """Do it, and again while that may help: a file of hours is not sent anew for a moment without the database.

        Meanwhile nothing is read, so its sender waits. 503 where it lasts too long.
        """
        again, pause = False, _AGAIN_SECONDS
        while True:
            try:
                await deed(again=again)
            except Exception as error:
                now = time.monotonic()
                self._away_since = self._away_since or now
                if not is_passing(error):
                    raise
                if now - self._away_since > _AWAY_SECONDS_MAX:
                    detail = "The database does not take it; its whole lines before that are taken."
                    raise Problem("unavailable", detail, retry_after_seconds=5) from error
                log.warning("a part of a file is stored again", batch=self._batch, error=type(error).__name__)
            else:
                self._away_since = None
                return
            await asyncio.sleep(pause)
            again, pause = True, min(2 * pause, _AGAIN_SECONDS_MAX)

    async def _resolve(self, part: _Part) -> tuple[list[LineRow], list[FaultRow]]:
        """Find the members, all in one go; a line whose member nobody knows is rejected."""
        program = self._head.program
        identifiers = [(program, *each.identifier) for _, each in part.reported if each.identifier is not None]
        whose = await self._known.whose_all(identifiers)
        named = sorted({each.member_id for _, each in part.reported if each.member_id is not None})
        known = await self._known.members([(program, member) for member in named])
        partners = {each.partner for _, each in part.reported if each.partner != self._caller.partner}
        strangers = {partner for partner in partners if not await self._known.partner(partner, program, self._caller)}
        lines: list[LineRow] = []
        faults = list(part.faults)
        for number, each in part.reported:
            member = each.member_id
            is_blocked = False
            if each.identifier is not None:
                owner = whose.get((program, *each.identifier))
                if owner is not None:
                    member, is_blocked = owner
            elif member is not None and (program, member) not in known:
                member = None
            if each.partner in strangers:
                faults.append(_not_known(number, each.id, "partner_unknown", "/partner"))
            elif member is None and each.activity.member is not None:
                faults.append(_not_known(number, each.id, "member_unknown", "/member"))
            elif is_blocked:
                faults.append(_not_known(number, each.id, "identifier_blocked", "/member"))
            else:
                lines.append(
                    LineRow(
                        number,
                        each.partner,
                        each.id,
                        member,
                        each.hash,
                        each.occurred_at,
                        each.of,
                        each.json(member),
                    )
                )
        return lines, sorted(faults, key=lambda fault: fault.line)

    async def _end(self, *, broken: bool) -> None:
        try:
            await self._store()
        except (BrokenError, EndedError):
            broken = True
        except BaseException:
            broken = True
            raise
        finally:
            await self._patiently(partial(self._close, broken=broken))

    async def _close(self, *, broken: bool, again: bool) -> None:
        del again
        async with self._database.transaction() as connection:
            writer = self._upload.writer
            await batches.end(connection, self._head.program, self._batch, writer, broken=broken, at=self._clock())


def _fault(line: int, id_: str | None, problem: Problem) -> FaultRow:
    errors = msgspec.json.encode([fault.document() for fault in problem.errors])
    return FaultRow(line, id_, problem.status, problem.code, problem.detail or problem.title, errors)


def _not_known(line: int, id_: str, code: str, pointer: str) -> FaultRow:
    try:
        with named_at(pointer):
            raise Problem(code)
    except Problem as problem:
        return _fault(line, id_, problem)


def _id_in(line: bytes) -> object:
    """Return what a line which is not right has for an id, so that its sender can find it."""
    try:
        said = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return said.get("id") if isinstance(said, dict) else None


def _fitting(said: object) -> str | None:
    """Return an id that can be told; what is none, or cannot be stored, is not."""
    return said if isinstance(said, str) and len(said) <= _ID_MAX and not contains_nul(said) else None


def rejected(line: LineRow, problem: Problem) -> FaultRow:
    """A line that turned out wrong only when its turn came."""
    return _fault(line.line, line.id, problem)
