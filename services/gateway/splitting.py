"""A stream of bytes becomes lines, in constant memory, however large the file is."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_GZIP = 16 + zlib.MAX_WBITS
_STEP = 64 * 1024
_GRACE = 16 * 1024 * 1024
_MARK = b'"'
_CLOSED = b'""'
BOM = b"\xef\xbb\xbf"
"""What some programs put in front of a file to say that it is UTF-8. It is no part of the first line."""


class BrokenError(Exception):
    """The stream is not what its headers say; what came before the break is still good."""


class BombError(BrokenError):
    """A few bytes that unpack to very many: no file of activities packs so well."""


class Gunzip:
    """Unpacks gzip step by step; a small file that unpacks to a huge one never stands in memory.

    Nor may it keep a processor busy: once more than a few megabytes came out, they must not be more than `ratio_max`
    times what went in.
    """

    def __init__(self, ratio_max: int) -> None:
        self._ratio_max = ratio_max
        self._taken = 0
        self._given = 0
        self._member = zlib.decompressobj(_GZIP)
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._begun = self._begun or bool(data)
        self._taken += len(data)
        if self._member.eof and data:
            self._member = zlib.decompressobj(_GZIP)
        while True:
            try:
                piece = self._member.decompress(data, _STEP)
            except zlib.error as error:
                raise BrokenError(f"the gzip stream is damaged: {error}") from error
            self._given += len(piece)
            if self._given > _GRACE + self._ratio_max * self._taken:
                raise BombError(f"it unpacks to more than {self._ratio_max} times its size")
            if piece:
                yield piece
            if self._member.eof:
                data = self._member.unused_data
                if not data:
                    return
                # Gzip files may be put one behind the other.
                self._member = zlib.decompressobj(_GZIP)
                continue
            data = self._member.unconsumed_tail
            # A full piece may mean that more output waits inside, although all input is taken.
            if not data and len(piece) < _STEP:
                return

    def finish(self) -> None:
        """Say whether the stream ended where gzip says it ends."""
        if self._begun and not self._member.eof:
            raise BrokenError("the gzip stream ends in the middle")


class Plain:
    """The same face for a body that is not packed."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        if data:
            yield data

    def finish(self) -> None:
        """A plain body has no end mark; the transport says when it broke off."""


@dataclass(slots=True)
class Quotation:
    """Whether a CSV is within quotation marks. One opens where a cell begins; `12" pizza` is a cell with a letter."""

    delimiter: bytes
    is_open: bool = False
    _before: bytes = b""
    """What stands before the next byte: nothing where a row begins, `_CLOSED` where a mark has just closed."""

    def read(self, data: bytes, start: int, end: int) -> bool:
        """Read on, and say whether a quotation is open at `end`."""
        at = start
        while (mark := data.find(_MARK, at, end)) >= 0:
            before = data[mark - 1 : mark] if mark > at else self._before
            if self.is_open:
                self.is_open, self._before = False, _CLOSED
            else:
                # Two marks within a quotation stand for one: it closes and opens again.
                self.is_open, self._before = before in {b"", self.delimiter, _CLOSED}, _MARK
            at = mark + 1
        if at < end:
            self._before = data[end - 1 : end]
        return self.is_open

    def begin(self) -> None:
        """A row begins."""
        self.is_open, self._before = False, b""


@dataclass(slots=True)
class Lines:
    """Cuts bytes into lines. A line above the limit is passed on as `None` and its bytes are dropped.

    With a `quotation` a line feed between its marks ends no line. Where a mark has no other, the line grows above the
    limit; after that marks are counted anew.
    """

    line_bytes_max: int
    offset: int = 0
    """Bytes of whole lines seen so far: where a body that broke off is to be resumed."""
    quotation: Quotation | None = None
    _parts: list[bytes] = field(default_factory=list)
    _held: int = 0
    _skipped: int = 0

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        start = seen = 0
        quotation = self.quotation
        while (end := data.find(b"\n", seen)) >= 0:
            is_open = quotation is not None and quotation.read(data, seen, end)
            seen = end + 1
            if is_open and self._held + self._skipped + end - start <= self.line_bytes_max:
                continue
            if quotation is not None:
                quotation.begin()
            yield self._whole(data[start:end], newline=1)
            start = seen
        if quotation is not None:
            quotation.read(data, seen, len(data))
        self._keep(data[start:])

    def finish(self) -> Iterator[bytes | None]:
        """The last line of a body that is complete needs no line feed."""
        if self._held or self._skipped:
            yield self._whole(b"", newline=0)

    def _keep(self, rest: bytes) -> None:
        if self._skipped or self._held + len(rest) > self.line_bytes_max:
            self._skipped += self._held + len(rest)
            self._parts.clear()
            self._held = 0
        elif rest:
            self._parts.append(rest)
            self._held += len(rest)

    def _whole(self, last: bytes, newline: int) -> bytes | None:
        self._keep(last)
        self.offset += self._held + self._skipped + newline
        line = None if self._skipped else b"".join(self._parts)
        self._parts.clear()
        self._held = self._skipped = 0
        return line
